//! `cli redo`.

use worker::core::event::Purpose;

use super::mend::Word;
use super::part::{self, Which};
use crate::args::{Global, RunArg};
use crate::stop::Result;

/// Write again what a wrong version wrote: take back these rows alone, and write each as its source gives it now.
///
/// Example: `cli redo --written-by 0.1.0 --reason "severities were wrong"`
///
/// Changes data: yes, rows that stand as the run wrote them and meet every condition; what was edited since is left alone
/// and listed.
///
/// Safe to repeat: yes, after an interruption the same command goes on.
///
/// Both steps are one run of their own, journaled batch by batch, and `cli rollback` takes it back: the rows of before then
/// stand again. It reads the whole source of each unit. Without --run: the newest run that stands. The units must write into
/// the same columns as they did.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArg,

    #[command(flatten)]
    word: Word,

    #[command(flatten)]
    which: Which,
}

/// Writes a part of a run again.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    part::run(global, Purpose::Redo, &args.run, args.which, args.word).await
}
