//! What is said of a run before the work begins.

use super::args::RunArgs;
use super::note;
use worker::backend::Database;
use worker::engine::{Opened, Plan};
use worker::error::Error;
use worker::{journal, runs, time};

/// A run after a rollback stands for another instant unless somebody names the same, so it looks through another window.
pub(super) async fn tell_of_another_instant(
    database: &Database,
    opened: &Opened,
    args: &RunArgs,
) -> Result<(), Error> {
    if opened.resumed || args.as_of.is_some() {
        return Ok(());
    }
    for run in journal::runs(database.connection()).await?.iter().rev() {
        let (state, _) = runs::load(database.connection(), run).await?;
        if *run == opened.run || state.started.repairs.is_some() {
            continue;
        }
        let started = &state.started;
        if started.units.iter().any(|pin| state.is_undone(&pin.name)) {
            note(&format!(
                "note: run {run}, of which rows were taken back, stood for {}; this one looks through another window, and \
                 writes other rows. To write the same again: stop it, roll it back, and run with --as-of {0}",
                time::show(state.as_of)
            ));
        }
        return Ok(());
    }
    Ok(())
}

/// Says which run is begun, or gone on with, and what it lacks.
pub(super) fn announce(plan: &Plan, opened: &Opened, args: &RunArgs) {
    let started = &opened.state.started;
    let verb = if opened.resumed {
        "going on with"
    } else {
        "starting"
    };
    let units = match args.units.is_empty() {
        true => String::new(),
        false => format!(", units {}", args.units.join(", ")),
    };
    note(&format!(
        "{verb} run {} as of {}, window {} days{units}",
        opened.run,
        time::show(opened.state.as_of),
        started.window_days
    ));
    for table in &started.missing {
        let names: Vec<_> = plan
            .iter()
            .filter(|unit| unit.tables().iter().any(|read| read.name == *table))
            .map(|unit| unit.definition().name.as_str())
            .collect();
        note(&format!(
            "note: this database has no table {table}: nothing of it comes into {}",
            names.join(", ")
        ));
    }
}
