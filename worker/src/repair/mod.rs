//! Mends a run: rewrites what it wrote wrong and writes what is missing, tries again what it set aside, takes back a part of
//! what it wrote, or writes that again. Each is a run of a plan that is derived from the run's own, so that batches, resume,
//! journal and undo are those of any run.

mod again;
mod back;
mod chosen;
mod preview;
mod unit;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::Database;
use crate::core::event::{Found, Purpose, Repairs, Scope};
use crate::core::plan::Definition;
use crate::core::state::RunState;
use crate::engine::{self, Ending, Options, Plan, Rows, Sizing};
use crate::error::{Error, Result};
use crate::pace::Limits;
use crate::shutdown::Shutdown;
use crate::unit::Unit;
use crate::validate::deep::{self, Told};
use crate::{inputs, runs, status};

pub use self::preview::{Preview, preview_undo};

use self::again::Again;
use self::back::{TakingBack, What};
use self::chosen::Chosen;
use self::unit::{Repairing, Shared};

/// What stands behind the name of a unit that rewrites another's rows.
pub const REWRITTEN: &str = ".rewritten";
/// What stands behind the name of a unit that writes what another's rows lack.
pub const MISSING: &str = ".missing";
/// What stands behind the name of a unit that tries again what another set aside.
pub const REPLAYED: &str = ".replayed";

/// What stands behind the name of a unit that removes rows that another made.
pub const REMOVED: &str = ".removed";
/// What stands behind the name of a unit that puts values back that another overwrote.
pub const RESTORED: &str = ".restored";
/// What stands behind the name of a unit that puts values back by which another brought its rows up to date.
pub const REVERTED: &str = ".reverted";
/// What stands behind the name of a unit that writes again what the same run has taken back.
pub const AGAIN: &str = ".again";

/// Partitions that a section is cut into at most.
const PARTITIONS: u32 = 8;
/// Source rows a batch.
const BATCH_ROWS: u32 = 2_000;

/// What is to be done to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Mend what is wrong or missing of these units; none: of all.
    Repair(Vec<String>),
    /// Try again what these units set aside; none: all.
    Replay(Vec<String>),
    /// Take back a part of what it wrote.
    Undo(Scope),
    /// Take back a part of what it wrote, and write it again.
    Redo(Scope),
}

impl Task {
    /// What a run that does it is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Repair(_) => Purpose::Repair,
            Self::Replay(_) => Purpose::Replay,
            Self::Undo(_) => Purpose::Undo,
            Self::Redo(_) => Purpose::Redo,
        }
    }

    /// The units that it is done to; none: all.
    #[must_use]
    pub fn units(&self) -> &[String] {
        match self {
            Self::Repair(units) | Self::Replay(units) => units,
            Self::Undo(scope) | Self::Redo(scope) => &scope.units,
        }
    }

    /// What it takes back, where it does.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Repair(_) | Self::Replay(_) => None,
            Self::Undo(scope) | Self::Redo(scope) => Some(scope),
        }
    }

    /// What the journal says of a run that does it to another.
    fn told(&self, run: &str, reason: &str) -> Repairs {
        Repairs {
            run: run.to_owned(),
            reason: reason.to_owned(),
            set_aside: self.purpose() == Purpose::Replay,
            takes_back: self.scope().cloned(),
            again: self.purpose() == Purpose::Redo,
        }
    }
}

/// What is to be done to a run, and on whose word.
#[derive(Clone, Debug)]
pub struct Order {
    /// What.
    pub task: Task,
    /// Why, for the journal.
    pub reason: String,
    /// Whether what began in another database may go on in this one.
    pub adopt_database: bool,
    /// What makes the work hold.
    pub limits: Limits,
}

/// What was begun for a purpose and is not finished: its run, what it is, and the units that it mends.
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
    match &order.task {
        Task::Repair(_) => deep::check_plan(run, state, plan)?,
        Task::Replay(_) | Task::Redo(_) => check_destinations(run, state, plan)?,
        // What the journal says of it is enough.
        Task::Undo(_) => {}
    }
    let derived = derive(database, plan, (run, state), &order.task).await?;
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
        // What is bad was set aside before, and what is left alone is no fault: neither grows worse.
        max_bad: (order.task.purpose() != Purpose::Repair).then_some(1.0),
        adopt_database: order.adopt_database,
        follow: None,
        limits: order.limits.clone(),
    };
    let told = order.task.told(run, &order.reason);
    let opened = engine::open_repair(database, &derived, &options, worker, told.clone()).await?;
    // Another process may have begun something else at this very moment.
    let of = opened.state.started.repairs.clone();
    let is_same = |of: Repairs| {
        let reason = told.reason.clone();
        Repairs { reason, ..of } == told
    };
    if !of.is_some_and(is_same) {
        return Err(Error::Refused(format!(
            "run {} does something else and was begun at the same moment: run the same command again once it is finished",
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

/// The plan that does it to these units (none named: to all that the run has completed).
async fn derive(
    database: &Database,
    plan: &Plan,
    (run, state): (&str, &RunState),
    task: &Task,
) -> Result<Plan> {
    let mut units: Vec<Box<dyn Unit>> = Vec::new();
    let mut back = Vec::new();
    if let Some(scope) = task.scope() {
        let chosen = Chosen::of(database, plan, (run, state), scope).await?;
        back = take_back(database, plan, (run, state), &Arc::new(chosen), &mut units);
        if matches!(task, Task::Undo(_)) {
            return Ok(Arc::new(units));
        }
    }
    let source = deep::source(database, plan, state).await?;
    let mut places = deep::complete(plan, state);
    places.retain(|place| {
        let name = &plan[*place].definition().name;
        task.units().is_empty() || task.units().contains(name)
    });
    let names: Vec<_> = places
        .iter()
        .map(|place| plan[*place].definition().name.clone())
        .collect();
    for place in places {
        let shared = Arc::new(Shared::new(
            database,
            plan,
            place,
            (run, state),
            source.clone(),
        ));
        match task {
            Task::Repair(_) => {
                units.push(Box::new(Repairing::missing(&shared, &names)));
                units.push(Box::new(Repairing::rewritten(&shared, &names)));
            }
            Task::Replay(_) => units.push(Box::new(Repairing::replayed(&shared, &names))),
            Task::Undo(_) | Task::Redo(_) => {
                let write = plan[place].definition().destination.write.clone();
                let mut again = shared.definition(AGAIN, "writes again", &names, write);
                // All is taken back first: what one unit wrote may be another's source.
                again.depends_on.extend(back.iter().cloned());
                units.push(Box::new(Again::new(&shared, again)));
            }
        }
    }
    Ok(Arc::new(units))
}

/// Adds the units that take back what a scope means, in the order of an undo: the reverse of the plan's. Gives their names.
fn take_back(
    database: &Database,
    plan: &Plan,
    (run, state): (&str, &RunState),
    chosen: &Arc<Chosen>,
    units: &mut Vec<Box<dyn Unit>>,
) -> Vec<String> {
    let mut before: Vec<String> = Vec::new();
    for pin in chosen.pins(state).into_iter().rev() {
        let mut own = plan.iter();
        let own = own.find(|unit| unit.definition().name == pin.name);
        let is_refreshed = own.is_none_or(|unit| unit.is_refreshed());
        for what in What::of(pin, is_refreshed) {
            let back = TakingBack::new(database, chosen, (run, pin), *what, before.clone());
            before.push(what.name(&pin.name));
            units.push(Box::new(back));
        }
    }
    before
}
