//! One line for each event of the runbook.

use worker::core::event::{
    Backup, BackupMethod, BackupVerified, Event, GateJudged, GateSampled, GateStarted,
    PlanRehearsed, PreflightChecked, SmokeTested, Validated, ValidationAdvanced,
};
use worker::report::{duration, number};

use crate::render::text::count;

/// What an event of the runbook says; nothing of any other.
pub(super) fn words(event: &Event) -> String {
    match event {
        Event::PreflightChecked(checked) => preflight(checked),
        Event::BackupTaken(backup) => backup_taken(backup),
        Event::BackupFailed { method, why } => format!("{method}: {why}"),
        Event::BackupVerified(verified) => backup_verified(verified),
        Event::BackupRestored(restored) => format!(
            "from backup {}{}{}{}",
            restored.backup.id,
            match restored.reason.as_str() {
                "" => String::new(),
                reason => format!(", because: {reason}"),
            },
            restored
                .kept_as
                .as_ref()
                .map_or(String::new(), |kept| format!(
                    "; the database before is kept as {kept}"
                )),
            problems(&restored.problems)
        ),
        Event::SqlReviewed { digest, by, note } => {
            format!(
                "SQL {}{}",
                &digest[..12.min(digest.len())],
                word_of(by, note)
            )
        }
        Event::PlanRehearsed(rehearsed) => plan_rehearsed(rehearsed),
        Event::PlanApproved { plan, by, note } => {
            format!("plan {}{}", &plan[..12.min(plan.len())], word_of(by, note))
        }
        Event::SchemaApplied { changes, .. } => changes.join(", "),
        Event::IndexesDeferred { table, indexes } => {
            let names: Vec<_> = indexes.iter().map(|index| index.name.as_str()).collect();
            format!(
                "{table}, until a run has written to it: {}",
                names.join(", ")
            )
        }
        Event::SchemaVerified { differences } if differences.is_empty() => {
            "the schema is as expected".into()
        }
        Event::SchemaVerified { differences } => differences.join("; "),
        Event::CompatChecked { ran, failed } => {
            format!("{} ran{}", count(*ran, "statement"), problems(failed))
        }
        Event::Validated(validated) => validation(validated),
        Event::GateJudged(judged) => gate_judged(judged),
        Event::SmokeTested(tested) => smoke_tested(tested),
        Event::ItemTicked { item, by, note } => format!("{item}{}", word_of(by, note)),
        Event::ItemReopened { item, by, note } => {
            format!("{item} is open again{}", word_of(by, note))
        }
        Event::SignedOff { role, by, note, .. } => format!("{role}{}", word_of(by, note)),
        Event::CertificateIssued { run, digest } => {
            format!("for run {run}, digest {}", &digest[..12.min(digest.len())])
        }
        Event::GateStarted(started) => gate_started(started),
        Event::GateSampled(sampled) => gate_sampled(sampled),
        Event::ValidationStarted { run } => format!("of run {run}"),
        Event::ValidationAdvanced(advanced) => validation_advanced(advanced),
        _ => String::new(),
    }
}

fn word_of(by: &str, note: &Option<String>) -> String {
    match note {
        Some(note) => format!(", {by}: {note}"),
        None => format!(", {by}"),
    }
}

fn problems(problems: &[String]) -> String {
    match problems {
        [] => String::new(),
        problems => format!("; not as it should be: {}", problems.join(", ")),
    }
}

fn preflight(checked: &PreflightChecked) -> String {
    let mut words = format!("{} ok", checked.ok);
    for (names, what) in [(&checked.warnings, "warn"), (&checked.stops, "say stop")] {
        if !names.is_empty() {
            words.push_str(&format!(", {} {what} ({})", names.len(), names.join(", ")));
        }
    }
    words
}

fn backup_taken(backup: &Backup) -> String {
    let how = match &backup.method {
        BackupMethod::Directory | BackupMethod::Custom => "pg_dump",
        BackupMethod::Sqlite => "SQLite's copy",
        BackupMethod::Command { .. } => "the configured command",
    };
    format!(
        "{} by {how}: {}, {}, {}",
        backup.id,
        backup.place,
        count(i64::try_from(backup.bytes).unwrap_or(i64::MAX), "byte"),
        count(backup.rows.values().sum(), "row")
    )
}

fn backup_verified(verified: &BackupVerified) -> String {
    let how = match verified.full {
        true => "restored and counted",
        false => "read back",
    };
    format!(
        "{} {how}: {}{}",
        verified.backup,
        count(verified.tables, "table"),
        problems(&verified.problems)
    )
}

#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
fn plan_rehearsed(rehearsed: &PlanRehearsed) -> String {
    let units = rehearsed.units.iter().map(|(unit, of)| {
        format!(
            "{unit} {} of {} written and rolled back, likely {}",
            number(of.written),
            number(of.rows),
            duration(of.likely_millis as f64 / 1_000.0)
        )
    });
    units.collect::<Vec<_>>().join(", ")
}

fn validation(validated: &Validated) -> String {
    let mut words = match &validated.deep {
        Some(_) => format!(
            "{} computed again, {} wrong, {} changed since",
            count(validated.verified, "row"),
            number(validated.wrong),
            number(validated.changed)
        ),
        None => "rows counted".to_owned(),
    };
    words.push_str(&match validated.errors.as_slice() {
        [] => ", no error".to_owned(),
        errors => format!(", against it: {}", errors.join("; ")),
    });
    words
}

fn gate_started(started: &GateStarted) -> String {
    format!(
        "{} for {}: {}",
        started.environment,
        humantime::format_duration(std::time::Duration::from_secs(started.seconds)),
        started.targets.join(", ")
    )
}

fn gate_sampled(sampled: &GateSampled) -> String {
    let values = sampled.values.iter().map(|(target, value)| match value {
        Some(value) => format!("{target} {value}"),
        None => {
            let why = sampled.gaps.get(target);
            let why = why.map_or(String::new(), |why| format!(" ({why})"));
            format!("{target} unknown{why}")
        }
    });
    values.collect::<Vec<_>>().join(", ")
}

fn gate_judged(judged: &GateJudged) -> String {
    let verdict = if judged.open { "open" } else { "closed" };
    let watched =
        humantime::format_duration(std::time::Duration::from_secs(judged.watched_seconds));
    let reasons = match judged.reasons.as_slice() {
        [] => String::new(),
        reasons => format!(": {}", reasons.join("; ")),
    };
    format!("{} {verdict} after {watched}{reasons}", judged.environment)
}

#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
fn smoke_tested(tested: &SmokeTested) -> String {
    let ended = match tested.exit {
        Some(code) => format!("exit {code}"),
        None => "did not end by itself".to_owned(),
    };
    format!(
        "{}: {}: {ended} after {}",
        tested.environment,
        tested.command.join(" "),
        duration(tested.millis as f64 / 1_000.0)
    )
}

fn validation_advanced(advanced: &ValidationAdvanced) -> String {
    let sum = |of: fn(&worker::core::event::Found) -> i64| advanced.found.values().map(of).sum();
    format!(
        "at {}: {} computed again, {} wrong or missing, {} changed since",
        advanced.unit,
        count(sum(|found| found.verified), "row"),
        number(sum(|found| found.wrong + found.missing)),
        number(sum(|found| found.changed))
    )
}
