//! The fold of a run's events into what is drawn of them. It takes each event once, those of a stream in their order and the
//! streams in any, and needs no more memory for a million of them than for a thousand.

use std::collections::{BTreeMap, VecDeque};

use super::buckets::{Buckets, Sum};
use super::counted::{Counted, Row};
use super::holds::{Hold, Holds};
use super::process::Processes;
use super::took::{Histogram, Took};
use crate::core::event::{BatchCommitted, BatchUndone, Event};

/// Stretches of time that the whole run is drawn in, and the shortest of them, milliseconds.
const WHOLE: (i64, i64) = (180, 1_000);
/// Stretches that the present is told from: ten minutes.
const NEWEST: (i64, i64) = (120, 5_000);
/// Words of the run that are kept.
const MARKS: usize = 100;

/// What came of a stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Source rows read.
    pub read: i64,
    /// Rows written or brought up to date.
    pub written: i64,
    /// Rows that an undo removed or put back.
    pub removed: i64,
    /// Bad rows.
    pub bad: i64,
    /// Batches committed.
    pub batches: i64,
    /// How long they took, as far as they tell.
    pub took: Took,
}

impl Sum for Sample {
    fn add(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.removed += other.removed;
        self.bad += other.bad;
        self.batches += other.batches;
        self.took.add(other.took);
    }
}

/// What the batches of a unit sum up to.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnitSum {
    /// Batches committed.
    pub batches: u64,
    /// Batches taken back.
    pub undone: u64,
    /// Rows written.
    pub written: i64,
    /// Rows brought up to date.
    pub refreshed: i64,
    /// Bad rows set aside.
    pub bad: i64,
    /// How long its batches took.
    pub took: Histogram,
}

/// A word of the run at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// What happened.
    pub what: String,
}

/// What the events came to so far.
#[derive(Clone, Debug)]
pub struct Fold {
    /// The whole run.
    pub whole: Buckets<Sample>,
    /// The last ten minutes.
    pub newest: Buckets<Sample>,
    /// By unit.
    pub units: BTreeMap<String, UnitSum>,
    /// The last batch of each open partition: when, by whom, how many rows it had.
    pub in_hand: BTreeMap<String, (i64, String, i64)>,
    /// Bad rows.
    pub quarantine: Counted,
    /// Rows that an undo left alone.
    pub kept: Counted,
    /// Holds.
    pub holds: Holds,
    /// Processes.
    pub processes: Processes,
    /// What happened besides, the oldest first.
    pub marks: VecDeque<Mark>,
    /// How many rollbacks have begun.
    pub undos: usize,
    /// Events taken.
    pub events: u64,
    /// What they take as text, bytes.
    pub bytes: u64,
}

impl Default for Fold {
    fn default() -> Self {
        Self {
            whole: Buckets::whole(WHOLE.1, WHOLE.0),
            newest: Buckets::newest(NEWEST.1, NEWEST.0),
            units: BTreeMap::new(),
            in_hand: BTreeMap::new(),
            quarantine: Counted::default(),
            kept: Counted::default(),
            holds: Holds::default(),
            processes: Processes::default(),
            marks: VecDeque::new(),
            undos: 0,
            events: 0,
            bytes: 0,
        }
    }
}

/// Where an event stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its stream.
    pub stream: &'a str,
    /// Who appended it.
    pub worker: &'a str,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// What it takes as text, bytes.
    pub bytes: usize,
}

impl Fold {
    /// Takes an event.
    pub fn apply(&mut self, place: Place<'_>, event: Event) {
        self.events += 1;
        self.bytes = self.bytes.saturating_add(place.bytes as u64);
        let Place { worker, at, .. } = place;
        match event {
            Event::BatchCommitted(batch) => self.committed(place, &batch),
            Event::BatchUndone(undone) => self.undone(place, undone),
            Event::RowQuarantined { unit, key, reason } => {
                self.units.entry(unit.clone()).or_default().bad += 1;
                self.quarantine.note(Row {
                    at,
                    unit,
                    key,
                    reason,
                });
            }
            Event::WorkerStarted {
                release,
                process,
                workers,
            } => {
                let heard = self.processes.heard(worker, at);
                (heard.release, heard.process, heard.tasks) = (release, process, workers);
            }
            Event::WorkerStopped { reason } => {
                self.holds.abandon(worker, at);
                self.processes.heard(worker, at).stopped = Some((at, reason));
            }
            Event::HoldStarted {
                signal,
                value,
                limit,
            } => {
                self.processes.heard(worker, at);
                self.holds.begin(Hold {
                    worker: worker.to_owned(),
                    signal,
                    value,
                    limit,
                    from: at,
                    to: None,
                });
            }
            Event::HoldEnded { signal, millis, .. } => {
                self.processes.heard(worker, at);
                self.holds.end(worker, &signal, at, millis);
            }
            Event::BatchResized { .. }
            | Event::PaceChanged { .. }
            | Event::CaughtUp { .. }
            | Event::SettingsApplied(_) => {
                self.processes.heard(worker, at);
            }
            event => {
                self.undos += usize::from(matches!(event, Event::UndoStarted { .. }));
                self.mark(at, &event);
            }
        }
    }

