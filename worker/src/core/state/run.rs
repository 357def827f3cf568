//! A run: what its own stream folds into.

use std::collections::{BTreeMap, BTreeSet};

use super::Illegal;
use super::unit::{Gate, UnitState, UnitStatus};
use crate::core::event::{Event, OwedIndex, PartitionPlanned, RunStarted};

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

/// What a run's own stream folds into.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// How it started.
    pub started: RunStarted,
    /// Where it stands.
    pub status: RunStatus,
    /// The instant that it stands for now, milliseconds since 1970.
    pub as_of: i64,
    /// The units that are followed; none: the run is not.
    pub followed: BTreeSet<String>,
    /// Its units, by name.
    pub units: BTreeMap<String, UnitState>,
    /// Its partitions, by stream.
    pub partitions: BTreeMap<String, PartitionPlanned>,
    /// The database that it belongs to now.
    pub database: String,
    /// The share of bad rows that it tolerates now.
    pub max_bad: f64,
    /// The names of the indexes that it has built.
    pub built: BTreeSet<String>,
    /// The units that are being undone.
    pub undoing: Vec<String>,
    /// How many rollbacks have begun.
    pub undos: usize,
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
            instants: Vec::new(),
            is_caught_up: false,
            budget_read: 0,
            budget_quarantined: 0,
            mark: None,
            refreshed: 0,
            changed: 0,
        };
        let units = started.units.iter();
        Ok(Self {
            started: started.clone(),
            status: RunStatus::Running,
            as_of: started.as_of,
            followed: BTreeSet::new(),
            units: units
                .map(|unit| (unit.name.clone(), pending.clone()))
                .collect(),
            partitions: BTreeMap::new(),
            database: started.database.clone(),
            max_bad: started.max_bad,
            built: BTreeSet::new(),
            undoing: Vec::new(),
            undos: 0,
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
                // Transactions of another server have other numbers.
                for unit in self.units.values_mut() {
                    unit.mark = None;
                }
                Ok(())
            }
            Event::SourceMarked { unit, pass, mark } => {
                let allowed = [UnitStatus::Pending, UnitStatus::Running];
                let planned = self.units.get(unit).map(|unit| unit.pass);
                if planned.is_some_and(|planned| *pass != planned.saturating_add(1)) {
                    return Err(self.illegal(event, "passes are marked one after the other"));
                }
                let state = self.unit_in(event, unit, &allowed)?;
                state.mark = Some((*pass, mark.clone()));
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
                state.budget_read = state.budget_read.saturating_add(*read);
                state.budget_quarantined = state.budget_quarantined.saturating_add(*quarantined);
                Ok(())
            }
            Event::BudgetChanged { from, to } => {
                if !self.status.is_open() || (from - self.max_bad).abs() > f64::EPSILON {
                    return Err(self.illegal(event, "it names another budget as the old one"));
                }
                self.max_bad = *to;
                Ok(())
            }
            Event::UnitReopened { unit } => {
                let state = self.unit_in(event, unit, &[UnitStatus::Stopped])?;
                state.status = UnitStatus::Running;
                Ok(())
            }
            Event::IndexBuilt { unit, index, .. } => {
                if !self.owed(unit).any(|owed| owed.name == *index) {
                    return Err(self.illegal(event, "the unit owes no such index"));
                }
                self.unit_in(event, unit, &[UnitStatus::Running])?;
                self.built.insert(index.clone());
                Ok(())
            }
            Event::FollowStarted { .. }
            | Event::AsOfAdvanced { .. }
            | Event::UnitCaughtUp { .. }
            | Event::FollowEnded { .. } => self.follow(event),
            Event::UnitCompleted(completed) => {
                if let Some(owed) = self.owed(&completed.unit).next() {
                    let why = format!("its index {} is not built", owed.name);
                    return Err(self.illegal(event, &why));
                }
                let passes = self.units.get(&completed.unit).map(|unit| unit.pass);
                if passes.is_some_and(|passes| passes != completed.passes) {
                    return Err(self.illegal(event, "it counts other passes than were planned"));
                }
                let unit = self.units.get(&completed.unit);
                if completed.unchanged && unit.is_some_and(|unit| unit.marked().is_none()) {
                    return Err(self.illegal(event, "nobody knows what its tables held before"));
                }
                self.may_complete(event, &completed.unit)?;
                let state = self.unit_in(event, &completed.unit, &[UnitStatus::Running])?;
                state.status = UnitStatus::Completed;
                state.refreshed = completed.refreshed;
                state.changed = completed.changed;
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
                self.undos += 1;
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
            _ => Err(self.illegal(event, "it belongs to another stream")),
        }
    }

    /// The indexes that a unit owes and that are not built yet, in the order in which they are.
    pub fn owed<'a>(&'a self, unit: &'a str) -> impl Iterator<Item = &'a OwedIndex> {
        let is_owed =
            move |owed: &&OwedIndex| owed.unit == unit && !self.built.contains(&owed.name);
        self.started.indexes.iter().filter(is_owed)
    }

    /// Whether every unit that this one depends on is complete, or has caught up while the run is followed.
    #[must_use]
    pub fn is_ready(&self, unit: &str) -> bool {
        let pins = self.started.units.iter();
        let depends_on = pins
            .filter(|pin| pin.name == unit)
            .flat_map(|pin| &pin.depends_on);
        depends_on
            .filter_map(|name| self.units.get(name))
            .all(|state| {
                let is_followed = !self.followed.is_empty() && state.is_caught_up;
                state.status == UnitStatus::Completed || is_followed
            })
    }

    /// Whether partitions of the unit may take batches. A rollback of one unit fences all of them: the run is over, and
    /// another may start.
    #[must_use]
    pub fn gate(&self, unit: &str) -> Gate {
        let status = self.units.get(unit).map(|state| state.status);
        match (self.status, status) {
            (RunStatus::Running, Some(UnitStatus::Stopped)) => Gate::Stopped,
            (RunStatus::Running | RunStatus::Completed, _) => Gate::Open,
            (RunStatus::Undoing | RunStatus::PartlyRolledBack | RunStatus::RolledBack, _) => {
                Gate::Fenced
            }
        }
    }

    /// Whether the unit's rows are taken back: an undo of it is finished.
    #[must_use]
    pub fn is_undone(&self, unit: &str) -> bool {
        let unit = self.units.get(unit);
        unit.is_some_and(|state| state.status == UnitStatus::Undone)
    }

    fn plan(&mut self, event: &Event, planned: &PartitionPlanned) -> Result<(), Illegal> {
        if !self.is_ready(&planned.unit) {
            return Err(self.illegal(event, "a unit that it depends on is not complete"));
        }
        if self.partitions.contains_key(&planned.stream()) {
            return Err(self.illegal(event, "the partition is planned already"));
        }
        let as_of = self.as_of;
        let allowed = [UnitStatus::Pending, UnitStatus::Running];
        let state = self.unit_in(event, &planned.unit, &allowed)?;
        if planned.pass != state.pass && planned.pass != state.pass + 1 {
            return Err(self.illegal(event, "passes are planned one after the other"));
        }
        if planned.pass == state.pass && state.instants.last() != Some(&as_of) {
            return Err(self.illegal(event, "a pass is as of one instant"));
        }
        if planned.pass > state.pass {
            state.instants.push(as_of);
        }
        state.pass = planned.pass;
        state.status = UnitStatus::Running;
        self.partitions.insert(planned.stream(), planned.clone());
        Ok(())
    }

    pub(super) fn unit_in(
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

    pub(super) fn illegal(&self, event: &Event, why: &str) -> Illegal {
        Illegal {
            state: self.status.word().into(),
            event: event.kind(),
            why: why.into(),
        }
    }
}
