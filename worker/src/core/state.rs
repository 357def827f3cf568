//! The transitions: `apply(state, event)` gives the next state or an illegal event. Live running and replay share it.
//!
//! A run (stream `run`):
//!
//! | state | event | next |
//! |---|---|---|
//! | none | `RunStarted` | running |
//! | running | `PartitionPlanned`, `UnitStopped`, `UnitReopened`, `UnitCompleted` | running |
//! | running | `RunCompleted`, once every unit is complete | completed |
//! | running, completed, partly rolled back | `UndoStarted` | undoing |
//! | undoing | `UndoCompleted` | rolled back, or partly where other units stay |
//! | any | `DatabaseAdopted` | unchanged |
//!
//! A unit within it: pending → running (its first partition is planned) ⇄ stopped → completed; any → undone.
//!
//! A partition (its own stream):
//!
//! | state | event | next |
//! |---|---|---|
//! | open | `RowQuarantined`, `BatchCommitted` | open; done after the last batch |
//! | open, done | `BatchUndone` | undoing: nothing but `BatchUndone` may follow, from the newest batch to the oldest |

use std::collections::BTreeMap;

use super::event::{BatchCommitted, Cursor, Event, PartitionPlanned, RunStarted};

/// An event that the state does not allow: a bug, or a journal that somebody changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal event {event} in state {state}: {why}")]
pub struct Illegal {
    /// The state that it met.
    pub state: String,
    /// The event's kind.
    pub event: &'static str,
    /// The rule that it breaks.
    pub why: String,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// Work is left.
    Running,
    /// Every unit is complete.
    Completed,
    /// A rollback has begun and is not finished.
    Undoing,
    /// Some units are rolled back, others stay.
    PartlyRolledBack,
    /// Nothing of it is left.
    RolledBack,
}

impl RunStatus {
    /// Whether a worker may go on with it.
    #[must_use]
    pub fn is_open(self) -> bool {
        self == Self::Running
    }

    /// The word for people and for `--json`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Undoing => "rolling back",
            Self::PartlyRolledBack => "partly rolled back",
            Self::RolledBack => "rolled back",
        }
    }
}

/// Where a unit stands within its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitStatus {
    /// Nothing is planned yet.
    Pending,
    /// Partitions are planned.
    Running,
    /// Over its error budget.
    Stopped,
    /// A catch-up pass found nothing left over.
    Completed,
    /// Rolled back.
    Undone,
}

impl UnitStatus {
    /// The word for people and for `--json`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Undone => "rolled back",
        }
    }
}

/// A unit within its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitState {
    /// Where it stands.
    pub status: UnitStatus,
    /// The pass that was planned last; 0: none.
    pub pass: i32,
    /// Source rows read when the budget began to count.
    pub budget_read: i64,
    /// Bad rows when the budget began to count.
    pub budget_quarantined: i64,
}

/// What a run's own stream folds into.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// How it started.
    pub started: RunStarted,
    /// Where it stands.
    pub status: RunStatus,
    /// Its units, by name.
    pub units: BTreeMap<String, UnitState>,
    /// Its partitions, by stream.
    pub partitions: BTreeMap<String, PartitionPlanned>,
    /// The database that it belongs to now.
    pub database: String,
    /// The share of bad rows that it tolerates now.
    pub max_bad: f64,
    /// The units that are being undone.
    pub undoing: Vec<String>,
    /// The heads of each completed unit's streams, as `UnitCompleted` says.
    pub completed: BTreeMap<String, BTreeMap<String, String>>,
}

impl RunState {
    /// The state after a stream's first event.
    ///
    /// # Errors
    /// The first event is not `RunStarted`.
    pub fn begin(event: &Event) -> Result<Self, Illegal> {
        let Event::RunStarted(started) = event else {
            return Err(Illegal {
                state: "none".into(),
                event: event.kind(),
                why: "a run begins with RunStarted".into(),
            });
        };
        let pending = UnitState {
            status: UnitStatus::Pending,
            pass: 0,
            budget_read: 0,
            budget_quarantined: 0,
        };
        let units = started.units.iter();
        Ok(Self {
            started: started.clone(),
            status: RunStatus::Running,
            units: units
                .map(|unit| (unit.name.clone(), pending.clone()))
                .collect(),
            partitions: BTreeMap::new(),
            database: started.database.clone(),
            max_bad: started.max_bad,
            undoing: Vec::new(),
            completed: BTreeMap::new(),
        })
    }

