//! Every row that a run wrote, computed from its source again and compared with what stands: in pages, at a pace, and
//! resumable. Its progress is journaled, and what it came to.

mod report;
mod walk;

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use self::walk::{Place, Walk};
use super::{Report, evidence, journaled, standing, survey};
use crate::backend::Database;
use crate::core::event::{Event, Found};
use crate::core::plan;
use crate::core::replay::RUNBOOK;
use crate::core::state::{RunState, UnitStatus};
use crate::engine::{self, Plan};
use crate::error::{Error, Result};
use crate::journal::{self, Entry, Filter};
use crate::proof::standing_rows;
use crate::shutdown::Shutdown;
use crate::source::Source;
use crate::{inputs, runbook, schema};

/// How a deep validation is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Keys named as examples, of each kind and unit.
    pub examples: usize,
    /// Rows a second at most.
    pub pace: Option<u32>,
    /// Whether it begins anew though an earlier one could go on.
    pub restart: bool,
}

/// How a deep validation ended.
#[derive(Debug)]
pub enum Ending {
    /// All is looked at.
    Completed(Box<Report>),
    /// The process was asked to stop.
    Interrupted,
}

/// What a deep validation says on its way.
#[derive(Clone, Debug)]
pub enum Told {
    /// How it begins: what it goes on with, or why it begins anew.
    Begun(String),
    /// So many rows of ours are looked at, of so many that the journal says stand.
    Reached {
        /// Looked at.
        done: i64,
        /// That stand.
        total: i64,
    },
}

/// How far rows were computed from their sources again.
#[derive(Clone, Debug, Serialize)]
pub struct Deep {
    /// The stream of its progress.
    pub stream: String,
    /// The last hash of it.
    #[serde(skip)]
    pub head: String,
    /// Rows of ours that are what their source gives.
    pub verified: i64,
    /// Rows that the journal says stand.
    pub written: i64,
    /// By unit.
    pub units: BTreeMap<String, Unit>,
}

/// A unit's part of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Unit {
    /// Rows that the journal says stand.
    pub written: i64,
    /// What was found.
    #[serde(flatten)]
    pub found: Found,
}

/// Validates, and computes every row of the newest run that stands from its source again; goes on where one of the same
/// run was interrupted. `tell` is told how it begins and how far it is.
///
/// # Errors
/// The database's, after bounded retries. [`Error::Refused`]: a rollback is under way, another release's plan wrote the
/// run, or a file that it read has changed.
pub async fn validate(
    database: &Database,
    plan: &Plan,
    worker: &str,
    options: Options,
    shutdown: &Shutdown,
    mut tell: impl FnMut(Told),
) -> Result<Ending> {
    let standing = standing(database).await?;
    let mut report = survey(database, plan, standing.as_ref()).await?;
    if let Some((run, state)) = &standing {
        check_plan(run, state, plan)?;
        let (stream, mut walk, begun) = begin(database, worker, run, options).await?;
        tell(Told::Begun(begun));
        walk.note_in(database, worker, &stream);
        let units = complete(plan, state);
        let source = source(database, plan, state).await?;
        let total = standing_rows(database, &names(plan, &units)).await?;
        let sum = total.values().sum();
        let reached = |done| tell(Told::Reached { done, total: sum });
        let proving = walk::Proving {
            database,
            plan,
            run,
            state,
            source: &source,
            options,
        };
        if !walk.go_on(&proving, &units, shutdown, reached).await? {
            return Ok(Ending::Interrupted);
        }
        if let Some(first) = journal::at(database.connection(), RUNBOOK, &stream, 1).await?
            && let Some(why) = outdated(database, run, &first).await?
        {
            return Err(Error::Transient(format!(
                "{why}, so that what was looked at may stand no more, and nothing is noted: validate again"
            )));
        }
        // What the application did since is told apart from what we did, so it is no error.
        for check in &mut report.checks {
            check.is_error &= !journaled::SINCE.contains(&check.what.as_str());
        }
        let head = journal::head(database.connection(), RUNBOOK, &stream).await?;
        report::add(&mut report, stream, &head.hash, walk.found, &total);
    }
    let event = Event::Validated(evidence(&report));
    runbook::note(database, worker, &[event]).await?;
    Ok(Ending::Completed(Box::new(report)))
}

/// The same without a word in the journal, for these units (none named: all that are complete): what a repair would
/// find. None: the process was asked to stop.
///
/// # Errors
/// As [`validate`].
pub(crate) async fn look(
    database: &Database,
    plan: &Plan,
    (run, state): (&str, &RunState),
    named: &[String],
    options: Options,
    shutdown: &Shutdown,
    mut tell: impl FnMut(Told),
) -> Result<Option<BTreeMap<String, Found>>> {
    check_plan(run, state, plan)?;
    let mut units = complete(plan, state);
    units.retain(|unit| {
        let name = &plan[*unit].definition().name;
        named.is_empty() || named.contains(name)
    });
    let source = source(database, plan, state).await?;
    let total = standing_rows(database, &names(plan, &units)).await?;
    let total = total.values().sum();
    let proving = walk::Proving {
        database,
        plan,
        run,
        state,
        source: &source,
        options,
    };
    let mut walk = Walk::start();
    let reached = |done| tell(Told::Reached { done, total });
    let is_done = walk.go_on(&proving, &units, shutdown, reached).await?;
    Ok(is_done.then_some(walk.found))
}

