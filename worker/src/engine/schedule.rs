//! Which partition a worker of this process takes next: none that a sibling is at, none that has failed for good, and
//! rather one that was not just met in another process's hands or in trouble.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::projection::Row;
use crate::retry::Retry;

/// How long a partition is left to the process that has it. Its worker may die: then ours takes over after this.
const ELSEWHERE: Duration = Duration::from_secs(2);

/// What this process knows of the partitions that it has met.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Where it begins in the list of open partitions, so that processes begin apart.
    start: usize,
    streams: Mutex<HashMap<String, Standing>>,
}

/// What this process knows of one partition.
#[derive(Debug, Default)]
struct Standing {
    /// A worker of this process is at it.
    held: bool,
    /// Not to be taken before.
    until: Option<Instant>,
    /// Pauses that are left after trouble that may pass.
    retry: Retry,
    /// It failed for good.
    failed: Option<Error>,
}

/// What a worker does next.
pub(super) enum Next<'a> {
    /// It works on this partition.
    Take(Box<Held<'a>>),
    /// It looks again in a moment.
    Wait,
    /// All that is open has failed.
    Nothing,
}

/// A partition that no other worker of this process is at, until it is dropped.
pub(super) struct Held<'a> {
    _turn: Turn<'a>,
    /// Its row when it was taken.
    pub(super) row: Row,
}

/// That no other worker of this process is at something, until it is dropped.
pub(super) struct Turn<'a> {
    schedule: &'a Schedule,
    name: String,
}

impl Schedule {
    pub(super) fn new(worker: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        worker.hash(&mut hasher);
        Self {
            start: usize::try_from(hasher.finish() % 1_000_003).unwrap_or(0),
            streams: Mutex::default(),
        }
    }

    /// Takes one of the open partitions.
    pub(super) fn next(&self, mut open: Vec<Row>) -> Next<'_> {
        let mut streams = self.lock();
        let standing = |row: &Row| streams.get(&row.stream);
        open.retain(|row| standing(row).is_none_or(|standing| standing.failed.is_none()));
        if open.is_empty() {
            return Next::Nothing;
        }
        let now = Instant::now();
        let is_free = |row: &Row| {
            standing(row).is_none_or(|standing| {
                !standing.held && standing.until.is_none_or(|until| until <= now)
            })
        };
        // Units in the plan's order; within a unit, each process begins at a place of its own.
        for unit in open.chunk_by_mut(|one, next| one.unit == next.unit) {
            let start = self.start % unit.len();
            unit.rotate_left(start);
        }
        match open.into_iter().find(is_free) {
            Some(row) => {
                streams.entry(row.stream.clone()).or_default().held = true;
                let name = row.stream.clone();
                let turn = Turn {
                    schedule: self,
                    name,
                };
                Next::Take(Box::new(Held { _turn: turn, row }))
            }
            None => Next::Wait,
        }
    }

    /// Takes something that is no partition; none where a sibling is at it, or it is not to be taken yet, or has failed.
    pub(super) fn turn(&self, name: &str) -> Option<Turn<'_>> {
        let mut streams = self.lock();
        let standing = streams.entry(name.to_owned()).or_default();
        let is_due = standing.until.is_none_or(|until| until <= Instant::now());
        if standing.held || standing.failed.is_some() || !is_due {
            return None;
        }
        standing.held = true;
        Some(Turn {
            schedule: self,
            name: name.to_owned(),
        })
    }

    /// Whether it failed for good.
    pub(super) fn has_failed(&self, name: &str) -> bool {
        let streams = self.lock();
        let standing = streams.get(name);
        standing.is_some_and(|standing| standing.failed.is_some())
    }

    /// Another process has it.
    pub(super) fn elsewhere(&self, stream: &str) {
        let mut streams = self.lock();
        streams.entry(stream.to_owned()).or_default().until = Some(Instant::now() + ELSEWHERE);
    }

    /// It is in trouble that may pass: others come first, and it has failed where the trouble does not pass.
    pub(super) fn postpone(&self, stream: &str, error: Error) {
        let mut streams = self.lock();
        let standing = streams.entry(stream.to_owned()).or_default();
        match standing.retry.next_pause() {
            Some(pause) => standing.until = Some(Instant::now() + pause),
            None => standing.failed = Some(error),
        }
    }

    /// It went well.
    pub(super) fn went_well(&self, stream: &str) {
        self.lock().entry(stream.to_owned()).or_default().retry = Retry::default();
    }

    /// It failed for good.
    pub(super) fn fail(&self, stream: &str, error: Error) {
        self.lock().entry(stream.to_owned()).or_default().failed = Some(error);
    }

    /// One that has failed, with its error, where there is any.
    pub(super) fn take_failure(&self) -> Option<(String, Error)> {
        let mut streams = self.lock();
        streams.iter_mut().find_map(|(stream, standing)| {
            let error = standing.failed.take()?;
            Some((stream.clone(), error))
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Standing>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(standing) = self.schedule.lock().get_mut(&self.name) {
            standing.held = false;
        }
    }
}