    /// The next state.
    ///
    /// # Errors
    /// The event is illegal here; the state is unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        match event {
            Event::RunStarted(_) => Err(self.illegal(event, "the run has started already")),
            Event::DatabaseAdopted { from, to } => {
                if *from != self.database {
                    return Err(self.illegal(event, "it names another database as the old one"));
                }
                self.database.clone_from(to);
                Ok(())
            }
            Event::PartitionPlanned(planned) => self.plan(event, planned),
            Event::UnitStopped {
                unit,
                read,
                quarantined,
                ..
            } => {
                let state = self.unit_in(event, unit, &[UnitStatus::Running])?;
                state.status = UnitStatus::Stopped;
                state.budget_read += read;
                state.budget_quarantined += quarantined;
                Ok(())
            }
            Event::UnitReopened { unit, max_bad } => {
                let state = self.unit_in(event, unit, &[UnitStatus::Stopped])?;
                state.status = UnitStatus::Running;
                self.max_bad = *max_bad;
                Ok(())
            }
            Event::UnitCompleted(completed) => {
                let passes = self.units.get(&completed.unit).map(|unit| unit.pass);
                if passes.is_some_and(|passes| passes != completed.passes) {
                    return Err(self.illegal(event, "it counts other passes than were planned"));
                }
                let state = self.unit_in(event, &completed.unit, &[UnitStatus::Running])?;
                state.status = UnitStatus::Completed;
                self.completed
                    .insert(completed.unit.clone(), completed.heads.clone());
                Ok(())
            }
            Event::RunCompleted { .. } => {
                if !self.status.is_open() {
                    return Err(self.illegal(event, "the run is not running"));
                }
                if let Some((name, _)) = self
                    .units
                    .iter()
                    .find(|(_, unit)| unit.status != UnitStatus::Completed)
                {
                    return Err(self.illegal(event, &format!("unit {name} is not complete")));
                }
                self.status = RunStatus::Completed;
                Ok(())
            }
            Event::UndoStarted { units, .. } => {
                if !matches!(
                    self.status,
                    RunStatus::Running | RunStatus::Completed | RunStatus::PartlyRolledBack
                ) {
                    return Err(self.illegal(event, "there is nothing to roll back"));
                }
                if let Some(unknown) = units.iter().find(|unit| !self.units.contains_key(*unit)) {
                    return Err(self.illegal(event, &format!("the run has no unit {unknown}")));
                }
                self.status = RunStatus::Undoing;
                self.undoing.clone_from(units);
                Ok(())
            }
            Event::UndoCompleted { units, .. } => {
                if self.status != RunStatus::Undoing || *units != self.undoing {
                    return Err(self.illegal(event, "another undo, or none, is under way"));
                }
                for name in std::mem::take(&mut self.undoing) {
                    if let Some(unit) = self.units.get_mut(&name) {
                        unit.status = UnitStatus::Undone;
                    }
                }
                let stays = |unit: &UnitState| {
                    !matches!(unit.status, UnitStatus::Undone | UnitStatus::Pending)
                };
                self.status = if self.units.values().any(stays) {
                    RunStatus::PartlyRolledBack
                } else {
                    RunStatus::RolledBack
                };
                Ok(())
            }
            Event::RowQuarantined { .. }
            | Event::BatchCommitted(_)
            | Event::BatchUndone(_)
            | Event::WorkerStarted { .. }
            | Event::BatchResized { .. }
            | Event::WorkerStopped { .. } => {
                Err(self.illegal(event, "it belongs to another stream"))
            }
        }
    }

    /// Whether every unit that this one depends on is complete.
    #[must_use]
    pub fn is_ready(&self, unit: &str) -> bool {
        let pins = self.started.units.iter();
        let depends_on = pins
            .filter(|pin| pin.name == unit)
            .flat_map(|pin| &pin.depends_on);
        depends_on
            .filter_map(|name| self.units.get(name))
            .all(|state| state.status == UnitStatus::Completed)
    }

    /// Whether a rollback of the unit has begun, finished or not.
    #[must_use]
    pub fn is_fenced(&self, unit: &str) -> bool {
        self.undoing.iter().any(|name| name == unit)
            || self
                .units
                .get(unit)
                .is_some_and(|state| state.status == UnitStatus::Undone)
    }

    fn plan(&mut self, event: &Event, planned: &PartitionPlanned) -> Result<(), Illegal> {
        if !self.is_ready(&planned.unit) {
            return Err(self.illegal(event, "a unit that it depends on is not complete"));
        }
        if self.partitions.contains_key(&planned.stream()) {
            return Err(self.illegal(event, "the partition is planned already"));
        }
        let allowed = [UnitStatus::Pending, UnitStatus::Running];
        let state = self.unit_in(event, &planned.unit, &allowed)?;
        if planned.pass != state.pass && planned.pass != state.pass + 1 {
            return Err(self.illegal(event, "passes are planned one after the other"));
        }
        state.pass = planned.pass;
        state.status = UnitStatus::Running;
        self.partitions.insert(planned.stream(), planned.clone());
        Ok(())
    }

    fn unit_in(
        &mut self,
        event: &Event,
        name: &str,
        allowed: &[UnitStatus],
    ) -> Result<&mut UnitState, Illegal> {
        if !self.status.is_open() {
            return Err(self.illegal(event, "the run is not running"));
        }
        let why = match self.units.get(name) {
            Some(unit) if allowed.contains(&unit.status) => None,
            Some(unit) => Some(format!("unit {name} is {}", unit.status.word())),
            None => Some(format!("the run has no unit {name}")),
        };
        let illegal = self.illegal(event, &why.clone().unwrap_or_default());
        match self.units.get_mut(name) {
            Some(unit) if why.is_none() => Ok(unit),
            _ => Err(illegal),
        }
    }

    fn illegal(&self, event: &Event, why: &str) -> Illegal {
        Illegal {
            state: self.status.word().into(),
            event: event.kind(),
            why: why.into(),
        }
    }
}

