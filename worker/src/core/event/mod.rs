//! The events: what can be said in the journal, in the past tense, and how it is stored.

mod evidence;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::{Destination, UnitPin};

pub use self::evidence::{
    Backup, BackupMethod, BackupRestored, BackupVerified, Found, GateJudged, GateSampled,
    GateStarted, PlanRehearsed, PreflightChecked, SmokeTested, TargetJudged, UnitRehearsed,
    Validated, ValidationAdvanced,
};

/// The version of the payloads that this build writes. A journal with a newer one may be shown, never appended to.
///
/// - 1: the first.
/// - 2: `HoldStarted`, `HoldEnded`.
/// - 3: the runbook's events, from `PreflightChecked` on.
pub const FORMAT: i32 = 3;

/// The stored names of all events.
pub const KINDS: [&str; 40] = [
    "RunStarted",
    "DatabaseAdopted",
    "PartitionPlanned",
    "UnitStopped",
    "UnitReopened",
    "BudgetChanged",
    "UnitCompleted",
    "RunCompleted",
    "UndoStarted",
    "UndoCompleted",
    "RowQuarantined",
    "BatchCommitted",
    "BatchUndone",
    "WorkerStarted",
    "BatchResized",
    "HoldStarted",
    "HoldEnded",
    "WorkerStopped",
    "PreflightChecked",
    "BackupTaken",
    "BackupFailed",
    "BackupVerified",
    "BackupRestored",
    "SqlReviewed",
    "PlanRehearsed",
    "PlanApproved",
    "SchemaApplied",
    "SchemaVerified",
    "CompatChecked",
    "Validated",
    "GateJudged",
    "SmokeTested",
    "ItemTicked",
    "ItemReopened",
    "SignedOff",
    "CertificateIssued",
    "GateStarted",
    "GateSampled",
    "ValidationStarted",
    "ValidationAdvanced",
];

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload")]
pub enum Event {
    /// A run began; holds everything that a resume depends on. Stream `run`.
    RunStarted(RunStarted),
    /// The run goes on in another database on somebody's word (a restore, a copy). Stream `run`.
    DatabaseAdopted {
        /// The identity until now.
        from: String,
        /// The identity from now on.
        to: String,
    },
    /// A key range of one section of a unit's source is to be worked through. Stream `run`.
    PartitionPlanned(PartitionPlanned),
    /// A unit met more bad rows than its budget allows; what it committed stays. Stream `run`.
    UnitStopped {
        /// The unit.
        unit: String,
        /// Source rows read since the unit was started or reopened.
        read: i64,
        /// Bad rows among them.
        quarantined: i64,
        /// The bad rows that were allowed.
        allowed: i64,
    },
    /// Somebody ran the command again after a stop: the budget counts anew. Stream `run`.
    UnitReopened {
        /// The unit.
        unit: String,
    },
    /// The run tolerates another share of bad rows from here on. Stream `run`.
    BudgetChanged {
        /// The share until now, 0 to 1.
        from: f64,
        /// The share from now on, 0 to 1.
        to: f64,
    },
    /// A catch-up pass found nothing left over. Stream `run`.
    UnitCompleted(UnitCompleted),
    /// Every unit of the plan is complete. Stream `run`.
    RunCompleted {
        /// Rows written by the whole run.
        written: i64,
        /// Bad rows set aside by the whole run.
        quarantined: i64,
    },
    /// A rollback began; from here on no batch of these units may commit. Stream `run`.
    UndoStarted {
        /// The units, in the order in which they are undone.
        units: Vec<String>,
        /// Why, in the operator's words.
        reason: String,
    },
    /// Every batch of these units is undone. Stream `run`.
    UndoCompleted {
        /// The units.
        units: Vec<String>,
        /// Rows removed, or put back to their value before.
        removed: i64,
        /// Rows left alone because they were edited since, or because others refer to them.
        kept: i64,
        /// Rows that were not there any more.
        gone: i64,
    },
    /// A bad row was set aside. A partition's stream, ahead of its batch, in the same transaction.
    RowQuarantined {
        /// The unit.
        unit: String,
        /// The source row's key; never its values.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A batch was written, together with this event. A partition's stream.
    BatchCommitted(BatchCommitted),
    /// A batch was undone, together with this event. A partition's stream.
    BatchUndone(BatchUndone),
    /// A worker process began to work on the run. A worker's stream.
    WorkerStarted {
        /// The version of the program.
        release: String,
        /// The process id.
        process: u32,
        /// How many partitions it works on at once.
        workers: usize,
    },
    /// The worker reads fewer rows at a time from now on. A worker's stream.
    BatchResized {
        /// The unit.
        unit: String,
        /// Rows a batch until now.
        from: u32,
        /// Rows a batch from now on.
        to: u32,
        /// Why.
        reason: String,
    },
    /// The process begins no batch for now. A worker's stream.
    HoldStarted {
        /// What it holds for.
        signal: String,
        /// What was measured, with its unit.
        value: String,
        /// What it may be at most.
        limit: String,
    },
    /// The process goes on after a hold. A worker's stream.
    HoldEnded {
        /// What it held for.
        signal: String,
        /// What was measured last, with its unit.
        value: String,
        /// How long it held.
        millis: u64,
    },
    /// A worker process ended in order; a start without a stop was a crash. A worker's stream.
    WorkerStopped {
        /// Why it ended.
        reason: String,
    },
    /// Somebody looked whether the migration may begin. Stream `runbook`.
    PreflightChecked(PreflightChecked),
    /// A backup was taken. Stream `runbook`.
    BackupTaken(Backup),
    /// A backup could not be taken. Stream `runbook`.
    BackupFailed {
        /// How it was to be taken.
        method: String,
        /// What went wrong.
        why: String,
    },
    /// A backup was read back. Stream `runbook`.
    BackupVerified(BackupVerified),
    /// The database was put back from a backup. Stream `runbook`.
    BackupRestored(BackupRestored),
    /// Somebody read the SQL of the schema change. Stream `runbook`.
    SqlReviewed {
        /// BLAKE3 of the SQL, in hexadecimal.
        digest: String,
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
    },
    /// Batches of each unit were written and rolled back. Stream `runbook`.
    PlanRehearsed(PlanRehearsed),
    /// Somebody approved a plan. Stream `runbook`.
    PlanApproved {
        /// The plan's fingerprint.
        plan: String,
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
    },
    /// Schema changes were applied, together with this event. Stream `runbook`.
    SchemaApplied {
        /// The names of the changes.
        changes: Vec<String>,
        /// BLAKE3 of the SQL of all changes, in hexadecimal.
        digest: String,
    },
    /// The live schema was compared with the expected one. Stream `runbook`.
    SchemaVerified {
        /// How the live schema differs from the expected one; empty where it does not.
        differences: Vec<String>,
    },
    /// The statements of the release before were run on this schema. Stream `runbook`.
    CompatChecked {
        /// Statements that ran.
        ran: i64,
        /// The names of those that did not.
        failed: Vec<String>,
    },
    /// Destinations were validated. Stream `runbook`.
    Validated(Validated),
    /// A gate was watched to its end. Stream `runbook`.
    GateJudged(GateJudged),
    /// A smoke test was run. Stream `runbook`.
    SmokeTested(SmokeTested),
    /// Somebody vouched for an item of the checklist. Stream `runbook`.
    ItemTicked {
        /// The item's id.
        item: String,
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
    },
    /// Somebody took back that an item of the checklist is done. Stream `runbook`.
    ItemReopened {
        /// The item's id.
        item: String,
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
    },
    /// Somebody signed the migration off. Stream `runbook`.
    SignedOff {
        /// The role.
        role: String,
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
        /// The digest of the heads of the journal at the time: what they signed.
        head: String,
    },
    /// A certificate was issued. Stream `runbook`.
    CertificateIssued {
        /// The run.
        run: String,
        /// BLAKE3 of the certificate, in hexadecimal.
        digest: String,
    },
    /// A gate is watched from here on. Its own stream.
    GateStarted(GateStarted),
    /// A gate's targets were measured. Its own stream.
    GateSampled(GateSampled),
    /// A deep validation began. Its own stream.
    ValidationStarted {
        /// The run that is validated.
        run: String,
    },
    /// A deep validation has come this far. Its own stream.
    ValidationAdvanced(ValidationAdvanced),
}

/// The kind of stream that an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// A run's own.
    Run,
    /// A partition's.
    Partition,
    /// A worker's own decisions.
    Worker,
    /// The runbook's.
    Runbook,
    /// The samples of a gate.
    Gate,
    /// The progress of a deep validation.
    Validation,
}

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
    /// Source rows read; each is among the three below. So are rows that are computed from many source rows, which are
    /// none of those read.
    pub read: i64,
    /// Rows written.
    pub written: i64,
    /// Rows that needed nothing, by reason.
    pub skipped: BTreeMap<String, i64>,
    /// Bad rows; their events are the ones just before this.
    pub quarantined: i64,
    /// BLAKE3 over the packed provenance, where rows were written.
    pub provenance: Option<String>,
}

