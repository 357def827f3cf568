//! The engine: opens a run, or goes on with one, and drives its units to completion. It knows no destination and no
//! unit, only what they declare.

mod batch;
mod crew;
mod follow;
mod indexes;
mod open;
mod partition;
mod planning;
mod refresh;
mod schedule;
mod size;
mod store;
mod unchanged;
mod withdraw;
mod work;

pub use self::open::{check_as_of, check_kind, check_units, open, open_repair};
pub(crate) use self::partition::allowed;
pub use self::size::{Rows, Sizing, target};
pub(crate) use self::store::{PRESENT, Place, Stored, Writing, store};

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::follow::Follow;
use self::schedule::Schedule;
use self::size::Sizes;
use self::withdraw::Back;

use crate::backend::Database;
use crate::control::{Settings, Steering};
use crate::core::event::{Event, Input, RunStarted};
use crate::core::plan::{self, Definition, UnitPin};
use crate::core::replay::CONTROL_STREAM;
use crate::core::state::{RunState, RunStatus, UnitState, UnitStatus};
use crate::decisions::Decisions;
use crate::error::{Error, Result};
use crate::pace::{Limits, Pace};
use crate::projection::Row;
use crate::shutdown::Shutdown;
use crate::source::Source;
use crate::unit::Unit;
use crate::{fault, runs, schema};

/// An ordered list of units.
pub type Plan = Arc<Vec<Box<dyn Unit>>>;

/// What a caller may choose; `None`: as the open run has it, or the default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Partitions worked on at once by this process.
    pub workers: usize,
    /// Partitions that a section is cut into at most.
    pub partitions: u32,
    /// How large batches are.
    pub sizing: Sizing,
    /// The units to work on; empty: all.
    pub units: Vec<String>,
    /// The instant that the run stands for, milliseconds since 1970.
    pub as_of: Option<i64>,
    /// How many days before it the sources are taken from.
    pub window_days: Option<u32>,
    /// The share of bad rows that is tolerated, 0 to 1.
    pub max_bad: Option<f64>,
    /// Whether a run that began in another database may go on in this one.
    pub adopt_database: bool,
    /// How often the sources are looked at again once all is written, where the run is to be followed.
    pub follow: Option<Duration>,
    /// What makes the work hold.
    pub limits: Limits,
}

/// The window where nobody chose one.
pub const DEFAULT_WINDOW_DAYS: u32 = 90;
/// The error budget where nobody chose one.
pub const DEFAULT_MAX_BAD: f64 = 0.001;
/// Bad rows that are tolerated whatever the share.
pub const MIN_BAD_ALLOWED: i64 = 10;

/// A run that a worker may work on.
#[derive(Debug)]
pub struct Opened {
    /// The run's id.
    pub run: String,
    /// Its state.
    pub state: RunState,
    /// Whether it was there already.
    pub resumed: bool,
}

/// How a worker's part of a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every unit is complete.
    Completed,
    /// The chosen units are complete; these are left, in the plan's order.
    UnitsLeft(Vec<String>),
    /// The process was asked to stop.
    Interrupted,
}

/// What a worker process shares among its workers.
struct Context {
    database: Database,
    plan: Plan,
    source: Source,
    run: String,
    started: RunStarted,
    worker: String,
    options: Options,
    shutdown: Shutdown,
    schedule: Schedule,
    /// Held while a pass is planned: to cut a source into ranges is to read its keys.
    planning: tokio::sync::Mutex<()>,
    /// The pass at which this process met each unit.
    passes: Mutex<HashMap<String, i32>>,
    /// The pass that each unit is in, and the instant that it is as of.
    instants: Mutex<HashMap<String, (i32, i64)>>,
    /// How the run is followed, where it is to be.
    follow: Option<Follow>,
    /// Units after whose statements triggers of the destination fire.
    followed: HashSet<String>,
    /// What it takes to take rows back, by the units that do.
    back: HashMap<String, Back>,
    decisions: Arc<Decisions>,
    sizes: Arc<Sizes>,
    pace: Pace,
    /// What operators wish of the run.
    steering: Steering,
    /// Units of which the destination was found to hold rows already.
    met: Mutex<HashSet<String>>,
    /// What is known of rows that stand and may be brought up to date.
    standing: refresh::Standing,
}

/// The definitions of a plan's units.
#[must_use]
pub fn definitions(plan: &Plan) -> Vec<Definition> {
    plan.iter().map(|unit| unit.definition().clone()).collect()
}

