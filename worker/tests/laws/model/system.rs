//! The model as a whole: workers, an undo, the application, the server that may yet commit what a lost connection had
//! sent, and the faults.

use std::hash::{Hash, Hasher};

use stateright::{Model, Property};

use super::database::{Database, Stands, Transaction};
use super::mutant::Mutant;
use super::promises;
use super::stream::{Note, PARTITIONS, Rows};
use super::undoer::{self, Undoer};
use super::worker::{self, Worker};

/// Workers, at most.
const WORKERS: usize = 3;

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Up to [`WORKERS`].
    pub(super) workers: usize,
    /// Processes killed, at most.
    pub(super) crashes: u8,
    /// Connections lost during a COMMIT, at most.
    pub(super) cuts: u8,
    /// Whether the application edits a row.
    pub(super) application: bool,
    pub(super) mutant: Mutant,
    /// The one promise that is looked at; none: all.
    pub(super) watched: Option<&'static str>,
}

/// A moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) database: Database,
    pub(super) workers: [Worker; WORKERS],
    pub(super) undoer: Undoer,
    /// Transactions whose COMMIT was sent on a connection that is lost: the server commits them or not, at any time.
    pub(super) orphans: Vec<Transaction>,
    pub(super) application: Application,
    pub(super) crashes: u8,
    pub(super) cuts: u8,
    /// Whether the undo was killed. Nobody in the model looks at it.
    pub(super) undo_crashed: bool,
}

/// What has become of a COMMIT that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fate {
    /// The server has not decided.
    Open,
    /// It is committed.
    Committed,
    /// It is rolled back.
    RolledBack,
}

/// The live application's one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Application {
    /// It has not begun.
    Before,
    /// It has locked the first row of a batch (a partition's first one, for the model's sake): in the source, and in the
    /// destination where it is there.
    Holding(usize, u8),
    /// It has ended; `Some`: and has edited that row in the destination.
    After(Option<(usize, u8)>),
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Worker(usize, worker::Step),
    /// A worker's connection breaks during its COMMIT.
    Cut(usize),
    /// A worker is killed, between two statements.
    Kill(usize),
    /// A worker is killed during its COMMIT.
    KillInCommit(usize),
    /// The server ends the COMMIT of a worker that has lost its connection.
    Decide(usize, Fate),
    /// The server ends the COMMIT of nobody.
    DecideOrphan(usize, Fate),
    /// Somebody asks for an undo.
    Ask,
    Undo(undoer::Step),
    CutUndo,
    KillUndo,
    KillUndoInCommit,
    Touch(usize, u8),
    /// The application ends its transaction; `true`: it has edited the row.
    Release(bool),
}

impl Action {
    /// Whether nobody may count on it: a fault, or somebody's wish.
    pub(super) fn is_idle(self) -> bool {
        match self {
            Self::Cut(_)
            | Self::Kill(_)
            | Self::KillInCommit(_)
            | Self::CutUndo
            | Self::KillUndo
            | Self::KillUndoInCommit
            | Self::Ask
            | Self::Touch(..) => true,
            Self::Worker(..)
            | Self::Decide(..)
            | Self::DecideOrphan(..)
            | Self::Undo(_)
            | Self::Release(_) => false,
        }
    }
}

/// Workers are alike: two moments that differ in which of them does what are one.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut workers = self.workers;
        workers.sort_unstable();
        workers.hash(hasher);
        self.database.hash(hasher);
        self.undoer.hash(hasher);
        self.orphans.hash(hasher);
        self.application.hash(hasher);
        (self.crashes, self.cuts, self.undo_crashed).hash(hasher);
    }
}

impl State {
    /// Whether anybody has locked a partition.
    pub(super) fn is_locked(&self, run: &Run, at: usize) -> bool {
        self.is_locked_by_workers(run, at) || self.undoer.is_locking(at)
    }

    /// Whether a worker, or a transaction of nobody, has locked a partition.
    pub(super) fn is_locked_by_workers(&self, run: &Run, at: usize) -> bool {
        let locks = |worker: &Worker| worker.locks(run.mutant) == Some(at);
        self.workers.iter().any(locks) || self.is_locked_by_orphans(at)
    }

