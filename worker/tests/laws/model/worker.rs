//! A worker's steps: `engine/work.rs`, `engine/partition.rs` and `engine/batch.rs`, from one look at the run to the next.

use worker::core::state::{Gate, RunStatus, UnitStatus};
use worker::projection;

use super::database::{Row, Transaction};
use super::mutant::Mutant;
use super::stream::{self, ALL, Note, PARTITIONS, Rows};
use super::system::{Fate, Run, State};

/// Where a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Worker {
    /// It is about to look at the run.
    Idle,
    /// It has read a page behind a cursor.
    Read(Page),
    /// It has begun a transaction and claimed the page's partition, whose row it has seen.
    Claimed(Page, Row),
    /// All but the COMMIT of a batch is done.
    Ready(Transaction),
    /// Its connection broke during the COMMIT.
    Unknown(Transaction, Fate),
    /// It has loaded the run's stream up to a seq, and decided on an event.
    Deciding(Note, usize),
    /// Its process has ended in order.
    Stopped,
    /// Its process was killed.
    Down,
}

/// Source rows that a worker has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Page {
    at: usize,
    from: u8,
    rows: Rows,
    /// What a mutant believes about the partition; a worker believes nothing that it did not read under its claim.
    memory: Option<Row>,
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Looks at the run; `Some`: and reads a page of this partition.
    Look(Option<usize>),
    /// Begins a batch and claims the partition.
    Claim,
    /// Writes rows, provenance, cursor and event.
    Write,
    /// Commits and is told so.
    Commit,
    /// Looks for the event of a commit that was not answered.
    Settle,
    /// Appends to the run's stream.
    Append,
    /// Is started again.
    Start,
}

impl Worker {
    /// The partition that its transaction has locked.
    pub(super) fn locks(&self, mutant: Mutant) -> Option<usize> {
        match self {
            // The row is locked at the latest when it is updated.
            Self::Claimed(page, _) if mutant != Mutant::NoLock => Some(page.at),
            Self::Ready(Transaction::Batch { at, .. })
            | Self::Unknown(Transaction::Batch { at, .. }, Fate::Open) => Some(*at),
            _ => None,
        }
    }

    /// The steps that it may take, one of which it takes.
    pub(super) fn steps(&self, run: &Run, state: &State) -> Vec<Step> {
        match self {
            Self::Idle => looks(state),
            Self::Read(_) => vec![Step::Claim],
            // An update waits for whoever has locked the row.
            Self::Claimed(page, _) => match state.is_locked_by_others(run, page.at, self) {
                true => Vec::new(),
                false => vec![Step::Write],
            },
            Self::Ready(_) => vec![Step::Commit],
            Self::Unknown(..) => vec![Step::Settle],
            // An insert waits for whoever inserts the same seq.
            Self::Deciding(..) => match state.is_appending() {
                true => Vec::new(),
                false => vec![Step::Append],
            },
            Self::Stopped => Vec::new(),
            Self::Down => vec![Step::Start],
        }
    }

    /// Takes a step.
    pub(super) fn step(self, step: Step, run: &Run, state: &mut State) -> Self {
        match (step, self) {
            (Step::Look(Some(at)), _) => read(run, state, at, state.database.rows[at].cursor, None),
            (Step::Look(None), _) => decide(state),
            (Step::Claim, Self::Read(page)) => claim(run, state, page),
            (Step::Write, Self::Claimed(page, seen)) => write(run, state, page, seen),
            (Step::Commit, Self::Ready(transaction)) => {
                state.database.commit(transaction);
                go_on(run, state, transaction)
            }
            (Step::Settle, Self::Unknown(transaction, fate)) => {
                settle(run, state, transaction, fate)
            }
            (Step::Append, Self::Deciding(note, seq)) => {
                // Another event has that seq: the decision is made anew on what it says.
                if state.database.run.notes().len() == seq || run.mutant == Mutant::NoSeq {
                    state.database.commit(Transaction::Run(note));
                }
                Self::Idle
            }
            (Step::Start, _) => start(state),
            (step, worker) => unreachable!("{worker:?} cannot take {step:?}"),
        }
    }
}

/// Each open partition may be the one that the look ends at.
fn looks(state: &State) -> Vec<Step> {
    let open = |at: &usize| state.database.rows[*at].status == projection::OPEN;
    let mut looks: Vec<_> = match state.database.status() {
        Some(RunStatus::Running) => (0..PARTITIONS).filter(open).collect(),
        _ => Vec::new(),
    }
    .into_iter()
    .map(|at| Step::Look(Some(at)))
    .collect();
    if looks.is_empty() {
        looks.push(Step::Look(None));
    }
    looks
}

