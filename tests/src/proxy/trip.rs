//! When a fault is to strike, and what it is.

use std::time::Duration;

use super::frame::Side;
use super::watch::{State, Step};

/// Which connections are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The one whose message was the last that was counted.
    One,
    /// All of the proxy's.
    All,
}

/// Which messages are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Every one.
    Anything,
    /// Those that pass while their connection is at this step.
    Step(Step),
    /// Those of a transaction, from its BEGIN to the answer to its COMMIT.
    Transaction(Transaction),
    /// Those of a transaction that pass while it is at this step.
    StepOf(Transaction, Step),
}

/// A transaction of the proxy's, counted from 1. Batches are counted by themselves: how many other transactions have begun
/// before one depends on how soon the pages after it are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// A batch.
    Batch(u64),
    /// Any other.
    Other(u64),
}

/// What is done once the last message was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connections are closed to both sides.
    Cut(Reach),
    /// The message itself passes only in part, and its connection is cut.
    CutWithin,
    /// Nothing passes any more on this connection, until the proxy is told to go on.
    Hold,
    /// Nothing passes on this connection for a while.
    Stall(Duration),
    /// The connection is closed to one side, while the other is left in the belief that it stands, for a while.
    HalfOpen(Side, Duration),
    /// Nothing: whoever armed it is told.
    Tell,
}

/// A fault that waits for its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Whose messages are counted; none: both sides'.
    pub side: Option<Side>,
    /// Which of them.
    pub within: Within,
    /// After how many it strikes, from 1.
    pub after: u64,
    /// What it does.
    pub action: Action,
}

/// What a fault met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struck {
    /// What the connection was at that it struck.
    pub state: State,
    /// The type of the last message that passed.
    pub last: u8,
    /// How many connections it struck.
    pub connections: usize,
}

impl Trip {
    /// Whether a message is one of those that are counted.
    #[must_use]
    pub(super) fn counts(
        &self,
        side: Side,
        state: State,
        transaction: Option<Transaction>,
    ) -> bool {
        let is_meant = match self.within {
            Within::Anything => true,
            Within::Step(step) => state.step == step,
            Within::Transaction(number) => transaction == Some(number),
            Within::StepOf(number, step) => transaction == Some(number) && state.step == step,
        };
        is_meant && self.side.is_none_or(|wanted| wanted == side)
    }
}
