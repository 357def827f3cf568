//! Targets, what was measured, and verdicts.

pub(crate) mod live;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use worker::core::event::{GateJudged, GateSampled, TargetJudged};
use worker::error::Error;
use worker::gate::slo::Target;
use worker::gate::unit::Standing;
use worker::report::{number, table as columns};

use super::text::{count, length, line};

/// A file that was written.
#[derive(Serialize)]
pub(crate) struct Written {
    pub(crate) file: String,
}

/// What to do with a file that was written.
pub(crate) fn written(file: &str) -> String {
    format!(
        "wrote {file}: put your addresses and queries in, then try it with `cli gate check --file {file}`"
    )
}

/// A duration for people, to the second; a short one to the millisecond.
fn time(length: Duration) -> String {
    let seconds = Duration::from_secs(length.as_secs());
    let shown = match seconds.is_zero() {
        true => Duration::from_millis(u64::from(length.subsec_millis())),
        false => seconds,
    };
    humantime::format_duration(shown).to_string()
}

/// A watch that the file asks more of.
pub(crate) fn short(length: Duration, required: Duration) -> String {
    format!(
        "note: it is watched for {}, and the file asks for {}: what comes of it is noted as the shorter one, which is no \
         proof for the checklist",
        time(length),
        time(required)
    )
}

/// The beginning of a watch.
pub(crate) fn begun(stream: &str, abandoned: &[String]) -> String {
    let mut text = String::new();
    if !abandoned.is_empty() {
        text = format!(
            "note: watched before and without a verdict (killed, or still under way elsewhere), so no proof: {}; this one \
             begins anew\n",
            line(&abandoned.join(", "))
        );
    }
    text.push_str(&format!("watching as {stream}"));
    text
}

/// A sample that waits.
pub(crate) fn unnoted(error: &Error) -> String {
    format!(
        "a sample could not be noted yet, and is kept: {}",
        line(&error.to_string())
    )
}

/// A sample as a table.
pub(crate) fn table(targets: &[Target], sample: &GateSampled) -> String {
    let rows = targets.iter().map(|target| {
        let value = sample.values.get(&target.name).copied().flatten();
        let (sign, shown) = match value {
            Some(value) if target.limit.is_met(value) => ("✅", target.limit.show(value)),
            Some(value) => ("❌", target.limit.show(value)),
            None => ("❓", gap(sample, &target.name)),
        };
        [
            sign.to_owned(),
            target.name.clone(),
            target.limit.to_string(),
            shown,
        ]
    });
    columns(["", "target", "limit", "now"], rows, &[])
}

fn gap(sample: &GateSampled, target: &str) -> String {
    let why = sample.gaps.get(target);
    format!("unknown: {}", why.map_or(String::new(), |why| line(why)))
}

/// A sample as a document.
#[derive(Serialize)]
pub(crate) struct Checked {
    targets: BTreeMap<String, CheckedTarget>,
}

#[derive(Serialize)]
struct CheckedTarget {
    met: bool,
    limit: String,
    /// In base units: shares from 0 to 1, seconds, bytes.
    value: Option<f64>,
    gap: Option<String>,
}

/// A sample as a document.
pub(crate) fn checked(targets: &[Target], sample: &GateSampled) -> Checked {
    let of = |target: &Target| {
        let value = sample.values.get(&target.name).copied().flatten();
        let checked = CheckedTarget {
            met: value.is_some_and(|value| target.limit.is_met(value)),
            limit: target.limit.to_string(),
            value,
            gap: sample.gaps.get(&target.name).cloned(),
        };
        (target.name.clone(), checked)
    };
    Checked {
        targets: targets.iter().map(of).collect(),
    }
}

/// The targets that a sample does not meet, in one line; none where it meets all.
pub(crate) fn missed(targets: &[Target], sample: &GateSampled) -> Option<String> {
    let missed = targets.iter().filter_map(|target| {
        let value = sample.values.get(&target.name).copied().flatten();
        match value {
            Some(value) if target.limit.is_met(value) => None,
            Some(value) => Some(format!(
                "{} is {} and should be {}",
                target.name,
                target.limit.show(value),
                target.limit
            )),
            None => Some(format!("{} is {}", target.name, gap(sample, &target.name))),
        }
    });
    let missed: Vec<_> = missed.collect();
    (!missed.is_empty()).then(|| {
        format!(
            "{} not met: {}",
            count(length(missed.len()), "target"),
            missed.join("; ")
        )
    })
}

/// A verdict as a document.
pub(crate) fn document(judged: &GateJudged) -> &GateJudged {
    judged
}

