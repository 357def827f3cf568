//! One line for each event.

mod evidence;

use worker::core::event::{
    BatchCommitted, BatchUndone, Event, PartitionPlanned, Purpose, RunStarted, Scope, UnitCompleted,
};
use worker::journal::{self, Entry};
use worker::report::number;
use worker::time;

use super::control;
use super::text::{count, length, line};

/// What happened, in one line; an event that this release cannot read is shown as it is stored.
pub(crate) fn summary(entry: &Entry) -> String {
    match journal::event(entry) {
        Ok(event) => line(&words(&event)),
        Err(_) => line(&format!("(format {}) {}", entry.version, entry.payload)),
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::RunStarted(started) => run_started(started),
        Event::DatabaseAdopted { from, to } => format!("goes on in {to}, began in {from}"),
        Event::SourceMarked { unit, pass, mark } => format!(
            "{unit}: pass {pass} reads what was there at transaction {}",
            mark.oldest
        ),
        Event::PartitionPlanned(planned) => planned_words(planned),
        Event::UnitStopped {
            unit,
            read,
            quarantined,
            allowed,
        } => format!(
            "{unit}: {} bad of {} read, {} allowed",
            number(*quarantined),
            number(*read),
            number(*allowed)
        ),
        Event::UnitReopened { unit } => format!("{unit}: goes on, its bad rows count anew"),
        Event::BudgetChanged { from, to } => format!(
            "tolerates {} bad from here on, {} before",
            percent(*to),
            percent(*from)
        ),
        Event::IndexBuilt {
            unit,
            index,
            millis: 0,
        } => format!("{unit}: index {index} was there already"),
        Event::IndexBuilt {
            unit,
            index,
            millis,
        } => format!("{unit}: built index {index} in {}", self::millis(*millis)),
        Event::FollowStarted {
            units,
            every_millis,
        } => format!(
            "stays open and follows {}, looks every {} at most",
            units.join(", "),
            millis(*every_millis)
        ),
        Event::AsOfAdvanced { from, to } => {
            format!(
                "as of {} from here on, {} before",
                time::show(*to),
                time::show(*from)
            )
        }
        Event::UnitCaughtUp { unit, passes } => format!("{unit}: has caught up, pass {passes}"),
        Event::FollowEnded { .. } => "is to be completed, and followed no more".to_owned(),
        Event::CaughtUp { units, as_of } => format!(
            "nothing to write as of {}: {}",
            time::show(*as_of),
            units.join(", ")
        ),
        Event::UnitCompleted(completed) => unit_completed(completed),
        Event::RunCompleted {
            written,
            quarantined,
        } => format!("{} written, {} bad", number(*written), number(*quarantined)),
        Event::UndoStarted { units, reason } => format!("{}, because: {reason}", units.join(", ")),
        Event::UndoCompleted {
            units,
            removed,
            kept,
            gone,
        } => format!("{}: {}", units.join(", "), undone(*removed, *kept, *gone)),
        Event::RowQuarantined { unit, key, reason } => format!("{unit} {key}: {reason}"),
        Event::BatchCommitted(batch) => batch_committed(batch),
        Event::BatchUndone(batch) => batch_undone(batch),
        Event::WorkerStarted {
            release,
            process,
            workers,
        } => format!(
            "release {release}, process {process}, {}",
            count(length(*workers), "worker")
        ),
        Event::BatchResized {
            unit,
            from,
            to,
            reason,
        } => format!(
            "{unit}: {} rows a batch rather than {}, because {reason}",
            number(i64::from(*to)),
            number(i64::from(*from))
        ),
        Event::HoldStarted {
            signal,
            value,
            limit,
        } => match limit.as_str() {
            "" => format!("holds: {signal}, {value}"),
            limit => format!("holds: {signal}: {value}, at most {limit}"),
        },
        Event::HoldEnded {
            signal,
            value,
            millis,
        } => format!("goes on after {}: {signal}: {value}", self::millis(*millis)),
        Event::PaceChanged { from, to, reason } => format!("{to} rather than {from}: {reason}"),
        Event::WorkerStopped { reason } => reason.clone(),
        _ => control::words(event).unwrap_or_else(|| evidence::words(event)),
    }
}

