//! What a run is likely to do: rows, bytes, time. From a sample that is only read, or from a rehearsal.

mod planned;
mod rehearsal;
mod sample;
mod time;
mod told;

use serde::Serialize;

use crate::core::event::PlanRehearsed;

pub(crate) use self::planned::rehearsal;
pub use self::planned::{Planned, SchemaChange, Statement, UnitPlanned, planned};
pub use self::rehearsal::{Order, rehearse};
pub use self::sample::sample;
pub use self::time::Range;
pub use self::told::{Change, Column, Rehearsal, Shown};

/// A unit, as a sample of its source has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The unit.
    pub unit: String,
    /// Source rows of all its sections.
    pub source_rows: i64,
    /// Whether there may be more of them: of a file, only what was read is known.
    pub is_at_least: bool,
    /// Whether rows could be read; until the schema is applied, a unit may read columns that are not there yet. Nothing
    /// but the rows of the source is known then, and each is taken to give one row.
    pub is_sampled: bool,
    /// Source rows that were read for it.
    pub read: i64,
    /// Bad rows among these.
    pub bad: i64,
    /// Rows that the whole unit is likely to write, or to find there.
    pub rows: i64,
    /// Bytes that they are likely to take, indexes and provenance included.
    pub bytes: i64,
}

/// What a run needs, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Need {
    /// For its rows, on disk.
    pub rows: i64,
    /// For the write-ahead log, as long as somebody keeps it.
    pub wal: i64,
}

impl Need {
    /// What units need together. The log has each row twice over: itself, and the page that it is the first to change
    /// after a checkpoint.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Self {
        let rows = samples.iter().map(|sample| sample.bytes).sum();
        Self {
            rows,
            wal: 2 * rows,
        }
    }

    /// The same as a rehearsal has measured it.
    #[must_use]
    pub fn measured(rehearsed: &PlanRehearsed) -> Self {
        let units = rehearsed.units.values();
        Self {
            rows: units.clone().map(|unit| unit.bytes).sum(),
            wal: units.filter_map(|unit| unit.wal).sum(),
        }
    }
}
