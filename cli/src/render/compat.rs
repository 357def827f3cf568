//! What became of the release before's statements.

use std::fmt::Write;

use worker::compat::Compat;

use super::text::{count, length, line};

/// What ran, what did not, and what was not run.
pub(crate) fn report(compat: &Compat) -> String {
    let mut text = String::new();
    for name in &compat.ran {
        let _ = writeln!(text, "  ✅ {}", line(name));
    }
    for told in &compat.failed {
        let _ = writeln!(text, "  ❌ {}: {}", line(&told.name), line(&told.why));
    }
    for told in &compat.skipped {
        let _ = writeln!(
            text,
            "  –  {}: not run, {}",
            line(&told.name),
            line(&told.why)
        );
    }
    let ran = count(length(compat.ran.len()), "statement");
    let verdict = match compat.failed.is_empty() {
        true => "the release before works on this schema; all of it was rolled back",
        false => "all of it was rolled back",
    };
    let _ = writeln!(
        text,
        "{ran} of the release before ran as they should: {verdict}"
    );
    text
}

/// What stands against it, in one line; none where nothing does.
pub(crate) fn failure(compat: &Compat) -> Option<String> {
    let names: Vec<_> = compat
        .failed
        .iter()
        .map(|told| told.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "the release before does not work on this schema, {} failed: {}",
            count(length(names.len()), "statement"),
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use worker::compat::Told;

    use super::*;

    #[test]
    fn each_statement_is_told_with_what_became_of_it() {
        let told = |name: &str, why: &str| Told {
            name: name.into(),
            why: why.into(),
        };
        let mut compat = Compat {
            ran: vec!["find Note".into()],
            ..Compat::default()
        };
        assert_eq!(failure(&compat), None);
        assert!(report(&compat).contains("works on this schema"));
        compat.failed.push(told("create Note", "refused\u{1b}[2J"));
        compat
            .skipped
            .push(told("all of Pen", "there is no such table"));
        let text = report(&compat);
        assert!(
            text.contains("❌ create Note: refused") && text.contains("–  all of Pen: not run")
        );
        assert!(!text.contains('\u{1b}') && !text.contains("works on"));
        assert!(
            failure(&compat)
                .is_some_and(|failure| failure.ends_with("1 statement failed: create Note"))
        );
    }
}
