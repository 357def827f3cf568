//! `cli diff`.

use clap::builder::NonEmptyStringValueParser;
use worker::diff;
use worker::error::Error;

use crate::args::Global;
use crate::stop::Result;
use crate::{output, render, select};

/// Compare two runs: how each was started, what each unit did, which rows each set aside and wrote.
///
/// Example: `cli diff 0199f3a2 019a0c44`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
///
/// Rows are compared by the digests that the batches kept: written by both to the same or to other values, or by one of
/// them alone, whatever became of them since. With --json: one document.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// A run: its id, or the beginning of it if no other run's id begins so.
    #[arg(value_name = "RUN", value_parser = NonEmptyStringValueParser::new())]
    one: String,

    /// Another run.
    #[arg(value_name = "RUN", value_parser = NonEmptyStringValueParser::new())]
    other: String,

    /// Name up to so many rows of each kind.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    limit: u16,
}

/// Compares them.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal_alone().await?;
    let named = async |named: &str| {
        let run = select::run(&database, Some(named)).await?;
        run.ok_or_else(|| Error::Usage("there is no run; `cli runs` lists them".into()))
    };
    let runs = [named(&args.one).await?, named(&args.other).await?];
    let runs = runs.each_ref().map(String::as_str);
    let diff = diff::between(&database, runs, usize::from(args.limit)).await?;
    match global.json {
        true => output::json(&diff),
        false => output::result(&render::diff::diff(&diff)),
    }
}
