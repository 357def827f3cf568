//! A unit within a run: where it stands, and what its partitions may take.

use crate::core::event::Mark;

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

/// Whether a partition may take batches, as far as its run and unit are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// Not until its unit is reopened.
    Stopped,
    /// Never again: a rollback has begun.
    Fenced,
}

/// A unit within its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitState {
    /// Where it stands.
    pub status: UnitStatus,
    /// The pass that was planned last; 0: none.
    pub pass: i32,
    /// The instant that each of its passes is as of, milliseconds since 1970.
    pub instants: Vec<i64>,
    /// Whether it has made a catch-up pass while the run was followed.
    pub is_caught_up: bool,
    /// Source rows read when the budget began to count.
    pub budget_read: i64,
    /// Bad rows when the budget began to count.
    pub budget_quarantined: i64,
    /// Once it is complete: how often rows were brought up to date.
    pub refreshed: i64,
    /// Once it is complete: rows whose source has changed, left alone as the application changed them since.
    pub changed: i64,
    /// What its tables held just before a pass was planned: the last mark, and its pass.
    pub mark: Option<(i32, Mark)>,
}

impl UnitState {
    /// What its tables held just before its last pass was planned, where that is known.
    #[must_use]
    pub fn marked(&self) -> Option<&Mark> {
        let (pass, mark) = self.mark.as_ref()?;
        (*pass == self.pass).then_some(mark)
    }
}