/// The source as the run saw it: what it did without, it does without again.
pub(crate) async fn source(database: &Database, plan: &Plan, state: &RunState) -> Result<Source> {
    let started = &state.started;
    let mut missing: HashSet<String> = started.missing.iter().cloned().collect();
    missing.extend(schema::check_source(database, plan).await?);
    let source = Source::new(
        database.clone(),
        started.as_of,
        started.window_days,
        missing,
    );
    Ok(source.at(state.as_of).proving())
}

/// Refuses to compute again what another plan computed, or from other files.
pub(crate) fn check_plan(run: &str, state: &RunState, plan: &Plan) -> Result<()> {
    let changes = plan::changes(&state.started.units, &engine::definitions(plan));
    if !changes.is_empty() {
        return Err(Error::Refused(format!(
            "run {run} was written by another plan than this release's: {}. Compute its rows again with the release \
             that wrote them",
            changes.join("; ")
        )));
    }
    inputs::check(run, &state.started.inputs, &[])
}

/// The places of the units that the run has completed: the others' sources are not compared.
pub(crate) fn complete(plan: &Plan, state: &RunState) -> Vec<usize> {
    let is_complete = |place: &usize| {
        let unit = state.units.get(&plan[*place].definition().name);
        unit.is_some_and(|unit| unit.status == UnitStatus::Completed)
    };
    (0..plan.len()).filter(is_complete).collect()
}

fn names<'a>(plan: &'a Plan, units: &[usize]) -> Vec<&'a str> {
    let name = |unit: &usize| plan[*unit].definition().name.as_str();
    units.iter().map(name).collect()
}

/// Goes on with the newest deep validation, or begins one; gives its stream, how far it is, and words for that.
async fn begin(
    database: &Database,
    worker: &str,
    run: &str,
    options: Options,
) -> Result<(String, Walk, String)> {
    let why = match newest(database).await? {
        None => "validating for the first time".to_owned(),
        Some(_) if options.restart => "beginning anew, as asked".to_owned(),
        Some(begun) => match outdated(database, run, &begun).await? {
            Some(why) => format!("beginning anew: {why}"),
            None => {
                let stream = begun.stream.clone();
                let last = journal::last(database.connection(), RUNBOOK, &stream).await?;
                let last = last.as_ref().map(journal::event).transpose()?;
                let walk = match last {
                    Some(Event::ValidationAdvanced(advanced)) => Walk::at(advanced),
                    _ => Walk::start(),
                };
                let place = match &walk.at {
                    Place { unit: None, .. } => String::new(),
                    Place {
                        unit: Some(unit), ..
                    } => format!(" at {unit}"),
                };
                let words = format!("going on with {stream}{place}");
                return Ok((stream, walk, words));
            }
        },
    };
    let stream = format!("validation/{}", uuid::Uuid::now_v7());
    let started = Event::ValidationStarted {
        run: run.to_owned(),
    };
    runbook::note_in(database, worker, &stream, &[started]).await?;
    let words = format!("{why}: {stream}");
    Ok((stream, Walk::start(), words))
}

/// The beginning of the newest deep validation.
async fn newest(database: &Database) -> Result<Option<Entry>> {
    let filter = Filter {
        run: Some(RUNBOOK.to_owned()),
        kind: Some("ValidationStarted".into()),
        ..Filter::default()
    };
    let newest = journal::select(database.connection(), &filter, 1, true).await?;
    Ok(newest.into_iter().next())
}

/// Why a deep validation cannot go on; none where it can.
async fn outdated(database: &Database, run: &str, begun: &Entry) -> Result<Option<&'static str>> {
    if runbook::load(database)
        .await?
        .state
        .tied
        .contains_key(&begun.stream)
    {
        return Ok(Some("the one before came to its end"));
    }
    match journal::event(begun)? {
        Event::ValidationStarted { run: of } if of == run => {}
        _ => return Ok(Some("the one before is of another run")),
    }
    for kind in ["BatchCommitted", "BatchUndone"] {
        let mut filter = Filter {
            kind: Some(kind.into()),
            after: Some(begun.position),
            ..Filter::default()
        };
        loop {
            let entries = journal::select(database.connection(), &filter, 1_000, false).await?;
            let Some(last) = entries.last() else {
                break;
            };
            filter.after = Some(last.position);
            for entry in &entries {
                let event = journal::event(entry)?;
                if !matches!(event, Event::BatchCommitted(batch) if batch.rows() == 0) {
                    return Ok(Some(
                        "rows were written or taken back since the one before began",
                    ));
                }
            }
        }
    }
    Ok(None)
}

impl Deep {
    /// The share of the rows that the journal says stand that are verified, 0 to 1; all of none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn share(&self) -> f64 {
        match self.written {
            ..=0 => 1.0,
            written => (self.verified as f64 / written as f64).min(1.0),
        }
    }
}
