//! `cli journal row`.

use std::sync::Arc;

use worker::core::event::Input;
use worker::engine::Plan;
use worker::{blame, units};

use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// Tell who wrote a row: which run, batch, worker and release, from which source row, what stood before and stands now.
///
/// Example: `cli journal row AgentFeedback 0199f3a27c41`
///
/// Changes data: no.
///
/// Safe to repeat: yes, also while a worker runs.
///
/// The whole history of the row over all runs: written, brought up to date, repaired, replayed, and taken back or kept by a
/// rollback. Its source row is found by computing the batch's part of the source again; where that cannot be, the
/// part is told. Of what stood before and stands now the columns are named; --values shows what they hold, which may
/// be personal data. A row that nobody wrote is the application's own. With --json: one document.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// The table, as IntelligenceEvent.
    #[arg(value_name = "TABLE")]
    table: String,

    /// The row's key.
    #[arg(value_name = "KEY")]
    key: String,

    /// Show what the columns held before and hold now.
    #[arg(long)]
    values: bool,
}

/// Tells it.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal().await?;
    let mut history = blame::of(&database, plan, &args.table, &args.key).await?;
    if !args.values {
        history = history.without_values();
    }
    match global.json {
        true => output::json(&history),
        false => output::result(&render::row::history(&history)),
    }
}

/// The plan of this release, with the files that a run read.
fn plan(inputs: Vec<Input>) -> Plan {
    Arc::new(units::phase5(inputs))
}
