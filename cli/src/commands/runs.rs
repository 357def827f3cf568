//! `cli runs`.

use worker::{journal, status};

use crate::args::Global;
use crate::render::status::Summary;
use crate::stop::Result;
use crate::{output, render};

/// List every run of this database, newest last: its state, as-of, start, rows written, quarantined and removed.
///
/// Example: `cli runs`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
///
/// With --json: one array.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {}

/// Lists every run.
pub(crate) async fn run(global: &Global, Args {}: Args) -> Result {
    let database = global.journal().await?;
    let mut runs = Vec::new();
    for run in journal::runs(database.connection()).await? {
        let run = status::load(database.connection(), &run).await?;
        runs.push(Summary::of(&run));
    }
    match (global.json, runs.is_empty()) {
        (true, _) => output::json(&runs),
        (false, false) => output::result(&render::status::runs(&runs)),
        (false, true) => output::result(render::status::NOTHING_RUN),
    }
}
