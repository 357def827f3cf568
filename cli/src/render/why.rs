//! Why a run stands still, or was slow, in sentences.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use worker::approval::Approval;
use worker::core::event::{Setting, Word};
use worker::report::number;
use worker::time;
use worker::why::{Between, Cause, Finding, Report};

use super::text::{count, length, line, short};

/// What keeps a run from beginning.
pub(crate) fn unbegun(pending: usize, approved: Option<&Approval>) -> String {
    let mut text = "no run has begun in this database\n".to_owned();
    if pending > 0 {
        let changes = count(length(pending), "schema change");
        let _ = writeln!(
            text,
            "{changes} pending\n  → cli schema up, or worker run --migrate"
        );
    }
    text.push_str(&match approved {
        Some(approval) => format!("the plan is approved, by {}\n  → worker run\n", line(&approval.by)),
        None => "nobody has approved the plan: worker run begins, worker run --require-approval refuses\n  \
                 → cli plan, then cli plan approve --by NAME\n"
            .to_owned(),
    });
    text
}

/// The same for programs.
pub(crate) fn unbegun_document(pending: usize, approved: Option<&Approval>) -> Value {
    json!({"run": null, "pending": pending, "approved": approved})
}

/// Why.
pub(crate) fn report(report: &Report) -> String {
    let mut text = format!(
        "run {} is {}; its last event is {} old\n",
        line(short(&report.run)),
        report.state,
        lasting(report.now - report.last_at)
    );
    for finding in &report.doing {
        tell(&mut text, &now(finding), finding);
    }
    text.push('\n');
    let is_undone = report
        .doing
        .iter()
        .any(|finding| matches!(finding.cause, Cause::RollbackHalfway { .. }));
    let rows = if is_undone {
        "rows taken back"
    } else {
        "source rows"
    };
    text.push_str(&between(&report.between, rows));
    text
}

fn tell(text: &mut String, what: &str, finding: &Finding) {
    let _ = writeln!(text, "{}", line(what));
    if !finding.remedy.is_empty() {
        let _ = writeln!(text, "  → {}", line(&finding.remedy));
    }
}

/// What keeps it now.
fn now(finding: &Finding) -> String {
    let lasting = lasting(finding.millis);
    match &finding.cause {
        Cause::Cancelled { word } => format!("it was cancelled {lasting} ago {}", said(word)),
        Cause::Paused { word } => format!("it has been paused for {lasting} {}", said(word)),
        Cause::TooManyBad {
            unit,
            read,
            bad,
            allowed,
        } => format!(
            "unit {unit} was stopped {lasting} ago: {} of {} were bad, {} allowed",
            number(*bad),
            count(*read, "row"),
            number(*allowed)
        ),
        Cause::NobodyWorks {
            reason: Some(reason),
            worker,
        } if worker.is_empty() => match reason.as_str() {
            "" => format!("nobody works on it: no worker has begun in {lasting}"),
            reason => format!("nobody works on it: {reason}"),
        },
        Cause::NobodyWorks {
            worker,
            reason: Some(reason),
        } => format!(
            "nobody has worked on it for {lasting}: worker {worker} ended in order ({reason})"
        ),
        Cause::NobodyWorks {
            worker,
            reason: None,
        } => format!(
            "nobody works on it: worker {worker} was killed or crashed, its last event is {lasting} old, and none of our \
             sessions is in the server"
        ),
        Cause::Silent { worker } => format!(
            "worker {worker} began and did not end, and its last event is {lasting} old: it may have been killed"
        ),
        Cause::Holding {
            worker,
            signal,
            value,
            limit,
        } => {
            let most = match limit.as_str() {
                "" => String::new(),
                limit => format!(", at most {limit}"),
            };
            format!("worker {worker} has held for {lasting}: {signal}: {value}{most}")
        }
        Cause::WaitsForLock(blocked) => format!(
            "server process {} of ours has waited for a lock for {lasting}; process {} has it ({})",
            blocked.process,
            blocked.behind,
            who(
                &blocked.role,
                &blocked.program,
                &blocked.state,
                blocked.open
            )
        ),
        Cause::RollbackHalfway {
            units,
            reason,
            is_worked_on,
        } => format!(
            "a rollback of {} began {lasting} ago ({reason}) and {}",
            units.join(", "),
            match is_worked_on {
                true => "is under way",
                false => "stopped halfway: nobody works on it",
            }
        ),
        Cause::WaitsForUnits { unit, on } => format!("unit {unit} waits for {}", on.join(", ")),
        Cause::Slowed { worker, to, reason } => {
            format!("worker {worker} has worked slower for {lasting} ({to}): {reason}")
        }
        Cause::Set { by, note, settings } => set(by, note.as_deref(), settings),
        Cause::Following { as_of } => format!(
            "it follows its sources, all is written as of {}; it waits for its next look",
            time::show(*as_of)
        ),
        Cause::Working {
            rows_per_second,
            median,
        } => format!(
            "it is at work: {} source rows a second in the last minute, {} in the median",
            rate(*rows_per_second),
            rate(*median)
        ),
        Cause::Over => "nothing is left to do".to_owned(),
        Cause::Held { .. }
        | Cause::Nobody { .. }
        | Cause::Resized { .. }
        | Cause::IndexBuilt { .. } => took(finding, finding.millis),
    }
}

fn said(word: &Word) -> String {
    word.to_string()
}

