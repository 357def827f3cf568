//! When which process held, and for what.

use std::collections::BTreeMap;

/// Holds that are kept; beyond, the shortest go. What they sum up to is exact.
const MOST: usize = 300;
/// Signals that are told apart.
const SIGNALS: usize = 40;
/// What the others are counted as.
const OTHERS: &str = "other signals";

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The process.
    pub worker: String,
    /// What it held for.
    pub signal: String,
    /// What was measured at first.
    pub value: String,
    /// What it may be at most; empty where somebody's word makes it hold.
    pub limit: String,
    /// Since when, milliseconds since 1970.
    pub from: i64,
    /// Until when; none: it still holds.
    pub to: Option<i64>,
}

/// The holds of a run.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    /// Those under way, by process and signal.
    open: BTreeMap<(String, String), Hold>,
    /// Those that are over.
    over: Vec<Hold>,
    /// How many were over by signal, and how long they took together, milliseconds.
    sums: BTreeMap<String, (u64, u64)>,
}

impl Holds {
    /// A hold begins.
    pub fn begin(&mut self, hold: Hold) {
        let key = (hold.worker.clone(), hold.signal.clone());
        self.open.insert(key, hold);
    }

    /// A hold is over, after so many milliseconds.
    pub fn end(&mut self, worker: &str, signal: &str, at: i64, millis: u64) {
        let name = match self.sums.contains_key(signal) || self.sums.len() < SIGNALS {
            true => signal,
            false => OTHERS,
        };
        let (count, sum) = self.sums.entry(name.to_owned()).or_default();
        (*count, *sum) = (*count + 1, sum.saturating_add(millis));
        let key = (worker.to_owned(), signal.to_owned());
        if let Some(mut hold) = self.open.remove(&key) {
            hold.to = Some(at);
            self.keep(hold);
        }
    }

    /// A process is gone, and was last heard of at this moment: what it held for is over.
    pub fn abandon(&mut self, worker: &str, at: i64) {
        let gone: Vec<_> = self
            .open
            .keys()
            .filter(|(of, _)| of == worker)
            .cloned()
            .collect();
        for (worker, signal) in gone {
            let from = self
                .open
                .get(&(worker.clone(), signal.clone()))
                .map_or(at, |hold| hold.from);
            let at = at.max(from);
            self.end(&worker, &signal, at, at.abs_diff(from));
        }
    }

    /// What a process holds for.
    #[must_use]
    pub fn of(&self, worker: &str) -> Option<&Hold> {
        self.open.values().find(|hold| hold.worker == worker)
    }

    /// All that are kept, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Hold> {
        let mut all: Vec<_> = self
            .over
            .iter()
            .chain(self.open.values())
            .cloned()
            .collect();
        all.sort_by_key(|hold| hold.from);
        all
    }

    /// By signal: how many are over, and how long they took together, milliseconds.
    #[must_use]
    pub fn sums(&self) -> &BTreeMap<String, (u64, u64)> {
        &self.sums
    }

    fn keep(&mut self, hold: Hold) {
        self.over.push(hold);
        if self.over.len() > MOST {
            let took = |hold: &Hold| hold.to.unwrap_or(hold.from) - hold.from;
            self.over.sort_by_key(|hold| std::cmp::Reverse(took(hold)));
            self.over.truncate(MOST / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(worker: &str, from: i64) -> Hold {
        Hold {
            worker: worker.into(),
            signal: "lag".into(),
            value: "40s".into(),
            limit: "30s".into(),
            from,
            to: None,
        }
    }

    #[test]
    fn however_many_there_are_they_sum_up() {
        let mut holds = Holds::default();
        for at in 0..1_000 {
            holds.begin(hold("w", at * 10));
            holds.end("w", "lag", at * 10 + 5, 5);
        }
        assert_eq!(holds.sums()["lag"], (1_000, 5_000));
        assert!(holds.all().len() <= MOST);
    }

    #[test]
    fn a_process_that_is_gone_holds_no_more() {
        let mut holds = Holds::default();
        holds.begin(hold("a", 10));
        holds.begin(hold("b", 20));
        holds.abandon("a", 15);
        assert!(holds.of("a").is_none() && holds.of("b").is_some());
        let ends: Vec<_> = holds.all().iter().map(|hold| hold.to).collect();
        assert_eq!(ends, [Some(15), None]);
    }
}