/// What a partition's stream folds into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// The range, as planned.
    pub planned: PartitionPlanned,
    /// Whether the range is exhausted.
    pub done: bool,
    /// The last source row that is accounted for.
    pub cursor: Option<Cursor>,
    /// Bad rows set aside since the last batch: their batch is still to come.
    pub pending_bad: i64,
    /// Batches committed.
    pub batches: i64,
    /// Source rows read.
    pub read: i64,
    /// Rows written.
    pub written: i64,
    /// Source rows that needed nothing.
    pub skipped: i64,
    /// Bad rows set aside.
    pub quarantined: i64,
    /// The seq of the batch that was undone last.
    pub undone_to: Option<i64>,
    /// Rows that an undo removed or put back.
    pub removed: i64,
    /// Rows that an undo left alone.
    pub kept: i64,
    /// Rows that an undo did not find any more.
    pub gone: i64,
}

impl PartitionState {
    /// The state of a partition that was just planned.
    #[must_use]
    pub fn new(planned: PartitionPlanned) -> Self {
        Self {
            planned,
            done: false,
            cursor: None,
            pending_bad: 0,
            batches: 0,
            read: 0,
            written: 0,
            skipped: 0,
            quarantined: 0,
            undone_to: None,
            removed: 0,
            kept: 0,
            gone: 0,
        }
    }

