//! A picture in Prometheus's text format. Everything is read from the journal, so each process of a run tells the same of it:
//! where several are scraped, take the maximum and not the sum.

use std::fmt::Write;

use super::keeper::Now;
use crate::picture::Picture;
use crate::picture::process::Life;
use crate::picture::took::BOUNDS;

/// The content type.
pub(super) const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// States that a run may be in.
const STATES: [&str; 5] = [
    "running",
    "completed",
    "rolling back",
    "partly rolled back",
    "rolled back",
];

/// What is known, as metrics.
pub(super) fn text(now: &Now) -> String {
    let mut out = Text::default();
    out.family(
        "backstitch_build_info",
        "gauge",
        "The release that tells this.",
    );
    out.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1_u8);
    out.family(
        "backstitch_journal_up",
        "gauge",
        "Whether the journal could be read the last time: 1 or 0.",
    );
    out.sample(
        "",
        &[],
        u8::from(now.looked.is_some() && now.trouble.is_none()),
    );
    out.family(
        "backstitch_journal_read_errors_total",
        "counter",
        "How often this process could not read the journal.",
    );
    out.sample("", &[], now.errors);
    out.family(
        "backstitch_journal_read_age_seconds",
        "gauge",
        "How long ago the journal was read.",
    );
    if let Some(at) = now.looked {
        out.sample("", &[], at.elapsed().as_secs_f64());
    }
    if let Some(picture) = &now.picture {
        of_run(&mut out, picture);
        of_units(&mut out, picture);
        of_batches(&mut out, picture);
        of_holds(&mut out, picture);
        of_processes(&mut out, picture);
    }
    out.text
}

fn of_run(out: &mut Text, picture: &Picture) {
    let (run, fold) = (&picture.run, &picture.fold);
    let id = ("run", run.run.as_str());
    out.family(
        "backstitch_run_state",
        "gauge",
        "The run's state: 1 for the one that it is in.",
    );
    for state in STATES {
        out.sample("", &[id, ("state", state)], u8::from(state == run.state));
    }
    out.family(
        "backstitch_run_paused",
        "gauge",
        "Whether somebody paused or cancelled the run: 1 or 0.",
    );
    let wished = run
        .steered
        .as_ref()
        .is_some_and(|steered| steered.standing != "going");
    out.sample("", &[id], u8::from(wished));
    out.family(
        "backstitch_run_start_timestamp_seconds",
        "gauge",
        "When the run began, by the database's clock.",
    );
    out.sample("", &[id], seconds(run.started_at));
    out.family(
        "backstitch_last_event_timestamp_seconds",
        "gauge",
        "When the run's last event was appended.",
    );
    out.sample("", &[id], seconds(run.last_at));
    out.family(
        "backstitch_database_timestamp_seconds",
        "gauge",
        "The database's clock when the journal was read.",
    );
    out.sample("", &[id], seconds(run.now));
    out.family(
        "backstitch_left_seconds",
        "gauge",
        "How long the run will still take: a low and a high estimate.",
    );
    if let Some(left) = &picture.left {
        out.sample("", &[id, ("estimate", "low")], left.low);
        out.sample("", &[id, ("estimate", "high")], left.high);
    }
    out.family(
        "backstitch_follow_lag_seconds",
        "gauge",
        "How far a run that is followed is behind its sources, at most.",
    );
    if let Some(behind) = run
        .following
        .as_ref()
        .and_then(|following| following.behind_millis)
    {
        out.sample("", &[id], seconds(behind));
    }
    out.family(
        "backstitch_journal_events_total",
        "counter",
        "Events of the run.",
    );
    out.sample("", &[id], fold.events);
    out.family(
        "backstitch_journal_event_bytes_total",
        "counter",
        "What the run's events take as text.",
    );
    out.sample("", &[id], fold.bytes);
    out.family(
        "backstitch_journal_disk_bytes",
        "gauge",
        "What the journal's tables take on disk, indexes included; PostgreSQL alone.",
    );
    for (table, bytes) in &picture.disk {
        out.sample("", &[("table", table)], *bytes);
    }
}

