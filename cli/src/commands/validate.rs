//! `cli validate`.

use std::sync::Arc;

use worker::backend::Database;
use worker::core::event::Input;
use worker::core::state::RunStatus;
use worker::error::Error;
use worker::{journal, runs, units, validate};

use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// Validate the destinations: counts, the units' own checks, journaled rows against what stands, sources against
/// destinations.
///
/// Example: `cli validate`
///
/// Changes nothing. Safe to repeat. Exit code 3 where an error stands; a warning is none.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {}

/// Validates the destinations.
pub(crate) async fn run(global: &Global, Args {}: Args) -> Result {
    let database = global.journal().await?;
    let plan = Arc::new(units::phase5(inputs(&database).await?));
    let report = validate::validate(&database, &plan).await?;
    if global.json {
        output::json(&report)?;
    } else {
        output::result(&render::validation::report(&report))?;
    }
    match render::validation::errors(&report) {
        Some(errors) => Err(Error::Failed(errors).into()),
        None => Ok(()),
    }
}

/// The files that the newest run that stands was started with: the one that is validated.
async fn inputs(database: &Database) -> std::result::Result<Vec<Input>, Error> {
    let runs = journal::runs(database.connection()).await?;
    for run in runs.iter().rev() {
        let (state, _) = runs::load(database.connection(), run).await?;
        if state.status != RunStatus::RolledBack {
            return Ok(state.started.inputs);
        }
    }
    Ok(Vec::new())
}