    fn committed(&mut self, place: Place<'_>, batch: &BatchCommitted) {
        let Place { worker, at, .. } = place;
        let written = batch.rows();
        for sample in [self.whole.at(at), self.newest.at(at)]
            .into_iter()
            .flatten()
        {
            sample.read += batch.read;
            sample.written += written;
            sample.bad += batch.quarantined;
            sample.batches += 1;
            if let Some(millis) = batch.millis {
                sample.took.note(millis);
            }
        }
        let unit = self.units.entry(batch.unit.clone()).or_default();
        unit.batches += 1;
        unit.written += batch.written;
        unit.refreshed += batch.refreshed;
        if let Some(millis) = batch.millis {
            unit.took.note(millis);
        }
        self.worked(worker, at);
        match batch.last {
            true => self.in_hand.remove(place.stream),
            false => self
                .in_hand
                .insert(place.stream.to_owned(), (at, worker.to_owned(), batch.read)),
        };
    }

    fn undone(&mut self, place: Place<'_>, undone: BatchUndone) {
        let at = place.at;
        for sample in [self.whole.at(at), self.newest.at(at)]
            .into_iter()
            .flatten()
        {
            sample.removed += undone.removed + undone.restored;
        }
        self.units.entry(undone.unit.clone()).or_default().undone += 1;
        self.in_hand.remove(place.stream);
        self.worked(place.worker, at);
        for row in undone.kept {
            self.kept.note(Row {
                at,
                unit: undone.unit.clone(),
                key: row.key,
                reason: row.why,
            });
        }
    }

    fn worked(&mut self, worker: &str, at: i64) {
        let process = self.processes.heard(worker, at);
        process.batches += 1;
        if let Some(batches) = process.worked.at(at) {
            *batches += 1;
        }
    }

    fn mark(&mut self, at: i64, event: &Event) {
        let Some(what) = said(event) else {
            return;
        };
        let place = self.marks.partition_point(|mark| mark.at <= at);
        self.marks.insert(place, Mark { at, what });
        if self.marks.len() > MARKS {
            self.marks.pop_front();
        }
    }
}

/// What an event of the run's own or of its operators' stream is told as.
fn said(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunStarted(_) => "the run began".into(),
        Event::DatabaseAdopted { .. } => "goes on in another database".into(),
        Event::UnitStopped { unit, .. } => format!("{unit} stopped: too many bad rows"),
        Event::UnitReopened { unit } => format!("{unit} goes on"),
        Event::IndexBuilt { index, .. } => format!("index {index} was built"),
        Event::FollowStarted { .. } => "followed from here on".into(),
        Event::FollowEnded { .. } => "followed no more".into(),
        Event::UnitCompleted(unit) => format!("{} is complete", unit.unit),
        Event::RunCompleted { .. } => "the run is complete".into(),
        Event::UndoStarted { units, reason } => {
            format!("rollback of {} began: {reason}", units.join(", "))
        }
        Event::UndoCompleted { .. } => "the rollback is complete".into(),
        Event::RunPaused(word) => format!("paused {word}"),
        Event::RunResumed(word) => format!("resumed {word}"),
        Event::RunCancelled(word) => format!("cancelled {word}"),
        Event::SettingsChanged(changed) => {
            let settings = changed.settings.iter().map(|(setting, value)| {
                format!(
                    "{}={}",
                    setting.name(),
                    value.as_deref().unwrap_or("default")
                )
            });
            let settings: Vec<_> = settings.collect();
            format!("set {} by {}", settings.join(" "), changed.by)
        }
        _ => return None,
    })
}
