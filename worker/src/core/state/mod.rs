//! The transitions: `apply(state, event)` gives the next state or an illegal event. Live running and replay share it.
//!
//! A run (stream `run`):
//!
//! | state | event | next |
//! |---|---|---|
//! | none | `RunStarted` | running |
//! | running | `SourceMarked`, `PartitionPlanned`, `UnitStopped`, `UnitReopened`, `IndexBuilt`, `BudgetChanged` | running |
//! | running | `UnitCompleted`, once every index is built that the unit owes | running |
//! | running | `FollowStarted`, while no unit is complete | running, followed: no unit is completed |
//! | running, followed | `AsOfAdvanced`, `UnitCaughtUp` | unchanged |
//! | running, followed | `FollowEnded` | running |
//! | running | `RunCompleted`, once every unit is complete | completed |
//! | running, completed, partly rolled back | `UndoStarted` | undoing |
//! | undoing | `UndoCompleted` | rolled back, or partly where other units stay |
//! | any | `DatabaseAdopted` | unchanged |
//!
//! A pass of a unit is planned as of the instant that the run stands for then, and a unit is complete only where its last
//! pass was as of the one that the run stands for now.
//!
//! A unit within it: pending → running (its first partition is planned) ⇄ stopped → completed; any → undone.
//!
//! A partition (its own stream):
//!
//! | state | event | next |
//! |---|---|---|
//! | open | `RowQuarantined`, `BatchCommitted` | open; done after the last batch |
//! | open, done | `BatchUndone` | undoing: nothing but `BatchUndone` may follow, from the newest batch to the oldest |
//!
//! What is wished of a run (stream `control`), and of each of its rollbacks (`control/n`):
//!
//! | state | event | next |
//! |---|---|---|
//! | going | `RunPaused` | paused |
//! | going, paused | `RunCancelled`, but of a rollback | cancelled |
//! | paused, cancelled | `RunResumed` | going |
//! | any | `SettingsChanged`, where each becomes another | unchanged |
//!
//! The runbook (stream `runbook`) collects evidence rather than passing through states: any of its events may follow any
//! other, but for those that speak of a backup, an item or a stream that it does not know. A gate's and a deep
//! validation's stream begin with their start.

mod control;
mod follow;
mod partition;
mod run;
mod runbook;
#[cfg(test)]
mod tests;
mod unit;

pub use self::control::{ControlState, Standing, Wished};
pub use self::partition::PartitionState;
pub use self::run::{RunState, RunStatus};
pub use self::runbook::RunbookState;
pub use self::unit::{Gate, UnitState, UnitStatus};

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
