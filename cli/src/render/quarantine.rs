//! Rows that were set aside.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use worker::core::event::Event;
use worker::held::Held;
use worker::journal::{self, Entry};
use worker::report::number;
use worker::time;

use super::text::{count, length, line, short};
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

/// A row that was set aside.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The unit that set it aside.
    pub(crate) unit: String,
    /// The source row's key.
    pub(crate) key: String,
    /// What is wrong with it.
    reason: String,
    /// When, by the database's clock: milliseconds since 1970, UTC.
    at: i64,
    /// The run.
    run: String,
    /// What its source holds now, where that was asked for.
    #[serde(flatten)]
    held: Option<Source>,
}

/// What a source row holds.
#[derive(Debug, Serialize)]
struct Source {
    /// Its table; none where no table has it.
    table: Option<String>,
    /// Its columns that the unit reads, as text.
    values: BTreeMap<String, Option<String>>,
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

    /// The rows.
    pub(crate) fn rows_mut(&mut self) -> &mut [Row] {
        &mut self.rows
    }
}

impl Row {
    /// Adds what its source holds now; none: no table has it.
    pub(crate) fn holds(&mut self, held: Option<Held>) {
        let (table, values) = match held {
            Some(held) => (Some(held.table), held.values),
            None => (None, BTreeMap::new()),
        };
        self.held = Some(Source { table, values });
    }

    /// From its event.
    pub(crate) fn of(entry: &Entry) -> Self {
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
            held: None,
        }
    }
}

/// Rows, one JSON document a line.
pub(crate) fn ndjson(rows: &[Row]) -> String {
    // Plain data: it never fails.
    let line = |row| serde_json::to_string(row).unwrap_or_default() + "\n";
    rows.iter().map(line).collect()
}

/// The header of rows as CSV.
pub(crate) fn csv_header(with_values: bool) -> String {
    let columns = ["unit", "key", "reason", "at", "run", "table", "values"];
    let columns = if with_values {
        &columns[..]
    } else {
        &columns[..5]
    };
    super::journal::csv::row(columns)
}

/// Rows as CSV; the values as a JSON document.
pub(crate) fn csv(rows: &[Row], with_values: bool) -> String {
    let row = |row: &Row| {
        let at = row.at.to_string();
        let mut fields = vec![&*row.unit, &row.key, &row.reason, &at, &row.run];
        let held = row.held.as_ref();
        let values = held.map(|held| serde_json::json!(held.values).to_string());
        if with_values {
            let table = held.and_then(|held| held.table.as_deref());
            fields.extend([
                table.unwrap_or_default(),
                values.as_deref().unwrap_or_default(),
            ]);
        }
        super::journal::csv::row(&fields)
    };
    rows.iter().map(row).collect()
}

/// What an export came to.
pub(crate) fn exported(rows: usize, path: &str) -> String {
    format!("{} in {path}", count(length(rows), "row"))
}

/// What the source holds, a column a line; a key that was set aside often holds it once.
fn values(list: &List) -> String {
    let mut text = String::new();
    let newest = list
        .rows
        .iter()
        .rev()
        .find_map(|row| Some((row, row.held.as_ref()?)));
    let Some((row, held)) = newest else {
        return text;
    };
    match &held.table {
        None => {
            let _ = writeln!(
                text,
                "no table has a row {}: a line of a file, or gone",
                line(&row.key)
            );
        }
        Some(table) => {
            let _ = writeln!(text, "its source now, of {}:", line(table));
        }
    }
    for (column, value) in &held.values {
        let value = value.as_deref().map_or("NULL".to_owned(), line);
        let _ = writeln!(text, "  {}: {value}", line(column));
    }
    text
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
    format!("{rows}\n{which}{others}\n{}", values(list))
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
