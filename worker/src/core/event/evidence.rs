//! What the runbook's events hold: the evidence for each step of a migration, before, beside and after its runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Cursor;

/// What a look at the database before anything is done came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreflightChecked {
    /// How many checks were well.
    pub ok: u32,
    /// The names of those that warn.
    pub warnings: Vec<String>,
    /// The names of those that say stop.
    pub stops: Vec<String>,
}

/// A backup, as it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id.
    pub id: String,
    /// How it was taken.
    pub method: BackupMethod,
    /// Where it is: an absolute path, or what the configured command calls it. Never a password.
    pub place: String,
    /// The identity of the database that it is of.
    pub database: String,
    /// The release of the server or library that made it.
    pub server: String,
    /// Its size in bytes; 0 where only the provider knows.
    pub bytes: u64,
    /// SHA-256 over its files, in hexadecimal; empty where only the provider has it.
    pub digest: String,
    /// Rows of each table at the instant that the backup is of, by table, on PostgreSQL quoted with its schema; empty
    /// where only the provider knows.
    pub rows: BTreeMap<String, i64>,
    /// When it began, milliseconds since 1970.
    pub begun_at: i64,
    /// How long it took.
    pub millis: u64,
}

/// How a backup is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupMethod {
    /// `pg_dump` into a folder.
    Directory,
    /// `pg_dump` into one file of its own format.
    Custom,
    /// SQLite's `VACUUM INTO`: a consistent copy of an online database.
    Sqlite,
    /// A command of the operator's: a provider's snapshot.
    Command {
        /// The program and its arguments, as configured.
        command: Vec<String>,
        /// Its exit code.
        exit: i32,
        /// The end of what it printed.
        output: String,
    },
}

/// What reading a backup back came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupVerified {
    /// The backup's id.
    pub backup: String,
    /// Whether it was restored into a scratch database and its rows counted, or only its files and its list read.
    pub full: bool,
    /// Tables found in it.
    pub tables: i64,
    /// Rows counted in them; 0 where none were.
    pub rows: i64,
    /// What is wrong with it; empty where nothing is.
    pub problems: Vec<String>,
}

/// A database that was put back from a backup. Stands in the journal of the database that came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRestored {
    /// The backup: the journal that came with it was written before the backup was noted.
    pub backup: Backup,
    /// The identity of the database that stood in its place; `none` where none did.
    pub from: String,
    /// The identity of the one that stands there now.
    pub to: String,
    /// The name or path under which the database before is kept; none: it is not.
    pub kept_as: Option<String>,
    /// The digest of the heads of the journal of the database before: what was in it since the backup is told there. Empty
    /// where it could not be read.
    pub head: String,
    /// Why, in the operator's words; empty where they gave none.
    pub reason: String,
    /// What differs from what the backup says; empty where nothing does.
    pub problems: Vec<String>,
}

/// What a rehearsal came to: batches that were written and rolled back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanRehearsed {
    /// The plan's fingerprint.
    pub plan: String,
    /// Batches of each unit at most.
    pub batches: u32,
    /// By unit.
    pub units: BTreeMap<String, UnitRehearsed>,
}

/// A unit's rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRehearsed {
    /// Source rows read.
    pub read: i64,
    /// Rows written and rolled back.
    pub written: i64,
    /// Bad rows met.
    pub bad: i64,
    /// How long the batches took.
    pub millis: u64,
    /// Source rows of the whole unit.
    pub source_rows: i64,
    /// Rows that the whole unit is likely to write.
    pub rows: i64,
    /// Bytes that they are likely to take on disk, indexes and provenance included.
    pub bytes: i64,
    /// Bytes of write-ahead log that it is likely to write; none on SQLite.
    pub wal: Option<i64>,
    /// How long a run of the whole unit takes where all goes well.
    pub low_millis: u64,
    /// How long it is likely to take.
    pub likely_millis: u64,
    /// How long it takes where it goes badly.
    pub high_millis: u64,
}

/// What a validation came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    /// The run that stood; none where none did.
    pub run: Option<String>,
    /// The stream of a deep one's progress, and its last hash; none: rows were not computed again.
    pub deep: Option<(String, String)>,
    /// Rows in each destination.
    pub counts: BTreeMap<String, i64>,
    /// Rows that we wrote, computed from their source again: they are what it gives.
    pub verified: i64,
    /// Rows that we wrote wrong, or that are missing.
    pub wrong: i64,
    /// Rows that the application changed since, and those that are its own.
    pub changed: i64,
    /// What stands against it, one line each; empty where nothing does.
    pub errors: Vec<String>,
    /// What is worth a look.
    pub warnings: Vec<String>,
}

