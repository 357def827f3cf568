//! What the README promises, as properties of every moment, and what must be possible at some.

use stateright::Property;
use worker::core::state::{PartitionState, RunStatus};

use super::database::{Row, Stands, picked};
use super::stream::{BATCHES, Note, PARTITIONS, ROWS, Stream};
use super::system::{Application, Fate, Run, State};
use super::undoer::Undoer;
use super::worker::Worker;

pub(super) const ONCE: &str = "no row is written twice";
pub(super) const ALL_WRITTEN: &str = "a complete run has written every row";
pub(super) const TOGETHER: &str = "a row stands where an event says so, and nowhere else";
pub(super) const CURSOR: &str = "the cursor is the fold of the journal";
pub(super) const FOLDS: &str = "the journal folds";
pub(super) const ONE_BATCH: &str = "no batch is committed twice";
pub(super) const FENCED: &str = "no batch is committed after the fence";
pub(super) const NOTHING_LEFT: &str = "a completed undo leaves nothing of ours";
pub(super) const NOT_OURS: &str = "foreign and edited rows stand";
pub(super) const REPORTED: &str = "an undo says what became of each row";
pub(super) const NO_DEAD_END: &str = "somebody can always go on until all is over";
pub(super) const TWO_CRASHES: &str = "a run completes after two crashes";
pub(super) const EDITED: &str = "an undo completes around an edited row";

/// All of them together: one question costs the checker less than eleven.
pub(super) const KEPT: &str = "every promise is kept";

/// What is asked of a run: all promises and what must be possible, or the one promise that is watched.
pub(super) fn asked(run: &Run) -> Vec<Property<Run>> {
    match run.watched {
        Some(watched) => {
            let mut promises = promises().into_iter();
            let watched = promises.find(|promise| promise.name == watched);
            vec![watched.expect("a promise of that name")]
        }
        None => {
            let mut asked = possible();
            asked.push(Property::always(KEPT, |run, state| {
                promises()
                    .iter()
                    .all(|promise| (promise.condition)(run, state))
            }));
            asked
        }
    }
}

/// What always holds.
pub(super) fn promises() -> [Property<Run>; 11] {
    [
        Property::always(ONCE, |_, state: &State| {
            cells(state).all(|(_, writes)| writes <= 1)
        }),
        Property::always(ALL_WRITTEN, |_, state: &State| all_written(state)),
        Property::always(TOGETHER, |_, state: &State| is_together(state)),
        Property::always(CURSOR, |_, state: &State| is_fold(state)),
        Property::always(FOLDS, |_, state: &State| folds(state)),
        Property::always(ONE_BATCH, |_, state: &State| is_each_batch_one(state)),
        Property::always(FENCED, |_, state: &State| !state.database.late),
        Property::always(NOTHING_LEFT, |_, state: &State| {
            let is_ours = |(stands, _)| stands == Stands::Ours;
            !is_undone(state) || !cells(state).any(is_ours)
        }),
        Property::always(NOT_OURS, |_, state: &State| {
            let edited = match state.application {
                Application::After(Some((at, batch))) => {
                    state.database.cells[at][usize::from(batch)][0].stands == Stands::Edited
                }
                _ => true,
            };
            edited && state.database.cells[1][0][1].stands == Stands::Foreign
        }),
        Property::always(REPORTED, |_, state: &State| is_reported(state)),
        Property::always(NO_DEAD_END, |run, state: &State| {
            state.can_go_on(run) || state.is_over()
        }),
    ]
}

/// What must be possible at some moment, or a promise about it would be empty.
fn possible() -> Vec<Property<Run>> {
    vec![
        Property::sometimes("a run completes after a crash", |_, state: &State| {
            state.crashes > 0 && is_complete(state)
        }),
        Property::sometimes(TWO_CRASHES, |_, state: &State| {
            state.crashes > 1 && is_complete(state)
        }),
        Property::sometimes(
            "an undo completes after a crash in it",
            |_, state: &State| state.undo_crashed && is_undone(state),
        ),
        Property::sometimes(EDITED, |_, state: &State| {
            let is_edited = |(stands, _)| stands == Stands::Edited;
            is_undone(state) && cells(state).any(is_edited)
        }),
        Property::sometimes(
            "a commit of unknown outcome took place",
            |_, state: &State| unknown(state).any(|fate| fate == Fate::Committed),
        ),
        Property::sometimes("a commit of unknown outcome did not", |_, state: &State| {
            unknown(state).any(|fate| fate == Fate::RolledBack)
        }),
        Property::sometimes("a fence waits for a batch", |run, state: &State| {
            let Undoer::Fencing { locked, .. } = state.undoer else {
                return false;
            };
            locked < PARTITIONS && state.is_locked_by_workers(run, locked)
        }),
        Property::sometimes(
            "a killed worker's COMMIT is still under way",
            |_, state: &State| {
                let is_down = |worker: &Worker| *worker == Worker::Down;
                state.workers.iter().any(is_down) && !state.orphans.is_empty()
            },
        ),
    ]
}

