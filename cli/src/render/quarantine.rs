//! Rows that were set aside.

use serde::Serialize;
use worker::core::event::Event;
use worker::journal::{self, Entry};
use worker::report::number;
use worker::time;

use super::text::{length, line, short};
use worker::report::table;

/// What `cli quarantine list --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct List {
    /// The run that was asked for; none: every run.
    run: Option<String>,
    /// How many there are.
    total: u64,
    /// The newest of them, newest last.
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    /// The unit that set it aside.
    unit: String,
    /// The source row's key.
    key: String,
    /// What is wrong with it.
    reason: String,
    /// When, by the database's clock: milliseconds since 1970, UTC.
    at: i64,
    /// The run.
    run: String,
}

impl List {
    /// From the events.
    pub(crate) fn of(run: Option<String>, total: u64, entries: &[Entry]) -> Self {
        Self {
            run,
            total,
            rows: entries.iter().map(Row::of).collect(),
        }
    }
}

impl Row {
    fn of(entry: &Entry) -> Self {
        let reason = match journal::event(entry) {
            Ok(Event::RowQuarantined { reason, .. }) => reason,
            // A newer release's event keeps its unit and key in their columns.
            _ => entry.payload.clone(),
        };
        Self {
            unit: entry.unit.clone().unwrap_or_default(),
            key: entry.key.clone().unwrap_or_default(),
            reason,
            at: entry.at,
            run: entry.run.clone(),
        }
    }
}

/// The rows, and how many there are.
pub(crate) fn list(list: &List) -> String {
    let total = i64::try_from(list.total).unwrap_or(i64::MAX);
    let of = match &list.run {
        Some(run) => format!(" of run {}", line(short(run))),
        None => String::new(),
    };
    let others = match &list.run {
        Some(_) => "; --all lists those of every run",
        None => "",
    };
    if total == 0 {
        return format!("no row{of} is in quarantine{others}");
    }
    let rows = list.rows.iter().map(|row| {
        [
            line(&row.unit),
            line(&row.key),
            line(&row.reason),
            time::show(row.at),
            line(short(&row.run)),
        ]
    });
    let rows = table(["unit", "key", "reason", "time (UTC)", "run"], rows, &[]);
    let shown = length(list.rows.len());
    let which = match shown < total {
        true => format!("the newest {} of {} rows{of}", number(shown), number(total)),
        false => format!("all rows{of}: {}", number(total)),
    };
    format!("{rows}\n{which}{others}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_told() {
        let entry = Entry {
            position: 1,
            run: "0199f3a2-7c41-7d2e-8000-000000000000".into(),
            stream: "u/1.0.0".into(),
            seq: 1,
            kind: "RowQuarantined".into(),
            version: 1,
            unit: Some("u".into()),
            key: Some("c1".into()),
            payload: r#"{"unit":"u","key":"c1","reason":"rating is 9"}"#.into(),
            worker: "w".into(),
            at: 0,
            prev: String::new(),
            hash: String::new(),
        };
        let text = list(&List::of(None, 1_200, &[entry]));
        assert!(
            text.contains("rating is 9") && text.contains("newest 1 of 1,200 rows"),
            "{text}"
        );
        assert_eq!(list(&List::of(None, 0, &[])), "no row is in quarantine");
        let of_run = list(&List::of(Some("0199".into()), 0, &[]));
        assert!(
            of_run.contains("run 0199") && of_run.contains("--all"),
            "{of_run}"
        );
    }
}