/// No partition is open.
fn decide(state: &State) -> Worker {
    let seq = state.database.run.notes().len();
    match state.database.run.folded() {
        Some(run) if run.status == RunStatus::Running => {
            let mut units = run.units.values();
            match units.all(|unit| unit.status == UnitStatus::Completed) {
                true => Worker::Deciding(Note::RunCompleted, seq),
                false => Worker::Deciding(Note::UnitCompleted, seq),
            }
        }
        _ => Worker::Stopped,
    }
}

fn read(run: &Run, state: &State, at: usize, from: u8, memory: Option<Row>) -> Worker {
    Worker::Read(Page {
        at,
        from,
        rows: ALL & !state.passed_over(run, at, from),
        memory,
    })
}

fn claim(run: &Run, state: &State, page: Page) -> Worker {
    let row = state.database.rows[page.at];
    let is_locked = run.mutant != Mutant::NoLock && state.is_locked(run, page.at);
    let is_open = row.status == projection::OPEN && !is_locked;
    match (is_open, page.memory) {
        (true, Some(_)) => Worker::Claimed(page, row),
        (true, None) if row.state(page.at).cursor == stream::cursor(page.from) => {
            Worker::Claimed(page, row)
        }
        _ => Worker::Idle,
    }
}

fn write(run: &Run, state: &mut State, page: Page, seen: Row) -> Worker {
    let at = page.at;
    let seen = page.memory.unwrap_or(seen);
    let note = Note::Batch {
        from: page.from,
        read: page.rows,
        written: state.database.missing(at, page.from, page.rows),
    };
    let mut folded = seen.state(at);
    if folded.apply(&note.event()).is_err() && run.mutant != Mutant::UnknownIsFailed {
        return Worker::Stopped;
    }
    let is_taken = usize::from(seen.seq) < state.database.streams[at].notes().len();
    if is_taken && run.mutant != Mutant::NoSeq {
        return Worker::Idle;
    }
    let after = Row::of(&folded, Gate::Open, seen.seq + 1);
    match run.mutant {
        Mutant::CursorFirst => {
            state.database.rows[at].cursor = after.cursor;
            state.database.rows[at].status = after.status;
        }
        Mutant::RowsFirst => state.database.write(at, note),
        _ => {}
    }
    Worker::Ready(Transaction::Batch { at, note, after })
}

/// What follows a batch that is known, or believed, to be committed.
fn go_on(run: &Run, state: &State, transaction: Transaction) -> Worker {
    let Transaction::Batch { at, after, .. } = transaction else {
        unreachable!("a worker commits batches");
    };
    let believes = matches!(run.mutant, Mutant::FoldedFirst | Mutant::UnknownIsDone);
    match after.status == projection::OPEN {
        true => read(run, state, at, after.cursor, believes.then_some(after)),
        false => Worker::Idle,
    }
}

/// Looks for the event. What may still be committed later is left to the server: its lock tells the others.
fn settle(run: &Run, state: &mut State, transaction: Transaction, fate: Fate) -> Worker {
    let Transaction::Batch { at, note, .. } = transaction else {
        unreachable!("a worker commits batches");
    };
    let Note::Batch { from, .. } = note else {
        unreachable!("a worker commits batches");
    };
    if fate == Fate::Open {
        state.leave(transaction);
    }
    match run.mutant {
        Mutant::UnknownIsDone | Mutant::FoldedFirst => go_on(run, state, transaction),
        Mutant::UnknownIsFailed => read(run, state, at, from, Some(state.database.rows[at])),
        Mutant::NotLookedUp => read(run, state, at, from, None),
        _ if fate == Fate::Committed => go_on(run, state, transaction),
        _ => read(run, state, at, from, None),
    }
}

/// Checks the projection against the journal and mends it, as every start does.
fn start(state: &mut State) -> Worker {
    let Some(gate) = state.database.gate() else {
        return Worker::Stopped;
    };
    for at in 0..PARTITIONS {
        let stream = &state.database.streams[at];
        let Some(folded) = stream.folded() else {
            return Worker::Stopped;
        };
        let seq = u8::try_from(stream.notes().len()).expect("streams are short");
        state.database.rows[at] = Row::of(folded, gate, seq);
    }
    Worker::Idle
}
