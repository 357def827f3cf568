//! The undo's steps: `undo.rs`, and `runs.rs` as far as it opens one.

use worker::core::state::{Gate, RunStatus};

use super::database::{Row, Stands, Transaction, picked};
use super::mutant::Mutant;
use super::stream::{Note, PARTITIONS};
use super::system::{Run, State};

/// Where the process that undoes the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Undoer {
    /// Nobody has asked for an undo.
    Off,
    /// It is about to look at the run.
    Looking,
    /// It has loaded the run's stream up to a seq, and has locked so many partitions.
    Fencing { seq: usize, locked: usize },
    /// So many partitions may still have batches.
    Undoing(usize),
    /// All but the COMMIT of a batch's undo is done.
    Ready { left: usize, undo: Transaction },
    /// It has loaded the run's stream up to a seq, and nothing is left to undo.
    Finishing(usize),
    /// It has ended in order.
    Over,
    /// It was killed, or ended with an error; the operator repeats the command.
    Down,
}

/// What the undo does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Looks at the run.
    Look,
    /// Locks the next partition.
    Lock,
    /// Commits `UndoStarted` and the fence.
    Fence,
    /// Removes the newest batch's rows and writes its event.
    Remove,
    /// Commits and is told so.
    Commit,
    /// Appends `UndoCompleted`.
    Append,
}

impl Undoer {
    /// How many partitions its transaction has locked from the first, and the one it has locked beside them.
    pub(super) fn is_locking(&self, partition: usize) -> bool {
        match self {
            Self::Fencing { locked, .. } => partition < *locked,
            Self::Ready {
                undo: Transaction::Batch { at, .. },
                ..
            } => *at == partition,
            _ => false,
        }
    }

    /// The step that it may take.
    pub(super) fn step(&self, run: &Run, state: &State) -> Option<Step> {
        match *self {
            Self::Off | Self::Over => None,
            // Whoever starts an undo holds the lock under which runs start.
            Self::Looking | Self::Down => (!state.is_appending()).then_some(Step::Look),
            Self::Fencing { locked, .. } if locked < PARTITIONS => {
                (!state.is_locked_by_workers(run, locked)).then_some(Step::Lock)
            }
            Self::Fencing { .. } => (!state.is_appending()).then_some(Step::Fence),
            Self::Undoing(0) => Some(Step::Look),
            Self::Undoing(left) => {
                let at = left - 1;
                let batch = newest(run, state, at).map(|seq| state.database.batch(at, seq).0);
                // It waits for the locks of its rows.
                let waits = run.mutant != Mutant::SkipLockedRows
                    && batch.is_some_and(|batch| state.is_held(at, batch));
                (!waits && !state.is_locked(run, at)).then_some(Step::Remove)
            }
            Self::Ready { .. } => Some(Step::Commit),
            Self::Finishing(_) => (!state.is_appending()).then_some(Step::Append),
        }
    }

    /// Takes the step.
    pub(super) fn take(self, step: Step, run: &Run, state: &mut State) -> Self {
        match (step, self) {
            (Step::Look, Self::Undoing(_)) => match is_accounted(state) {
                true => Self::Finishing(state.database.run.notes().len()),
                // It says so, and ends.
                false => Self::Down,
            },
            (Step::Look, _) => look(run, state),
            (Step::Lock, Self::Fencing { seq, locked }) => Self::Fencing {
                seq,
                locked: locked + 1,
            },
            (Step::Fence, Self::Fencing { seq, .. }) => {
                if state.database.run.notes().len() != seq && run.mutant != Mutant::NoSeq {
                    return Self::Looking;
                }
                let fence = match run.mutant {
                    Mutant::NoFence => Transaction::Run(Note::UndoStarted),
                    _ => Transaction::Fence,
                };
                state.database.commit(fence);
                Self::Undoing(PARTITIONS)
            }
            (Step::Remove, Self::Undoing(left)) => match remove(run, state, left - 1) {
                Some(undo) => Self::Ready { left, undo },
                None => Self::Undoing(left - 1),
            },
            (Step::Commit, Self::Ready { left, undo }) => {
                state.database.commit(undo);
                Self::Undoing(left)
            }
            (Step::Append, Self::Finishing(seq)) => {
                if state.database.run.notes().len() != seq && run.mutant != Mutant::NoSeq {
                    return Self::Looking;
                }
                state.database.commit(Transaction::Run(Note::UndoCompleted));
                Self::Over
            }
            (step, undoer) => unreachable!("{undoer:?} cannot take {step:?}"),
        }
    }

