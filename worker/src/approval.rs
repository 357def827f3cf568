//! A plan's approval: somebody's word in the runbook for one fingerprint, which a run may ask for.

use serde::Serialize;

use crate::backend::Database;
use crate::core::event::Event;
use crate::engine::{self, Plan};
use crate::error::{Error, Result};
use crate::runbook::{self, Runbook};

/// How much of a fingerprint is shown.
const SHORT: usize = 12;

/// Somebody's word for a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// What they had to say.
    pub note: Option<String>,
    /// When, milliseconds since 1970.
    pub at: i64,
}

/// The last approval of a plan; none: nobody approved it.
#[must_use]
pub fn of(runbook: &Runbook, fingerprint: &str) -> Option<Approval> {
    let newest = runbook.newest(|event| match event {
        Event::PlanApproved { plan, by, note } if plan == fingerprint => Some((by, note)),
        _ => None,
    });
    newest.map(|(noted, (by, note))| Approval {
        by: by.clone(),
        note: note.clone(),
        at: noted.entry.at,
    })
}

/// Approves a plan; gives its fingerprint.
///
/// # Errors
/// As [`runbook::note`].
pub async fn approve(
    database: &Database,
    plan: &Plan,
    worker: &str,
    (by, note): (String, Option<String>),
) -> Result<String> {
    let fingerprint = engine::fingerprint(plan);
    let approved = Event::PlanApproved {
        plan: fingerprint.clone(),
        by,
        note,
    };
    runbook::note(database, worker, &[approved]).await?;
    Ok(fingerprint)
}

/// Refuses a plan that nobody approved.
///
/// # Errors
/// [`Error::Refused`]: nobody did. The database's.
pub async fn check(database: &Database, plan: &Plan) -> Result<()> {
    let fingerprint = engine::fingerprint(plan);
    let runbook = runbook::load(database).await?;
    if runbook.state.approved.contains(&fingerprint) {
        return Ok(());
    }
    let others = match runbook.state.approved.len() {
        0 => "no plan was approved in this database",
        1 => "another one was",
        _ => "others were",
    };
    Err(Error::Refused(format!(
        "the plan {} is not approved ({others}), and nothing was begun: look at it with `cli plan`, approve it with \
         `cli plan approve --by NAME`, then run the same command again",
        &fingerprint[..SHORT.min(fingerprint.len())]
    )))
}
