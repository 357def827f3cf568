//! `cli compat`.

use std::sync::Arc;

use worker::core::event::Event;
use worker::error::Error;
use worker::{compat, runbook, runs, units};

use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// Prove that the release before still works on the live schema: run the statements that it sends (create, find,
/// update, delete with what hangs on a row) for each of its tables, with made-up rows, in a transaction that is rolled
/// back.
///
/// Example: `cli compat --record`
///
/// Changes data: no, all of it is rolled back; with --record it notes the outcome in the journal.
///
/// Safe to repeat: yes, beside the application too: it waits at most 300 ms for a lock.
///
/// Triggers fire within the transaction and are rolled back with it, but sequences move on, and what a trigger does
/// outside of the database stays done. It needs the rights of the application's own role. A check of the application's
/// that refuses made-up values shows as a failure. Exit code 3 where a statement fails.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Note the outcome in the journal, as evidence.
    #[arg(long)]
    record: bool,
}

/// Runs the statements.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = global.connect().await?;
    let plan = Arc::new(units::phase5(Vec::new()));
    let before = units::release_before(database.dialect());
    let compat = compat::check(&database, &plan, before).await?;
    if args.record {
        let event = Event::CompatChecked {
            ran: i64::try_from(compat.ran.len()).unwrap_or(i64::MAX),
            failed: compat.failed.iter().map(|told| told.name.clone()).collect(),
        };
        runbook::note(&database, &runs::worker_id("cli"), &[event]).await?;
    }
    match global.json {
        true => output::json(&compat)?,
        false => output::result(&render::compat::report(&compat))?,
    }
    match render::compat::failure(&compat) {
        Some(failure) => Err(Error::Failed(failure).into()),
        None => Ok(()),
    }
}
