//! Whether a unit of the newest run that stands is complete, so that what depends on it may go on.

use crate::backend::Database;
use crate::core::state::{RunState, RunStatus, UnitStatus};
use crate::error::Result;
use crate::runbook::checklist;
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
    if let Some((other, unfinished)) = runs::unfinished(database.connection()).await?
        && unfinished.started.repairs.is_some()
    {
        reasons.push(format!("a repair is under way: run {other}"));
    }
    if state.status == RunStatus::Undoing {
        reasons.push(format!("run {run} is being rolled back"));
    }
    let completed = checklist::completed(database).await?;
    for unit in units {
        let status = state.units.get(unit).map(|unit| unit.status);
        match status {
            Some(UnitStatus::Completed) if completed.contains_key(unit) => {}
            Some(UnitStatus::Completed) => reasons.push(format!(
                "unit {unit} of run {run} found nothing to write, and what an earlier run had written was taken back"
            )),
            Some(status) => reasons.push(format!("unit {unit} of run {run} is {}", status.word())),
            None => reasons.push(format!("unit {unit} is not part of run {run}")),
        }
    }
    if reasons.is_empty() && validated {
        reasons.extend(unvalidated(database).await?);
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

/// The newest run of the plan's of which something is left.
async fn standing(database: &Database) -> Result<Option<(String, RunState)>> {
    let connection = database.connection();
    for run in journal::runs(connection).await?.into_iter().rev() {
        let (state, _) = runs::load(connection, &run).await?;
        if state.status != RunStatus::RolledBack && state.started.repairs.is_none() {
            return Ok(Some((run, state)));
        }
    }
    Ok(None)
}

/// Why what stands is not validated.
async fn unvalidated(database: &Database) -> Result<Option<String>> {
    let changed = checklist::last_change(database).await?;
    let runbook = runbook::load(database).await?;
    let sound = checklist::sound_validation(&runbook, changed);
    Ok(sound
        .err()
        .map(|why| format!("{why}: `cli validate --deep`")))
}
