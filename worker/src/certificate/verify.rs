//! Checking a database against a certificate.

use serde::Serialize;

use super::{Certificate, Rows, destination};
use crate::audit;
use crate::backend::Database;
use crate::error::{Error, Result};
use crate::heads::Heads;
use crate::{projection, runs, schema};

/// What a database is, beside its certificate.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// What speaks against it, one line each: the journal or what was written is not what was certified.
    pub findings: Vec<String>,
    /// Destinations of which rows changed since the certificate was issued: by unit, how many stand otherwise now.
    pub changes: Vec<Changed>,
    /// Rows of which what was written was compared.
    pub rows: i64,
}

/// A destination that changed since it was certified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The unit.
    pub unit: String,
    /// What was certified.
    pub certified: Rows,
    /// What is now.
    pub now: Rows,
}

/// Checks a database against a certificate: the whole journal, that nothing up to the certified heads is missing of it or
/// another, the plan, and what each unit wrote. What stands in the destinations may have changed since, which is told
/// apart.
///
/// # Errors
/// [`Error::Usage`]: the certificate's journal cannot be read. The database's. What differs is no error but a finding.
pub async fn verify(database: &Database, certificate: &Certificate) -> Result<Verified> {
    schema::check_applied(database).await?;
    let mut verified = Verified::default();
    let heads = Heads::parse(&certificate.journal.join("\n"))?;
    let report = audit::audit(database, Some(&heads)).await?;
    let findings = report.findings.iter();
    verified
        .findings
        .extend(findings.map(|finding| format!("the journal is damaged: {finding}")));
    let connection = database.connection();
    let (state, _) = match runs::load(connection, &certificate.run).await {
        Ok(loaded) => loaded,
        Err(error @ Error::Usage(_)) => {
            verified.findings.push(error.to_string());
            return Ok(verified);
        }
        Err(error) => return Err(error),
    };
    let (certified, now) = (&certificate.plan, &state.started.plan);
    if certified != now {
        let differs = format!("the run's plan is {now}, and not the certified {certified}");
        verified.findings.push(differs);
    }
    let partitions = projection::load(connection, &certificate.run).await?;
    for unit in &certificate.units {
        let pins = &state.started.units;
        let Some(pin) = pins.iter().find(|pin| pin.name == unit.unit) else {
            let unknown = format!("the run has no unit {}", unit.unit);
            verified.findings.push(unknown);
            continue;
        };
        let now = destination::rows(database, &certificate.run, pin, &partitions).await?;
        verified.rows += now.written;
        let is_same = |rows: &Rows| (rows.written, rows.written_digest.clone());
        if is_same(&now) != is_same(&unit.rows) {
            verified.findings.push(format!(
                "{}: {} rows are journaled as written, and not the {} that were certified, or others",
                unit.unit, now.written, unit.rows.written
            ));
        } else if now.standing_digest != unit.rows.standing_digest {
            verified.changes.push(Changed {
                unit: unit.unit.clone(),
                certified: unit.rows.clone(),
                now,
            });
        }
    }
    Ok(verified)
}
