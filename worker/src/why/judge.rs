//! What follows from what is known of a run: what keeps it now. Pure.

use std::collections::BTreeMap;

use super::causes::{Cause, Finding};
use super::spans::{self, Span};
use super::{Story, Told};
use crate::core::event::Event;
use crate::core::state::{RunStatus, Standing, UnitStatus};

/// Who has appended nothing for so long, and holds for nothing, may not be there: milliseconds.
pub(super) const SILENT: i64 = 60_000;

/// A process that has appended something within this time may have made its sessions just now: milliseconds.
const NEW: i64 = 5_000;

/// What tells how fast a run is lately: milliseconds.
const LATELY: i64 = 60_000;

/// Gaps shorter than this are no causes: milliseconds.
pub(super) const BRIEF: i64 = 1_000;

/// What a run does now, or waits for, the worst first.
pub(super) fn doing(story: &Story) -> Vec<Finding> {
    let since = |at: i64| (story.now - at).max(0);
    match story.status {
        RunStatus::Running => {}
        RunStatus::Undoing => return vec![undoing(story)],
        _ => return vec![Cause::Over.found(since(story.last_at))],
    }
    let mut found = Vec::new();
    let wished = since(story.wished.1.unwrap_or(story.now));
    match &story.wished.0 {
        Standing::Going => {}
        Standing::Paused(word) => found.push(Cause::Paused { word: word.clone() }.found(wished)),
        Standing::Cancelled(word) => {
            found.push(Cause::Cancelled { word: word.clone() }.found(wished));
        }
    }
    for unit in &story.units {
        if unit.status == UnitStatus::Stopped {
            found.extend(too_many_bad(story, &unit.name));
        }
        if !unit.waits_for.is_empty() && unit.status == UnitStatus::Pending {
            let cause = Cause::WaitsForUnits {
                unit: unit.name.clone(),
                on: unit.waits_for.clone(),
            };
            found.push(cause.found(since(story.started_at)));
        }
    }
    let processes = processes(story);
    for process in processes.values().filter(|process| process.is_up()) {
        for (signal, (at, value, limit)) in &process.holds {
            let cause = Cause::Holding {
                worker: process.name.clone(),
                signal: signal.clone(),
                value: value.clone(),
                limit: limit.clone(),
            };
            found.push(cause.found(since(*at)));
        }
        if let Some((at, to, reason)) = process.pace.as_ref().filter(|(_, to, _)| to != FULL) {
            let cause = Cause::Slowed {
                worker: process.name.clone(),
                to: to.clone(),
                reason: reason.clone(),
            };
            found.push(cause.found(since(*at)));
        }
    }
    let locks = story.blocked.iter();
    found.extend(locks.map(|blocked| {
        let millis = (blocked.seconds * 1_000.0).clamp(0.0, 9e15);
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        Cause::WaitsForLock(blocked.clone()).found(millis as i64)
    }));
    found.extend(absent(story, &processes));
    found.extend(set(story, story.now));
    // A process that is silent while others work keeps nobody.
    let keeps = |finding: &Finding| match finding.cause {
        Cause::Silent { .. } => !is_worked_on(story, &processes),
        _ => finding.cause.rank() < 6,
    };
    if !found.iter().any(keeps) {
        found.push(at_work(story));
    }
    found.sort_by_key(|finding| (finding.cause.rank(), std::cmp::Reverse(finding.millis)));
    found
}

/// How a process works that nothing slows down.
pub(super) const FULL: &str = "full speed";

/// A process, as its events tell.
struct Process {
    name: String,
    /// When it appended last, in any stream.
    last_at: i64,
    /// Why it ended, where it ended in order.
    stopped: Option<String>,
    /// What it holds for: since when, what was measured, and the limit.
    holds: BTreeMap<String, (i64, String, String)>,
    /// How it works: since when, how, and why.
    pace: Option<(i64, String, String)>,
}

impl Process {
    /// Whether it did not end in order.
    fn is_up(&self) -> bool {
        self.stopped.is_none()
    }
}

/// The processes that worked on the run, by name; those that only appended a wish are none.
fn processes(story: &Story) -> BTreeMap<&str, Process> {
    let mut processes: BTreeMap<&str, Process> = BTreeMap::new();
    for Told { at, worker, event } in &story.events {
        if let Event::WorkerStarted { .. } = event {
            let span = story.workers.iter().find(|span| span.worker == *worker);
            let process = Process {
                name: worker.clone(),
                last_at: span.map_or(*at, |span| span.last_at),
                stopped: None,
                holds: BTreeMap::new(),
                pace: None,
            };
            processes.insert(worker, process);
        }
        let Some(process) = processes.get_mut(worker.as_str()) else {
            continue;
        };
        match event {
            Event::WorkerStopped { reason } => process.stopped = Some(reason.clone()),
            Event::HoldStarted {
                signal,
                value,
                limit,
            } => {
                let hold = (*at, value.clone(), limit.clone());
                process.holds.insert(signal.clone(), hold);
            }
            Event::HoldEnded { signal, .. } => {
                process.holds.remove(signal);
            }
            Event::PaceChanged { to, reason, .. } => {
                process.pace = Some((*at, to.clone(), reason.clone()));
            }
            _ => {}
        }
    }
    processes
}