    /// Whether anybody but this worker has locked a partition.
    pub(super) fn is_locked_by_others(&self, run: &Run, at: usize, worker: &Worker) -> bool {
        let locks = |worker: &&Worker| worker.locks(run.mutant) == Some(at);
        let own = usize::from(locks(&worker));
        self.workers.iter().filter(locks).count() > own
            || self.is_locked_by_orphans(at)
            || self.undoer.is_locking(at)
    }

    fn is_locked_by_orphans(&self, at: usize) -> bool {
        self.orphans.iter().any(|orphan| match orphan {
            Transaction::Batch { at: locked, .. } => *locked == at,
            Transaction::Held(locked) => *locked == at,
            Transaction::Fence => true,
            Transaction::Run(_) => false,
        })
    }

    /// Whether an insert into the run's stream is neither committed nor rolled back.
    pub(super) fn is_appending(&self) -> bool {
        let is_append =
            |orphan: &Transaction| matches!(orphan, Transaction::Fence | Transaction::Run(_));
        self.orphans.iter().any(is_append)
    }

    /// Leaves a transaction to the server.
    pub(super) fn leave(&mut self, transaction: Transaction) {
        self.orphans.push(transaction);
        self.orphans.sort_unstable();
    }

    /// Whether the application has locked a row of a batch.
    pub(super) fn is_held(&self, at: usize, batch: u8) -> bool {
        self.application == Application::Holding(at, batch)
    }

    /// The rows of a batch that a reader passes over, as it should not, because somebody has locked them.
    pub(super) fn passed_over(&self, run: &Run, at: usize, batch: u8) -> Rows {
        Rows::from(run.mutant == Mutant::SkipLockedRows && self.is_held(at, batch))
    }

    /// Whether somebody can do something without a fault and without anybody's wish.
    pub(super) fn can_go_on(&self, run: &Run) -> bool {
        let can_step = |worker: &Worker| !worker.steps(run, self).is_empty();
        let is_decided = |orphan: &Transaction| !matches!(orphan, Transaction::Held(_));
        self.workers.iter().any(can_step)
            || self.orphans.iter().any(is_decided)
            || matches!(self.application, Application::Holding(..))
            || self.undoer.step(run, self).is_some()
    }

    /// Whether all is over: nobody has anything left to do.
    pub(super) fn is_over(&self) -> bool {
        let ended = |worker: &Worker| matches!(worker, Worker::Stopped);
        self.workers.iter().all(ended)
            && matches!(self.undoer, Undoer::Off | Undoer::Over)
            && self.orphans.is_empty()
            && promises::is_settled(self)
    }
}

