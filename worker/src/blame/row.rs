//! What is told of a row.

use serde::Serialize;

use crate::core::event::{Cursor, Purpose};

/// Everything that the journal says of a row.
#[derive(Clone, Debug, Serialize)]
pub struct RowHistory {
    /// The table.
    pub table: String,
    /// The row's key.
    pub key: String,
    /// What stands now.
    pub standing: Standing,
    /// What it holds now in the columns that its unit writes; none where it does not stand, or values are not to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
    /// The batches that wrote it, oldest first, over all runs.
    pub wrote: Vec<Wrote>,
    /// When its source row was set aside.
    pub set_aside: Vec<SetAside>,
}

/// What stands now, against what was written last and is not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It stands as it was written last.
    AsWritten,
    /// It was edited since.
    Edited,
    /// It does not stand, and nobody of ours took it back.
    Deleted,
    /// It does not stand: it was taken back.
    TakenBack,
    /// What we overwrote is put back.
    PutBack,
    /// It stands, and nothing of ours: it is the application's own.
    Foreign,
    /// It does not stand, and nobody wrote it.
    Absent,
}

/// A column's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Value {
    /// The column.
    pub column: String,
    /// What it holds, as text, none for NULL; left out where values are not to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Option<String>>,
}

/// A batch wrote the row.
#[derive(Clone, Debug, Serialize)]
pub struct Wrote {
    /// The run.
    pub run: String,
    /// What the run was for.
    pub purpose: Purpose,
    /// The instant that the batch's pass stands for, milliseconds since 1970.
    pub as_of: i64,
    /// The unit.
    pub unit: String,
    /// Its version.
    pub version: u32,
    /// The batch's stream.
    pub stream: String,
    /// The batch's place in it.
    pub seq: i64,
    /// When it was committed, milliseconds since 1970.
    pub at: i64,
    /// The worker.
    pub worker: String,
    /// The program that the worker is; none where its stream does not say.
    pub program: Option<Program>,
    /// What it did.
    pub deed: Deed,
    /// What stood before, where something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Vec<Value>>,
    /// The last source row before the batch.
    pub from: Option<Cursor>,
    /// The last source row of the batch.
    pub to: Option<Cursor>,
    /// The source row.
    pub source: Found,
    /// What became of it when the batch was undone.
    pub undone: Option<Undone>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its version.
    pub release: String,
    /// Its process id.
    pub process: u32,
}

/// What a batch did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It inserted it.
    Inserted,
    /// It overwrote columns of it.
    Overwrote,
    /// It brought up to date what the run had inserted.
    BroughtUpToDate,
    /// It took it back, by removing it.
    Removed,
    /// It took back what had been overwritten.
    PutBack,
}

/// The source row that a row comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// This one: the batch's part of the source gives the row, read once more.
    Row {
        /// Its key in the source.
        key: String,
    },
    /// One of the batch's part of the source; which, nobody can tell now.
    InRange {
        /// Why.
        why: String,
    },
}

impl Found {
    /// The source row's key, where it is known.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Row { key } => Some(key),
            Self::InRange { .. } => None,
        }
    }
}

/// A batch was undone.
#[derive(Clone, Debug, Serialize)]
pub struct Undone {
    /// The place of the event in the batch's stream.
    pub seq: i64,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Who.
    pub worker: String,
    /// What became of the row.
    pub fate: Fate,
}

/// What an undo did with a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was removed.
    Removed,
    /// It holds again what it held before.
    PutBack,
    /// It was left alone.
    Kept {
        /// Why.
        why: String,
    },
    /// It was not there any more.
    Gone,
    /// It was removed, or was not there any more: the event counts these.
    RemovedOrGone,
    /// It was put back, or was not there any more: the event counts these.
    PutBackOrGone,
    /// It was put back where it still stood as it was written: the event counts those that did.
    PutBackIfUnchanged,
    /// It did not stand as it was written, and was left as it was.
    LeftAsItWas,
}

/// A source row was set aside.
#[derive(Clone, Debug, Serialize)]
pub struct SetAside {
    /// The run.
    pub run: String,
    /// The unit.
    pub unit: String,
    /// The source row's key.
    pub source: String,
    /// What was wrong with it.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub at: i64,
}

impl Wrote {
    /// Whether nothing has taken it back.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.undone.as_ref().map(|undone| &undone.fate) {
            None | Some(Fate::Kept { .. }) => true,
            Some(_) => false,
        }
    }
}

impl RowHistory {
    /// The same without any value, which may be personal data; the names of columns stay.
    #[must_use]
    pub fn without_values(mut self) -> Self {
        self.values = None;
        for wrote in &mut self.wrote {
            for value in wrote.before.iter_mut().flatten() {
                value.text = None;
            }
        }
        self
    }
}
