//! The transitions: `apply(state, event)` gives the next state or an illegal event. Live running and replay share it.
//!
//! A run (stream `run`):
//!
//! | state | event | next |
//! |---|---|---|
//! | none | `RunStarted` | running |
//! | running | `PartitionPlanned`, `UnitStopped`, `UnitReopened`, `UnitCompleted`, `BudgetChanged` | running |
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

mod partition;
mod run;
#[cfg(test)]
mod tests;

pub use self::partition::PartitionState;
pub use self::run::{Gate, RunState, RunStatus, UnitState, UnitStatus};

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
