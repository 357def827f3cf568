//! Nothing is to be rolled back.

use std::fmt::Write;

use serde::Serialize;
use worker::core::state::UnitStatus;
use worker::status;

use super::super::text::{count, length};

/// Nothing is to be undone.
#[derive(Debug)]
pub(crate) struct Nothing {
    /// The run that was meant; none where nothing was run.
    pub(crate) run: Option<String>,
    /// Other runs that still hold rows.
    pub(crate) others: Vec<String>,
    /// Rows that an earlier rollback of this run left alone.
    pub(crate) kept: usize,
}

/// The same for `--json`.
#[derive(Serialize)]
pub(crate) struct NothingDocument<'a> {
    outcome: &'static str,
    run: Option<&'a str>,
    /// Other runs that still hold rows.
    others: &'a [String],
    /// Rows that an earlier rollback of this run left alone.
    kept: usize,
}

impl Nothing {
    /// For programs.
    pub(crate) fn document(&self) -> NothingDocument<'_> {
        NothingDocument {
            outcome: "nothing",
            run: self.run.as_deref(),
            others: &self.others,
            kept: self.kept,
        }
    }
}

/// Whether a run has rows of these units (none named: of any) that a rollback would look at.
pub(crate) fn holds_rows(run: &status::Run, units: &[String]) -> bool {
    let undone = UnitStatus::Undone.word();
    run.units
        .iter()
        .filter(|unit| units.is_empty() || units.contains(&unit.unit))
        .any(|unit| unit.state != undone && unit.written > 0)
}

/// Says so.
pub(crate) fn nothing(nothing: &Nothing) -> String {
    let mut text = match &nothing.run {
        Some(run) => format!(
            "nothing to roll back: run {run} is rolled back already, or has not begun with these units\n"
        ),
        None => "nothing to roll back: nothing was run in this database\n".to_owned(),
    };
    if let (Some(run), 1..) = (&nothing.run, nothing.kept) {
        let _ = writeln!(
            text,
            "{} kept by a rollback of it: {}",
            count(length(nothing.kept), "row"),
            kept_rows(run)
        );
    }
    text.push_str(&others(&nothing.others));
    text
}

/// Names other runs that still hold rows, where there are any.
pub(super) fn others(others: &[String]) -> String {
    match others {
        [] => String::new(),
        others => format!(
            "other runs still hold rows: {}; name one with --run\n",
            others.join(", ")
        ),
    }
}

/// The command that lists every row that rollbacks of a run left alone.
pub(super) fn kept_rows(run: &str) -> String {
    format!("`cli journal show --run {run} --kind BatchUndone --limit 100000 --json` lists them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_names_the_runs_that_still_hold_rows() {
        let text = nothing(&Nothing {
            run: Some("b".into()),
            others: vec!["a".into()],
            kept: 2,
        });
        for part in [
            "nothing to roll back: run b",
            "hold rows: a",
            "2 rows kept",
            "--run b --kind",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