fn millis(millis: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(millis)).to_string()
}

fn run_started(started: &RunStarted) -> String {
    let mut words = format!(
        "as of {}, window {} days, {}, tolerates {} bad",
        time::show(started.as_of),
        started.window_days,
        count(length(started.units.len()), "unit"),
        percent(started.max_bad)
    );
    if !started.inputs.is_empty() {
        let files: Vec<_> = started
            .inputs
            .iter()
            .map(|input| input.path.as_str())
            .collect();
        words.push_str(&format!(", reads {}", files.join(", ")));
    }
    if !started.indexes.is_empty() {
        let owed = match started.indexes.len() {
            1 => "1 index".to_owned(),
            owed => format!("{owed} indexes"),
        };
        words.push_str(&format!(", {owed} to build"));
    }
    if let Some(repairs) = &started.repairs {
        let (run, reason) = (&repairs.run, &repairs.reason);
        let what = match repairs.purpose() {
            Purpose::Replay => format!("tries again what run {run} set aside"),
            Purpose::Backfill | Purpose::Repair => format!("repairs run {run}"),
            Purpose::Undo => format!("takes back of run {run}"),
            Purpose::Redo => format!("takes back and writes again of run {run}"),
        };
        let which = repairs.takes_back.as_ref().map(scope_words);
        let which = which.unwrap_or_default();
        words.push_str(&format!(", {what}{which}, because: {reason}"));
    }
    words
}

/// Which rows a scope means.
fn scope_words(scope: &Scope) -> String {
    let mut words = Vec::new();
    let mut list = |what: &str, of: &[String]| {
        if !of.is_empty() {
            words.push(format!("{what} {}", line(&of.join(", "))));
        }
    };
    list("units", &scope.units);
    list("tenant", scope.tenant.as_slice());
    list("keys from", scope.from_key.as_slice());
    list("keys up to", scope.to_key.as_slice());
    list("batches", &scope.batches);
    list("workers", &scope.workers);
    list("version", scope.written_by.as_slice());
    let instants = [
        ("written since", scope.since),
        ("written before", scope.until),
    ];
    for (what, instant) in instants {
        if let Some(instant) = instant {
            words.push(format!("{what} {}", time::show(instant)));
        }
    }
    match words.is_empty() {
        true => " all rows".into(),
        false => format!(" the rows of {}", words.join(", ")),
    }
}

fn planned_words(planned: &PartitionPlanned) -> String {
    format!(
        "{} pass {} section {} part {}: from {} to {}, about {}",
        planned.unit,
        planned.pass,
        planned.section,
        planned.part,
        planned.lower.as_deref().unwrap_or("the start"),
        planned.upper.as_deref().unwrap_or("the end"),
        count(planned.estimate, "row")
    )
}

fn unit_completed(completed: &UnitCompleted) -> String {
    let mut words = format!(
        "{}: {} written, {} bad, {}",
        completed.unit,
        number(completed.written),
        number(completed.quarantined),
        match completed.passes {
            1 => "1 pass".to_owned(),
            passes => format!("{passes} passes"),
        }
    );
    if completed.unchanged {
        words.push_str(", and nothing has changed since the last began");
    }
    if completed.refreshed > 0 {
        words.push_str(&format!(
            ", {} brought up to date",
            number(completed.refreshed)
        ));
    }
    if completed.changed > 0 {
        let rows = count(completed.changed, "row");
        words.push_str(&format!(
            ", {rows} left as the application changed them since"
        ));
    }
    words
}

fn batch_committed(batch: &BatchCommitted) -> String {
    let mut words = format!(
        "read {}, wrote {}",
        number(batch.read),
        number(batch.written)
    );
    if batch.refreshed > 0 {
        words.push_str(&format!(", brought {} up to date", number(batch.refreshed)));
    }
    if !batch.skipped.is_empty() {
        let reasons: Vec<_> = batch
            .skipped
            .iter()
            .map(|(reason, rows)| match batch.skipped.len() {
                1 => reason.clone(),
                _ => format!("{} {reason}", number(*rows)),
            })
            .collect();
        let skipped = number(batch.skips());
        words.push_str(&format!(", skipped {skipped} ({})", reasons.join(", ")));
    }
    if batch.quarantined > 0 {
        words.push_str(&format!(", set aside {}", number(batch.quarantined)));
    }
    if let Some(cursor) = &batch.to {
        words.push_str(&format!(", cursor {}", cursor.join(" / ")));
    }
    if batch.last {
        words.push_str(", the last");
    }
    words
}

