//! Where the whole migration stands: what is done, what is next, and what stands in the way.

use serde::Serialize;

use super::Noted;
use super::checklist::{self, Checklist, Paper, Proof, Standing, Unsound};
use crate::backend::Database;
use crate::core::event::Event;
use crate::core::state::{RunStatus, UnitStatus};
use crate::error::Result;
use crate::{journal, runs, schema};

/// Where the whole migration stands.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// The lists of the checklist, in order.
    pub lists: Vec<List>,
    /// The next step; none where everything is done.
    pub next: Option<Step>,
    /// What stands in the way, one line each.
    pub blocked_by: Vec<String>,
    /// The newest run that stands, and its state.
    pub run: Option<(String, &'static str)>,
    /// Who has still to sign.
    pub unsigned: Vec<&'static str>,
}

/// A list of the checklist.
#[derive(Clone, Debug, Serialize)]
pub struct List {
    /// Its name.
    pub list: &'static str,
    /// Items done.
    pub done: usize,
    /// Items in all.
    pub all: usize,
}

/// A step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The item of the checklist; `signoff` and `certificate` where that is done.
    pub item: String,
    /// What is to be done.
    pub text: String,
    /// The command that does it.
    pub command: String,
}

/// Where the whole migration stands.
///
/// # Errors
/// The database's; a journal that does not fold.
pub async fn load(database: &Database, paper: &Paper) -> Result<Phase> {
    let checklist = checklist::load(database, paper).await?;
    let book = super::load(database).await?;
    let mut blocked_by = Vec::new();
    let mut run = None;
    let pending = schema::status(database).await?;
    if pending.iter().all(|change| change.is_applied) {
        run = standing(database, &mut blocked_by).await?;
    }
    let changed = match run {
        Some(_) => checklist::last_change(database).await?,
        None => None,
    };
    blocked_by.extend(evidence_against(&book.events, paper));
    if let Err(why @ Unsound::Errors(_)) = checklist::sound_validation(&book, changed) {
        blocked_by.push(why.to_string());
    }
    let certified = book.newest(|event| match event {
        Event::CertificateIssued { .. } => Some(()),
        _ => None,
    });
    let unsigned = checklist.signatures.iter();
    let unsigned: Vec<_> = unsigned
        .filter(|role| role.signed.is_none())
        .map(|role| role.role)
        .collect();
    Ok(Phase {
        next: next(&checklist, &unsigned, certified.is_some()),
        lists: lists(&checklist),
        blocked_by,
        run,
        unsigned,
    })
}

fn lists(checklist: &Checklist) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for item in &checklist.items {
        if lists.last().is_none_or(|list| list.list != item.list) {
            lists.push(List {
                list: item.list,
                done: 0,
                all: 0,
            });
        }
        if let Some(list) = lists.last_mut() {
            list.all += 1;
            list.done += usize::from(item.done.is_some());
        }
    }
    lists
}