/// Whether any process that did not end in order has appended something lately.
fn is_worked_on(story: &Story, processes: &BTreeMap<&str, Process>) -> bool {
    let mut up = processes.values().filter(|process| process.is_up());
    up.any(|process| story.now - process.last_at <= SILENT)
}

/// Who should be at work and is not, or may not be.
fn absent(story: &Story, processes: &BTreeMap<&str, Process>) -> Vec<Finding> {
    let since = |at: i64| (story.now - at).max(0);
    let up = || processes.values().filter(|process| process.is_up());
    let Some(newest) = up().max_by_key(|process| process.last_at) else {
        let last = processes.values().max_by_key(|process| process.last_at);
        let cause = Cause::NobodyWorks {
            worker: last.map_or_else(String::new, |last| last.name.clone()),
            reason: Some(
                last.and_then(|last| last.stopped.clone())
                    .unwrap_or_default(),
            ),
        };
        return vec![cause.found(since(last.map_or(story.started_at, |last| last.last_at)))];
    };
    let millis = since(newest.last_at);
    if story.connected == Some(0) && millis > NEW {
        let cause = Cause::NobodyWorks {
            worker: newest.name.clone(),
            reason: None,
        };
        return vec![cause.found(millis)];
    }
    // Who follows, or holds, has nothing to say for long.
    if let Some(Event::CaughtUp { .. }) = story.events.last().map(|told| &told.event) {
        return Vec::new();
    }
    let silent = up().filter(|process| process.holds.is_empty() && since(process.last_at) > SILENT);
    let found = silent.map(|process| {
        let cause = Cause::Silent {
            worker: process.name.clone(),
        };
        cause.found(since(process.last_at))
    });
    found.collect()
}

fn too_many_bad(story: &Story, name: &str) -> Option<Finding> {
    story
        .events
        .iter()
        .rev()
        .find_map(|told| match &told.event {
            Event::UnitStopped {
                unit,
                read,
                quarantined,
                allowed,
            } if unit == name => {
                let cause = Cause::TooManyBad {
                    unit: unit.clone(),
                    read: *read,
                    bad: *quarantined,
                    allowed: *allowed,
                };
                Some(cause.found((story.now - told.at).max(0)))
            }
            _ => None,
        })
}

fn undoing(story: &Story) -> Finding {
    let started = story
        .events
        .iter()
        .rev()
        .find_map(|told| match &told.event {
            Event::UndoStarted { units, reason } => Some((told.at, units.clone(), reason.clone())),
            _ => None,
        });
    let (at, units, reason) = started.unwrap_or_default();
    // Its batches are events, and each takes a moment.
    let is_recent = story.now - story.last_at < SILENT;
    let cause = Cause::RollbackHalfway {
        units,
        reason,
        is_worked_on: is_recent && story.connected != Some(0),
    };
    cause.found((story.now - at).max(0))
}

/// Settings that somebody wished for and that hold at an instant.
pub(super) fn set(story: &Story, at: i64) -> Option<Finding> {
    let mut settings = BTreeMap::new();
    let mut last = None;
    for told in story.events.iter().filter(|told| told.at <= at) {
        if let Event::SettingsChanged(changed) = &told.event {
            settings.extend(changed.settings.clone());
            last = Some((told.at, changed.by.clone(), changed.note.clone()));
        }
    }
    settings.retain(|_, value: &mut Option<String>| value.is_some());
    let (since, by, note) = last.filter(|_| !settings.is_empty())?;
    let cause = Cause::Set { by, note, settings };
    Some(cause.found((at - since).max(0)))
}

fn at_work(story: &Story) -> Finding {
    let caught_up = story.events.last().map(|told| &told.event);
    if let Some(Event::CaughtUp { as_of, .. }) = caught_up {
        let cause = Cause::Following { as_of: *as_of };
        return cause.found((story.now - story.last_at).max(0));
    }
    let from = (story.now - LATELY).max(story.started_at);
    let (_, read) = counted(story, (from, story.now));
    let cause = Cause::Working {
        rows_per_second: rate(read, story.now - from),
        median: median(story).unwrap_or(0.0),
    };
    cause.found((story.now - story.last_at).max(0))
}

/// Batches and source rows of a time; of one at its edges in proportion.
pub(super) fn counted(story: &Story, time: Span) -> (i64, i64) {
    let (mut batches, mut read) = (0, 0);
    for slot in &story.slots {
        let whole = (slot.at, slot.at + story.slot);
        let part = spans::length(&spans::within([whole], time));
        batches += slot.batches * part / story.slot;
        read += slot.read * part / story.slot;
    }
    (batches, read)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(super) fn rate(rows: i64, millis: i64) -> f64 {
    rows as f64 * 1_000.0 / millis.max(1) as f64
}

/// The median of the source rows a second over times with a batch.
pub(super) fn median(story: &Story) -> Option<f64> {
    let mut read: Vec<i64> = story.slots.iter().map(|slot| slot.read).collect();
    read.sort_unstable();
    let middle = read.get(read.len() / 2)?;
    Some(rate(*middle, story.slot))
}
