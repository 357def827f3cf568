//! The engine: opens a run, or goes on with one, and drives its units to completion. It knows no destination and no
//! unit, only what they declare.

mod batch;
mod partition;
mod planning;
mod work;

pub(crate) use partition::allowed;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::backend::Database;
use crate::core::event::{Event, Input, RunStarted};
use crate::core::plan::{self, Definition, UnitPin};
use crate::core::state::{RunState, RunStatus, UnitStatus};
use crate::error::{Error, Result};
use crate::retry::Retry;
use crate::shutdown::Shutdown;
use crate::source::Source;
use crate::unit::Unit;
use crate::{journal, projection, runs, schema};

/// An ordered list of units.
pub type Plan = Arc<Vec<Box<dyn Unit>>>;

/// What a caller may choose; `None`: as the open run has it, or the default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Partitions worked on at once by this process.
    pub workers: usize,
    /// Partitions that a section is cut into.
    pub partitions: u32,
    /// Source rows a batch.
    pub batch_rows: u32,
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
    /// The chosen units are complete; these are left.
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
    /// Streams that a worker of this process is at.
    held: Mutex<HashSet<String>>,
    /// Streams that failed for good in this process, with the first error of each.
    failed: Mutex<BTreeMap<String, Error>>,
}

/// The definitions of a plan's units.
#[must_use]
pub fn definitions(plan: &Plan) -> Vec<Definition> {
    plan.iter().map(|unit| unit.definition().clone()).collect()
}

/// Goes on with the open run, or starts one.
///
/// # Errors
/// [`Error::Refused`]: the plan, the database or a pinned setting is another than the run began with, or the run is
/// being rolled back. [`Error::Usage`]: an unknown unit.
pub async fn open(
    database: &Database,
    plan: &Plan,
    options: &Options,
    worker: &str,
) -> Result<Opened> {
    let definitions = definitions(plan);
    check_units(plan, &options.units)?;
    journal::check_format(database.connection()).await?;
    let identity = database.identity().await?;
    loop {
        if let Some((run, state)) = runs::unfinished(database.connection()).await? {
            check_dependencies(&definitions, options, Some(&state))?;
            let state = resume(
                database,
                &run,
                state,
                &definitions,
                &identity,
                options,
                worker,
            );
            return Ok(Opened {
                state: state.await?,
                run,
                resumed: true,
            });
        }
        check_dependencies(&definitions, options, None)?;
        let run = uuid::Uuid::now_v7().to_string();
        let mut pins = Vec::new();
        for definition in &definitions {
            pins.push(UnitPin {
                name: definition.name.clone(),
                version: definition.version,
                fingerprint: plan::fingerprint(definition),
                depends_on: definition.depends_on.clone(),
                image: schema::image(database, &definition.destination).await?,
                destination: definition.destination.clone(),
            });
        }
        let inputs: Vec<Input> = plan
            .iter()
            .flat_map(|unit| unit.inputs().to_vec())
            .collect();
        let started = |now| RunStarted {
            plan: plan::plan_fingerprint(pins.iter().map(|pin| pin.fingerprint.as_str())),
            units: pins,
            as_of: options.as_of.unwrap_or(now),
            window_days: options.window_days.unwrap_or(DEFAULT_WINDOW_DAYS),
            max_bad: options.max_bad.unwrap_or(DEFAULT_MAX_BAD),
            inputs,
            database: identity.clone(),
        };
        if runs::start(database, &run, worker, started).await? {
            let (state, _) = runs::load(database.connection(), &run).await?;
            return Ok(Opened {
                run,
                state,
                resumed: false,
            });
        }
    }
}

/// Works on an open run until the chosen units are complete, the process is asked to stop, or nothing more can be
/// done.
///
/// # Errors
/// The first error that the run cannot go on without; [`Error::Failed`]: a unit met too many bad rows.
pub async fn work(
    database: &Database,
    plan: &Plan,
    opened: &Opened,
    options: &Options,
    worker: &str,
    shutdown: &Shutdown,
) -> Result<Ending> {
    let started = opened.state.started.clone();
    let source = schema::source(database, plan, started.as_of, started.window_days).await?;
    let context = Arc::new(Context {
        database: database.clone(),
        plan: plan.clone(),
        source,
        run: opened.run.clone(),
        started,
        worker: worker.to_owned(),
        options: options.clone(),
        shutdown: shutdown.clone(),
        held: Mutex::default(),
        failed: Mutex::default(),
    });
    let release = env!("CARGO_PKG_VERSION").to_owned();
    let started = Event::WorkerStarted {
        release,
        process: std::process::id(),
        workers: options.workers,
    };
    note(&context, started).await?;
    let ending = join(&context).await;
    let reason = match &ending {
        Ok(Ending::Completed) => "the run is complete".to_owned(),
        Ok(Ending::UnitsLeft(_)) => "the chosen units are complete".to_owned(),
        Ok(Ending::Interrupted) => "asked to stop".to_owned(),
        Err(error) => error.to_string(),
    };
    // A courtesy to the reader of the journal: that it could not be stored changes nothing about how the work ended.
    let stopped = Event::WorkerStopped { reason };
    if let Err(error) = note(&context, stopped).await {
        tracing::warn!(%error, "the end of this worker is not in the journal");
    }
    ending
}

/// Appends to this worker's own stream.
async fn note(context: &Context, event: Event) -> Result<()> {
    let mut retry = Retry::default();
    loop {
        let (database, run, worker) = (&context.database, &context.run, &context.worker);
        match runs::append_to_worker(database, run, worker, event.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => retry.pause(error, &context.shutdown).await?,
        }
    }
}

async fn join(context: &Arc<Context>) -> Result<Ending> {
    let mut workers = JoinSet::new();
    for _ in 0..context.options.workers.max(1) {
        workers.spawn(work::work(context.clone()));
    }
    let mut first_error = None;
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|panic| Err(Error::Panicked(panic.to_string())));
        if let Err(error) = ended {
            first_error.get_or_insert(error);
        }
    }
    if let Some(error) = first_error {
        return Err(error);
    }
    let (state, _) = runs::load(context.database.connection(), &context.run).await?;
    if state.status == RunStatus::Completed {
        return Ok(Ending::Completed);
    }
    let failed = std::mem::take(&mut *work::lock(&context.failed));
    if let Some((stream, error)) = failed.into_iter().next() {
        tracing::error!(stream, "this partition failed; the others went on");
        return Err(error);
    }
    if context.shutdown.is_requested() {
        return Ok(Ending::Interrupted);
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
    let left = state
        .units
        .iter()
        .filter(|(_, unit)| unit.status != UnitStatus::Completed);
    Ok(Ending::UnitsLeft(
        left.map(|(name, _)| name.clone()).collect(),
    ))
}

impl Context {
    /// Whether the caller wants this unit worked on.
    fn is_chosen(&self, unit: &str) -> bool {
        self.options.units.is_empty() || self.options.units.iter().any(|name| name == unit)
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
