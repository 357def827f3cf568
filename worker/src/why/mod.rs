//! Why a run stands still, or was slow: what its events say, and of this moment what the database says too. Only reads.
//! What follows from that is said by [`judge`] and
//! [`took`] alone.

mod causes;
mod judge;
mod spans;
#[cfg(test)]
mod tests;
mod took;

use serde::Serialize;

use crate::backend::Database;
use crate::backend::health::Blocked;
use crate::control;
use crate::core::event::Event;
use crate::core::state::{RunState, RunStatus, Standing, UnitStatus};
use crate::error::Result;
use crate::journal::{self, Slot, Span};
use crate::runs;

pub use self::causes::{Cause, Finding};

/// The events that tell why; batches are told in sum.
const TELLING: [&str; 19] = [
    "WorkerStarted",
    "WorkerStopped",
    "HoldStarted",
    "HoldEnded",
    "BatchResized",
    "PaceChanged",
    "SettingsApplied",
    "CaughtUp",
    "RunPaused",
    "RunResumed",
    "RunCancelled",
    "SettingsChanged",
    "UnitStopped",
    "UnitReopened",
    "IndexBuilt",
    "UnitCompleted",
    "RunCompleted",
    "UndoStarted",
    "UndoCompleted",
];

/// Times in which batches are counted, of a run at most.
const SLOTS: i64 = 240;

/// What is known of a run.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// The database's clock, milliseconds since 1970.
    pub(crate) now: i64,
    /// When the run's first event was appended.
    pub(crate) started_at: i64,
    /// When its last was.
    pub(crate) last_at: i64,
    /// Where it stands.
    pub(crate) status: RunStatus,
    /// Its units, in the plan's order.
    pub(crate) units: Vec<UnitStory>,
    /// What is wished of it, and since when.
    pub(crate) wished: (Standing, Option<i64>),
    /// Its telling events, in their order.
    pub(crate) events: Vec<Told>,
    /// Its processes: when each began and appended last, in any stream.
    pub(crate) workers: Vec<Span>,
    /// Batches and source rows, by time.
    pub(crate) slots: Vec<Slot>,
    /// How long such a time is, milliseconds.
    pub(crate) slot: i64,
    /// Sessions of Backstitch in the server beside the one that asks; none where nobody can tell.
    pub(crate) connected: Option<i64>,
    /// Sessions of Backstitch that wait for a lock.
    pub(crate) blocked: Vec<Blocked>,
}

/// A unit of it.
#[derive(Clone, Debug)]
pub(crate) struct UnitStory {
    pub(crate) name: String,
    pub(crate) status: UnitStatus,
    /// Units that it waits for.
    pub(crate) waits_for: Vec<String>,
}

/// An event, when it was appended, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) at: i64,
    pub(crate) worker: String,
    pub(crate) event: Event,
}

/// Why.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run.
    pub run: String,
    /// `running`, `completed`, …
    pub state: &'static str,
    /// The database's clock, milliseconds since 1970.
    pub now: i64,
    /// When its last event was appended.
    pub last_at: i64,
    /// What it does now or waits for, the worst first.
    pub doing: Vec<Finding>,
    /// What it did between two times.
    pub between: Between,
}

/// What a run did between two times, as far as it had begun and was not over.
#[derive(Clone, Debug, Serialize)]
pub struct Between {
    /// From when, milliseconds since 1970.
    pub from: i64,
    /// To when.
    pub to: i64,
    /// Batches committed.
    pub batches: i64,
    /// Source rows read; of a rollback that is under way, rows removed or put back.
    pub read: i64,
    /// Source rows a second.
    pub rows_per_second: f64,
    /// The median of the run, over times with a batch; none before there is one.
    pub median: Option<f64>,
    /// What took time, the longest first.
    pub causes: Vec<Finding>,
}

/// Why a run stands still, and why it was slow from `since` to `until` (none: from its start, or that of its rollback under
/// way; to its end, or now).
///
/// # Errors
/// There is no such run; the database's; a journal that does not fold.
pub async fn ask(
    database: &Database,
    run: &str,
    since: Option<i64>,
    until: Option<i64>,
) -> Result<Report> {
    let story = story(database, run).await?;
    let (begins, ends) = time(&story);
    let from = since.unwrap_or(begins).max(story.started_at);
    let to = until.unwrap_or(ends).min(ends).max(from);
    Ok(Report {
        run: run.to_owned(),
        state: story.status.word(),
        now: story.now,
        last_at: story.last_at,
        doing: judge::doing(&story),
        between: took::between(&story, from, to),
    })
}

/// From when to when a run, or its rollback that is under way, works.
fn time(story: &Story) -> (i64, i64) {
    let newest = |is: fn(&Event) -> bool| {
        let mut events = story.events.iter().rev();
        events.find(|told| is(&told.event)).map(|told| told.at)
    };
    match story.status {
        RunStatus::Running => (story.started_at, story.now),
        RunStatus::Undoing => {
            let begun = newest(|event| matches!(event, Event::UndoStarted { .. }));
            (begun.unwrap_or(story.started_at), story.now)
        }
        // What a rollback did later is none of its work.
        _ => {
            let ended = newest(|event| matches!(event, Event::RunCompleted { .. }));
            (story.started_at, ended.unwrap_or(story.last_at))
        }
    }
}

async fn story(database: &Database, run: &str) -> Result<Story> {
    let connection = database.connection();
    let (state, _) = runs::load(connection, run).await?;
    let entries = journal::of_kinds(connection, run, &TELLING).await?;
    let mut events = Vec::with_capacity(entries.len());
    for entry in &entries {
        events.push(Told {
            at: entry.at,
            worker: entry.worker.clone(),
            event: journal::event(entry)?,
        });
    }
    let now = journal::now(connection).await?;
    let workers = journal::spans(connection, run).await?;
    let started_at = workers.iter().map(|span| span.first_at).min();
    let started_at = started_at.unwrap_or(now);
    let last_at = workers.iter().map(|span| span.last_at).max().unwrap_or(now);
    let slot = ((last_at - started_at) / SLOTS).max(1_000);
    let kind = match state.status {
        RunStatus::Undoing => "BatchUndone",
        _ => "BatchCommitted",
    };
    let slots = journal::slots(connection, run, kind, slot).await?;
    let wished = match state.control() {
        Some(stream) => {
            let loaded = control::load(connection, run, &stream).await?;
            (loaded.state.standing, loaded.since)
        }
        None => (Standing::Going, None),
    };
    let connected = database.others_of_ours().await?;
    let blocked = database.blocked().await?;
    Ok(Story {
        now,
        started_at,
        last_at,
        status: state.status,
        units: units(&state),
        wished,
        events,
        workers,
        slots,
        slot,
        connected,
        blocked,
    })
}

fn units(state: &RunState) -> Vec<UnitStory> {
    let status = |name: &str| {
        let unit = state.units.get(name);
        unit.map_or(UnitStatus::Pending, |unit| unit.status)
    };
    let unit = |pin: &crate::core::plan::UnitPin| UnitStory {
        name: pin.name.clone(),
        status: status(&pin.name),
        waits_for: match state.is_ready(&pin.name) {
            true => Vec::new(),
            false => pin
                .depends_on
                .iter()
                .filter(|on| status(on) != UnitStatus::Completed)
                .cloned()
                .collect(),
        },
    };
    state.started.units.iter().map(unit).collect()
}
