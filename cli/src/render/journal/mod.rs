//! The journal: events as lines, as NDJSON for programs, as NDJSON or CSV for safekeeping; and what a verification found.

pub(crate) mod csv;
mod ndjson;

use std::fmt::Write;

use worker::audit::Report;
use worker::journal::Entry;
use worker::report::number;
use worker::time;

pub(crate) use ndjson::export;

use super::event::summary;
use super::text::{count, length, line, short};

/// Events, page by page, in columns that only grow.
pub(crate) struct Lines {
    json: bool,
    /// Whether the header is still to come.
    is_first: bool,
    widths: [usize; HEADER.len()],
}

const HEADER: [&str; 6] = ["time (UTC)", "run", "stream", "seq", "kind", "worker"];
const SEQ: usize = 3;

impl Lines {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            is_first: true,
            widths: HEADER.map(str::len),
        }
    }

    /// The next events, a line each.
    pub(crate) fn next(&mut self, entries: &[Entry]) -> String {
        if self.json {
            return ndjson::show(entries);
        }
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| (columns(entry), summary(entry)))
            .collect();
        for (columns, _) in &rows {
            for (width, column) in self.widths.iter_mut().zip(columns) {
                *width = (*width).max(column.chars().count());
            }
        }
        let mut text = String::new();
        if self.is_first && !rows.is_empty() {
            self.is_first = false;
            self.row(&mut text, &HEADER.map(str::to_owned), "what");
        }
        for (columns, summary) in &rows {
            self.row(&mut text, columns, summary);
        }
        text
    }

    fn row(&self, text: &mut String, columns: &[String; 6], summary: &str) {
        for (place, (column, width)) in columns.iter().zip(self.widths).enumerate() {
            let _ = match place == SEQ {
                true => write!(text, "{column:>width$}  "),
                false => write!(text, "{column:<width$}  "),
            };
        }
        let _ = writeln!(text, "{summary}");
    }
}

fn columns(entry: &Entry) -> [String; 6] {
    [
        time::show(entry.at),
        line(short(&entry.run)),
        line(&entry.stream),
        number(entry.seq),
        line(&entry.kind),
        line(&entry.worker),
    ]
}

/// What was exported.
pub(crate) fn exported(events: u64, file: &str) -> String {
    let events = count(i64::try_from(events).unwrap_or(i64::MAX), "event");
    format!("wrote {events} to {}", line(file))
}

/// What a verification checked and found.
pub(crate) fn verified(report: &Report) -> String {
    let amount = |amount: u64| number(i64::try_from(amount).unwrap_or(i64::MAX));
    let mut text = format!(
        "checked {}, {}, {} events and the provenance of {} rows\n",
        count(length(report.runs), "run"),
        count(length(report.streams), "stream"),
        amount(report.events),
        amount(report.rows)
    );
    for finding in &report.findings {
        let _ = writeln!(text, "❌ {}", line(&finding.to_string()));
    }
    if let Some(version) = report.newer {
        let _ = writeln!(
            text,
            "⚠️  a newer release wrote events of format {version}: their hashes are in order, what they say was not \
             checked"
        );
    } else if report.findings.is_empty() {
        text.push_str(
            "✅ every hash, transition, projection and provenance digest is as it was written\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use worker::audit::Finding;

    use super::*;

    pub(super) fn entry(payload: &str) -> Entry {
        Entry {
            position: 7,
            run: "0199f3a2-7c41-7d2e-8000-000000000000".into(),
            stream: "run".into(),
            seq: 1_000,
            kind: "RunCompleted".into(),
            version: 1,
            unit: None,
            key: None,
            payload: payload.into(),
            worker: "w-1".into(),
            at: 1_762_214_400_000,
            prev: "0".repeat(64),
            hash: "f".repeat(64),
        }
    }

    #[test]
    fn lines_begin_with_a_header_once() {
        let mut lines = Lines::new(false);
        assert_eq!(lines.next(&[]), "");
        let first = lines.next(&[entry(r#"{"written":2,"quarantined":0}"#)]);
        let expected = "\
            time (UTC)                run            stream    seq  kind          worker  what\n\
            2025-11-04T00:00:00.000Z  0199f3a2-7c41  run     1,000  RunCompleted  w-1     2 written, 0 bad\n";
        assert_eq!(first, expected);
        let second = lines.next(&[entry(r#"{"written":2,"quarantined":0}"#)]);
        assert_eq!(second.lines().count(), 1);
    }

    #[test]
    fn all_findings_are_listed() {
        let mut report = Report {
            runs: 1,
            streams: 2,
            events: 1_234,
            rows: 5,
            newer: None,
            findings: Vec::new(),
        };
        assert!(verified(&report).starts_with("checked 1 run, 2 streams, 1,234 events"));
        assert!(verified(&report).contains('✅'));
        report.newer = Some(9);
        let newer = verified(&report);
        assert!(
            newer.contains("format 9") && !newer.contains('✅'),
            "{newer}"
        );
        report.newer = None;
        for seq in [3, 4] {
            report.findings.push(Finding {
                run: "r".into(),
                stream: "run".into(),
                seq: Some(seq),
                what: "it was changed".into(),
            });
        }
        assert_eq!(verified(&report).matches("it was changed").count(), 2);
        assert!(!verified(&report).contains('✅'));
    }
}