impl BatchCommitted {
    /// Rows that needed nothing.
    #[must_use]
    pub fn skips(&self) -> i64 {
        let rows = self.skipped.values();
        rows.fold(0, |sum, rows| sum.saturating_add(*rows))
    }
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
    /// The last hash of each of its partitions' streams: ties them to the run's chain.
    pub heads: BTreeMap<String, String>,
}

/// The last source row that is accounted for: its key's parts, as the database spells them.
pub type Cursor = Vec<String>;

impl Event {
    /// The stored name of the event.
    ///
    /// # Panics
    /// Never: each event is a plain structure.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted(_) => "RunStarted",
            Self::DatabaseAdopted { .. } => "DatabaseAdopted",
            Self::PartitionPlanned(_) => "PartitionPlanned",
            Self::UnitStopped { .. } => "UnitStopped",
            Self::UnitReopened { .. } => "UnitReopened",
            Self::BudgetChanged { .. } => "BudgetChanged",
            Self::UnitCompleted(_) => "UnitCompleted",
            Self::RunCompleted { .. } => "RunCompleted",
            Self::UndoStarted { .. } => "UndoStarted",
            Self::UndoCompleted { .. } => "UndoCompleted",
            Self::RowQuarantined { .. } => "RowQuarantined",
            Self::BatchCommitted(_) => "BatchCommitted",
            Self::BatchUndone(_) => "BatchUndone",
            Self::WorkerStarted { .. } => "WorkerStarted",
            Self::BatchResized { .. } => "BatchResized",
            Self::HoldStarted { .. } => "HoldStarted",
            Self::HoldEnded { .. } => "HoldEnded",
            Self::WorkerStopped { .. } => "WorkerStopped",
            Self::PreflightChecked(_) => "PreflightChecked",
            Self::BackupTaken(_) => "BackupTaken",
            Self::BackupFailed { .. } => "BackupFailed",
            Self::BackupVerified(_) => "BackupVerified",
            Self::BackupRestored(_) => "BackupRestored",
            Self::SqlReviewed { .. } => "SqlReviewed",
            Self::PlanRehearsed(_) => "PlanRehearsed",
            Self::PlanApproved { .. } => "PlanApproved",
            Self::SchemaApplied { .. } => "SchemaApplied",
            Self::SchemaVerified { .. } => "SchemaVerified",
            Self::CompatChecked { .. } => "CompatChecked",
            Self::Validated(_) => "Validated",
            Self::GateJudged(_) => "GateJudged",
            Self::SmokeTested(_) => "SmokeTested",
            Self::ItemTicked { .. } => "ItemTicked",
            Self::ItemReopened { .. } => "ItemReopened",
            Self::SignedOff { .. } => "SignedOff",
            Self::CertificateIssued { .. } => "CertificateIssued",
            Self::GateStarted(_) => "GateStarted",
            Self::GateSampled(_) => "GateSampled",
            Self::ValidationStarted { .. } => "ValidationStarted",
            Self::ValidationAdvanced(_) => "ValidationAdvanced",
        }
    }

    /// The kind of stream that it belongs to.
    #[must_use]
    pub fn home(&self) -> Home {
        match self {
            Self::RunStarted(_)
            | Self::DatabaseAdopted { .. }
            | Self::PartitionPlanned(_)
            | Self::UnitStopped { .. }
            | Self::UnitReopened { .. }
            | Self::BudgetChanged { .. }
            | Self::UnitCompleted(_)
            | Self::RunCompleted { .. }
            | Self::UndoStarted { .. }
            | Self::UndoCompleted { .. } => Home::Run,
            Self::RowQuarantined { .. } | Self::BatchCommitted(_) | Self::BatchUndone(_) => {
                Home::Partition
            }
            Self::WorkerStarted { .. }
            | Self::BatchResized { .. }
            | Self::HoldStarted { .. }
            | Self::HoldEnded { .. }
            | Self::WorkerStopped { .. } => Home::Worker,
            Self::PreflightChecked(_)
            | Self::BackupTaken(_)
            | Self::BackupFailed { .. }
            | Self::BackupVerified(_)
            | Self::BackupRestored(_)
            | Self::SqlReviewed { .. }
            | Self::PlanRehearsed(_)
            | Self::PlanApproved { .. }
            | Self::SchemaApplied { .. }
            | Self::SchemaVerified { .. }
            | Self::CompatChecked { .. }
            | Self::Validated(_)
            | Self::GateJudged(_)
            | Self::SmokeTested(_)
            | Self::ItemTicked { .. }
            | Self::ItemReopened { .. }
            | Self::SignedOff { .. }
            | Self::CertificateIssued { .. } => Home::Runbook,
            Self::GateStarted(_) | Self::GateSampled(_) => Home::Gate,
            Self::ValidationStarted { .. } | Self::ValidationAdvanced(_) => Home::Validation,
        }
    }

    /// The unit that the event concerns, where it is one.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::PartitionPlanned(planned) => Some(&planned.unit),
            Self::UnitCompleted(completed) => Some(&completed.unit),
            Self::BatchCommitted(batch) => Some(&batch.unit),
            Self::BatchUndone(undone) => Some(&undone.unit),
            Self::UnitStopped { unit, .. }
            | Self::UnitReopened { unit }
            | Self::RowQuarantined { unit, .. }
            | Self::BatchResized { unit, .. } => Some(unit),
            _ => None,
        }
    }

    /// The source key that the event concerns, where it is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::RowQuarantined { key, .. } => Some(key),
            _ => None,
        }
    }

    /// The payload as JSON text, as it is stored and hashed.
    ///
    /// # Errors
    /// None in practice: every payload is plain data.
    pub fn payload(&self) -> Result<String, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        serde_json::to_string(&value["payload"].take())
    }

    /// Reads a stored event.
    ///
    /// # Errors
    /// The kind is unknown, or the payload is not what this kind holds.
    pub fn parse(kind: &str, payload: &str) -> Result<Self, serde_json::Error> {
        let payload: serde_json::Value = serde_json::from_str(payload)?;
        serde_json::from_value(serde_json::json!({ "kind": kind, "payload": payload }))
    }
}

impl RunStarted {
    /// What the run wrote into, by unit.
    #[must_use]
    pub fn destination(&self, unit: &str) -> Option<&Destination> {
        self.units
            .iter()
            .find(|pin| pin.name == unit)
            .map(|pin| &pin.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, KINDS};

    /// Serde lists the variants that it knows, so that none can be forgotten here.
    #[test]
    fn the_kinds_are_all_kinds() {
        let error = Event::parse("nonsense", "{}").expect_err("no such kind");
        let error = error.to_string();
        let listed: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(listed, KINDS, "{error}");
    }
}
