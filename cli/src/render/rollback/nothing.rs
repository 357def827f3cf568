//! Nothing is to be rolled back.

use std::fmt::Write;

use serde::Serialize;
use worker::core::state::UnitStatus;
use worker::status;

/// Nothing is to be undone.
#[derive(Debug)]
pub(crate) struct Nothing {
    /// The run that was meant; none where nothing was run.
    pub(crate) run: Option<String>,
    /// Other runs that still hold rows.
    pub(crate) others: Vec<String>,
}

/// The same for `--json`.
#[derive(Serialize)]
pub(crate) struct NothingDocument<'a> {
    outcome: &'static str,
    run: Option<&'a str>,
    /// Other runs that still hold rows.
    others: &'a [String],
}

impl Nothing {
    /// For programs.
    pub(crate) fn document(&self) -> NothingDocument<'_> {
        NothingDocument {
            outcome: "nothing",
            run: self.run.as_deref(),
            others: &self.others,
        }
    }
}

/// Whether a run has rows that a rollback would look at.
pub(crate) fn holds_rows(run: &status::Run) -> bool {
    let undone = UnitStatus::Undone.word();
    run.units
        .iter()
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
    if !nothing.others.is_empty() {
        let _ = writeln!(
            text,
            "other runs still hold rows: {}; name one with --run",
            nothing.others.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_names_the_runs_that_still_hold_rows() {
        let text = nothing(&Nothing {
            run: Some("b".into()),
            others: vec!["a".into()],
        });
        assert!(text.starts_with("nothing to roll back: run b") && text.contains("hold rows: a"));
    }
}
