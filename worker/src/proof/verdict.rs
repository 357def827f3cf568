//! What is to be thought of rows that the source gives.

use crate::unit::Row;

/// What the application did to a row.
pub(crate) const DELETED: &str = "deleted since";

/// What is to be thought of a row that the source gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// We wrote it, and it is what the source gives.
    Right,
    /// It stands as we wrote it, and is not what the source gives.
    Wrong {
        /// The columns that differ.
        columns: Vec<String>,
        /// The digest of what the unit's columns held when it was looked at.
        values: u64,
    },
    /// The same in a table with triggers or rules, which may have made it so.
    Altered(Vec<String>),
    /// Nobody wrote it.
    Missing,
    /// Nobody wrote it, and it was set aside.
    SetAside,
    /// The application edited or deleted it since.
    Changed(&'static str),
    /// It stands and is the application's own.
    Foreign,
    /// Another run wrote it, as of another instant.
    Elsewhere,
    /// It stands, and nobody journaled it; or another report of the same thing was written, which counts in its own
    /// place.
    Nothing(&'static str),
}

/// What became of a source row.
#[derive(Clone, Debug)]
pub(crate) enum Judged {
    /// It gives a row.
    Row(Row, Verdict),
    /// It needs nothing.
    Skip(&'static str),
    /// It is bad, and was not set aside.
    Bad(String),
    /// It is bad, and was set aside.
    SetAside {
        /// Its key in the source, as the quarantine has it.
        key: String,
        /// What is wrong with it now.
        reason: String,
    },
}
