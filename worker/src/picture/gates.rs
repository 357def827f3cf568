//! The gates of a database: the newest verdict of each environment, and those that are being watched.

use crate::backend::Database;
use crate::core::event::Event;
use crate::core::replay::RUNBOOK;
use crate::error::Result;
use crate::journal::{self, Filter};
use crate::runbook::Runbook;

/// Watches that are looked at.
const WATCHES: u64 = 8;

/// A gate.
#[derive(Clone, Debug, PartialEq)]
pub struct GateView {
    /// What is watched: `staging`, `production`.
    pub environment: String,
    /// `open`, `closed` or `being watched`.
    pub verdict: &'static str,
    /// When it was judged, or sampled last, milliseconds since 1970.
    pub at: i64,
    /// How long it was watched, and how long it should be, seconds.
    pub seconds: (u64, u64),
    /// Its targets: each with its limit, the worst or newest sample, and whether it is met; none: nobody could tell.
    pub targets: Vec<(String, String, Option<f64>, Option<bool>)>,
    /// Why it is closed, one line each.
    pub reasons: Vec<String>,
}

/// The newest verdicts of a runbook.
#[must_use]
pub fn judged(runbook: &Runbook) -> Vec<GateView> {
    let mut gates: Vec<GateView> = Vec::new();
    for noted in runbook.events.iter().rev() {
        let Event::GateJudged(judged) = &noted.event else {
            continue;
        };
        if gates
            .iter()
            .any(|gate| gate.environment == judged.environment)
        {
            continue;
        }
        let targets = judged.targets.iter().map(|(name, target)| {
            (
                name.clone(),
                target.limit.clone(),
                target.worst,
                Some(target.met),
            )
        });
        gates.push(GateView {
            environment: judged.environment.clone(),
            verdict: if judged.open { "open" } else { "closed" },
            at: noted.entry.at,
            seconds: (judged.watched_seconds, judged.required_seconds),
            targets: targets.collect(),
            reasons: judged.reasons.clone(),
        });
    }
    gates
}

/// The gates that are being watched: those whose samples no verdict has tied in.
///
/// # Errors
/// The database's.
pub async fn watched(database: &Database, runbook: &Runbook, now: i64) -> Result<Vec<GateView>> {
    let begun = Filter {
        run: Some(RUNBOOK.to_owned()),
        kind: Some("GateStarted".to_owned()),
        ..Filter::default()
    };
    let connection = database.connection();
    let mut gates = Vec::new();
    for entry in journal::select(connection, &begun, WATCHES, true).await? {
        let is_judged = runbook.events.iter().any(
            |noted| matches!(&noted.event, Event::GateJudged(judged) if judged.stream == entry.stream),
        );
        let Ok(Event::GateStarted(started)) = journal::event(&entry) else {
            continue;
        };
        let last = journal::last(connection, RUNBOOK, &entry.stream).await?;
        let Some(last) = last.filter(|_| !is_judged) else {
            continue;
        };
        // A watch that was killed has samples, and no verdict.
        let patience = i64::try_from(started.every_millis)
            .unwrap_or(i64::MAX)
            .saturating_mul(3);
        if now - last.at > patience.max(60_000) {
            continue;
        }
        let sampled = match journal::event(&last) {
            Ok(Event::GateSampled(sampled)) => Some(sampled),
            _ => None,
        };
        let targets = started.targets.iter().map(|target| {
            let (name, limit) = target.split_once(' ').unwrap_or((target.as_str(), ""));
            let value = sampled
                .as_ref()
                .and_then(|sampled| sampled.values.get(name).copied());
            (name.to_owned(), limit.to_owned(), value.flatten(), None)
        });
        gates.push(GateView {
            environment: started.environment.clone(),
            verdict: "being watched",
            at: last.at,
            seconds: ((last.at - entry.at).unsigned_abs() / 1_000, started.seconds),
            targets: targets.collect(),
            reasons: sampled
                .iter()
                .flat_map(|sampled| {
                    sampled
                        .gaps
                        .iter()
                        .map(|(target, why)| format!("{target}: {why}"))
                })
                .collect(),
        });
    }
    Ok(gates)
}