/// Whether an undo or a run is over, or nothing has begun that must be.
pub(super) fn is_settled(state: &State) -> bool {
    is_complete(state) || is_undone(state)
}

fn is_complete(state: &State) -> bool {
    state.database.status() == Some(RunStatus::Completed)
}

fn is_undone(state: &State) -> bool {
    state.database.status() == Some(RunStatus::RolledBack)
}

/// What stands in each place, and how often it was written.
fn cells(state: &State) -> impl Iterator<Item = (Stands, u8)> {
    let cells = state.database.cells.iter().flatten().flatten();
    cells.map(|cell| (cell.stands, cell.writes))
}

fn unknown(state: &State) -> impl Iterator<Item = Fate> {
    let workers = state.workers.iter();
    workers.filter_map(|worker| match worker {
        Worker::Unknown(_, fate) => Some(*fate),
        _ => None,
    })
}

fn all_written(state: &State) -> bool {
    let is_there = |(stands, _)| stands != Stands::Nothing;
    !is_complete(state) || cells(state).all(is_there)
}

/// Row by row: what the journal says was written and not removed is what stands, and the reverse.
fn is_together(state: &State) -> bool {
    let mut journaled = [[[false; ROWS]; BATCHES]; PARTITIONS];
    for (at, stream) in state.database.streams.iter().enumerate() {
        for note in stream.notes() {
            match *note {
                Note::Batch { from, written, .. } => {
                    for row in picked(written) {
                        journaled[at][usize::from(from)][row] = true;
                    }
                }
                Note::Undone { batch, removed, .. } => {
                    let (from, _) = state.database.batch(at, batch);
                    for row in picked(removed) {
                        journaled[at][usize::from(from)][row] = false;
                    }
                }
                Note::UnitCompleted
                | Note::RunCompleted
                | Note::UndoStarted
                | Note::UndoCompleted => return false,
            }
        }
    }
    let ours = |stands| matches!(stands, Stands::Ours | Stands::Edited);
    let journaled = journaled.into_iter().flatten().flatten();
    cells(state)
        .zip(journaled)
        .all(|((stands, _), journaled)| ours(stands) == journaled)
}

fn is_fold(state: &State) -> bool {
    (0..PARTITIONS).all(|at| {
        let stream = &state.database.streams[at];
        let row = state.database.rows[at];
        let Some(folded) = stream.folded() else {
            return false;
        };
        let Some(gate) = state.database.gate() else {
            return false;
        };
        usize::from(row.seq) == stream.notes().len() && row == Row::of(folded, gate, row.seq)
    })
}

fn folds(state: &State) -> bool {
    let streams = &state.database.streams;
    state.database.run.folded().is_some() && streams.iter().all(|stream| stream.folded().is_some())
}

fn is_each_batch_one(state: &State) -> bool {
    let is_one = |stream: &Stream<PartitionState>| {
        (0..BATCHES).all(|batch| {
            let is_it = |note: &&Note| matches!(note, Note::Batch { from, .. } if usize::from(*from) == batch);
            stream.notes().iter().filter(is_it).count() <= 1
        })
    };
    state.database.streams.iter().all(is_one)
}

/// Of each batch that is undone, each row is removed, kept or gone; once an undo is complete, that is each batch.
fn is_reported(state: &State) -> bool {
    let database = &state.database;
    (0..PARTITIONS).all(|at| {
        let notes = database.streams[at].notes();
        let undone = |seq: u8| {
            let mut notes = notes.iter().filter_map(|note| match note {
                Note::Undone {
                    batch,
                    removed,
                    kept,
                    gone,
                } if *batch == seq => Some(removed | kept | gone),
                _ => None,
            });
            notes.next()
        };
        notes.iter().zip(1..).all(|(note, seq)| match note {
            Note::Batch { written, .. } => match undone(seq) {
                Some(rows) => rows == *written,
                None => *written == 0 || !is_undone(state),
            },
            _ => true,
        })
    })
}