fn batch_undone(batch: &BatchUndone) -> String {
    let undone = undone(batch.removed, length(batch.kept.len()), batch.gone);
    let restored = match batch.restored {
        0 => String::new(),
        rows => format!(", put {} back to what it was before", count(rows, "row")),
    };
    format!("batch {}: {undone}{restored}", batch.batch)
}

/// What an undo did: the same words for a batch and for a run.
fn undone(removed: i64, kept: i64, gone: i64) -> String {
    let mut words = format!("took back {}", count(removed, "row"));
    if kept > 0 {
        words.push_str(&format!(", kept {}", number(kept)));
    }
    if gone > 0 {
        words.push_str(&format!(", {} gone already", number(gone)));
    }
    words
}

fn percent(share: f64) -> String {
    // A share like 0.001 has no exact binary form; six digits are more than anybody writes.
    let percent = format!("{:.6}", share * 100.0);
    format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, version: i32, payload: &str) -> Entry {
        Entry {
            position: 7,
            run: "0199f3a2-7c41-7d2e-8000-000000000000".into(),
            stream: "run".into(),
            seq: 1,
            kind: kind.into(),
            version,
            unit: None,
            key: None,
            payload: payload.into(),
            worker: "w-1".into(),
            at: 0,
            prev: "0".repeat(64),
            hash: "f".repeat(64),
        }
    }

    #[test]
    fn a_batch_in_one_line() {
        let payload = r#"{"unit":"u","from":null,"to":["c9","3"],"last":true,"read":2000,"written":1997,
            "skipped":{"already there":2},"quarantined":1,"provenance":null}"#;
        assert_eq!(
            summary(&entry("BatchCommitted", 1, payload)),
            "read 2,000, wrote 1,997, skipped 2 (already there), set aside 1, cursor c9 / 3, the last"
        );
    }

    #[test]
    fn an_unknown_event_is_shown_as_it_is_stored() {
        let unknown = entry("RunPostponed", 1, r#"{"why":"lunch"}"#);
        assert_eq!(summary(&unknown), r#"(format 1) {"why":"lunch"}"#);
        let newer = entry("RunCompleted", 99, r#"{"written":1,"quarantined":0}"#);
        assert_eq!(
            summary(&newer),
            r#"(format 99) {"written":1,"quarantined":0}"#
        );
    }

    #[test]
    fn wishes_say_who_and_what() {
        for (kind, payload, words) in [
            (
                "RunPaused",
                r#"{"by":"Mia","note":"lunch"}"#,
                "paused by Mia: lunch",
            ),
            (
                "RunResumed",
                r#"{"by":"Mia","note":null}"#,
                "resumed by Mia",
            ),
            (
                "SettingsChanged",
                r#"{"settings":{"pace":"2000/s","workers":null},"by":"Mia","note":null}"#,
                "pace=2000/s, workers=default, by Mia",
            ),
            (
                "SettingsApplied",
                r#"{"settings":{"pace":"2000/s"}}"#,
                "goes by pace=2000/s from here on",
            ),
            (
                "HoldStarted",
                r#"{"signal":"the run is paused","value":"by Mia","limit":""}"#,
                "holds: the run is paused, by Mia",
            ),
        ] {
            assert_eq!(summary(&entry(kind, 5, payload)), words);
        }
    }

    #[test]
    fn a_key_cannot_break_the_line() {
        let payload = "{\"unit\":\"u\",\"key\":\"a\\nb\\u001b[31m\",\"reason\":\"bad\"}";
        assert_eq!(
            summary(&entry("RowQuarantined", 1, payload)),
            "u a b\\u{1b}[31m: bad"
        );
    }

    #[test]
    fn shares_are_spelled_shortly() {
        assert_eq!(
            [percent(0.001), percent(0.0), percent(1.0)],
            ["0.1 %", "0 %", "100 %"]
        );
    }
}