fn who(role: &str, program: &str, state: &str, open: f64) -> String {
    let mut parts = Vec::new();
    if !role.is_empty() {
        parts.push(format!("role {role}"));
    }
    if !program.is_empty() {
        parts.push(program.to_owned());
    }
    if !state.is_empty() {
        parts.push(state.to_owned());
    }
    parts.push(format!("in a transaction for {open:.0} s"));
    parts.join(", ")
}

fn set(by: &str, note: Option<&str>, settings: &BTreeMap<Setting, Option<String>>) -> String {
    let words: Vec<_> = settings
        .iter()
        .map(|(setting, value)| {
            format!(
                "{}={}",
                setting.name(),
                value.as_deref().unwrap_or("default")
            )
        })
        .collect();
    let note = note.map_or_else(String::new, |note| format!(": {note}"));
    format!("{} is set, by {by}{note}", words.join(" "))
}

/// What it did between two times, and what took it.
fn between(between: &Between, rows: &str) -> String {
    let took = between.to - between.from;
    let median = match between.median {
        Some(median) => format!("; its median is {} a second", rate(median)),
        None => String::new(),
    };
    let mut text = format!(
        "from {} to {} ({}): {}, {} {rows}, {} a second{median}\n",
        time::show(between.from),
        time::show(between.to),
        lasting(took),
        batches(between.batches),
        number(between.read),
        rate(between.rows_per_second)
    );
    if between.causes.is_empty() {
        text.push_str("nothing kept it: no hold, no time without a worker, no slower pace, no smaller batch\n");
    }
    for finding in &between.causes {
        tell(&mut text, &self::took(finding, took), finding);
    }
    text
}

/// What took it so much of a time.
fn took(finding: &Finding, whole: i64) -> String {
    let share = format!(
        "{} ({} %)",
        lasting(finding.millis),
        finding.millis.saturating_mul(100) / whole.max(1)
    );
    match &finding.cause {
        Cause::Held {
            signal,
            times,
            value,
            by,
        } => {
            // Of one person's word the value tells.
            let by = match by.len() {
                0 | 1 => String::new(),
                _ => format!("; by {}", by.join(", ")),
            };
            format!("{share} holding, {}: {signal} ({value}){by}", often(*times))
        }
        Cause::Nobody { times, crashes } => {
            let crashes = match crashes {
                0 => "every worker had ended in order".to_owned(),
                1 => "1 worker was killed or crashed".to_owned(),
                crashes => format!("{crashes} workers were killed or crashed"),
            };
            format!("{share} without any worker, {}: {crashes}", often(*times))
        }
        Cause::Slowed { to, reason, .. } => format!("{share} at a slower pace ({to}): {reason}"),
        Cause::IndexBuilt { index } => format!("{share} building index {index}"),
        Cause::Resized {
            unit,
            times,
            from,
            least,
            reasons,
        } => {
            let reasons: Vec<_> = reasons
                .iter()
                .map(|(reason, times)| format!("{reason}, {}", often(*times)))
                .collect();
            format!(
                "batches of {unit} were made smaller {}, from {} to {} at the least: {}",
                often(*times),
                count(i64::from(*from), "row"),
                number(i64::from(*least)),
                reasons.join("; ")
            )
        }
        _ => now(finding),
    }
}

fn often(times: usize) -> String {
    match times {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        times => format!("{} times", number(length(times))),
    }
}

fn batches(batches: i64) -> String {
    match batches {
        1 => "1 batch".to_owned(),
        batches => format!("{} batches", number(batches)),
    }
}

fn rate(rate: f64) -> String {
    match rate < 10.0 {
        true => format!("{rate:.1}"),
        #[expect(clippy::cast_possible_truncation, reason = "a rate for people")]
        false => number(rate.min(9e15) as i64),
    }
}

/// A time for people: to the second, and below ten seconds to the millisecond.
fn lasting(millis: i64) -> String {
    let millis = u64::try_from(millis).unwrap_or(0);
    let shown = match millis < 10_000 {
        true => Duration::from_millis(millis),
        false => Duration::from_secs(millis / 1_000),
    };
    humantime::format_duration(shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(cause: Cause, millis: i64, remedy: &str) -> Finding {
        Finding {
            cause,
            millis,
            remedy: remedy.into(),
        }
    }

    #[test]
    fn causes_are_sentences_with_what_to_do() {
        let word = Word {
            by: "Mia\u{1b}".into(),
            note: Some("the shop is slow".into()),
        };
        let held = Cause::Held {
            signal: "answers are slow".into(),
            times: 2,
            value: "80 ms".into(),
            by: Vec::new(),
        };
        let told = report(&Report {
            run: "0199f3a2-7c41-7d2e-8000-000000000000".into(),
            state: "running",
            now: 1_762_214_460_000,
            last_at: 1_762_214_400_000,
            doing: vec![finding(
                Cause::Paused { word },
                90_000,
                "cli run resume --by NAME",
            )],
            between: Between {
                from: 1_762_214_400_000,
                to: 1_762_214_500_000,
                batches: 1,
                read: 2_000,
                rows_per_second: 20.0,
                median: Some(4_000.0),
                causes: vec![finding(held, 50_000, "")],
            },
        });
        let expected = "\
            run 0199f3a2-7c41 is running; its last event is 1m old\n\
            it has been paused for 1m 30s by Mia\\u{1b}: the shop is slow\n  \
            → cli run resume --by NAME\n\n\
            from 2025-11-04T00:00:00.000Z to 2025-11-04T00:01:40.000Z (1m 40s): 1 batch, 2,000 source rows, 20 a second; \
            its median is 4,000 a second\n\
            50s (50 %) holding, twice: answers are slow (80 ms)\n";
        assert_eq!(told, expected);
    }
}