    /// The next state.
    ///
    /// # Errors
    /// The event is illegal here; the state is unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        if let Some(unit) = event.unit()
            && unit != self.planned.unit
        {
            return Err(self.illegal(event, "it names another unit"));
        }
        match event {
            Event::RowQuarantined { .. } => {
                self.accepts_batches(event)?;
                self.pending_bad += 1;
                Ok(())
            }
            Event::BatchCommitted(batch) => self.batch(event, batch),
            Event::BatchUndone(undone) => {
                if self.undone_to.is_some_and(|newest| undone.batch >= newest) {
                    return Err(self.illegal(event, "batches are undone from newest to oldest"));
                }
                self.undone_to = Some(undone.batch);
                self.removed += undone.removed;
                self.kept += i64::try_from(undone.kept.len()).unwrap_or(i64::MAX);
                self.gone += undone.gone;
                Ok(())
            }
            Event::RunStarted(_)
            | Event::DatabaseAdopted { .. }
            | Event::PartitionPlanned(_)
            | Event::UnitStopped { .. }
            | Event::UnitReopened { .. }
            | Event::UnitCompleted(_)
            | Event::RunCompleted { .. }
            | Event::UndoStarted { .. }
            | Event::UndoCompleted { .. }
            | Event::WorkerStarted { .. }
            | Event::BatchResized { .. }
            | Event::WorkerStopped { .. } => {
                Err(self.illegal(event, "it belongs to another stream"))
            }
        }
    }

    fn batch(&mut self, event: &Event, batch: &BatchCommitted) -> Result<(), Illegal> {
        self.accepts_batches(event)?;
        if batch.from != self.cursor {
            return Err(self.illegal(event, "it does not begin where the batch before ended"));
        }
        if batch.read != batch.written + batch.skips() + batch.quarantined {
            return Err(self.illegal(event, "rows read are not rows written, skipped and bad"));
        }
        if batch.quarantined != self.pending_bad {
            return Err(self.illegal(event, "it counts other bad rows than were set aside"));
        }
        if batch.provenance.is_some() != (batch.written > 0) {
            return Err(self.illegal(event, "provenance and rows written do not go together"));
        }
        self.pending_bad = 0;
        self.cursor.clone_from(&batch.to);
        self.done = batch.last;
        self.batches += 1;
        self.read += batch.read;
        self.written += batch.written;
        self.skipped += batch.skips();
        self.quarantined += batch.quarantined;
        Ok(())
    }

    fn accepts_batches(&self, event: &Event) -> Result<(), Illegal> {
        if self.done {
            return Err(self.illegal(event, "its range is exhausted"));
        }
        if self.undone_to.is_some() {
            return Err(self.illegal(event, "it is being undone"));
        }
        Ok(())
    }

    fn illegal(&self, event: &Event, why: &str) -> Illegal {
        let state = match (self.undone_to, self.done) {
            (Some(_), _) => "undoing",
            (None, true) => "done",
            (None, false) => "open",
        };
        Illegal {
            state: format!("{state} ({})", self.planned.stream()),
            event: event.kind(),
            why: why.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{PartitionState, RunState, RunStatus, UnitStatus};
    use crate::core::event::{
        BatchCommitted, BatchUndone, Event, PartitionPlanned, RunStarted, UnitCompleted,
    };
    use crate::core::plan::{Destination, UnitPin, Write};

    fn pin(name: &str, depends_on: &[&str]) -> UnitPin {
        UnitPin {
            name: name.into(),
            version: 1,
            fingerprint: String::new(),
            depends_on: depends_on.iter().map(|name| (*name).into()).collect(),
            destination: Destination {
                table: "T".into(),
                key: "id".into(),
                columns: Vec::new(),
                write: Write::Insert,
            },
            image: Vec::new(),
        }
    }

    fn run() -> RunState {
        let started = RunStarted {
            plan: String::new(),
            units: vec![pin("first", &[]), pin("second", &["first"])],
            as_of: 0,
            window_days: 90,
            max_bad: 0.001,
            inputs: Vec::new(),
            database: "here".into(),
        };
        RunState::begin(&Event::RunStarted(started)).expect("a run begins so")
    }

    fn planned(unit: &str, pass: i32, part: i32) -> Event {
        Event::PartitionPlanned(PartitionPlanned {
            unit: unit.into(),
            pass,
            section: 0,
            part,
            lower: None,
            upper: None,
            estimate: 0,
        })
    }

    fn completed(unit: &str, passes: i32) -> Event {
        Event::UnitCompleted(UnitCompleted {
            unit: unit.into(),
            passes,
            written: 0,
            quarantined: 0,
            heads: BTreeMap::new(),
        })
    }

    fn undo_started(units: &[&str]) -> Event {
        Event::UndoStarted {
            units: units.iter().map(|unit| (*unit).into()).collect(),
            reason: "a test".into(),
        }
    }

    fn undo_completed(units: &[&str]) -> Event {
        Event::UndoCompleted {
            units: units.iter().map(|unit| (*unit).into()).collect(),
            removed: 0,
            kept: 0,
            gone: 0,
        }
    }

    const DONE: Event = Event::RunCompleted {
        written: 0,
        quarantined: 0,
    };

    /// Every state is reached by the table's events, and each event that the table does not allow there is refused
    /// and changes nothing.
    #[test]
    fn a_run_follows_its_table() {
        let legal = [
            planned("first", 1, 0),
            planned("first", 1, 1),
            planned("first", 2, 0),
            completed("first", 2),
            planned("second", 1, 0),
            completed("second", 1),
            DONE,
            undo_started(&["second"]),
            undo_completed(&["second"]),
            undo_started(&["first"]),
            undo_completed(&["first"]),
        ];
        let mut state = run();
        for event in &legal {
            for other in &legal {
                let mut probe = state.clone();
                if probe.apply(other).is_err() {
                    assert_eq!(probe, state, "a refused {} changed the state", other.kind());
                }
            }
            state.apply(event).expect("the table allows it");
        }
        assert_eq!(state.status, RunStatus::RolledBack);
    }

    #[test]
    fn a_unit_waits_for_the_ones_it_depends_on() {
        let mut state = run();
        assert!(state.apply(&planned("second", 1, 0)).is_err());
        assert!(!state.is_ready("second"));
        state.apply(&planned("first", 1, 0)).expect("legal");
        state.apply(&completed("first", 1)).expect("legal");
        assert!(state.is_ready("second"));
    }

    #[test]
    fn illegal_events_are_refused() {
        let mut state = run();
        for event in [
            DONE,
            completed("first", 1),
            planned("first", 2, 0),
            planned("unknown", 1, 0),
            undo_completed(&["first"]),
            undo_started(&["unknown"]),
            Event::RunStarted(state.started.clone()),
            Event::DatabaseAdopted {
                from: "elsewhere".into(),
                to: "there".into(),
            },
            Event::WorkerStopped {
                reason: String::new(),
            },
        ] {
            let before = state.clone();
            let error = state.apply(&event).expect_err(event.kind());
            assert_eq!(error.event, event.kind());
            assert_eq!(state, before);
        }
    }

    #[test]
    fn an_undo_fences_its_units_alone() {
        let mut state = run();
        state.apply(&planned("first", 1, 0)).expect("legal");
        state.apply(&undo_started(&["first"])).expect("legal");
        assert!(state.is_fenced("first"));
        assert!(!state.is_fenced("second"));
        assert!(state.apply(&planned("first", 1, 1)).is_err());
        state.apply(&undo_completed(&["first"])).expect("legal");
        assert_eq!(state.units["first"].status, UnitStatus::Undone);
        assert_eq!(state.status, RunStatus::RolledBack);
    }

    /// A batch as a worker would commit it, from numbers.
    fn batch(from: usize, to: usize, written: i64, skipped: i64, bad: i64, last: bool) -> Event {
        let cursor = |place: usize| (place > 0).then(|| vec![place.to_string()]);
        Event::BatchCommitted(BatchCommitted {
            unit: "first".into(),
            from: cursor(from),
            to: cursor(to),
            last,
            read: written + skipped + bad,
            written,
            skipped: BTreeMap::from([("why".into(), skipped)]),
            quarantined: bad,
            provenance: (written > 0).then(String::new),
        })
    }

    fn partition() -> PartitionState {
        let Event::PartitionPlanned(planned) = planned("first", 1, 0) else {
            unreachable!("planned gives that event");
        };
        PartitionState::new(planned)
    }

    proptest! {
        /// The totals are the sums, whatever the batches; a prefix and then the rest is the whole.
        #[test]
        fn a_partition_adds_up(
            batches in prop::collection::vec((0..50i64, 0..50i64, 0..5i64), 1..20),
            cut in 0..20usize,
        ) {
            let mut events = Vec::new();
            for (place, (written, skipped, bad)) in batches.iter().enumerate() {
                for _ in 0..*bad {
                    events.push(Event::RowQuarantined {
                        unit: "first".into(),
                        key: "k".into(),
                        reason: "r".into(),
                    });
                }
                let last = place + 1 == batches.len();
                events.push(batch(place, place + 1, *written, *skipped, *bad, last));
            }
            let mut whole = partition();
            for event in &events {
                whole.apply(event).expect("legal");
            }
            let mut resumed = partition();
            let (before, after) = events.split_at(cut.min(events.len()));
            for event in before {
                resumed.apply(event).expect("legal");
            }
            let mut resumed = resumed.clone();
            for event in after {
                resumed.apply(event).expect("legal");
            }
            prop_assert_eq!(&resumed, &whole);
            prop_assert_eq!(whole.written, batches.iter().map(|batch| batch.0).sum::<i64>());
            prop_assert_eq!(whole.skipped, batches.iter().map(|batch| batch.1).sum::<i64>());
            prop_assert_eq!(whole.quarantined, batches.iter().map(|batch| batch.2).sum::<i64>());
            prop_assert_eq!(whole.read, whole.written + whole.skipped + whole.quarantined);
            prop_assert!(whole.done);
            prop_assert!(whole.apply(&batch(batches.len(), 99, 0, 0, 0, true)).is_err());
        }

        /// No batch is committed twice, out of order, with a false balance, or with bad rows that nobody set aside.
        #[test]
        fn a_false_batch_is_refused(written in 1..50i64, off in 1..5i64) {
            let mut state = partition();
            state.apply(&batch(0, 1, written, 0, 0, false)).expect("legal");
            let Event::BatchCommitted(good) = batch(1, 2, written, 0, 0, false) else {
                unreachable!("batch gives that event");
            };
            let mut skewed = good.clone();
            skewed.read += off;
            let mut unlisted = good.clone();
            unlisted.quarantined += off;
            unlisted.read += off;
            let mut unproven = good.clone();
            unproven.provenance = None;
            let mut foreign = good.clone();
            foreign.unit = "second".into();
            for event in [
                batch(0, 1, written, 0, 0, false),
                Event::BatchCommitted(skewed),
                Event::BatchCommitted(unlisted),
                Event::BatchCommitted(unproven),
                Event::BatchCommitted(foreign),
            ] {
                let before = state.clone();
                prop_assert!(state.apply(&event).is_err());
                prop_assert_eq!(&state, &before);
            }
            prop_assert!(state.apply(&Event::BatchCommitted(good)).is_ok());
        }
    }

    #[test]
    fn batches_are_undone_from_the_newest_to_the_oldest() {
        let undone = |batch| {
            Event::BatchUndone(BatchUndone {
                unit: "first".into(),
                batch,
                removed: 1,
                kept: Vec::new(),
                gone: 0,
            })
        };
        let mut state = partition();
        state.apply(&batch(0, 1, 1, 0, 0, false)).expect("legal");
        state.apply(&batch(1, 2, 1, 0, 0, false)).expect("legal");
        state.apply(&undone(2)).expect("legal");
        assert!(state.apply(&undone(2)).is_err());
        assert!(state.apply(&batch(2, 3, 1, 0, 0, false)).is_err());
        state.apply(&undone(1)).expect("legal");
        assert_eq!(state.removed, 2);
    }
}
