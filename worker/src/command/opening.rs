//! Opening a run for the program: the schema where it was asked for, the files, the plan for them.

use std::sync::Arc;

use super::args::RunArgs;
use super::note;
use worker::backend::Database;
use worker::core::event::{Input, Purpose};
use worker::engine::{self, Opened, Options, Plan};
use worker::error::Error;
use worker::retry::Retry;
use worker::shutdown::Shutdown;
use worker::{inputs, runs, schema, units};

/// Opens a run and the plan for it, patiently: a server may be starting, or another worker be in the way.
pub(super) async fn open(
    database: &Database,
    args: &RunArgs,
    named: &[Input],
    options: &Options,
    worker: &str,
    shutdown: &Shutdown,
) -> Result<(Plan, Opened), Error> {
    let mut retry = Retry::default();
    loop {
        match try_open(database, args, named, options, worker).await {
            Ok(opened) => return Ok(opened),
            Err(error) => retry.pause(error, shutdown).await?,
        }
    }
}

async fn try_open(
    database: &Database,
    args: &RunArgs,
    named: &[Input],
    options: &Options,
    worker: &str,
) -> Result<(Plan, Opened), Error> {
    let inputs = prepare(database, args, named, worker).await?;
    let plan = Arc::new(units::phase5(inputs));
    let opened = engine::open(database, &plan, options, worker).await?;
    // Another worker may have started the run in between, with files of its own.
    let pinned = &opened.state.started.inputs;
    if *pinned == engine::inputs(&plan) {
        return Ok((plan, opened));
    }
    inputs::check(&opened.run, pinned, named)?;
    Ok((Arc::new(units::phase5(pinned.clone())), opened))
}

/// Checks source and schema, and gives the files that the run reads: the open run's, or those named for a new one.
async fn prepare(
    database: &Database,
    args: &RunArgs,
    named: &[Input],
    worker: &str,
) -> Result<Vec<Input>, Error> {
    let plan = Arc::new(units::phase5(Vec::new()));
    schema::check_source(database, &plan).await?;
    let as_of = args.as_of.map(|as_of| as_of.timestamp_millis());
    engine::check_as_of(database, as_of).await?;
    if args.migrate || args.demo {
        let indexes = args.indexes(database.dialect())?;
        for applied in schema::try_up(database, &plan, worker, indexes).await? {
            note(&format!("applied schema change {applied}"));
        }
    } else {
        schema::check_applied(database).await?;
    }
    match runs::unfinished(database.connection()).await? {
        Some((run, state)) => {
            engine::check_kind(&run, &state, Purpose::Backfill)?;
            inputs::check(&run, &state.started.inputs, named)?;
            Ok(state.started.inputs)
        }
        None => Ok(named.to_vec()),
    }
}
