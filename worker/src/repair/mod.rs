//! Rewrites what a run wrote wrong, and writes what is missing, or tries again what it set aside: a run of a plan that is
//! derived from the run's own, so that batches, resume, journal and undo are those of any run.

mod unit;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::Database;
use crate::core::event::{Found, Purpose, Repairs};
use crate::core::plan::Definition;
use crate::core::state::RunState;
use crate::engine::{self, Ending, Options, Plan, Rows, Sizing};
use crate::error::{Error, Result};
use crate::pace::Limits;
use crate::shutdown::Shutdown;
use crate::unit::Unit;
use crate::validate::deep::{self, Told};
use crate::{inputs, runs, status};

use self::unit::{Repairing, Shared};

/// What stands behind the name of a unit that rewrites another's rows.
pub const REWRITTEN: &str = ".rewritten";
/// What stands behind the name of a unit that writes what another's rows lack.
pub const MISSING: &str = ".missing";
/// What stands behind the name of a unit that tries again what another set aside.
pub const REPLAYED: &str = ".replayed";

/// Partitions that a section is cut into at most.
const PARTITIONS: u32 = 8;
/// Source rows a batch.
const BATCH_ROWS: u32 = 2_000;

/// What is to be repaired, and on whose word.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whether what was set aside is tried again, rather than what is wrong or missing mended.
    pub set_aside: bool,
    /// The units; empty: all.
    pub units: Vec<String>,
    /// Why, for the journal.
    pub reason: String,
    /// Whether a repair that began in another database may go on in this one.
    pub adopt_database: bool,
    /// What makes the work hold.
    pub limits: Limits,
}

/// A repair, or a replay, that has begun and is not finished: its run, and the units that it repairs.
///
/// # Errors
/// The database's; a journal that does not fold. [`Error::Refused`]: a run for another purpose is open.
pub async fn under_way(
    database: &Database,
    purpose: Purpose,
) -> Result<Option<(String, Repairs, Vec<String>)>> {
    let Some((run, state)) = runs::unfinished(database.connection()).await? else {
        return Ok(None);
    };
    engine::check_kind(&run, &state, purpose)?;
    let started = &state.started;
    let mut units: Vec<String> = Vec::new();
    for pin in &started.units {
        let origin = started.origin(&pin.name);
        if units.last().is_none_or(|last| last != origin) {
            units.push(origin.to_owned());
        }
    }
    let repairs = started.repairs.clone();
    Ok(repairs.map(|repairs| (run, repairs, units)))
}

/// What a repair of a run would find now; changes nothing. None: the process was asked to stop.
///
/// # Errors
/// The database's, after bounded retries. [`Error::Usage`]: an unknown unit. [`Error::Refused`]: a run is open; another
/// release's plan wrote this one.
pub async fn preview(
    database: &Database,
    plan: &Plan,
    run: (&str, &RunState),
    units: &[String],
    options: deep::Options,
    shutdown: &Shutdown,
    tell: impl FnMut(Told),
) -> Result<Option<BTreeMap<String, Found>>> {
    engine::check_units(plan, units)?;
    deep::look(database, plan, run, units, options, shutdown, tell).await
}

/// A repair that may be worked on.
pub struct Opened {
    opened: engine::Opened,
    plan: Plan,
    options: Options,
}

impl Opened {
    /// The repair's own run.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.opened.run
    }
}

