//! What the events of runs hold: of the run itself, of its partitions and of its units.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::scope::Scope;
use crate::core::plan::{Destination, UnitPin};

/// Everything that a resume depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The plan's fingerprint.
    pub plan: String,
    /// What each unit was at the time, in the plan's order.
    pub units: Vec<UnitPin>,
    /// The instant that the run stands for, milliseconds since 1970, UTC.
    pub as_of: i64,
    /// How many days before `as_of` the sources are taken from.
    pub window_days: u32,
    /// The share of bad rows that is tolerated, 0 to 1.
    pub max_bad: f64,
    /// Files that units read, with their digests.
    pub inputs: Vec<Input>,
    /// Optional tables that the database lacks, in order: what they would bring is not part of the run.
    pub missing: Vec<String>,
    /// The database's identity.
    pub database: String,
    /// The indexes of its destinations that were left out when those were made: it builds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<OwedIndex>,
    /// What the run repairs, where it brings nothing of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repairs: Option<Repairs>,
}

/// An index that a run owes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedIndex {
    /// The unit that is not complete without it: the last of those that write to its table.
    pub unit: String,
    /// The table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The statement that makes it without keeping others from writing.
    pub sql: String,
}

/// What a run repairs: rows of another run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repairs {
    /// The other run.
    pub run: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// Whether it tries again what the other run set aside, and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub set_aside: bool,
    /// What it takes back of the other run, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_back: Option<Scope>,
    /// Whether it then writes again what it has taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To write what its sources give.
    Backfill,
    /// To rewrite what another run wrote wrong, and to write what is missing.
    Repair,
    /// To try again what another run set aside.
    Replay,
    /// To take back a part of what another run wrote.
    Undo,
    /// To take back a part of what another run wrote, and to write it again.
    Redo,
}

impl Purpose {
    /// The command that begins such a run, and goes on with it.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Backfill => "worker run",
            Self::Repair => "cli repair",
            Self::Replay => "cli quarantine replay",
            Self::Undo => "cli rollback",
            Self::Redo => "cli redo",
        }
    }
}

impl Repairs {
    /// What such a run is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match (&self.takes_back, self.again, self.set_aside) {
            (Some(_), false, _) => Purpose::Undo,
            (Some(_), true, _) => Purpose::Redo,
            (None, _, true) => Purpose::Replay,
            (None, _, false) => Purpose::Repair,
        }
    }
}

/// A file that a unit reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its absolute path.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub digest: String,
}

/// A key range to be worked through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPlanned {
    /// The unit.
    pub unit: String,
    /// The pass over the source, from 1; passes from 2 catch up.
    pub pass: i32,
    /// The section of the unit's source, from 0; sections are worked through in order.
    pub section: i32,
    /// The part of the section, from 0.
    pub part: i32,
    /// The lower end, excluded; none: from the start.
    pub lower: Option<String>,
    /// The upper end, included; none: to the end.
    pub upper: Option<String>,
    /// Source rows expected; for progress only.
    pub estimate: i64,
}

impl PartitionPlanned {
    /// The partition's stream.
    #[must_use]
    pub fn stream(&self) -> String {
        format!("{}/{}.{}.{}", self.unit, self.pass, self.section, self.part)
    }
}

/// What a unit's tables hold at an instant, as far as it takes to tell whether anything has changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// PostgreSQL's oldest transaction that had not ended: what an older one wrote stood then, and what any other writes
    /// is not older. 64 bits, in decimal.
    pub oldest: String,
    /// Rows, by table: those that the unit reads, and its destination.
    pub rows: BTreeMap<String, i64>,
    /// Tells the server's life from those before and after a crash of it. Marks of older releases have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
}

/// A batch, as it was committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchCommitted {
    /// The unit.
    pub unit: String,
    /// The cursor before: the last source row accounted for by then.
    pub from: Option<Cursor>,
    /// The cursor after.
    pub to: Option<Cursor>,
    /// Whether the partition's range is exhausted.
    pub last: bool,
    /// Source rows read; each is among the four below. So are rows that are computed from many source rows, which are
    /// none of those read.
    pub read: i64,
    /// Rows written.
    pub written: i64,
    /// Rows that an earlier batch of the run wrote and this one brought up to date, as their source has changed.
    #[serde(default, skip_serializing_if = "is_none")]
    pub refreshed: i64,
    /// Rows that needed nothing, by reason.
    pub skipped: BTreeMap<String, i64>,
    /// Bad rows; their events are the ones just before this.
    pub quarantined: i64,
    /// BLAKE3 over the packed provenance, where rows were written or brought up to date.
    pub provenance: Option<String>,
    /// How long its transaction had taken when this was made, at least 1. Batches of older releases have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
}

impl BatchCommitted {
    /// Rows that needed nothing.
    #[must_use]
    pub fn skips(&self) -> i64 {
        let rows = self.skipped.values();
        rows.fold(0, |sum, rows| sum.saturating_add(*rows))
    }

    /// Rows of which it has provenance.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.written.saturating_add(self.refreshed)
    }
}

/// Whether a count says nothing: it is then left out, so that events of before stay as they were hashed.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_none(count: &i64) -> bool {
    *count == 0
}

/// A batch, as it was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchUndone {
    /// The unit.
    pub unit: String,
    /// The seq of the batch in this stream.
    pub batch: i64,
    /// Rows removed, or put back to their value before.
    pub removed: i64,
    /// Rows left alone.
    pub kept: Vec<Kept>,
    /// Rows that were not there any more.
    pub gone: i64,
    /// Rows that it had brought up to date and that hold again what they held before. What became of the others is told
    /// where the batch that wrote them is undone.
    #[serde(default, skip_serializing_if = "is_none")]
    pub restored: i64,
}

/// A row that an undo left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The row's key in the destination.
    pub key: String,
    /// Why it was left alone.
    pub why: String,
}

/// A unit's closing balance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitCompleted {
    /// The unit.
    pub unit: String,
    /// How many passes it took.
    pub passes: i32,
    /// Rows written.
    pub written: i64,
    /// Bad rows set aside.
    pub quarantined: i64,
    /// How often rows were brought up to date.
    #[serde(default, skip_serializing_if = "is_none")]
    pub refreshed: i64,
    /// Rows whose source has changed, and that the application changed since they were written: left alone.
    #[serde(default, skip_serializing_if = "is_none")]
    pub changed: i64,
    /// The last hash of each of its partitions' streams: ties them to the run's chain.
    pub heads: BTreeMap<String, String>,
    /// Whether nothing that it reads or wrote has changed since its last pass was planned, so that no other was needed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
}

/// The last source row that is accounted for: its key's parts, as the database spells them.
pub type Cursor = Vec<String>;

impl RunStarted {
    /// What the run is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.repairs
            .as_ref()
            .map_or(Purpose::Backfill, Repairs::purpose)
    }

    /// The unit of the repaired run that a unit of this run writes for: of a run that repairs nothing, itself.
    #[must_use]
    pub fn origin<'a>(&self, unit: &'a str) -> &'a str {
        match (&self.repairs, unit.rsplit_once('.')) {
            (Some(_), Some((origin, _))) => origin,
            _ => unit,
        }
    }

    /// What the run wrote into, by unit.
    #[must_use]
    pub fn destination(&self, unit: &str) -> Option<&Destination> {
        self.units
            .iter()
            .find(|pin| pin.name == unit)
            .map(|pin| &pin.destination)
    }
}
