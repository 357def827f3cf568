//! Opening a run: starting one, or checking that the open one may go on here and now.

use super::{
    DEFAULT_MAX_BAD, DEFAULT_WINDOW_DAYS, Opened, Options, Plan, definitions, follow, inputs, pin,
};
use crate::backend::Database;
use crate::core::event::{Event, Purpose, Repairs, RunStarted};
use crate::core::plan::{self, Definition, UnitPin};
use crate::core::state::{RunState, RunStatus, UnitStatus};
use crate::error::{Error, Result};
use crate::{control, fault, journal, projection, runs, schema};

/// Goes on with the open run, or starts one.
///
/// # Errors
/// [`Error::Refused`]: the plan, the database or a pinned setting is another than the run began with, or the run is
/// being rolled back, is cancelled, or is a repair. [`Error::Usage`]: an unknown unit, an instant in the future.
pub async fn open(
    database: &Database,
    plan: &Plan,
    options: &Options,
    worker: &str,
) -> Result<Opened> {
    open_as(database, plan, options, worker, None).await
}

/// The same for a run that repairs another, by a plan that is derived from the other's.
///
/// # Errors
/// As [`open`]; [`Error::Refused`]: a run is open that is no repair.
pub async fn open_repair(
    database: &Database,
    plan: &Plan,
    options: &Options,
    worker: &str,
    repairs: Repairs,
) -> Result<Opened> {
    open_as(database, plan, options, worker, Some(repairs)).await
}

async fn open_as(
    database: &Database,
    plan: &Plan,
    options: &Options,
    worker: &str,
    repairs: Option<Repairs>,
) -> Result<Opened> {
    let definitions = definitions(plan);
    check_units(plan, &options.units)?;
    journal::check_format(database.connection()).await?;
    let identity = database.identity().await?;
    loop {
        if let Some((run, state)) = runs::unfinished(database.connection()).await? {
            let purpose = repairs.as_ref().map_or(Purpose::Backfill, Repairs::purpose);
            check_kind(&run, &state, purpose)?;
            control::check(database.connection(), &run, &state).await?;
            check_dependencies(&definitions, options, Some(&state))?;
            check_tables(&run, &state, &schema::missing(database, plan).await?)?;
            let state = resume(
                database,
                &run,
                state,
                &definitions,
                &identity,
                options,
                worker,
            );
            let state = state.await?;
            return Ok(Opened {
                state: follow::open(database, &run, state, &definitions, options, worker).await?,
                run,
                resumed: true,
            });
        }
        check_dependencies(&definitions, options, None)?;
        check_as_of(database, options.as_of).await?;
        let run = uuid::Uuid::now_v7().to_string();
        let mut pins = Vec::new();
        for definition in &definitions {
            pins.push(pin(database, definition).await?);
        }
        if let Some(repairs) = &repairs {
            as_written(database, repairs, &mut pins).await?;
        }
        let inputs = inputs(plan);
        let missing = schema::missing(database, plan).await?;
        let indexes = schema::owed(database, plan).await?;
        let started = |now| RunStarted {
            plan: plan::plan_fingerprint(pins.iter().map(|pin| pin.fingerprint.as_str())),
            units: pins,
            as_of: options.as_of.unwrap_or(now),
            window_days: options.window_days.unwrap_or(DEFAULT_WINDOW_DAYS),
            max_bad: options.max_bad.unwrap_or(DEFAULT_MAX_BAD),
            inputs,
            missing,
            database: identity.clone(),
            indexes,
            repairs: repairs.clone(),
        };
        if runs::start(database, &run, worker, started).await? {
            let (state, _) = runs::load(database.connection(), &run).await?;
            return Ok(Opened {
                state: follow::open(database, &run, state, &definitions, options, worker).await?,
                run,
                resumed: false,
            });
        }
    }
}

/// Lets units that take rows back see them as they were written: a column that was added since is none of theirs.
async fn as_written(database: &Database, repairs: &Repairs, pins: &mut [UnitPin]) -> Result<()> {
    let (of, _) = runs::load(database.connection(), &repairs.run).await?;
    for pin in pins
        .iter_mut()
        .filter(|pin| pin.destination.write.takes_back())
    {
        let mut wrote = of.started.units.iter();
        let is_origin = |wrote: &&UnitPin| {
            pin.name
                .rsplit_once('.')
                .is_some_and(|(name, _)| name == wrote.name)
        };
        if let Some(wrote) = wrote.find(is_origin) {
            pin.image.clone_from(&wrote.image);
        }
    }
    Ok(())
}

/// Refuses to go on with a run as if it were for another purpose.
///
/// # Errors
/// [`Error::Refused`], with the command that goes on with it.
pub fn check_kind(run: &str, state: &RunState, purpose: Purpose) -> Result<()> {
    let own = state.started.purpose();
    // What is being rolled back is told for itself.
    if own == purpose || state.status == RunStatus::Undoing {
        return Ok(());
    }
    let of = state.started.repairs.as_ref().map_or("", |of| &of.run);
    let what = match own {
        Purpose::Backfill => String::new(),
        Purpose::Repair => format!(" and repairs run {of}"),
        Purpose::Replay => format!(" and tries again what run {of} set aside"),
        Purpose::Undo => format!(" and takes back a part of run {of}"),
        Purpose::Redo => format!(" and writes a part of run {of} again"),
    };
    Err(Error::Refused(format!(
        "run {run} is open{what}: finish it with `{}`, or take it back with `cli rollback --run {run}`, first",
        own.command()
    )))
}

