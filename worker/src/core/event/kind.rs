//! What an event is called, where it belongs, and how it is stored.

use super::Event;

/// The stored names of all events.
pub const KINDS: [&str; 54] = [
    "RunStarted",
    "DatabaseAdopted",
    "SourceMarked",
    "PartitionPlanned",
    "UnitStopped",
    "UnitReopened",
    "BudgetChanged",
    "IndexBuilt",
    "FollowStarted",
    "AsOfAdvanced",
    "UnitCaughtUp",
    "FollowEnded",
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
    "PaceChanged",
    "CaughtUp",
    "SettingsApplied",
    "WorkerStopped",
    "RunPaused",
    "RunResumed",
    "RunCancelled",
    "SettingsChanged",
    "PreflightChecked",
    "BackupTaken",
    "BackupFailed",
    "BackupVerified",
    "BackupRestored",
    "SqlReviewed",
    "PlanRehearsed",
    "PlanApproved",
    "SchemaApplied",
    "IndexesDeferred",
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

/// The kind of stream that an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// A run's own.
    Run,
    /// A partition's.
    Partition,
    /// A worker's own decisions.
    Worker,
    /// An operator's wishes.
    Control,
    /// The runbook's.
    Runbook,
    /// The samples of a gate.
    Gate,
    /// The progress of a deep validation.
    Validation,
}

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
            Self::SourceMarked { .. } => "SourceMarked",
            Self::PartitionPlanned(_) => "PartitionPlanned",
            Self::UnitStopped { .. } => "UnitStopped",
            Self::UnitReopened { .. } => "UnitReopened",
            Self::BudgetChanged { .. } => "BudgetChanged",
            Self::IndexBuilt { .. } => "IndexBuilt",
            Self::FollowStarted { .. } => "FollowStarted",
            Self::AsOfAdvanced { .. } => "AsOfAdvanced",
            Self::UnitCaughtUp { .. } => "UnitCaughtUp",
            Self::FollowEnded { .. } => "FollowEnded",
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
            Self::PaceChanged { .. } => "PaceChanged",
            Self::CaughtUp { .. } => "CaughtUp",
            Self::SettingsApplied(_) => "SettingsApplied",
            Self::WorkerStopped { .. } => "WorkerStopped",
            Self::RunPaused(_) => "RunPaused",
            Self::RunResumed(_) => "RunResumed",
            Self::RunCancelled(_) => "RunCancelled",
            Self::SettingsChanged(_) => "SettingsChanged",
            Self::PreflightChecked(_) => "PreflightChecked",
            Self::BackupTaken(_) => "BackupTaken",
            Self::BackupFailed { .. } => "BackupFailed",
            Self::BackupVerified(_) => "BackupVerified",
            Self::BackupRestored(_) => "BackupRestored",
            Self::SqlReviewed { .. } => "SqlReviewed",
            Self::PlanRehearsed(_) => "PlanRehearsed",
            Self::PlanApproved { .. } => "PlanApproved",
            Self::SchemaApplied { .. } => "SchemaApplied",
            Self::IndexesDeferred { .. } => "IndexesDeferred",
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
            | Self::SourceMarked { .. }
            | Self::PartitionPlanned(_)
            | Self::UnitStopped { .. }
            | Self::UnitReopened { .. }
            | Self::BudgetChanged { .. }
            | Self::IndexBuilt { .. }
            | Self::FollowStarted { .. }
            | Self::AsOfAdvanced { .. }
            | Self::UnitCaughtUp { .. }
            | Self::FollowEnded { .. }
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
            | Self::PaceChanged { .. }
            | Self::CaughtUp { .. }
            | Self::SettingsApplied(_)
            | Self::WorkerStopped { .. } => Home::Worker,
            Self::RunPaused(_)
            | Self::RunResumed(_)
            | Self::RunCancelled(_)
            | Self::SettingsChanged(_) => Home::Control,
            Self::PreflightChecked(_)
            | Self::BackupTaken(_)
            | Self::BackupFailed { .. }
            | Self::BackupVerified(_)
            | Self::BackupRestored(_)
            | Self::SqlReviewed { .. }
            | Self::PlanRehearsed(_)
            | Self::PlanApproved { .. }
            | Self::SchemaApplied { .. }
            | Self::IndexesDeferred { .. }
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
            | Self::SourceMarked { unit, .. }
            | Self::IndexBuilt { unit, .. }
            | Self::UnitCaughtUp { unit, .. }
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
