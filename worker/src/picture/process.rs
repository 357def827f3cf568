//! The processes of a run, and the lanes that they are shown in: one that comes after another's end takes its lane, so that
//! the gap that a crash leaves is seen.

use std::collections::BTreeMap;

use super::buckets::Buckets;

/// Processes that are kept; beyond, the oldest go.
const MOST: usize = 200;
/// Stretches of time in which a process is told to have worked.
const TICKS: i64 = 160;
/// The shortest of them, milliseconds.
const TICK: i64 = 1_000;

/// A process that works on the run.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its name in the journal.
    pub worker: String,
    /// The version of the program; empty before its start was read.
    pub release: String,
    /// Its process id.
    pub process: u32,
    /// Partitions that it works on at once.
    pub tasks: usize,
    /// When it started, milliseconds since 1970.
    pub from: i64,
    /// When it was last heard of.
    pub last: i64,
    /// When and why it ended in order.
    pub stopped: Option<(i64, String)>,
    /// Batches that it committed or took back.
    pub batches: u64,
    /// When it committed them.
    pub worked: Buckets<u64>,
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It was heard of a moment ago, or holds.
    Works,
    /// It ended in order.
    Stopped,
    /// It has not been heard of for a while, or the run is over without its word.
    Silent,
}

/// The processes of a run, by name.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    held: BTreeMap<String, Process>,
    /// How many were left out.
    pub dropped: u64,
}

/// Processes that came one after the other.
pub type Lane = Vec<Process>;

impl Processes {
    /// A process, which is heard of at this moment.
    pub fn heard(&mut self, worker: &str, at: i64) -> &mut Process {
        if !self.held.contains_key(worker) && self.held.len() >= MOST {
            let oldest = self.held.values().min_by_key(|process| process.last);
            if let Some(oldest) = oldest.map(|process| process.worker.clone()) {
                self.held.remove(&oldest);
                self.dropped += 1;
            }
        }
        let process = self
            .held
            .entry(worker.to_owned())
            .or_insert_with(|| Process {
                worker: worker.to_owned(),
                release: String::new(),
                process: 0,
                tasks: 1,
                from: at,
                last: at,
                stopped: None,
                batches: 0,
                worked: Buckets::whole(TICK, TICKS),
            });
        process.from = process.from.min(at);
        process.last = process.last.max(at);
        process
    }

    /// All that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.held.values()
    }

    /// The same in lanes, the first process first.
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        let mut processes: Vec<_> = self.held.values().cloned().collect();
        processes.sort_by(|a, b| (a.from, &a.worker).cmp(&(b.from, &b.worker)));
        let mut lanes: Vec<Lane> = Vec::new();
        for process in processes {
            // Of those that are free, the one that was left last.
            let end = |lane: &Lane| lane.last().map_or(0, |before| before.last);
            let free = lanes.iter_mut().filter(|lane| end(lane) <= process.from);
            match free.max_by_key(|lane| end(lane)) {
                Some(lane) => lane.push(process),
                None => lanes.push(vec![process]),
            }
        }
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_after_a_crash_takes_the_lane() {
        let mut processes = Processes::default();
        for (worker, from, last) in [("a", 0, 50), ("b", 5, 200), ("c", 80, 190), ("d", 195, 220)] {
            processes.heard(worker, from);
            processes.heard(worker, last);
        }
        let lanes = processes.lanes();
        let names: Vec<Vec<_>> = lanes
            .iter()
            .map(|lane| lane.iter().map(|process| process.worker.as_str()).collect())
            .collect();
        assert_eq!(names, [vec!["a", "c", "d"], vec!["b"]]);
    }

    #[test]
    fn the_newest_of_many_are_kept() {
        let mut processes = Processes::default();
        for at in 0..1_000_i64 {
            processes.heard(&format!("w{at}"), at);
        }
        assert_eq!(processes.iter().count(), MOST);
        assert_eq!(processes.dropped, 800);
        assert!(processes.iter().all(|process| process.from >= 800));
    }
}
