//! A run that is followed: it stays open, and the instant that it stands for moves on.

use super::{Illegal, RunState, UnitState, UnitStatus};
use crate::core::event::Event;

impl RunState {
    /// Whether it is kept open to catch up with what the application writes.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        !self.followed.is_empty()
    }

    /// The instant that a pass of a unit is as of, milliseconds since 1970; of one that is not planned, the one that the
    /// run stands for now.
    #[must_use]
    pub fn instant(&self, unit: &str, pass: i32) -> i64 {
        let unit = self.units.get(unit);
        unit.and_then(|unit| unit.instant(pass))
            .unwrap_or(self.as_of)
    }

    /// The transitions of a run's own stream that only a run has which is followed.
    pub(super) fn follow(&mut self, event: &Event) -> Result<(), Illegal> {
        if !self.status.is_open() {
            return Err(self.illegal(event, "the run is not running"));
        }
        if !matches!(event, Event::FollowStarted { .. }) && !self.is_followed() {
            return Err(self.illegal(event, "the run is not followed"));
        }
        match event {
            Event::FollowStarted { units, .. } => {
                let complete = |unit: &UnitState| unit.status == UnitStatus::Completed;
                if self.units.values().any(complete) {
                    return Err(self.illegal(event, "a unit is complete already"));
                }
                if let Some(unknown) = units.iter().find(|unit| !self.units.contains_key(*unit)) {
                    return Err(self.illegal(event, &format!("the run has no unit {unknown}")));
                }
                if units.iter().all(|unit| self.followed.contains(unit)) {
                    return Err(self.illegal(event, "these units are followed already"));
                }
                self.followed.extend(units.iter().cloned());
            }
            Event::AsOfAdvanced { from, to } => {
                if *from != self.as_of || to <= from {
                    return Err(self.illegal(event, "it does not go on from the run's instant"));
                }
                self.as_of = *to;
                // Rows are due now that were there before, and were not.
                for unit in self.units.values_mut() {
                    unit.mark = None;
                }
            }
            Event::UnitCaughtUp { unit, passes } => {
                let is_followed = self.followed.contains(unit);
                let state = self.unit_in(event, unit, &[UnitStatus::Running])?;
                if !is_followed || state.is_caught_up || state.pass < 2 || state.pass != *passes {
                    return Err(self.illegal(event, "it has made no such catch-up pass"));
                }
                state.is_caught_up = true;
            }
            Event::FollowEnded { units } => {
                if !units.iter().eq(&self.followed) {
                    return Err(self.illegal(event, "it names other units than are followed"));
                }
                self.followed.clear();
            }
            _ => return Err(self.illegal(event, "it belongs to another stream")),
        }
        Ok(())
    }

    /// Refuses to complete what is still to move on.
    pub(super) fn may_complete(&self, event: &Event, unit: &str) -> Result<(), Illegal> {
        if self.is_followed() {
            return Err(self.illegal(event, "the run is followed"));
        }
        if !self.is_ready(unit) {
            return Err(self.illegal(event, "a unit that it depends on is not complete"));
        }
        let unit = self.units.get(unit);
        let last = unit.and_then(|unit| unit.instants.last());
        if last.is_some_and(|last| *last != self.as_of) {
            return Err(self.illegal(event, "its last pass was as of an earlier instant"));
        }
        Ok(())
    }
}

impl UnitState {
    /// The instant that a pass is as of, milliseconds since 1970; none: it is not planned.
    #[must_use]
    pub fn instant(&self, pass: i32) -> Option<i64> {
        let place = usize::try_from(pass.checked_sub(1)?).ok()?;
        self.instants.get(place).copied()
    }
}