    /// The transaction whose COMMIT it may send now.
    pub(super) fn sends(&self, state: &State) -> Option<Transaction> {
        match *self {
            Self::Fencing { seq, locked } => {
                let is_due = locked == PARTITIONS && state.database.run.notes().len() == seq;
                (is_due && !state.is_appending()).then_some(Transaction::Fence)
            }
            Self::Ready { undo, .. } => Some(undo),
            Self::Finishing(seq) => {
                let is_due = state.database.run.notes().len() == seq && !state.is_appending();
                is_due.then_some(Transaction::Run(Note::UndoCompleted))
            }
            _ => None,
        }
    }

    /// Where it is after its connection broke: it looks anew.
    pub(super) fn cut(self) -> Self {
        match self {
            Self::Ready { left, .. } => Self::Undoing(left),
            Self::Finishing(_) => Self::Down,
            _ => Self::Looking,
        }
    }
}

fn look(run: &Run, state: &State) -> Undoer {
    let seq = state.database.run.notes().len();
    match state.database.status() {
        Some(RunStatus::Running | RunStatus::Completed) => Undoer::Fencing {
            seq,
            locked: match run.mutant {
                Mutant::NoFence => PARTITIONS,
                _ => 0,
            },
        },
        Some(RunStatus::Undoing) => Undoer::Undoing(PARTITIONS),
        Some(RunStatus::PartlyRolledBack | RunStatus::RolledBack) | None => Undoer::Over,
    }
}

/// A partition's newest batch with rows that is not undone.
fn newest(run: &Run, state: &State, at: usize) -> Option<u8> {
    let notes = state.database.streams[at].notes().iter();
    let undone_to = state.database.rows[at].undone_to;
    let batches = notes.zip(1..).filter_map(|(note, seq)| match note {
        Note::Batch { written, .. } if *written > 0 => Some(seq),
        _ => None,
    });
    let mut left = batches.filter(|seq| undone_to == 0 || *seq < undone_to);
    match run.mutant {
        Mutant::UndoOldestFirst => left.next(),
        _ => left.max(),
    }
}

fn remove(run: &Run, state: &State, at: usize) -> Option<Transaction> {
    let batch = newest(run, state, at)?;
    let (from, written) = state.database.batch(at, batch);
    let passed_over = state.passed_over(run, at, from);
    let (mut removed, mut kept, mut gone) = (0, 0, 0);
    for row in picked(written & !passed_over) {
        match state.database.cells[at][usize::from(from)][row].stands {
            Stands::Ours => removed |= 1 << row,
            Stands::Edited if run.mutant == Mutant::UndoIsBlind => removed |= 1 << row,
            Stands::Edited | Stands::Foreign => kept |= 1 << row,
            Stands::Nothing => gone |= 1 << row,
        }
    }
    let note = Note::Undone {
        batch,
        removed,
        kept,
        gone,
    };
    let seen = state.database.rows[at];
    let mut folded = seen.state(at);
    folded.apply(&note.event()).ok()?;
    let after = Row::of(&folded, Gate::Fenced, seen.seq + 1);
    Some(Transaction::Batch { at, note, after })
}

/// Whether all rows that were written are removed, kept or gone, as the partitions' rows say.
fn is_accounted(state: &State) -> bool {
    let mut rows = state.database.rows.iter();
    rows.all(|row| {
        let [_, written, _, removed, kept, gone] = row.totals;
        written == removed + kept + gone
    })
}
