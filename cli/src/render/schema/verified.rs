//! What comparisons of the schema found.

use std::fmt::Write;

use serde::Serialize;
use worker::schema::{Difference, Verification};

use crate::render::text::{count, length, line};

/// The SQL of the changes, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct Sql<'a> {
    /// BLAKE3 of all changes.
    pub(crate) digest: &'a str,
    /// The script.
    pub(crate) sql: &'a str,
}

/// Prisma's models, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct Models<'a> {
    /// The models as a schema file has them.
    pub(crate) models: &'a str,
}

/// Who has read the SQL.
#[derive(Debug, Serialize)]
pub(crate) struct Reviewed {
    /// BLAKE3 of all changes.
    pub(crate) digest: String,
    /// Who.
    pub(crate) by: String,
    /// What they had to say.
    pub(crate) note: Option<String>,
}

/// That it is noted.
pub(crate) fn reviewed(reviewed: &Reviewed) -> String {
    format!(
        "noted: {} has reviewed the SQL {}",
        line(&reviewed.by),
        &reviewed.digest[..12.min(reviewed.digest.len())]
    )
}

/// A comparison with the live schema.
pub(crate) fn verification(verification: &Verification) -> String {
    let mut text = differences(&verification.differences);
    for note in &verification.notes {
        let _ = writeln!(text, "  –  {}", line(note));
    }
    let compared = [
        (verification.tables, "table"),
        (verification.columns, "column"),
        (verification.keys, "key"),
        (verification.indexes, "index"),
        (verification.triggers, "trigger"),
    ];
    let compared = compared.map(|(number, what)| match what {
        "index" if number != 1 => format!("{number} indexes"),
        what => count(length(number), what),
    });
    let verdict = match verification.differences.is_empty() {
        true => "the live schema is the expected one",
        false => "the live schema is not the expected one",
    };
    let _ = writeln!(text, "compared {}: {verdict}", compared.join(", "));
    text
}

/// A comparison with an application's schema file.
pub(crate) fn models(found: &[Difference]) -> String {
    match found {
        [] => "the models of the schema file are those of the schema\n".into(),
        found => differences(found),
    }
}

fn differences(found: &[Difference]) -> String {
    let mut text = String::new();
    for difference in found {
        let _ = writeln!(text, "  ❌ {}", line(&difference.to_string()));
    }
    text
}

/// What differs, in one line; none where nothing does.
pub(crate) fn differs(what: &str, found: &[Difference]) -> Option<String> {
    let names: Vec<_> = found.iter().map(|of| line(&of.what)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{what} is not as expected, {}: {}",
            count(length(names.len()), "difference"),
            names.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_one_line_with_what_to_do() {
        let difference = Difference {
            what: "Note.text".into(),
            expected: "TEXT".into(),
            found: "no such\ncolumn".into(),
            remedy: "add it".into(),
        };
        let mut sample = Verification {
            notes: vec!["Note.pen is there besides".into()],
            indexes: 2,
            ..Verification::default()
        };
        let text = verification(&sample);
        assert!(
            text.contains("2 indexes") && text.contains("is the expected one"),
            "{text}"
        );
        assert_eq!(differs("it", &sample.differences), None);
        sample.differences.push(difference);
        let text = verification(&sample);
        let line = "  ❌ Note.text: expected TEXT, found no such column; add it\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("is not the expected one"));
        let differs = differs("it", &sample.differences);
        assert_eq!(
            differs.as_deref(),
            Some("it is not as expected, 1 difference: Note.text")
        );
    }
}