/// Refuses units that the plan does not have.
///
/// # Errors
/// [`Error::Usage`], naming those that it has.
pub fn check_units(plan: &Plan, named: &[String]) -> Result<()> {
    let definitions = definitions(plan);
    let is_known = |name: &String| definitions.iter().any(|unit| unit.name == *name);
    match named.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(unknown) => {
            let names: Vec<_> = definitions.iter().map(|unit| unit.name.as_str()).collect();
            Err(Error::Usage(format!(
                "there is no unit {unknown}; the plan's units are {}",
                names.join(", ")
            )))
        }
    }
}

/// Refuses an instant that has not come yet: a run would call rows dated before it complete that are still to come.
///
/// # Errors
/// [`Error::Usage`], with the database's clock.
pub async fn check_as_of(database: &Database, as_of: Option<i64>) -> Result<()> {
    let Some(as_of) = as_of else {
        return Ok(());
    };
    let now = journal::now(database.connection()).await?;
    if as_of <= now {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "--as-of {} lies in the future: the database's clock shows {}; name an earlier instant, or leave it out",
        crate::time::show(as_of),
        crate::time::show(now)
    )))
}

/// A chosen unit whose dependency is neither chosen nor complete could never begin.
fn check_dependencies(
    definitions: &[Definition],
    options: &Options,
    state: Option<&RunState>,
) -> Result<()> {
    let is_chosen = |name: &String| options.units.contains(name);
    let is_complete = |name: &String| {
        let unit = state.and_then(|state| state.units.get(name));
        unit.is_some_and(|unit| unit.status == UnitStatus::Completed)
    };
    for unit in definitions.iter().filter(|unit| is_chosen(&unit.name)) {
        let mut needed = unit.depends_on.iter();
        if let Some(needed) = needed.find(|name| !is_chosen(name) && !is_complete(name)) {
            return Err(Error::Usage(format!(
                "unit {} depends on {needed}, which is not complete: add --unit {needed}",
                unit.name
            )));
        }
    }
    Ok(())
}

/// Refuses to go on with other tables than the run began with: its result would be neither the one nor the other.
fn check_tables(run: &str, state: &RunState, missing: &[String]) -> Result<()> {
    let before = &state.started.missing;
    let come = before.iter().find(|table| !missing.contains(table));
    let gone = missing.iter().find(|table| !before.contains(table));
    let (table, what) = match (come, gone) {
        (None, None) => return Ok(()),
        (Some(table), _) => (table, "has come"),
        (None, Some(table)) => (table, "is gone"),
    };
    Err(Error::Refused(format!(
        "table {table} {what} since run {run} began: put that back as it was, or take the run back with `cli rollback \
         --run {run}`, then start again"
    )))
}

/// Checks that an open run may go on here and now, and reopens units that were stopped.
async fn resume(
    database: &Database,
    run: &str,
    state: RunState,
    definitions: &[Definition],
    identity: &str,
    options: &Options,
    worker: &str,
) -> Result<RunState> {
    if state.status == RunStatus::Undoing {
        return Err(Error::Refused(format!(
            "run {run} is being rolled back: finish that with `cli rollback --run {run}`, then start again"
        )));
    }
    let started = &state.started;
    let changes = plan::changes(&started.units, definitions);
    if !changes.is_empty() {
        return Err(Error::Refused(format!(
            "run {run} is open, and the plan has changed since it started: {}. Finish it with the release that \
             started it, or take it back with `cli rollback --run {run}`",
            changes.join("; ")
        )));
    }
    let mut differing = Vec::new();
    if options.as_of.is_some_and(|as_of| as_of != started.as_of) {
        differing.push(format!(
            "--as-of (it has {})",
            crate::time::show(started.as_of)
        ));
    }
    if options
        .window_days
        .is_some_and(|days| days != started.window_days)
    {
        differing.push(format!("--window-days (it has {})", started.window_days));
    }
    if !differing.is_empty() {
        return Err(Error::Refused(format!(
            "run {run} is open and was started with another {}: leave the option out to go on with it, or take the \
             run back with `cli rollback --run {run}`",
            differing.join(" and another ")
        )));
    }
    if state.database != *identity && !options.adopt_database {
        return Err(Error::Refused(format!(
            "run {run} belongs to another database ({}) than this one ({identity}): is this a restored or copied \
             one? If it shall go on here, say --adopt-database",
            state.database
        )));
    }
    projection::reconcile(database, run, &state).await?;
    fault::point(|| "resume: reconciled".into());
    let (state, _) = runs::append(database, run, worker, |state| {
        let mut events = Vec::new();
        if state.database != *identity {
            events.push(Event::DatabaseAdopted {
                from: state.database.clone(),
                to: identity.to_owned(),
            });
        }
        if let Some(to) = options.max_bad
            && (to - state.max_bad).abs() > f64::EPSILON
            && state.status.is_open()
        {
            events.push(Event::BudgetChanged {
                from: state.max_bad,
                to,
            });
        }
        for (unit, unit_state) in &state.units {
            if unit_state.status == UnitStatus::Stopped && state.status.is_open() {
                events.push(Event::UnitReopened { unit: unit.clone() });
            }
        }
        Ok((!events.is_empty()).then_some(events))
    })
    .await?;
    Ok(state)
}