impl Model for Run {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut workers = [Worker::Stopped; WORKERS];
        workers[..self.workers].fill(Worker::Idle);
        vec![State {
            database: Database::planned(),
            workers,
            undoer: Undoer::Off,
            orphans: Vec::new(),
            application: Application::Before,
            crashes: 0,
            cuts: 0,
            undo_crashed: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let may_cut = state.cuts < self.cuts;
        let may_kill = state.crashes < self.crashes;
        for (place, worker) in state.workers.iter().enumerate() {
            let steps = worker.steps(self, state).into_iter();
            actions.extend(steps.map(|step| Action::Worker(place, step)));
            let sends = sends(self, state, worker).is_some();
            if sends && may_cut {
                actions.push(Action::Cut(place));
            }
            if sends && may_kill {
                actions.push(Action::KillInCommit(place));
            }
            if may_kill && !matches!(worker, Worker::Stopped | Worker::Down) {
                actions.push(Action::Kill(place));
            }
            if matches!(worker, Worker::Unknown(_, Fate::Open)) {
                actions.push(Action::Decide(place, Fate::Committed));
                actions.push(Action::Decide(place, Fate::RolledBack));
            }
        }
        for (place, orphan) in state.orphans.iter().enumerate() {
            if matches!(orphan, Transaction::Held(_)) {
                continue;
            }
            actions.push(Action::DecideOrphan(place, Fate::Committed));
            actions.push(Action::DecideOrphan(place, Fate::RolledBack));
        }
        if state.undoer == Undoer::Off {
            actions.push(Action::Ask);
        }
        actions.extend(state.undoer.step(self, state).map(Action::Undo));
        let sends = state.undoer.sends(state).is_some();
        if sends && may_cut {
            actions.push(Action::CutUndo);
        }
        if sends && may_kill {
            actions.push(Action::KillUndoInCommit);
        }
        if may_kill && !matches!(state.undoer, Undoer::Off | Undoer::Over | Undoer::Down) {
            actions.push(Action::KillUndo);
        }
        match state.application {
            Application::Before if self.application => {
                let free = (0..PARTITIONS).filter(|at| !is_being_undone(state, *at, 0));
                actions.extend(free.map(|at| Action::Touch(at, 0)));
            }
            Application::Before | Application::After(_) => {}
            Application::Holding(..) => {
                actions.extend([Action::Release(true), Action::Release(false)]);
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Worker(place, step) => {
                next.workers[place] = state.workers[place].step(step, self, &mut next);
            }
            Action::Cut(place) => {
                next.cuts += 1;
                let worker = state.workers[place];
                next.workers[place] = match worker {
                    Worker::Ready(transaction) => Worker::Unknown(transaction, Fate::Open),
                    _ => {
                        next.leave(sends(self, state, &worker)?);
                        Worker::Idle
                    }
                };
            }
            Action::Kill(place) => {
                next.crashes += 1;
                let worker = state.workers[place];
                match (worker, worker.locks(self.mutant)) {
                    (Worker::Unknown(transaction, Fate::Open), _) => next.leave(transaction),
                    (_, Some(at)) if self.mutant == Mutant::LockOutlives => {
                        next.leave(Transaction::Held(at));
                    }
                    _ => {}
                }
                next.workers[place] = Worker::Down;
            }
            Action::KillInCommit(place) => {
                next.crashes += 1;
                next.leave(sends(self, state, &state.workers[place])?);
                next.workers[place] = Worker::Down;
            }
            Action::Decide(place, fate) => {
                let Worker::Unknown(transaction, _) = state.workers[place] else {
                    return None;
                };
                if fate == Fate::Committed {
                    next.database.commit(transaction);
                }
                next.workers[place] = Worker::Unknown(transaction, fate);
            }
            Action::DecideOrphan(place, fate) => {
                let orphan = next.orphans.remove(place);
                if fate == Fate::Committed {
                    next.database.commit(orphan);
                }
            }
            Action::Ask => next.undoer = Undoer::Looking,
            Action::Undo(step) => next.undoer = state.undoer.take(step, self, &mut next),
            Action::CutUndo => {
                next.cuts += 1;
                next.leave(state.undoer.sends(state)?);
                next.undoer = state.undoer.cut();
            }
            Action::KillUndo => {
                next.crashes += 1;
                next.undo_crashed = true;
                next.undoer = Undoer::Down;
            }
            Action::KillUndoInCommit => {
                next.crashes += 1;
                next.undo_crashed = true;
                next.leave(state.undoer.sends(state)?);
                next.undoer = Undoer::Down;
            }
            Action::Touch(at, batch) => next.application = Application::Holding(at, batch),
            Action::Release(edits) => {
                let Application::Holding(at, batch) = state.application else {
                    return None;
                };
                let cell = &mut next.database.cells[at][usize::from(batch)][0];
                let edited = edits && cell.stands == Stands::Ours;
                if edited {
                    cell.stands = Stands::Edited;
                }
                next.application = Application::After(edited.then_some((at, batch)));
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::asked(self)
    }
}

/// The transaction whose COMMIT a worker may send now.
fn sends(run: &Run, state: &State, worker: &Worker) -> Option<Transaction> {
    match worker {
        Worker::Ready(transaction) => Some(*transaction),
        Worker::Deciding(note, seq) => {
            let is_due = state.database.run.notes().len() == *seq || run.mutant == Mutant::NoSeq;
            (is_due && !state.is_appending()).then_some(Transaction::Run(*note))
        }
        _ => None,
    }
}

/// Whether an undo that is not committed has locked a batch's rows.
fn is_being_undone(state: &State, at: usize, batch: u8) -> bool {
    let undoes = |transaction: &Transaction| match transaction {
        Transaction::Batch {
            at: other,
            note: Note::Undone { batch: seq, .. },
            ..
        } => *other == at && state.database.batch(at, *seq).0 == batch,
        _ => false,
    };
    let ready = match &state.undoer {
        Undoer::Ready { undo, .. } => undoes(undo),
        _ => false,
    };
    ready || state.orphans.iter().any(undoes)
}
