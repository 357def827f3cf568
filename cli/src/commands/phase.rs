//! `cli phase`.

use worker::runbook::phase;
use worker::units;

use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// Show where the whole migration stands, on one screen: what is done, the next step with its command, and what blocks
/// it.
///
/// Example: `cli phase`
///
/// Changes data: no.
///
/// Safe to repeat: yes, at any moment from the first day to the last.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {}

/// Shows where the migration stands.
pub(crate) async fn run(global: &Global, Args {}: Args) -> Result {
    let database = global.look().await?;
    let phase = phase::load(&database, &units::phase5_paper()).await?;
    match global.json {
        true => output::json(&phase),
        false => output::result(&render::phase::text(&phase)),
    }
}
