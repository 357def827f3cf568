//! What a run looks like, as plain data: what the live page, the report and the metrics show. It is folded from the journal
//! alone, event by event, in bounded memory; what was read once is not read again.
//!
//! - `look` reads what is new; the only part that asks the database.
//! - `fold` takes events; `buckets`, `took`, `counted`, `holds` and `process` are what they sum up to.
//! - `standing` says in words how the run stands, `left` how long it will take.

pub mod buckets;
pub mod counted;
pub mod fold;
pub mod gates;
pub mod holds;
pub mod left;
mod look;
pub mod process;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod took;

use std::collections::BTreeMap;

use crate::status;

pub use self::look::{Watch, Which};

use self::fold::Fold;
use self::gates::GateView;
use self::left::Left;
use self::process::{Life, Process};
use self::standing::Standing;

/// How long a process may be silent before it is not taken for one that works, milliseconds.
const SILENCE: i64 = 30_000;
/// The same where a run is followed: it is told once a minute that there is nothing to write.
const FOLLOWED_SILENCE: i64 = 150_000;

/// What a run looks like at an instant.
#[derive(Clone, Debug)]
pub struct Picture {
    /// In numbers.
    pub run: status::Run,
    /// What its events sum up to.
    pub fold: Fold,
    /// Whether all events were read that there are; false: what they sum up to is still growing.
    pub is_whole: bool,
    /// Events of a newer release, which are left out.
    pub unread: u64,
    /// In words.
    pub standing: Standing,
    /// How long it will still take, where that can be told.
    pub left: Option<Left>,
    /// Its units, in the plan's order.
    pub units: Vec<UnitView>,
    /// The gates of its database.
    pub gates: Vec<GateView>,
    /// Bytes that the journal's tables take on disk, by table; empty on SQLite.
    pub disk: BTreeMap<String, i64>,
}

/// A unit's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitView {
    /// Its name.
    pub unit: String,
    /// Its state, in a word or two.
    pub state: String,
    /// Source rows that are accounted for.
    pub done: i64,
    /// Source rows of the batches in hand: about as many as of those before.
    pub in_flight: i64,
    /// Bad rows set aside.
    pub quarantined: i64,
    /// Source rows that are left, as far as they were counted.
    pub left: i64,
    /// How much of it is done, 0 to 100.
    pub percent: f64,
    /// Rows written.
    pub written: i64,
    /// Source rows a second, while it is under way.
    pub rows_per_second: Option<f64>,
    /// Rows that an undo removed or put back, and those that it left alone.
    pub undone: (i64, i64),
}

impl Picture {
    /// How a process stands.
    #[must_use]
    pub fn life(&self, process: &Process) -> Life {
        life(&self.run, &self.fold, process)
    }
}

/// How a process stands.
fn life(run: &status::Run, fold: &Fold, process: &Process) -> Life {
    let silence = match run.following {
        Some(_) => FOLLOWED_SILENCE,
        None => SILENCE,
    };
    let is_open = matches!(run.state, "running" | "rolling back");
    match &process.stopped {
        Some(_) => Life::Stopped,
        // A rollback's process tells neither its start nor its end.
        None if process.release.is_empty() && (!is_open || run.now - process.last > silence) => {
            Life::Stopped
        }
        None if !is_open => Life::Silent,
        None if run.now - process.last <= silence => Life::Works,
        None if fold.holds.of(&process.worker).is_some() => Life::Works,
        None => Life::Silent,
    }
}

/// Draws a run.
fn picture(run: status::Run, fold: Fold, now_read: (bool, u64)) -> Picture {
    let in_flight = in_flight(&run, &fold);
    let units = run.units.iter().map(|unit| {
        let in_flight = in_flight.get(unit.unit.as_str()).copied();
        view(unit, in_flight.unwrap_or_default())
    });
    Picture {
        units: units.collect(),
        left: match run.state {
            "running" if run.following.is_none() => left::left(&run, &fold.newest, run.now),
            _ => None,
        },
        standing: standing::standing(&run, &fold),
        is_whole: now_read.0,
        unread: now_read.1,
        gates: Vec::new(),
        disk: BTreeMap::new(),
        run,
        fold,
    }
}

fn view(unit: &status::Unit, in_flight: i64) -> UnitView {
    let is_open = matches!(unit.state, "running" | "stopped");
    let is_catching_up = is_open && unit.pass > 1;
    // A catch-up pass reads everything again: its own progress is what there is to see.
    let (read, expected) = match is_catching_up {
        true => (unit.pass_read, unit.pass_expected),
        false => (unit.read.min(unit.expected), unit.expected),
    };
    let left = match is_open {
        true => (expected - read).max(0),
        false => 0,
    };
    let in_flight = in_flight.min(left);
    let quarantined = unit.quarantined.min(read);
    UnitView {
        unit: unit.unit.clone(),
        state: match unit.state {
            "running" if is_catching_up => format!("catching up, pass {}", unit.pass),
            state => state.to_owned(),
        },
        done: match unit.state {
            "rolled back" => 0,
            _ => read - quarantined,
        },
        in_flight,
        quarantined: unit.quarantined,
        left: left - in_flight,
        percent: match is_catching_up {
            true => percent(read, expected),
            false => unit.percent,
        },
        written: unit.written,
        rows_per_second: unit.rows_per_second.filter(|_| is_open),
        undone: (unit.removed, unit.kept),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(read: i64, expected: i64) -> f64 {
    (100.0 * read as f64 / expected.max(1) as f64).clamp(0.0, 99.9)
}

/// Rows of the batches in hand, by unit: of each process that works, as many partitions as it works on at once.
fn in_flight<'a>(run: &status::Run, fold: &'a Fold) -> BTreeMap<&'a str, i64> {
    let mut rows = BTreeMap::new();
    for process in fold.processes.iter() {
        let works = life(run, fold, process) == Life::Works;
        if !works || fold.holds.of(&process.worker).is_some() || run.state != "running" {
            continue;
        }
        let mut own: Vec<_> = fold
            .in_hand
            .iter()
            .filter(|(_, (at, worker, _))| *worker == process.worker && run.now - at <= SILENCE)
            .collect();
        own.sort_by_key(|(_, (at, _, _))| std::cmp::Reverse(*at));
        for (stream, (_, _, read)) in own.into_iter().take(process.tasks) {
            let unit = stream.split('/').next().unwrap_or_default();
            *rows.entry(unit).or_default() += *read;
        }
    }
    rows
}