/// The first item that is open; then the signatures; then the certificate.
fn next(checklist: &Checklist, unsigned: &[&'static str], is_certified: bool) -> Option<Step> {
    let mut items = checklist.items.iter();
    if let Some(item) = items.find(|item| item.done.is_none()) {
        return Some(Step {
            item: item.id.to_owned(),
            text: item.text.to_owned(),
            command: command(item),
        });
    }
    let step = |item: &str, text: &str, command: String| {
        Some(Step {
            item: item.to_owned(),
            text: text.to_owned(),
            command,
        })
    };
    match unsigned.first() {
        Some(role) => step(
            "signoff",
            "Sign off",
            format!("cli signoff --role \"{role}\" --by NAME"),
        ),
        None if !is_certified => step(
            "certificate",
            "Issue the certificate",
            "cli certificate -o certificate.json".into(),
        ),
        None => None,
    }
}

fn command(item: &Standing) -> String {
    match item.command {
        "" => format!("cli checklist tick {} --by NAME", item.id),
        command => command.to_owned(),
    }
}

/// The newest run that stands, and what of it stands in the way.
async fn standing(
    database: &Database,
    blocked_by: &mut Vec<String>,
) -> Result<Option<(String, &'static str)>> {
    let connection = database.connection();
    let mut newest = None;
    for run in journal::runs(connection).await? {
        let (state, _) = runs::load(connection, &run).await?;
        if state.status == RunStatus::Undoing {
            blocked_by.push(format!(
                "run {run} is being rolled back: `cli rollback --run {run} --reason TEXT` goes on"
            ));
        }
        for (unit, unit_state) in &state.units {
            if state.status == RunStatus::Running && unit_state.status == UnitStatus::Stopped {
                blocked_by.push(format!(
                    "unit {unit} stopped over its error budget: `cli quarantine list --unit {unit}` says why"
                ));
            }
        }
        if state.status != RunStatus::RolledBack {
            newest = Some((run, state.status.word()));
        }
    }
    Ok(newest)
}

/// What the newest evidence of each kind says against going on.
fn evidence_against(events: &[Noted], paper: &Paper) -> Vec<String> {
    // What was tested somewhere that no item asks for stands in nobody's way.
    let asks = |wanted: &str| {
        let mut items = paper.items.iter();
        items.any(|item| matches!(item.proof, Proof::Smoke(name) if name == wanted))
    };
    let is_backed_up = events
        .iter()
        .any(|noted| matches!(noted.event, Event::BackupTaken(_)));
    let mut against = Vec::new();
    let mut is_seen = std::collections::BTreeSet::new();
    for noted in events.iter().rev() {
        let (kind, what) = match &noted.event {
            Event::PreflightChecked(checked) if checked.stops.is_empty() => ("preflight", None),
            Event::PreflightChecked(checked) => {
                let stops = checked.stops.join(", ");
                let what =
                    format!("preflight says stop ({stops}): `cli preflight` says what to do");
                ("preflight", Some(what))
            }
            Event::BackupTaken(_) => ("backup", None),
            Event::BackupFailed { .. } if is_backed_up => continue,
            Event::BackupFailed { why, .. } => {
                ("backup", Some(format!("the newest backup failed: {why}")))
            }
            Event::BackupVerified(verified) if !verified.problems.is_empty() => (
                "verified backup",
                Some(format!(
                    "backup {} is not sound ({}): take another with `cli backup create`",
                    verified.backup,
                    verified.problems.join(", ")
                )),
            ),
            Event::BackupVerified(_) => ("verified backup", None),
            Event::SchemaVerified { differences } if !differences.is_empty() => (
                "schema",
                Some(format!(
                    "the live schema differs in {} places: `cli schema verify` names them",
                    differences.len()
                )),
            ),
            Event::SchemaVerified { .. } => ("schema", None),
            Event::CompatChecked { failed, .. } if !failed.is_empty() => (
                "compat",
                Some(format!(
                    "the release before does not run on this schema ({}): `cli compat` shows how",
                    failed.join(", ")
                )),
            ),
            Event::CompatChecked { .. } => ("compat", None),
            Event::GateJudged(judged) if !judged.open => (
                judged.environment.as_str(),
                Some(format!(
                    "the gate of {} is closed: {}",
                    judged.environment,
                    judged.reasons.join("; ")
                )),
            ),
            Event::GateJudged(judged) => (judged.environment.as_str(), None),
            Event::SmokeTested(tested) if !asks(&tested.environment) => continue,
            Event::SmokeTested(tested) if tested.exit != Some(0) => (
                "smoke",
                Some(format!("the smoke test of {} failed", tested.environment)),
            ),
            Event::SmokeTested(_) => ("smoke", None),
            _ => continue,
        };
        if is_seen.insert(kind)
            && let Some(what) = what
        {
            against.push(what);
        }
    }
    against.reverse();
    against
}
