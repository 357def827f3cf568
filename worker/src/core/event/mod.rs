//! The events: what can be said in the journal, in the past tense, and how it is stored.

mod control;
mod evidence;
mod kind;
mod run;
mod scope;

use serde::{Deserialize, Serialize};

pub use self::control::{Setting, SettingsApplied, SettingsChanged, Word, plain};
pub use self::evidence::{
    Backup, BackupMethod, BackupRestored, BackupVerified, DeferredIndex, Found, GateJudged,
    GateSampled, GateStarted, PlanRehearsed, PreflightChecked, SmokeTested, TargetJudged,
    UnitRehearsed, Validated, ValidationAdvanced,
};
pub use self::kind::{Home, KINDS};
pub use self::run::{
    BatchCommitted, BatchUndone, Cursor, Input, Kept, Mark, OwedIndex, PartitionPlanned, Purpose,
    Repairs, RunStarted, UnitCompleted,
};
pub use self::scope::{Scope, Told};

/// The version of the payloads that this build writes. A journal with a newer one may be shown, never appended to.
///
/// - 1: the first.
/// - 2: `HoldStarted`, `HoldEnded`.
/// - 3: the runbook's events, from `PreflightChecked` on.
/// - 4: `SourceMarked`, `PaceChanged`, `IndexesDeferred`, `IndexBuilt`; the indexes that a run owes; rows that are brought up
///   to date: `refreshed` and `restored` of batches, and provenance of inserted and updated rows in one batch;
///   `UnitCompleted` tells where a catch-up pass was not needed; `FollowStarted`, `AsOfAdvanced`, `UnitCaughtUp`,
///   `FollowEnded`, `CaughtUp`.
/// - 5: `RunPaused`, `RunResumed`, `RunCancelled`, `SettingsChanged`, `SettingsApplied`; `Repairs` tells of a run that tries
///   again what another set aside; `Mark` tells the server's life.
/// - 6: `Repairs` tells of a run that takes back a part of another, and of one that writes it again; `BatchCommitted` tells
///   how long it took.
pub const FORMAT: i32 = 6;

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
    /// What the tables of a unit hold just before its next pass is planned, to tell later whether that has changed. Stream
    /// `run`, ahead of the pass's partitions.
    SourceMarked {
        /// The unit.
        unit: String,
        /// The pass that follows.
        pass: i32,
        /// What they hold.
        mark: Mark,
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
    /// An index that the schema change left out stands and is valid. Stream `run`.
    IndexBuilt {
        /// The unit that owed it.
        unit: String,
        /// Its name.
        index: String,
        /// How long this process saw it being built; 0 where it stood already.
        millis: u64,
    },
    /// The run is followed from here on: it stays open, and what the application writes meanwhile is written too. Stream
    /// `run`.
    FollowStarted {
        /// The units that are kept up to date, beside those that are already.
        units: Vec<String>,
        /// How often their sources are looked at again, at most, milliseconds.
        every_millis: u64,
    },
    /// The run stands for a later instant from here on; its window begins where it began. Stream `run`.
    AsOfAdvanced {
        /// The instant until now, milliseconds since 1970.
        from: i64,
        /// The instant from now on.
        to: i64,
    },
    /// A unit of a run that is followed has made its first catch-up pass: what depends on it may begin, and the unit stays
    /// open. Stream `run`.
    UnitCaughtUp {
        /// The unit.
        unit: String,
        /// Its passes until now.
        passes: i32,
    },
    /// The run is followed no more: its units are completed as of the instant that it stands for now. Stream `run`.
    FollowEnded {
        /// The units that were followed.
        units: Vec<String>,
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
        /// What it may be at most; empty where somebody's word makes it hold.
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
    /// The process works faster or slower from now on. A worker's stream.
    PaceChanged {
        /// How it worked until now.
        from: String,
        /// How it works from now on.
        to: String,
        /// Why.
        reason: String,
    },
    /// The sources of these units were looked at, and all is written. Told now and then while a run is followed. A
    /// worker's stream.
    CaughtUp {
        /// The units.
        units: Vec<String>,
        /// As of which instant, milliseconds since 1970.
        as_of: i64,
    },
    /// The process works by other settings from here on, as somebody wished. A worker's stream.
    SettingsApplied(SettingsApplied),
    /// A worker process ended in order; a start without a stop was a crash. A worker's stream.
    WorkerStopped {
        /// Why it ended.
        reason: String,
    },
    /// Somebody wants the work on the run, or its rollback, to hold. Stream `control`, of a rollback `control/<which>`.
    RunPaused(Word),
    /// Somebody lets it go on after a pause, or after it was cancelled. The same stream.
    RunResumed(Word),
    /// Somebody ended the work on the run: nobody goes on with it before it is resumed. The same stream.
    RunCancelled(Word),
    /// Somebody wishes for other settings. The same stream.
    SettingsChanged(SettingsChanged),
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
    /// The schema change made a table without these indexes, together with this event: a run builds them. Stream `runbook`.
    IndexesDeferred {
        /// The table.
        table: String,
        /// The indexes, in the order in which they are built.
        indexes: Vec<DeferredIndex>,
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