/// A plan's fingerprint: what somebody approves, and what a run pins.
#[must_use]
pub fn fingerprint(plan: &Plan) -> String {
    let units: Vec<_> = plan
        .iter()
        .map(|unit| plan::fingerprint(unit.definition()))
        .collect();
    plan::plan_fingerprint(units.iter().map(String::as_str))
}

/// A unit as a run pins it.
///
/// # Errors
/// [`Error::Usage`]: its destination lacks a column. The database's.
pub(crate) async fn pin(database: &Database, definition: &Definition) -> Result<UnitPin> {
    Ok(UnitPin {
        name: definition.name.clone(),
        version: definition.version,
        fingerprint: plan::fingerprint(definition),
        depends_on: definition.depends_on.clone(),
        image: schema::image(database, &definition.destination).await?,
        destination: definition.destination.clone(),
    })
}

/// The files that a plan's units read.
#[must_use]
pub fn inputs(plan: &Plan) -> Vec<Input> {
    plan.iter()
        .flat_map(|unit| unit.inputs().to_vec())
        .collect()
}

/// Works on an open run until the chosen units are complete, the process is asked to stop, or nothing more can be
/// done.
///
/// # Errors
/// The first error that the run cannot go on without; [`Error::Failed`]: a unit met too many bad rows;
/// [`Error::Refused`]: the plan's units read other files than the run began with, or somebody cancelled the run.
pub async fn work(
    database: &Database,
    plan: &Plan,
    opened: &Opened,
    options: &Options,
    worker: &str,
    shutdown: &Shutdown,
) -> Result<Ending> {
    let started = opened.state.started.clone();
    if inputs(plan) != started.inputs {
        return Err(Error::Refused(format!(
            "run {} was started with other input files, by another worker at the same moment: run the same command \
             again",
            opened.run
        )));
    }
    let source = schema::source(database, plan, started.as_of, started.window_days).await?;
    // Ours alone ends where the run is cancelled.
    let (asked, shutdown) = (shutdown, &shutdown.child());
    let decisions = Arc::new(Decisions::new(database, &opened.run, worker));
    let sizes = Arc::new(Sizes::new(options.sizing));
    let pace = Pace::new(options.limits.clone());
    let steering = steer(&decisions, options, shutdown, &sizes, &pace).await?;
    let context = Arc::new(Context {
        database: database.clone(),
        plan: plan.clone(),
        source,
        run: opened.run.clone(),
        started,
        worker: worker.to_owned(),
        options: options.clone(),
        shutdown: shutdown.clone(),
        schedule: Schedule::new(worker),
        planning: tokio::sync::Mutex::default(),
        passes: Mutex::default(),
        instants: Mutex::default(),
        follow: options.follow.map(Follow::new),
        followed: followed(database, &opened.state.started).await?,
        back: back(database, &opened.state.started).await?,
        decisions,
        sizes,
        pace,
        steering,
        met: Mutex::default(),
        standing: refresh::Standing::default(),
    });
    let release = match fault::is_told("of another release") {
        true => "0.0.9",
        false => env!("CARGO_PKG_VERSION"),
    };
    let started = Event::WorkerStarted {
        release: release.to_owned(),
        process: std::process::id(),
        workers: context.steering.workers(),
    };
    context.decisions.note(started, shutdown).await?;
    context.steering.follow();
    let ending = match join(&context).await {
        // Nobody has asked this process to stop.
        Ok(Ending::Interrupted) if !asked.is_requested() => context
            .steering
            .cancelled()
            .map_or(Ok(Ending::Interrupted), Err),
        ending => ending,
    };
    let reason = match &ending {
        Ok(Ending::Completed) => "the run is complete".to_owned(),
        Ok(Ending::UnitsLeft(_)) => "the chosen units are complete".to_owned(),
        Ok(Ending::Interrupted) => "asked to stop".to_owned(),
        Err(error) => error.without_values(),
    };
    // A courtesy to the reader of the journal: that it could not be stored changes nothing about how the work ended.
    let stopped = Event::WorkerStopped { reason };
    if let Err(error) = context.decisions.note(stopped, asked).await {
        tracing::warn!("the end of this worker is not in the journal: {error}");
    }
    ending
}

/// The units after whose statements triggers of the destination fire, so that what a statement gives back may not be what
/// stands.
async fn followed(database: &Database, started: &RunStarted) -> Result<HashSet<String>> {
    let mut followed = HashSet::new();
    for pin in &started.units {
        if database.is_followed(&pin.destination.table).await? {
            followed.insert(pin.name.clone());
        }
    }
    Ok(followed)
}

