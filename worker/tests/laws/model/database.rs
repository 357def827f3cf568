//! The model's database: what is committed, and the transactions that are ready to be.

use worker::chain::Head;
use worker::core::state::{Gate, PartitionState, RunState, RunStatus};
use worker::projection;

use super::stream::{self, BATCHES, Note, PARTITIONS, ROWS, Rows, Stream};

/// All that is committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Database {
    /// The run's own stream.
    pub(super) run: Stream<RunState>,
    /// The partitions' streams.
    pub(super) streams: [Stream<PartitionState>; PARTITIONS],
    /// The partitions' projection.
    pub(super) rows: [Row; PARTITIONS],
    /// The destination.
    pub(super) cells: [[[Cell; ROWS]; BATCHES]; PARTITIONS],
    /// Whether a batch was committed after an undo had begun. Nobody in the model looks at it.
    pub(super) late: bool,
}

/// A partition's row: the columns that decide anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) status: &'static str,
    pub(super) seq: u8,
    pub(super) cursor: u8,
    pub(super) batches: u8,
    pub(super) undone_to: u8,
    /// Rows read, written, skipped, removed, kept and gone.
    pub(super) totals: [u8; 6],
}

/// A place in the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    pub(super) stands: Stands,
    /// How often the run wrote it. Nobody in the model looks at it.
    pub(super) writes: u8,
}

/// What stands in a place of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stands {
    /// Nothing.
    Nothing,
    /// A row that the run wrote.
    Ours,
    /// A row that the run wrote and the application has edited since.
    Edited,
    /// A row from elsewhere.
    Foreign,
}

/// A transaction of which all statements have run; only its COMMIT is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Transaction {
    /// A batch, or the undo of one: the partition, its event, its row afterwards.
    Batch { at: usize, note: Note, after: Row },
    /// `UndoStarted` and the fencing of all partitions.
    Fence,
    /// Another event of the run's own stream.
    Run(Note),
    /// A mutant's: nothing but the lock of a partition, which nobody lets go.
    Held(usize),
}

impl Row {
    /// The state that the row stands for, as [`projection::state`] reads it.
    pub(super) fn state(&self, partition: usize) -> PartitionState {
        let planned = PartitionState::new(stream::planned(partition));
        let head = Head {
            seq: self.seq.into(),
            hash: String::new(),
        };
        let mut row = projection::row("run", &planned, Gate::Open, &head, (0, 0));
        row.status = self.status.into();
        row.cursor = stream::cursor(self.cursor).map(|cursor| format!("[\"{}\"]", cursor[0]));
        row.batches = self.batches.into();
        [
            row.read,
            row.written,
            row.skipped,
            row.removed,
            row.kept,
            row.gone,
        ] = self.totals.map(i64::from);
        row.undone_to = (self.undone_to > 0).then(|| self.undone_to.into());
        projection::state(&row).expect("the model's cursors can be read")
    }

    /// The row that stands for a state, as [`projection::row`] writes it.
    pub(super) fn of(state: &PartitionState, gate: Gate, seq: u8) -> Self {
        let row = projection::row("run", state, gate, &Head::empty(), (0, 0));
        let statuses = [
            projection::OPEN,
            projection::DONE,
            projection::STOPPED,
            projection::FENCED,
        ];
        let status = statuses.into_iter().find(|status| row.status == *status);
        let small = |number: i64| u8::try_from(number).expect("the model's numbers are small");
        let cursor = state.cursor.as_ref().map(|cursor| cursor[0].parse());
        Self {
            status: status.expect("a status that the projection knows"),
            seq,
            cursor: cursor.map_or(0, |cursor| cursor.expect("the model's cursors are numbers")),
            batches: small(row.batches),
            undone_to: row.undone_to.map_or(0, small),
            totals: [
                row.read,
                row.written,
                row.skipped,
                row.removed,
                row.kept,
                row.gone,
            ]
            .map(small),
        }
    }
}

impl Database {
    /// After the planning: nothing is written, and one row from elsewhere stands in the second partition's first batch.
    pub(super) fn planned() -> Self {
        let cell = Cell {
            stands: Stands::Nothing,
            writes: 0,
        };
        let mut cells = [[[cell; ROWS]; BATCHES]; PARTITIONS];
        cells[1][0][1].stands = Stands::Foreign;
        let state = |part| PartitionState::new(stream::planned(part));
        Self {
            run: stream::run(),
            streams: std::array::from_fn(stream::partition),
            rows: std::array::from_fn(|part| Row::of(&state(part), Gate::Open, 0)),
            cells,
            late: false,
        }
    }

    /// Where the run stands; where its stream does not fold, nobody can go on.
    pub(super) fn status(&self) -> Option<RunStatus> {
        self.run.folded().map(|run| run.status)
    }

    /// Whether the run's partitions may take batches, as its stream says.
    pub(super) fn gate(&self) -> Option<Gate> {
        self.run.folded().map(|run| run.gate(stream::UNIT))
    }

    /// The rows of a page that the destination has not: those that a batch would write.
    pub(super) fn missing(&self, partition: usize, batch: u8, page: Rows) -> Rows {
        let cells = &self.cells[partition][usize::from(batch)];
        picked(page)
            .filter(|row| cells[*row].stands == Stands::Nothing)
            .fold(0, |rows, row| rows | 1 << row)
    }

    /// Makes a transaction's changes visible, all at once.
    pub(super) fn commit(&mut self, transaction: Transaction) {
        match transaction {
            Transaction::Batch { at, note, after } => {
                self.write(at, note);
                self.append(at, note);
                self.rows[at] = after;
            }
            Transaction::Fence => {
                self.run.push(Note::UndoStarted);
                for row in &mut self.rows {
                    row.status = projection::FENCED;
                }
            }
            Transaction::Run(note) => self.run.push(note),
            Transaction::Held(_) => {}
        }
    }

    /// A batch's event alone.
    pub(super) fn append(&mut self, partition: usize, note: Note) {
        let is_open = matches!(
            self.status(),
            Some(RunStatus::Running | RunStatus::Completed)
        );
        self.late |= matches!(note, Note::Batch { .. }) && !is_open;
        self.streams[partition].push(note);
    }

    /// A batch's rows alone, or the removal of them.
    pub(super) fn write(&mut self, partition: usize, note: Note) {
        match note {
            Note::Batch { from, written, .. } => {
                for row in picked(written) {
                    let cell = &mut self.cells[partition][usize::from(from)][row];
                    cell.stands = Stands::Ours;
                    cell.writes += 1;
                }
            }
            Note::Undone { batch, removed, .. } => {
                let (from, _) = self.batch(partition, batch);
                for row in picked(removed) {
                    self.cells[partition][usize::from(from)][row].stands = Stands::Nothing;
                }
            }
            Note::UnitCompleted | Note::RunCompleted | Note::UndoStarted | Note::UndoCompleted => {
                unreachable!("the run's own events write no rows")
            }
        }
    }

    /// Where a batch began, and its provenance: which rows it wrote.
    pub(super) fn batch(&self, partition: usize, seq: u8) -> (u8, Rows) {
        match self.streams[partition].notes()[usize::from(seq) - 1] {
            Note::Batch { from, written, .. } => (from, written),
            _ => unreachable!("provenance is kept for batches alone"),
        }
    }
}

/// The numbers of some rows.
pub(super) fn picked(rows: Rows) -> impl Iterator<Item = usize> {
    (0..ROWS).filter(move |row| rows & (1 << row) != 0)
}
