//! Whether a unit of the newest run that stands is complete, so that what depends on it may go on.

use sea_orm::ConnectionTrait;

use crate::backend::Database;
use crate::core::event::Event;
use crate::core::replay::RUN_STREAM;
use crate::core::state::{RunState, RunStatus, UnitStatus};
use crate::error::Result;
use crate::journal::Filter;
use crate::{journal, runbook, runs, schema};

/// What stands of some units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The newest run that stands; none where none does.
    pub run: Option<String>,
    /// Why they are not to be built on, one line each; empty: they are.
    pub reasons: Vec<String>,
}

/// Looks whether units are complete, and, where that is asked for, whether a validation since then found no error.
///
/// # Errors
/// The database's; a journal that does not fold.
pub async fn look(database: &Database, units: &[String], validated: bool) -> Result<Standing> {
    if !schema::has_journal(database).await? {
        return Ok(closed(
            None,
            "there is no journal in this database yet".into(),
        ));
    }
    let Some((run, state)) = standing(database).await? else {
        return Ok(closed(None, "no run stands in this database".into()));
    };
    let mut reasons = Vec::new();
    if state.status == RunStatus::Undoing {
        reasons.push(format!("run {run} is being rolled back"));
    }
    for unit in units {
        let status = state.units.get(unit).map(|unit| unit.status);
        match status {
            Some(UnitStatus::Completed) => {}
            Some(status) => reasons.push(format!("unit {unit} of run {run} is {}", status.word())),
            None => reasons.push(format!("unit {unit} is not part of run {run}")),
        }
    }
    if reasons.is_empty() && validated {
        reasons.extend(unvalidated(database, &run, units).await?);
    }
    Ok(Standing {
        run: Some(run),
        reasons,
    })
}

fn closed(run: Option<String>, why: String) -> Standing {
    Standing {
        run,
        reasons: vec![why],
    }
}

/// The newest run of which something is left.
async fn standing(database: &Database) -> Result<Option<(String, RunState)>> {
    let connection = database.connection();
    for run in journal::runs(connection).await?.into_iter().rev() {
        let (state, _) = runs::load(connection, &run).await?;
        if state.status != RunStatus::RolledBack {
            return Ok(Some((run, state)));
        }
    }
    Ok(None)
}

/// Why a run's units are not validated: the newest validation since they were completed counts.
async fn unvalidated(database: &Database, run: &str, units: &[String]) -> Result<Option<String>> {
    let completed = completed(database.connection(), run, units).await?;
    let runbook = runbook::load(database).await?;
    let newest = runbook.newest(|event| match event {
        Event::Validated(validated) if validated.run.as_deref() == Some(run) => Some(validated),
        _ => None,
    });
    Ok(match newest {
        Some((noted, validated)) if noted.entry.position > completed => match &validated.errors[..]
        {
            [] => None,
            errors => Some(format!(
                "the newest validation of run {run} found: {}",
                errors.join("; ")
            )),
        },
        Some(_) => Some(format!(
            "run {run} was validated before its units were complete: validate it again, and have it recorded"
        )),
        None => Some(format!(
            "no validation of run {run} is on record: `cli validate --record`"
        )),
    })
}

/// Where the last of the units' completions stands among all events.
async fn completed(connection: &impl ConnectionTrait, run: &str, units: &[String]) -> Result<i64> {
    let mut last = 0;
    for unit in units {
        let filter = Filter {
            run: Some(run.to_owned()),
            unit: Some(unit.clone()),
            kind: Some("UnitCompleted".into()),
            ..Filter::default()
        };
        let newest = journal::select(connection, &filter, 1, true).await?;
        let in_run = newest.iter().filter(|entry| entry.stream == RUN_STREAM);
        last = in_run.map(|entry| entry.position).fold(last, i64::max);
    }
    Ok(last)
}