/// What it takes to take rows back, by the units that do.
async fn back(database: &Database, started: &RunStarted) -> Result<HashMap<String, Back>> {
    let mut taking = HashMap::new();
    for pin in &started.units {
        if let Some(back) = Back::of(database, pin).await? {
            taking.insert(pin.name.clone(), back);
        }
    }
    Ok(taking)
}

/// Learns what operators wish of the run, which overrides what the command line says.
async fn steer(
    decisions: &Arc<Decisions>,
    options: &Options,
    shutdown: &Shutdown,
    sizes: &Arc<Sizes>,
    pace: &Pace,
) -> Result<Steering> {
    let own = Settings {
        sizing: options.sizing,
        pace: options.limits.speed,
        workers: options.workers,
    };
    let (sizes, dial) = (sizes.clone(), pace.dial());
    let obey = move |settings: Settings| {
        sizes.set(settings.sizing);
        dial.set(settings.pace);
    };
    Steering::begin(decisions, CONTROL_STREAM.into(), own, shutdown, obey).await
}

async fn join(context: &Arc<Context>) -> Result<Ending> {
    let first_error = crew::work(context).await;
    // Whoever asked to stop does not care what could not be reached any more; what was committed stays.
    let is_asked = |error: &Error| error.is_transient() && context.shutdown.is_requested();
    match first_error {
        Some(error) if is_asked(&error) => return Ok(Ending::Interrupted),
        Some(error) => return Err(error),
        None => {}
    }
    let (state, _) = match runs::load(context.database.connection(), &context.run).await {
        Err(error) if is_asked(&error) => return Ok(Ending::Interrupted),
        loaded => loaded?,
    };
    if state.status == RunStatus::Completed {
        return Ok(Ending::Completed);
    }
    if context.shutdown.is_requested() {
        return Ok(Ending::Interrupted);
    }
    if let Some((stream, error)) = context.schedule.take_failure() {
        tracing::error!("{stream} failed, the others went on");
        return Err(error);
    }
    if let Some((unit, _)) = state
        .units
        .iter()
        .find(|(name, unit)| unit.status == UnitStatus::Stopped && context.is_chosen(name))
    {
        return Err(Error::Failed(format!(
            "unit {unit} stopped: more rows are bad than --max-bad allows. All that it committed stays. \
             `cli quarantine list --unit {unit}` shows the bad rows; mend their cause, or allow more with --max-bad, \
             then run the same command to go on"
        )));
    }
    let is_left = |name: &String| {
        let unit = state.units.get(name);
        unit.is_some_and(|unit| unit.status != UnitStatus::Completed)
    };
    let names = state.started.units.iter().map(|pin| pin.name.clone());
    Ok(Ending::UnitsLeft(names.filter(is_left).collect()))
}

impl Context {
    /// Whether the caller wants this unit worked on.
    fn is_chosen(&self, unit: &str) -> bool {
        self.options.units.is_empty() || self.options.units.iter().any(|name| name == unit)
    }

    /// Whether a worker of this process is to leave what it is at: it was asked to stop, or there are to be fewer.
    fn is_to_leave(&self, place: usize) -> bool {
        self.shutdown.is_requested() || place >= self.steering.workers()
    }

    /// Returns once the work may go on; gives whether there was a hold.
    async fn hold(&self) -> Result<bool> {
        self.steering.hold(&self.pace, &self.shutdown).await
    }

    /// Forgets at which pass this process met a unit.
    fn forget_passes(&self, unit: &str) {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        passes.remove(unit);
    }

    /// Remembers as of which instant a unit's pass is.
    fn remember(&self, unit: &str, state: &UnitState) {
        if let Some(instant) = state.instants.last() {
            let mut instants = self.instants.lock().unwrap_or_else(PoisonError::into_inner);
            instants.insert(unit.to_owned(), (state.pass, *instant));
        }
    }

    /// The source as of the instant of a partition's pass. Of a pass that is over nothing is committed any more, so it may
    /// be read as of any.
    fn source_of(&self, row: &Row) -> Source {
        let instants = self.instants.lock().unwrap_or_else(PoisonError::into_inner);
        match instants.get(&row.unit) {
            Some((pass, instant)) if *pass == row.pass => self.source.at(*instant),
            _ => self.source.clone(),
        }
    }

    /// The unit of a name; every name in the journal was checked against the plan when the run was opened.
    fn unit(&self, name: &str) -> Result<&dyn Unit> {
        self.plan
            .iter()
            .find(|unit| unit.definition().name == name)
            .map(AsRef::as_ref)
            .ok_or_else(|| Error::Refused(format!("the plan has no unit {name}")))
    }
}
