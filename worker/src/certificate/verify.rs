//! Checking a database against a certificate.

use serde::Serialize;

use super::{Certificate, Rows, destination};
use crate::audit;
use crate::backend::Database;
use crate::core::event::Event;
use crate::core::state::RunState;
use crate::error::{Error, Result};
use crate::heads::Heads;
use crate::projection::Row;
use crate::{projection, runbook, runs, schema};

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
    let book = runbook::load(database).await?;
    let is_this = |event: &Event| match event {
        Event::CertificateIssued { run, digest } => {
            (*run == certificate.run && *digest == certificate.digest).then_some(())
        }
        _ => None,
    };
    if book.newest(is_this).is_none() {
        verified.findings.push(
            "the journal of this database knows of no such certificate: the file is forged, of another database, or \
             of after the backup that this one was restored from"
                .into(),
        );
    }
    let connection = database.connection();
    let mut loaded: Option<(String, RunState, Vec<Row>)> = None;
    for unit in &certificate.units {
        let (state, partitions) = match &loaded {
            Some((run, state, partitions)) if *run == unit.run => (state, partitions),
            _ => match runs::load(connection, &unit.run).await {
                Ok((state, _)) => {
                    let partitions = projection::load(connection, &unit.run).await?;
                    let (_, state, partitions) =
                        loaded.insert((unit.run.clone(), state, partitions));
                    (&*state, &*partitions)
                }
                Err(error @ Error::Usage(_)) => {
                    verified.findings.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        if unit.run == certificate.run && state.started.plan != certificate.plan {
            verified.findings.push(format!(
                "the plan of run {} is {}, and not the certified {}",
                unit.run, state.started.plan, certificate.plan
            ));
        }
        let mut pins = state.started.units.iter();
        let pin = pins.find(|pin| pin.name == unit.unit);
        let Some(pin) = pin.filter(|pin| pin.fingerprint == unit.fingerprint) else {
            verified.findings.push(format!(
                "run {} has no unit {} that is defined as the certified one",
                unit.run, unit.unit
            ));
            continue;
        };
        if state.is_undone(&unit.unit) {
            let undone = format!("{} was rolled back since", unit.unit);
            verified.findings.push(undone);
        }
        let now = destination::rows(database, &unit.run, pin, partitions).await?;
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
