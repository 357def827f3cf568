//! `cli quarantine list`.

use worker::journal;

use super::which::Which;
use crate::args::Global;
use crate::render::quarantine::List;
use crate::stop::Result;
use crate::{output, render};

/// List bad rows that were set aside, newest last: unit, source key, reason, time, run. Never their values.
///
/// Example: `cli quarantine list --unit intelligence_event`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
///
/// Without --run, of the newest run; with --all, of every run. With --json: one document with the run, the total and
/// the rows.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
}

/// Lists them.
pub(super) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal().await?;
    let filter = args.which.filter(&database).await?;
    let total = journal::count(database.connection(), &filter).await?;
    let entries = journal::select(database.connection(), &filter, args.limit, true).await?;
    let list = List::of(filter.run, total, &entries);
    match global.json {
        true => output::json(&list),
        false => output::result(&render::quarantine::list(&list)),
    }
}
