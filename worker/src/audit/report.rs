//! What an audit found, and how it is said.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::journal;

/// What an audit found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Runs read.
    pub runs: usize,
    /// Streams read.
    pub streams: usize,
    /// Events read.
    pub events: u64,
    /// Rows of which the provenance was checked.
    pub rows: u64,
    /// The newest format of events that a newer release wrote: they are chained in order, and what they say could not
    /// be checked. None where this build knows them all.
    pub newer: Option<i32>,
    /// What is off, the first of each stream; empty where nothing is.
    pub findings: Vec<Finding>,
}

/// Something that is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The run.
    pub run: String,
    /// The stream.
    pub stream: String,
    /// The event; none where it is not one event.
    pub seq: Option<i64>,
    /// What is off.
    pub what: String,
}

impl Report {
    /// The report as an error, where something is off.
    ///
    /// # Errors
    /// [`Error::Failed`], naming the first finding. [`Error::Refused`]: a newer release wrote some of the events.
    pub fn into_result(self) -> Result<Self> {
        match (self.findings.first(), self.newer) {
            (None, None) => Ok(self),
            (None, Some(version)) => Err(journal::newer(version)),
            (Some(first), _) => Err(Error::Failed(format!("the journal is damaged: {first}"))),
        }
    }
}

impl Finding {
    /// A stream ends before a head that was kept of it.
    pub(super) fn cut(run: &str, stream: &str, end: i64, kept: i64) -> Self {
        Self {
            run: run.to_owned(),
            stream: stream.to_owned(),
            seq: Some(end + 1),
            what: format!(
                "it is missing, and all up to event {kept}, where the stream ended when its head was taken"
            ),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.run.is_empty() {
            write!(formatter, "run {} stream {}", self.run, self.stream)?;
            if let Some(seq) = self.seq {
                write!(formatter, " event {seq}")?;
            }
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.what)
    }
}
