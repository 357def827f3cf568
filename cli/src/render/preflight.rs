//! What a preflight found.

use std::fmt::Write;

use worker::preflight::{Report, Verdict};

use super::text::{count, length, line};

/// One line for each check, what to do below it, and the sum.
pub(crate) fn report(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let sign = match finding.verdict {
            Verdict::Ok => "✅",
            Verdict::Warning => "⚠️ ",
            Verdict::Stop => "❌",
        };
        // Names of programs and sessions come out of the database.
        let _ = writeln!(text, "{sign} {}: {}", finding.id, line(&finding.found));
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "     → {}", line(advice));
        }
    }
    let number = |verdict| length(report.of(verdict).count());
    let _ = writeln!(
        text,
        "\n{} ok, {}, {}",
        number(Verdict::Ok),
        count(number(Verdict::Warning), "warning"),
        match number(Verdict::Stop) {
            1 => "1 says stop".to_owned(),
            stops => format!("{stops} say stop"),
        }
    );
    text
}

/// Which checks say stop, in one line; none where none does.
pub(crate) fn stops(report: &Report) -> Option<String> {
    let stops: Vec<_> = report.of(Verdict::Stop).map(|finding| finding.id).collect();
    (!stops.is_empty()).then(|| {
        format!(
            "the migration should not begin yet: {}; do what stands below each, then look again",
            stops.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use worker::preflight::Finding;

    use super::*;

    #[test]
    fn a_stop_is_named_and_what_to_do() {
        let finding = |id, verdict, advice: Option<&str>| Finding {
            id,
            verdict,
            found: "found\u{1b}[2J".into(),
            advice: advice.map(Into::into),
        };
        let mut sample = Report {
            findings: vec![
                finding("disk", Verdict::Ok, None),
                finding("rights", Verdict::Warning, Some("grant it")),
            ],
        };
        assert_eq!(stops(&sample), None);
        sample
            .findings
            .push(finding("backup-age", Verdict::Stop, Some("take one")));
        assert!(stops(&sample).is_some_and(|text| text.contains("yet: backup-age;")));
        let text = report(&sample);
        for part in [
            "→ grant it",
            "❌ backup-age",
            "1 ok, 1 warning, 1 says stop",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }
}
