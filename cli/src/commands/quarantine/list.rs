//! `cli quarantine list`.

use worker::journal::{self, Filter};

use crate::args::{Global, RunArg};
use crate::render::quarantine::List;
use crate::stop::Result;
use crate::{output, render, select};

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
    run: RunArg,

    /// Rows of every run.
    #[arg(long, conflicts_with = "run")]
    all: bool,

    /// Rows of this unit alone.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,

    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
}

/// Lists them.
pub(super) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal().await?;
    select::check_unit(&database, args.unit.as_deref()).await?;
    let filter = Filter {
        run: match args.all {
            true => None,
            false => select::run(&database, args.run.named()).await?,
        },
        unit: args.unit,
        kind: Some("RowQuarantined".into()),
        ..Filter::default()
    };
    let total = journal::count(database.connection(), &filter).await?;
    let entries = journal::select(database.connection(), &filter, args.limit, true).await?;
    let list = List::of(filter.run, total, &entries);
    match global.json {
        true => output::json(&list),
        false => output::result(&render::quarantine::list(&list)),
    }
}
