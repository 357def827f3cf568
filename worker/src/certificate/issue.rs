//! Issuing a certificate, where there is something to certify.

use super::{Certificate, Gate, Item, Signature, TITLE, Unit, Validation, destination};
use crate::audit;
use crate::backend::Database;
use crate::core::event::Event;
use crate::core::replay::RUN_STREAM;
use crate::engine::Plan;
use crate::error::{Error, Result};
use crate::heads::Heads;
use crate::journal::{self, Entry, Filter};
use crate::runbook::checklist::{self, Done, Paper};
use crate::runbook::{self, Runbook};
use crate::{projection, runs};

/// Makes the certificate of what stands; it is issued once [`note`] has noted it.
///
/// # Errors
/// [`Error::Refused`]: a unit of the plan is not complete, or what was written was not validated without errors since.
/// [`Error::Failed`]: the journal is damaged. The database's.
pub async fn issue(database: &Database, plan: &Plan, paper: &Paper) -> Result<Certificate> {
    let connection = database.connection();
    let run = complete(database, plan).await?;
    let (state, _) = runs::load(connection, &run).await?;
    let book = runbook::load(database).await?;
    let changed = checklist::last_change(database).await?;
    let validation = validation(&book, changed)?;
    let checklist = checklist::load(database, paper).await?;
    audit::audit(database, None).await?.into_result()?;
    let units = units(database, &run).await?;
    let (started_at, completed_at) = times(database, &run).await?;
    let open = checklist.items.iter().filter(|item| item.done.is_none());
    let signatures = checklist.signatures.iter();
    let mut certificate = Certificate {
        title: TITLE.into(),
        issued_at: journal::now(connection).await?,
        release: env!("CARGO_PKG_VERSION").into(),
        database: database.identity().await?,
        plan: state.started.plan,
        as_of: state.as_of,
        window_days: state.started.window_days,
        started_at,
        completed_at,
        units,
        validation,
        gates: gates(&book),
        open: open.map(|item| item.id.to_owned()).collect(),
        done: checklist
            .items
            .iter()
            .filter_map(|item| Some(done(item.id, item.done.as_ref()?)))
            .collect(),
        signatures: signatures
            .filter_map(|role| {
                let signed = role.signed.as_ref()?;
                Some(Signature {
                    role: role.role.to_owned(),
                    by: signed.by.clone(),
                    at: signed.at,
                    note: signed.note.clone(),
                })
            })
            .collect(),
        journal: Heads::load(connection)
            .await?
            .to_string()
            .lines()
            .map(str::to_owned)
            .collect(),
        digest: String::new(),
        run,
    };
    certificate.digest = certificate.computed_digest()?;
    Ok(certificate)
}

/// Notes that a certificate was issued.
///
/// # Errors
/// The database's.
pub async fn note(database: &Database, worker: &str, certificate: &Certificate) -> Result<()> {
    let issued = Event::CertificateIssued {
        run: certificate.run.clone(),
        digest: certificate.digest.clone(),
    };
    runbook::note(database, worker, &[issued]).await
}

/// The run that completed the last of the plan's units.
async fn complete(database: &Database, plan: &Plan) -> Result<String> {
    if let Some((run, state)) = runs::unfinished(database.connection()).await? {
        return Err(Error::Refused(format!(
            "run {run} is {}: there is nothing to certify before it has come to its end; `cli status` shows what is left",
            state.status.word()
        )));
    }
    let completed = checklist::completed(database).await?;
    let mut last: Option<&Entry> = None;
    for unit in plan.iter() {
        let name = &unit.definition().name;
        let Some(entry) = completed.get(name) else {
            return Err(Error::Refused(format!(
                "unit {name} is not complete, or was rolled back: `worker run` completes it"
            )));
        };
        if last.is_none_or(|last| last.position < entry.position) {
            last = Some(entry);
        }
    }
    let last = last.ok_or_else(|| Error::Refused("the plan has no units".into()))?;
    Ok(last.run.clone())
}

/// The units of which rows stand, and all those of the run that completed the plan.
async fn units(database: &Database, last: &str) -> Result<Vec<Unit>> {
    let connection = database.connection();
    let mut units = Vec::new();
    for run in journal::runs(connection).await? {
        let (state, _) = runs::load(connection, &run).await?;
        let partitions = projection::load(connection, &run).await?;
        for pin in &state.started.units {
            let of_unit = || partitions.iter().filter(|row| row.unit == pin.name);
            let has_rows = of_unit().any(|row| row.written > 0);
            if state.is_undone(&pin.name) || (!has_rows && run != last) {
                continue;
            }
            let (read, quarantined) = projection::totals(of_unit());
            units.push(Unit {
                run: run.clone(),
                unit: pin.name.clone(),
                version: pin.version,
                fingerprint: pin.fingerprint.clone(),
                table: pin.destination.table.clone(),
                read,
                quarantined,
                rows: destination::rows(database, &run, pin, &partitions).await?,
            });
        }
    }
    Ok(units)
}

/// The validation that it rests on: a deep one where there is one.
fn validation(book: &Runbook, changed: Option<i64>) -> Result<Validation> {
    let sound = checklist::sound_validation(book, changed)
        .map_err(|why| Error::Refused(format!("{why}: run `cli validate --deep`, then again")))?;
    let noted = sound.deep.unwrap_or(sound.newest);
    match &noted.event {
        Event::Validated(validated) => Ok(Validation {
            seq: noted.entry.seq,
            at: noted.entry.at,
            deep: validated.deep.is_some(),
            verified: validated.verified,
            changed: validated.changed,
            warnings: validated.warnings.clone(),
        }),
        _ => Err(Error::Damaged("a validation is none".into())),
    }
}

fn gates(book: &Runbook) -> Vec<Gate> {
    let gates = book.events.iter().filter_map(|noted| match &noted.event {
        Event::GateJudged(judged) => Some(Gate {
            environment: judged.environment.clone(),
            at: noted.entry.at,
            open: judged.open,
            watched_seconds: judged.watched_seconds,
            required_seconds: judged.required_seconds,
            targets: judged
                .targets
                .iter()
                .map(|(name, target)| {
                    let met = if target.met { "met" } else { "missed" };
                    format!("{name} {}, {met}", target.limit)
                })
                .collect(),
        }),
        _ => None,
    });
    gates.collect()
}

fn done(id: &str, done: &Done) -> Item {
    let (by, at) = match done {
        Done::Proven {
            event,
            run,
            stream,
            seq,
            at,
        } => (
            format!("{event}, run {run}, stream {stream}, event {seq}"),
            *at,
        ),
        Done::Vouched { by, at, .. } => (by.clone(), *at),
    };
    Item {
        item: id.to_owned(),
        by,
        at,
    }
}

/// When a run started, and when it was complete.
async fn times(database: &Database, run: &str) -> Result<(i64, i64)> {
    let connection = database.connection();
    let started = journal::at(connection, run, RUN_STREAM, 1).await?;
    let filter = Filter {
        run: Some(run.to_owned()),
        kind: Some("RunCompleted".into()),
        ..Filter::default()
    };
    let completed = journal::select(connection, &filter, 1, true).await?;
    Ok((
        started.map_or(0, |entry| entry.at),
        completed.last().map_or(0, |entry| entry.at),
    ))
}