/// Begins to repair a run, or goes on with a repair of it that was interrupted.
///
/// # Errors
/// The database's. [`Error::Refused`]: another run is open, another release's plan wrote this one, or a file that it read
/// has changed.
pub async fn open(
    database: &Database,
    plan: &Plan,
    (run, state): (&str, &RunState),
    order: &Order,
    worker: &str,
) -> Result<Opened> {
    match order.set_aside {
        true => check_destinations(run, state, plan)?,
        false => deep::check_plan(run, state, plan)?,
    }
    let derived = derive(database, plan, (run, state), order).await?;
    let options = Options {
        workers: 1,
        partitions: PARTITIONS,
        sizing: Sizing {
            rows: Rows::fixed(BATCH_ROWS),
            ..Sizing::default()
        },
        units: Vec::new(),
        as_of: Some(state.as_of),
        window_days: Some(state.started.window_days),
        // What is bad was set aside before: it does not grow worse.
        max_bad: order.set_aside.then_some(1.0),
        adopt_database: order.adopt_database,
        follow: None,
        limits: order.limits.clone(),
    };
    let repairs = Repairs {
        run: run.to_owned(),
        reason: order.reason.clone(),
        set_aside: order.set_aside,
    };
    let opened = engine::open_repair(database, &derived, &options, worker, repairs).await?;
    // Another process may have begun one of another run at this very moment.
    let of = opened.state.started.repairs.as_ref();
    if of.is_none_or(|of| (&*of.run, of.set_aside) != (run, order.set_aside)) {
        return Err(Error::Refused(format!(
            "run {} repairs another run and was begun at the same moment: run the same command again once it is \
             finished",
            opened.run
        )));
    }
    Ok(Opened {
        opened,
        plan: derived,
        options,
    })
}

/// Works on a repair to its end.
///
/// # Errors
/// The first error that it cannot go on without.
pub async fn work(
    database: &Database,
    repair: &Opened,
    worker: &str,
    shutdown: &Shutdown,
) -> Result<Ending> {
    let Opened {
        opened,
        plan,
        options,
    } = repair;
    engine::work(database, plan, opened, options, worker, shutdown).await
}

/// How many rows the completed units of a run have set aside, for those of these units (none named: all) that did.
///
/// # Errors
/// The database's.
pub async fn set_aside(
    database: &Database,
    plan: &Plan,
    (run, state): (&str, &RunState),
    named: &[String],
) -> Result<BTreeMap<String, i64>> {
    engine::check_units(plan, named)?;
    let units = status::load(database.connection(), run).await?.units;
    let mut set_aside = BTreeMap::new();
    for place in deep::complete(plan, state) {
        let name = &plan[place].definition().name;
        let unit = units.iter().find(|unit| unit.unit == *name);
        let rows = unit.map_or(0, |unit| unit.quarantined);
        if rows > 0 && (named.is_empty() || named.contains(name)) {
            set_aside.insert(name.clone(), rows);
        }
    }
    Ok(set_aside)
}

/// Refuses to try again what was set aside where it would be written elsewhere. That a unit computes its rows otherwise by
/// now is what a replay may be for.
fn check_destinations(run: &str, state: &RunState, plan: &Plan) -> Result<()> {
    for unit in plan.iter() {
        let Definition {
            name, destination, ..
        } = unit.definition();
        let before = state.started.destination(name);
        if before.is_some_and(|before| before != destination) {
            return Err(Error::Refused(format!(
                "unit {name} of run {run} wrote into other columns than this release's: try again what it set aside with \
                 the release that wrote it"
            )));
        }
    }
    inputs::check(run, &state.started.inputs, &[])
}

/// The plan that repairs these units (none named: all that the run has completed): for each, one that writes what is
/// missing, and one that rewrites what is wrong; or the one that tries again what was set aside.
async fn derive(
    database: &Database,
    plan: &Plan,
    (run, state): (&str, &RunState),
    order: &Order,
) -> Result<Plan> {
    let source = deep::source(database, plan, state).await?;
    let mut places = deep::complete(plan, state);
    places.retain(|place| {
        let name = &plan[*place].definition().name;
        order.units.is_empty() || order.units.contains(name)
    });
    let repaired: Vec<_> = places
        .iter()
        .map(|place| plan[*place].definition().name.clone())
        .collect();
    let mut units: Vec<Box<dyn Unit>> = Vec::new();
    for place in places {
        let shared = Arc::new(Shared::new(
            database,
            plan,
            place,
            (run, state),
            source.clone(),
        ));
        match order.set_aside {
            true => units.push(Box::new(Repairing::replayed(&shared, &repaired))),
            false => {
                units.push(Box::new(Repairing::missing(&shared, &repaired)));
                units.push(Box::new(Repairing::rewritten(&shared, &repaired)));
            }
        }
    }
    Ok(Arc::new(units))
}
