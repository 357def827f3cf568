//! The schema's changes.

mod verified;

use std::fmt::Write;

use serde::Serialize;
use worker::schema::Change;

pub(crate) use self::verified::{Models, Reviewed, Sql, differs, models, reviewed, verification};

/// A change, for programs.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    /// Its name.
    name: &'a str,
    /// Whether it is applied.
    applied: bool,
}

/// All changes, for programs: one array.
pub(crate) fn document(changes: &[Change]) -> Vec<Document<'_>> {
    let documents = changes.iter().map(|change| Document {
        name: &change.name,
        applied: change.is_applied,
    });
    documents.collect()
}

/// What a command did to the schema: the names of the changes, in their order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Changed {
    /// They are applied now.
    Applied(Vec<String>),
    /// They are not any more.
    TakenDown(Vec<String>),
}

/// All changes.
pub(crate) fn status(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let word = if change.is_applied {
            "applied"
        } else {
            "pending"
        };
        let _ = writeln!(text, "{word}  {}", change.name);
    }
    if changes.iter().any(|change| !change.is_applied) {
        text.push_str("`cli schema up` applies what is pending\n");
    }
    text
}

/// What was done.
pub(crate) fn changed(changed: &Changed) -> String {
    let (word, names, nothing) = match changed {
        Changed::Applied(names) => (
            "applied",
            names,
            "nothing to do: every schema change is applied",
        ),
        Changed::TakenDown(names) => (
            "took down",
            names,
            "nothing to do: no schema change is applied",
        ),
    };
    if names.is_empty() {
        return nothing.to_owned();
    }
    names
        .iter()
        .map(|name| format!("{word} {name}\n"))
        .collect()
}

/// What taking it down would do.
pub(crate) fn down(changes: &[Change]) -> String {
    let mut text = String::from("taking the schema down drops what these changes made:\n");
    for change in changes.iter().rev().filter(|change| change.is_applied) {
        let _ = writeln!(text, "  {}", change.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_changes_name_the_command() {
        let mut changes = vec![Change {
            name: "m1".into(),
            is_applied: true,
        }];
        assert_eq!(status(&changes), "applied  m1\n");
        changes.push(Change {
            name: "m2".into(),
            is_applied: false,
        });
        assert!(status(&changes).contains("pending  m2\n`cli schema up`"));
        assert!(!down(&changes).contains("m2"));
    }

    #[test]
    fn a_repeated_command_says_that_there_is_nothing_to_do() {
        assert!(changed(&Changed::Applied(Vec::new())).starts_with("nothing to do"));
        assert_eq!(
            changed(&Changed::TakenDown(vec!["m1".into()])),
            "took down m1\n"
        );
    }
}
