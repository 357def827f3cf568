//! The certificate of a migration: what was written, from what plan, as of when, what it was checked by, who signed it,
//! and where the journal stood. Whoever holds the file can have a database checked against it.

mod destination;
mod issue;
mod verify;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use self::issue::{issue, note};
pub use self::verify::{Verified, verify};

/// What a certificate calls itself; the number is the format's.
const TITLE: &str = "backstitch certificate 1";

/// A certificate. Its text is JSON; times are milliseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What it is.
    pub title: String,
    /// When it was issued, by the database's clock.
    pub issued_at: i64,
    /// The release of the program that issued it.
    pub release: String,
    /// The identity of the database.
    pub database: String,
    /// The run that completed the plan.
    pub run: String,
    /// The plan's fingerprint.
    pub plan: String,
    /// The instant that the run stands for.
    pub as_of: i64,
    /// How many days before it the sources were taken from.
    pub window_days: u32,
    /// When the run started.
    pub started_at: i64,
    /// When it was complete.
    pub completed_at: i64,
    /// Its units, and those of earlier runs whose rows stand, the oldest run first, each in its plan's order.
    pub units: Vec<Unit>,
    /// The validation that it rests on.
    pub validation: Validation,
    /// The verdicts of the gates that were watched, the oldest first.
    pub gates: Vec<Gate>,
    /// The checklist's items that were done.
    pub done: Vec<Item>,
    /// Those that were not.
    pub open: Vec<String>,
    /// Who signed.
    pub signatures: Vec<Signature>,
    /// Where each of the journal's streams ended, as `cli journal head` prints it.
    pub journal: Vec<String>,
    /// BLAKE3 over the certificate without this, in hexadecimal.
    pub digest: String,
}

/// A unit, as it was completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The run.
    pub run: String,
    /// Its name.
    pub unit: String,
    /// Its version.
    pub version: u32,
    /// The fingerprint of its definition.
    pub fingerprint: String,
    /// The table that it wrote into.
    pub table: String,
    /// Source rows read.
    pub read: i64,
    /// Bad rows set aside.
    pub quarantined: i64,
    /// What it wrote, and what of it stood.
    pub rows: Rows,
}

/// Rows that a unit wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// How many it wrote.
    pub written: i64,
    /// BLAKE3 over keys and digests of what it wrote, in the journal's order.
    pub written_digest: String,
    /// How many stood as they were written.
    pub standing: i64,
    /// How many stood with other values: edited since.
    pub changed: i64,
    /// How many were not there any more.
    pub gone: i64,
    /// BLAKE3 over keys and digests of what stood, in the same order.
    pub standing_digest: String,
}

/// A validation, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Its place in the runbook's stream.
    pub seq: i64,
    /// When it ended.
    pub at: i64,
    /// Whether rows were computed from their sources again.
    pub deep: bool,
    /// How many were.
    pub verified: i64,
    /// Rows that the application had changed since.
    pub changed: i64,
    /// What was worth a look.
    pub warnings: Vec<String>,
}

/// A gate's verdict, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// What was watched.
    pub environment: String,
    /// When the verdict fell.
    pub at: i64,
    /// Whether it was open.
    pub open: bool,
    /// How long it was watched, and should have been.
    pub watched_seconds: u64,
    /// How long it should have been.
    pub required_seconds: u64,
    /// Its targets, as `<name> <limit>, met` or `missed`.
    pub targets: Vec<String>,
}

/// An item of the checklist that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its name.
    pub item: String,
    /// What ticked it: an event and its place, or a person.
    pub by: String,
    /// When.
    pub at: i64,
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The role.
    pub role: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: i64,
    /// What they had to say.
    pub note: Option<String>,
}

impl Certificate {
    /// Reads a certificate's text.
    ///
    /// # Errors
    /// [`Error::Usage`]: it is none. [`Error::Failed`]: it was changed since it was issued.
    pub fn parse(text: &str) -> Result<Self> {
        let certificate: Self = serde_json::from_str(text).map_err(|error| {
            Error::Usage(format!("this is no certificate of this release: {error}"))
        })?;
        if certificate.title != TITLE {
            return Err(Error::Usage(
                "this is no certificate of this release: another one may have issued it".into(),
            ));
        }
        if certificate.digest != certificate.computed_digest()? {
            return Err(Error::Failed(
                "the certificate was changed since it was issued: it does not match its digest"
                    .into(),
            ));
        }
        Ok(certificate)
    }

    /// Its text.
    ///
    /// # Errors
    /// None in practice: it is plain data.
    pub fn text(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(unwritten)?;
        Ok(format!("{text}\n"))
    }

    fn computed_digest(&self) -> Result<String> {
        let without = Self {
            digest: String::new(),
            ..self.clone()
        };
        let text = serde_json::to_string(&without).map_err(unwritten)?;
        Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
    }
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::Damaged(format!("a certificate cannot be written as JSON: {error}"))
}