/// A verdict for people.
pub(crate) fn verdict(targets: &[Target], judged: &GateJudged) -> String {
    let rows = targets.iter().filter_map(|target| {
        let found = judged.targets.get(&target.name)?;
        Some(row(target, found))
    });
    let header = ["", "target", "limit", "worst", "samples", "missed", "gaps"];
    let table = columns(header, rows, &[4, 5, 6]);
    let watched = time(Duration::from_secs(judged.watched_seconds));
    let required = Duration::from_secs(judged.required_seconds);
    let environment = line(&judged.environment);
    let mut head = match judged.open {
        true => format!("✅ the gate of {environment} is open after {watched}"),
        false => format!("❌ the gate of {environment} is closed after {watched}"),
    };
    if judged.open && judged.watched_seconds < judged.required_seconds {
        head.push_str(&format!(", and the file asks for {}", time(required)));
    }
    let mut text = format!("{table}\n\n{head}\n");
    for reason in &judged.reasons {
        text.push_str(&format!("   {}\n", line(reason)));
    }
    text
}

fn row(target: &Target, found: &TargetJudged) -> [String; 7] {
    let whole = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
    [
        if found.met { "✅" } else { "❌" }.to_owned(),
        target.name.clone(),
        found.limit.clone(),
        found
            .worst
            .map_or("unknown".to_owned(), |worst| target.limit.show(worst)),
        whole(found.samples),
        whole(found.missed),
        whole(found.gaps),
    ]
}

/// Why the gate is closed, in one line.
pub(crate) fn closed(judged: &GateJudged) -> String {
    format!(
        "the gate of {} is closed: {}",
        judged.environment,
        judged.reasons.join("; ")
    )
}

/// Units that are complete.
pub(crate) fn units(units: &[String], standing: &Standing) -> String {
    let run = standing.run.as_deref().unwrap_or_default();
    format!("✅ complete in run {run}: {}", line(&units.join(", ")))
}

/// What is waited for.
pub(crate) fn waiting(reasons: &[String]) -> String {
    format!("waiting: {}", line(&reasons.join("; ")))
}

/// Units as a document.
#[derive(Serialize)]
pub(crate) struct Units<'a> {
    open: bool,
    run: Option<&'a str>,
    units: &'a [String],
    reasons: &'a [String],
}

/// Units as a document.
pub(crate) fn units_document<'a>(units: &'a [String], standing: &'a Standing) -> Units<'a> {
    Units {
        open: standing.reasons.is_empty(),
        run: standing.run.as_deref(),
        units,
        reasons: &standing.reasons,
    }
}

#[cfg(test)]
mod tests {
    use worker::gate::Slo;

    use super::*;

    const SLO: &str = "[environment.staging]\nfor = \"2h\"\n[[target]]\nname = \"load\"\nsource = \"probe\"\nurl = \
                       \"http://x/\"\nstatistic = \"max\"\nbelow = \"500 ms\"\n";

    fn targets() -> Vec<Target> {
        Slo::parse(SLO).expect("sound").targets
    }

    fn sample(value: Option<f64>) -> GateSampled {
        let why = "no\nconnection\u{1b}[2J".to_owned();
        GateSampled {
            tick: 1,
            values: BTreeMap::from([("load".to_owned(), value)]),
            gaps: BTreeMap::from([("load".to_owned(), why)]),
        }
    }

    #[test]
    fn what_is_not_met_is_said() {
        let targets = targets();
        assert_eq!(missed(&targets, &sample(Some(0.1))), None);
        let slow = missed(&targets, &sample(Some(0.75))).expect("missed");
        assert_eq!(
            slow,
            "1 target not met: load is 750 ms and should be < 500 ms"
        );
        let unknown = missed(&targets, &sample(None)).expect("missed");
        assert!(unknown.contains("unknown: no connection"), "{unknown}");
        let table = table(&targets, &sample(None));
        assert!(!table.contains('\u{1b}') && table.contains('❓'), "{table}");
    }

    #[test]
    fn a_short_watch_is_not_taken_for_a_long_one() {
        let targets = targets();
        let judged = GateJudged {
            stream: "gate/a".into(),
            head: "h".into(),
            environment: "staging".into(),
            open: true,
            required_seconds: 7_200,
            watched_seconds: 60,
            targets: BTreeMap::new(),
            reasons: Vec::new(),
        };
        let text = verdict(&targets, &judged);
        assert!(
            text.contains("open after 1m, and the file asks for 2h"),
            "{text}"
        );
    }
}