fn of_units(out: &mut Text, picture: &Picture) {
    type Of = fn(&crate::status::Unit) -> i64;
    let run = &picture.run;
    let families: [(&str, &str, &str, Of); 7] = [
        (
            "backstitch_rows_expected",
            "gauge",
            "Source rows of the unit, as far as they were counted.",
            |unit| unit.expected,
        ),
        (
            "backstitch_rows_read_total",
            "counter",
            "Source rows read, each once.",
            |unit| unit.read,
        ),
        (
            "backstitch_rows_written_total",
            "counter",
            "Rows written.",
            |unit| unit.written,
        ),
        (
            "backstitch_rows_skipped_total",
            "counter",
            "Rows that needed nothing.",
            |unit| unit.skipped,
        ),
        (
            "backstitch_rows_bad_total",
            "counter",
            "Bad rows set aside.",
            |unit| unit.quarantined,
        ),
        (
            "backstitch_rows_undone_total",
            "counter",
            "Rows that an undo removed or put back.",
            |unit| unit.removed,
        ),
        (
            "backstitch_rows_kept_total",
            "counter",
            "Rows that an undo left alone.",
            |unit| unit.kept,
        ),
    ];
    for (name, kind, help, of) in families {
        out.family(name, kind, help);
        for unit in &run.units {
            out.sample("", &[("run", &run.run), ("unit", &unit.unit)], of(unit));
        }
    }
    out.family(
        "backstitch_unit_stopped",
        "gauge",
        "Whether the unit stopped over its budget of bad rows: 1 or 0.",
    );
    for unit in &run.units {
        out.sample(
            "",
            &[("run", &run.run), ("unit", &unit.unit)],
            u8::from(unit.state == "stopped"),
        );
    }
}

fn of_batches(out: &mut Text, picture: &Picture) {
    let run = picture.run.run.as_str();
    out.family("backstitch_batches_total", "counter", "Batches committed.");
    for (unit, sum) in &picture.fold.units {
        out.sample("", &[("run", run), ("unit", unit)], sum.batches);
    }
    out.family(
        "backstitch_batches_undone_total",
        "counter",
        "Batches taken back.",
    );
    for (unit, sum) in &picture.fold.units {
        out.sample("", &[("run", run), ("unit", unit)], sum.undone);
    }
    out.family(
        "backstitch_batch_seconds",
        "histogram",
        "How long batches took, up to when their event was made.",
    );
    for (unit, sum) in &picture.fold.units {
        let labels = [("run", run), ("unit", unit.as_str())];
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(sum.took.counts) {
            below += count;
            let bound = seconds(i64::try_from(*bound).unwrap_or(i64::MAX)).to_string();
            out.sample("_bucket", &[labels[0], labels[1], ("le", &bound)], below);
        }
        below += sum.took.over;
        out.sample("_bucket", &[labels[0], labels[1], ("le", "+Inf")], below);
        out.sample(
            "_sum",
            &labels,
            seconds(i64::try_from(sum.took.millis).unwrap_or(i64::MAX)),
        );
        out.sample("_count", &labels, below);
    }
}

fn of_holds(out: &mut Text, picture: &Picture) {
    let (run, fold) = (picture.run.run.as_str(), &picture.fold);
    out.family(
        "backstitch_holds_total",
        "counter",
        "Holds that are over, by what the processes held for.",
    );
    for (reason, (count, _)) in fold.holds.sums() {
        out.sample("", &[("run", run), ("reason", reason)], *count);
    }
    out.family(
        "backstitch_hold_seconds_total",
        "counter",
        "How long holds that are over took, of all processes together.",
    );
    for (reason, (_, millis)) in fold.holds.sums() {
        let sum = seconds(i64::try_from(*millis).unwrap_or(i64::MAX));
        out.sample("", &[("run", run), ("reason", reason)], sum);
    }
    out.family(
        "backstitch_holding",
        "gauge",
        "Processes that hold now, by what they hold for.",
    );
    let mut now: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for process in fold
        .processes
        .iter()
        .filter(|process| picture.life(process) == Life::Works)
    {
        if let Some(hold) = fold.holds.of(&process.worker) {
            *now.entry(&hold.signal).or_default() += 1;
        }
    }
    for (reason, count) in now {
        out.sample("", &[("run", run), ("reason", reason)], count);
    }
}

fn of_processes(out: &mut Text, picture: &Picture) {
    let id = ("run", picture.run.run.as_str());
    out.family(
        "backstitch_workers",
        "gauge",
        "Processes of the run: at work, ended in order, or ended without a word (silent).",
    );
    for (life, word) in [
        (Life::Works, "works"),
        (Life::Stopped, "stopped"),
        (Life::Silent, "silent"),
    ] {
        let processes = picture.fold.processes.iter();
        let count = processes
            .filter(|process| picture.life(process) == life)
            .count();
        out.sample("", &[id, ("state", word)], count);
    }
}

/// Milliseconds as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds are far below 2^53"
)]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

/// The text as it grows.
#[derive(Default)]
struct Text {
    text: String,
    name: &'static str,
}

impl Text {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (place, (name, value)) in labels.iter().enumerate() {
            let begin = if place == 0 { "{" } else { "," };
            let _ = write!(self.text, "{begin}{name}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn whatever_a_label_holds_it_stays_one_line() {
        let mut out = Text::default();
        out.family("a_total", "counter", "It.");
        out.sample("", &[("unit", "a\"} 1\nb\\")], 7);
        assert_eq!(
            out.text,
            "# HELP a_total It.\n# TYPE a_total counter\na_total{unit=\"a\\\"} 1\\nb\\\\\"} 7\n"
        );
    }
}
