//! Ways to get it wrong. Each must break a promise, or the model would prove nothing.

/// What is done otherwise than by the worker and the undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mutant {
    /// Nothing.
    None,
    /// The cursor moves in a transaction of its own, ahead of its batch.
    CursorFirst,
    /// The rows are committed in a transaction of their own, ahead of their event.
    RowsFirst,
    /// A partition is read without its row being locked.
    NoLock,
    /// Rows that another transaction has locked are passed over, in the source and in the destination.
    SkipLockedRows,
    /// A worker goes on from a state in its memory, into which it folds an event before that is stored.
    FoldedFirst,
    /// An event is appended at the end of its stream, whatever its seq.
    NoSeq,
    /// A commit of unknown outcome is taken for done: the worker goes on from its memory and does not look.
    UnknownIsDone,
    /// A commit of unknown outcome is taken for failed: its batch is written again, whatever the cursor says.
    UnknownIsFailed,
    /// An undo begins without the fencing of its partitions.
    NoFence,
    /// An undo removes what it wrote, whatever has become of it since.
    UndoIsBlind,
    /// An undo begins with a partition's oldest batch.
    UndoOldestFirst,
    /// The lock of a worker that was killed stays.
    LockOutlives,
    /// A commit of unknown outcome is taken for failed, but the cursor is heeded: a defence less, and no harm done.
    NotLookedUp,
}
