//! Whether a migration may begin: a look at all that could go wrong in the middle of it. Changes nothing.

mod activity;
mod backup;
mod connection;
mod rights;
mod room;
mod source;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::backend::Database;
use crate::core::event::{PlanRehearsed, PreflightChecked};
use crate::engine::{self, Plan};
use crate::error::Result;
use crate::forecast::{self, Need, Sample};
use crate::{runbook, schema};

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The migration may begin, once somebody has thought about it.
    Warning,
    /// It should not begin.
    Stop,
}

/// What was found where something was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: a name that stays.
    pub id: &'static str,
    /// What to think of it.
    pub verdict: Verdict,
    /// What was measured.
    pub found: String,
    /// What to do; none where nothing needs to be done.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(id: &'static str, found: impl Into<String>) -> Self {
        Self {
            id,
            verdict: Verdict::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn warning(id: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::ok(id, found).at(Verdict::Warning, advice)
    }

    fn stop(id: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::ok(id, found).at(Verdict::Stop, advice)
    }

    /// The same with another verdict, and what to do.
    fn at(self, verdict: Verdict, advice: impl Into<String>) -> Self {
        Self {
            verdict,
            advice: Some(advice.into()),
            ..self
        }
    }
}

/// All findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which it was looked.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The findings of a verdict.
    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(move |finding| finding.verdict == verdict)
    }

    /// What the runbook keeps of it: no more than names, as what was measured may name people's sessions.
    #[must_use]
    pub fn event(&self) -> PreflightChecked {
        let names = |verdict| {
            let names = self.of(verdict).map(|finding| finding.id.to_owned());
            names.collect()
        };
        PreflightChecked {
            ok: u32::try_from(self.of(Verdict::Ok).count()).unwrap_or(u32::MAX),
            warnings: names(Verdict::Warning),
            stops: names(Verdict::Stop),
        }
    }
}

/// What only the machine that this runs on can tell.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Its clock, milliseconds since 1970.
    pub now: fn() -> i64,
    /// Bytes that are free where a path is; none where that cannot be told.
    pub free: fn(&Path) -> Option<u64>,
    /// Whether this process may write at a path.
    pub may_write: fn(&Path) -> bool,
}

/// What a caller wants to be looked at, and how strictly.
#[derive(Clone, Debug)]
pub struct Look {
    /// The instant that the run will stand for, milliseconds since 1970.
    pub as_of: i64,
    /// How many days before it the sources are taken from.
    pub window_days: u32,
    /// How old the newest backup may be.
    pub backup_age: Duration,
    /// How long another transaction may have been open.
    pub transaction_age: Duration,
    /// Where this runs.
    pub machine: Machine,
}

/// Looks at everything.
///
/// # Errors
/// [`crate::error::Error::Transient`]: the database does not answer. What cannot be looked at for another reason is a
/// warning.
pub async fn check(database: &Database, plan: &Plan, look: &Look) -> Result<Report> {
    let mut findings = Vec::new();
    let mut add = |id: &'static str, looked: Result<Vec<Finding>>| match looked {
        Ok(more) => {
            findings.extend(more);
            Ok(())
        }
        Err(error) if error.is_transient() => Err(error),
        // Whoever may not even see these may do nothing of what a run does.
        Err(error) if ["rights", "source"].contains(&id) => {
            let advice = "grant the role what `cli schema roles --print` prints, or look as the role that will run";
            findings.push(Finding::stop(
                id,
                format!("it cannot be seen: {error}"),
                advice,
            ));
            Ok(())
        }
        Err(error) => {
            let advice = "look at it by hand, or ask as a role that may see it";
            findings.push(Finding::warning(
                id,
                format!("it cannot be seen: {error}"),
                advice,
            ));
            Ok(())
        }
    };
    add("server", connection::look(database, look.machine).await)?;
    add("rights", rights::look(database, plan, look.machine).await)?;
    add("source", source::look(database, plan).await)?;
    let samples = samples(database, plan, look).await;
    let need = match rehearsal(database, plan).await {
        Some(rehearsed) => Some(Need::measured(&rehearsed)),
        None => samples.as_ref().map(|samples| Need::of(samples)).ok(),
    };
    add("estimate", samples.map(|samples| vec![estimate(&samples)]))?;
    add("disk", room::look(database, need, look.machine).await)?;
    add("activity", activity::look(database, plan, look).await)?;
    add("backup", backup::look(database, look).await)?;
    Ok(Report { findings })
}

/// The last rehearsal of this plan, which has measured what a sample only guesses; none where it cannot be read.
async fn rehearsal(database: &Database, plan: &Plan) -> Option<PlanRehearsed> {
    let runbook = runbook::load(database).await.ok()?;
    let rehearsal = forecast::rehearsal(&runbook, &engine::fingerprint(plan));
    rehearsal.map(|(_, rehearsed)| rehearsed)
}

async fn samples(database: &Database, plan: &Plan, look: &Look) -> Result<Vec<Sample>> {
    let source = schema::source(database, plan, look.as_of, look.window_days).await?;
    let changes = schema::status(database).await?;
    let has_schema = changes.iter().all(|change| change.is_applied);
    forecast::sample(&source, plan, has_schema).await
}

fn estimate(samples: &[Sample]) -> Finding {
    let rows: i64 = samples.iter().map(|sample| sample.rows).sum();
    let (source, bytes) = samples.iter().fold((0, 0), |(source, bytes), sample| {
        (source + sample.source_rows, bytes + sample.bytes)
    });
    let unseen: Vec<_> = samples
        .iter()
        .filter(|sample| !sample.is_sampled)
        .map(|sample| sample.unit.as_str())
        .collect();
    let roughly = match unseen.as_slice() {
        [] => String::new(),
        units => format!(
            ", and what {} write, which can be looked at once the schema is applied",
            units.join(", ")
        ),
    };
    Finding::ok(
        "estimate",
        format!(
            "{} source rows, about {} rows to be written, about {}{roughly}",
            crate::report::number(source),
            crate::report::number(rows),
            crate::size::show(bytes)
        ),
    )
}
