//! `cli journal verify`.

use worker::audit;

use crate::args::Global;
use crate::output;
use crate::render;
use crate::stop::Result;

/// Verify the whole journal: refold it and check every hash, transition, projection and row's provenance.
///
/// Example: `cli journal verify`
///
/// Changes nothing. Safe to repeat, also while a worker runs. Exit code 3 where anything is off; the findings name the
/// first bad event of each stream. Exit code 4 where a newer release wrote events: that one can verify them.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {}

/// Verifies the journal.
pub(crate) async fn run(global: &Global, Args {}: Args) -> Result {
    let database = global.journal().await?;
    let report = audit::audit(&database).await?;
    if global.json {
        output::json(&report)?;
    } else {
        output::result(&render::journal::verified(&report))?;
    }
    report.into_result()?;
    Ok(())
}
