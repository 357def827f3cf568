//! `cli status`.

use worker::status;

use crate::args::{Global, RunArg};
use crate::stop::Result;
use crate::{output, render, select};

/// Show where a run stands: per unit its state, rows read, written, skipped, quarantined, percent, rate, time left.
///
/// Example: `cli status`
///
/// Changes data: no.
///
/// Safe to repeat: yes, also while a worker runs.
///
/// Without --run, the newest run. With --json: one document, `null` where nothing was run yet.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArg,
}

/// Shows where a run stands.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal().await?;
    let run = match select::run(&database, args.run.named()).await? {
        Some(run) => Some(status::load(database.connection(), &run).await?),
        None => None,
    };
    match (global.json, run) {
        (true, run) => output::json(&run),
        (false, Some(run)) => output::result(&render::status::run(&run)),
        (false, None) => output::result(render::status::NOTHING_RUN),
    }
}
