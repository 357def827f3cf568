//! The account: what struck, at which instants, what was compared, and what was found.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::{Fault, Wanted};
use crate::standing::Difference;

/// Counts everything. May be shared.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    struck: BTreeMap<Fault, u64>,
    /// By what the struck program was at.
    instants: BTreeMap<(&'static str, String), BTreeMap<Fault, u64>>,
    seeds: Vec<u64>,
    endings: BTreeMap<String, u64>,
    runs: u64,
    rollbacks: u64,
    edits: u64,
    /// Times that the same command, undisturbed, did not end a job.
    manual_steps: u64,
    comparisons: u64,
    rows: u64,
    difference: Difference,
}

/// What was brought to its end without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    Run,
    Rollback,
}

impl Ledger {
    /// How many of the wanted faults have struck.
    #[must_use]
    pub fn struck(&self) -> Wanted {
        let counts = self.counts();
        let of = |fault: Fault| counts.struck.get(&fault).copied().unwrap_or(0);
        Wanted {
            kills: of(Fault::Kill),
            server_crashes: of(Fault::ServerCrash) + of(Fault::BackendKill),
            cuts: of(Fault::Cut),
        }
    }

    /// How many faults of a kind struck in a transaction, or between two.
    #[must_use]
    pub fn at(&self, is_meant: impl Fn(&str) -> bool) -> u64 {
        let counts = self.counts();
        let meant = counts
            .instants
            .iter()
            .filter(|((_, state), _)| is_meant(state));
        meant.flat_map(|(_, faults)| faults.values()).sum()
    }

    /// Adds another's account.
    pub(super) fn add(&self, other: &Self) {
        let (mut counts, other) = (self.counts(), other.counts());
        for (fault, count) in &other.struck {
            *counts.struck.entry(*fault).or_default() += count;
        }
        for (instant, faults) in &other.instants {
            let at = counts.instants.entry(instant.clone()).or_default();
            for (fault, count) in faults {
                *at.entry(*fault).or_default() += count;
            }
        }
        for (ending, count) in &other.endings {
            *counts.endings.entry(ending.clone()).or_default() += count;
        }
        counts.seeds.extend(&other.seeds);
        counts.runs += other.runs;
        counts.rollbacks += other.rollbacks;
        counts.edits += other.edits;
        counts.manual_steps += other.manual_steps;
        counts.comparisons += other.comparisons;
        counts.rows += other.rows;
        counts.difference.add(&other.difference);
    }

    pub(super) fn strike(&self, fault: Fault, job: &'static str, state: String) {
        let mut counts = self.counts();
        *counts.struck.entry(fault).or_default() += 1;
        let at = counts.instants.entry((job, state)).or_default();
        *at.entry(fault).or_default() += 1;
    }

    pub(super) fn seed(&self, seed: u64) {
        self.counts().seeds.push(seed);
    }

    pub(super) fn ending(&self, how: String) {
        *self.counts().endings.entry(how).or_default() += 1;
    }

    pub(super) fn finished(&self, what: Finished) {
        let mut counts = self.counts();
        match what {
            Finished::Run => counts.runs += 1,
            Finished::Rollback => counts.rollbacks += 1,
        }
    }

    pub(super) fn edit(&self) {
        self.counts().edits += 1;
    }

    pub(super) fn manual_step(&self) {
        self.counts().manual_steps += 1;
    }

    pub(super) fn compared(&self, rows: usize, difference: &Difference) {
        let mut counts = self.counts();
        counts.comparisons += 1;
        counts.rows += rows as u64;
        counts.difference.add(difference);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Display for Ledger {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let counts = self.counts();
        writeln!(out, "faults that struck")?;
        for (fault, count) in &counts.struck {
            writeln!(out, "  {count:>7}  {fault}")?;
        }
        let columns = [
            Fault::Kill,
            Fault::ServerCrash,
            Fault::BackendKill,
            Fault::Cut,
        ];
        writeln!(
            out,
            "\ninstants that they struck at{:>35}{:>9}{:>9}{:>9}{:>9}",
            "killed", "crashed", "backend", "cut", "other"
        )?;
        for ((job, state), faults) in &counts.instants {
            write!(out, "  {job:<9} {state:<42}")?;
            let mut other: u64 = faults.values().sum();
            for fault in columns {
                let count = faults.get(&fault).copied().unwrap_or(0);
                other -= count;
                write!(out, "{count:>9}")?;
            }
            writeln!(out, "{other:>9}")?;
        }
        writeln!(out, "\nhow the programs ended")?;
        for (ending, count) in &counts.endings {
            writeln!(out, "  {count:>7}  {ending}")?;
        }
        writeln!(
            out,
            "\nbrought to their end without faults: {} runs, {} rollbacks; {} edits by the application meanwhile",
            counts.runs, counts.rollbacks, counts.edits
        )?;
        writeln!(
            out,
            "compared: {} end states, {} rows, byte for byte",
            counts.comparisons, counts.rows
        )?;
        writeln!(out, "{}", counts.difference)?;
        writeln!(out, "manual steps: {}", counts.manual_steps)?;
        match (counts.seeds.iter().min(), counts.seeds.iter().max()) {
            (Some(first), Some(last)) => {
                writeln!(out, "seeds: {} ({first} to {last})", counts.seeds.len())
            }
            _ => writeln!(out, "seeds: none was brought to its end"),
        }
    }
}
