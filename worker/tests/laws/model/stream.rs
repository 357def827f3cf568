//! The model's journal: events as few bytes as tell them apart, and the real events and states that they stand for.
//! What is legal, and what a stream folds into, only [`worker::core`] says.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use worker::core::event::{
    BatchCommitted, BatchUndone, Cursor, Event, Kept, PartitionPlanned, RunStarted, UnitCompleted,
};
use worker::core::plan::{Destination, UnitPin, Write};
use worker::core::state::{Illegal, PartitionState, RunState};

/// Partitions of the run.
pub(super) const PARTITIONS: usize = 2;
/// Batches of each partition.
pub(super) const BATCHES: usize = 2;
/// Source rows of each batch, each of which gives one destination row.
pub(super) const ROWS: usize = 2;
/// The one unit.
pub(super) const UNIT: &str = "unit";

/// Some rows of a batch, a bit each.
pub(super) type Rows = u8;

/// Every row of a batch.
pub(super) const ALL: Rows = (1 << ROWS) - 1;

/// An event. `RunStarted` and the partitions' planning go without saying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Note {
    /// `UnitCompleted`.
    UnitCompleted,
    /// `RunCompleted`.
    RunCompleted,
    /// `UndoStarted`.
    UndoStarted,
    /// `UndoCompleted`.
    UndoCompleted,
    /// `BatchCommitted`: the rows behind a cursor, those of them that were read, and those that were written.
    Batch { from: u8, read: Rows, written: Rows },
    /// `BatchUndone`: which batch, and which of its rows were removed, kept and gone.
    Undone {
        batch: u8,
        removed: Rows,
        kept: Rows,
        gone: Rows,
    },
}

impl Note {
    /// The event that a worker would append.
    pub(super) fn event(self) -> Event {
        match self {
            Self::UnitCompleted => Event::UnitCompleted(UnitCompleted {
                unit: UNIT.into(),
                passes: 1,
                written: 0,
                quarantined: 0,
                refreshed: 0,
                changed: 0,
                heads: BTreeMap::new(),
                unchanged: false,
            }),
            Self::RunCompleted => Event::RunCompleted {
                written: 0,
                quarantined: 0,
            },
            Self::UndoStarted => Event::UndoStarted {
                units: vec![UNIT.into()],
                reason: String::new(),
            },
            Self::UndoCompleted => Event::UndoCompleted {
                units: vec![UNIT.into()],
                removed: 0,
                kept: 0,
                gone: 0,
            },
            Self::Batch {
                from,
                read,
                written,
            } => {
                let [read, written] = [read, written].map(|rows| i64::from(rows.count_ones()));
                Event::BatchCommitted(BatchCommitted {
                    unit: UNIT.into(),
                    from: cursor(from),
                    to: cursor(from + 1),
                    last: usize::from(from + 1) == BATCHES,
                    read,
                    written,
                    refreshed: 0,
                    skipped: BTreeMap::from([("already there".into(), read - written)]),
                    quarantined: 0,
                    provenance: (written > 0).then(String::new),
                    millis: None,
                })
            }
            Self::Undone {
                batch,
                removed,
                kept,
                gone,
            } => {
                let row = Kept {
                    key: String::new(),
                    why: String::new(),
                };
                Event::BatchUndone(BatchUndone {
                    unit: UNIT.into(),
                    batch: batch.into(),
                    removed: removed.count_ones().into(),
                    kept: vec![row; kept.count_ones() as usize],
                    gone: gone.count_ones().into(),
                    restored: 0,
                })
            }
        }
    }
}

/// The cursor behind so many batches.
pub(super) fn cursor(batches: u8) -> Option<Cursor> {
    (batches > 0).then(|| vec![batches.to_string()])
}

/// A partition, as it is planned.
pub(super) fn planned(partition: usize) -> PartitionPlanned {
    PartitionPlanned {
        unit: UNIT.into(),
        pass: 1,
        section: 0,
        part: i32::try_from(partition).expect("few partitions"),
        lower: None,
        upper: None,
        estimate: 0,
    }
}

/// A stream, and what it folds into; that is all its notes' doing, so two streams of one content are one.
#[derive(Clone)]
pub(super) struct Stream<S> {
    notes: Vec<Note>,
    folded: Result<Arc<S>, Illegal>,
}

/// What events fold into.
pub(super) trait Fold: Clone {
    /// The transition of the worker's core.
    fn fold(&mut self, event: &Event) -> Result<(), Illegal>;
}

impl Fold for RunState {
    fn fold(&mut self, event: &Event) -> Result<(), Illegal> {
        self.apply(event)
    }
}

impl Fold for PartitionState {
    fn fold(&mut self, event: &Event) -> Result<(), Illegal> {
        self.apply(event)
    }
}

impl<S: Fold> Stream<S> {
    /// Appends an event, whether it is legal or not: what is not makes the stream one that does not fold.
    pub(super) fn push(&mut self, note: Note) {
        self.notes.push(note);
        self.folded = self.folded.clone().and_then(|state| {
            let mut state = (*state).clone();
            state.fold(&note.event())?;
            Ok(Arc::new(state))
        });
    }

    /// Its events.
    pub(super) fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// What it folds into; none where it does not.
    pub(super) fn folded(&self) -> Option<&S> {
        self.folded.as_deref().ok()
    }
}

impl<S> fmt::Debug for Stream<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.notes.fmt(formatter)
    }
}

impl<S> PartialEq for Stream<S> {
    fn eq(&self, other: &Self) -> bool {
        self.notes == other.notes
    }
}

impl<S> Eq for Stream<S> {}

impl<S> Hash for Stream<S> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.notes.hash(hasher);
    }
}

/// The run's own stream, once its partitions are planned.
pub(super) fn run() -> Stream<RunState> {
    let mut state = RunState::begin(&Event::RunStarted(started())).expect("a run begins so");
    for partition in 0..PARTITIONS {
        let planned = Event::PartitionPlanned(planned(partition));
        state.apply(&planned).expect("the core plans partitions");
    }
    Stream {
        notes: Vec::new(),
        folded: Ok(Arc::new(state)),
    }
}

/// A partition's stream, once it is planned.
pub(super) fn partition(partition: usize) -> Stream<PartitionState> {
    Stream {
        notes: Vec::new(),
        folded: Ok(Arc::new(PartitionState::new(planned(partition)))),
    }
}

fn started() -> RunStarted {
    RunStarted {
        plan: String::new(),
        units: vec![UnitPin {
            name: UNIT.into(),
            version: 1,
            fingerprint: String::new(),
            depends_on: Vec::new(),
            destination: Destination {
                table: "T".into(),
                key: "id".into(),
                columns: Vec::new(),
                write: Write::Insert,
            },
            image: Vec::new(),
        }],
        as_of: 0,
        window_days: 90,
        max_bad: 0.001,
        inputs: Vec::new(),
        missing: Vec::new(),
        database: "here".into(),
        indexes: Vec::new(),
        repairs: None,
    }
}