/// How far a deep validation has come: what it found so far, in sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationAdvanced {
    /// The unit that it is at.
    pub unit: String,
    /// The section of its source.
    pub section: i32,
    /// The last source row that was looked at.
    pub cursor: Option<Cursor>,
    /// Whether the section is done.
    pub last: bool,
    /// By unit.
    pub found: BTreeMap<String, Found>,
}

/// What a deep validation found in a unit. Each row that the source gives counts once, where the report of it is that was
/// written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Rows that we wrote, computed from their source again: they are what it gives.
    pub verified: i64,
    /// Rows of ours that stand as we wrote them and are not what their source gives.
    pub wrong: i64,
    /// Rows that the source gives and nobody wrote.
    pub missing: i64,
    /// Rows of ours that the application changed or deleted since.
    pub changed: i64,
    /// Rows that stand under our keys and are the application's own.
    pub foreign: i64,
    /// Rows of ours that another run wrote, as of another instant, and that are not what the source gives as of this
    /// one.
    pub elsewhere: i64,
    /// Rows of ours that stand as the table took them and are not what their source gives, in a table with triggers or
    /// rules, which may have made them so.
    pub altered: i64,
    /// Source rows that are bad and were not set aside.
    pub bad: i64,
    /// A few of those that are wrong, each with the columns that differ.
    pub wrong_keys: Vec<String>,
    /// A few of those that are missing.
    pub missing_keys: Vec<String>,
    /// A few of those that were changed, each with what was done to it.
    pub changed_keys: Vec<String>,
    /// A few of those that are the application's own.
    pub foreign_keys: Vec<String>,
    /// A few of those that triggers or rules may have made so, each with the columns that differ.
    pub altered_keys: Vec<String>,
    /// A few of the bad source rows.
    pub bad_keys: Vec<String>,
}

/// A gate that is watched from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateStarted {
    /// What is watched: `staging`, `production`.
    pub environment: String,
    /// BLAKE3 of the file of targets, in hexadecimal.
    pub slo: String,
    /// How long it is to be watched.
    pub seconds: u64,
    /// How often it is sampled.
    pub every_millis: u64,
    /// The targets, as `<name> <comparison> <limit>`.
    pub targets: Vec<String>,
}

/// A look at a gate's targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateSampled {
    /// Its place among the samples that were due, from 1; those that are left out were not taken.
    pub tick: u64,
    /// What was measured, by target, in base units (shares from 0 to 1, seconds, bytes); none where nothing could be.
    pub values: BTreeMap<String, Option<f64>>,
    /// Why, by target, where nothing could be measured.
    pub gaps: BTreeMap<String, String>,
}

/// A gate's verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateJudged {
    /// The stream of its samples.
    pub stream: String,
    /// The last hash of it: ties it to the runbook's chain.
    pub head: String,
    /// What was watched.
    pub environment: String,
    /// Whether it is open: every target was met in every sample, and there were as many as there should be.
    pub open: bool,
    /// How long it was to be watched.
    pub required_seconds: u64,
    /// How long it was.
    pub watched_seconds: u64,
    /// By target.
    pub targets: BTreeMap<String, TargetJudged>,
    /// Why it is closed, one line each; empty where it is open.
    pub reasons: Vec<String>,
}

/// A target's part of a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetJudged {
    /// Whether it was met.
    pub met: bool,
    /// What it should be, as `< 0.1 %`.
    pub limit: String,
    /// The worst sample, in base units; none where there was none.
    pub worst: Option<f64>,
    /// Samples taken.
    pub samples: u64,
    /// Samples that missed it.
    pub missed: u64,
    /// Samples in which nothing could be measured.
    pub gaps: u64,
}

/// A smoke test, as the configured command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeTested {
    /// What was tested: `staging`, `production`.
    pub environment: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its exit code; none: a signal ended it, or it could not be started.
    pub exit: Option<i32>,
    /// How long it took.
    pub millis: u64,
    /// BLAKE3 over all that it printed, in hexadecimal.
    pub digest: String,
    /// The end of what it printed.
    pub output: String,
}

/// An index that a schema change left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeferredIndex {
    /// Its name.
    pub name: String,
    /// The statement that makes it without keeping others from writing.
    pub sql: String,
}
