//! What a validation found.

use worker::report::{self, number};
use worker::validate::Report;
use worker::validate::deep::{Deep, Unit};

use super::text::{count, length, line};

/// The whole report.
pub(crate) fn report(report: &Report) -> String {
    let head = match &report.run {
        Some(run) => format!("🔍 Validating run {run} and what it stands beside\n"),
        None => "🔍 No run stands in this database: nothing was run yet, or all is rolled back. `worker run` starts a \
                 run; these are the counts of what is there.\n"
            .to_owned(),
    };
    // Keys come out of the database.
    let body: String = report::validation(report).lines().map(safe).collect();
    let deep = report.deep.as_ref().map(deep).unwrap_or_default();
    format!("{head}\n{deep}{body}")
}

/// How far rows were computed from their sources again.
fn deep(deep: &Deep) -> String {
    let header = [
        "unit",
        "written",
        "verified",
        "wrong",
        "missing",
        "changed since",
        "other",
        "not met",
    ];
    let rows = deep.units.iter().map(|(name, unit)| {
        let found = &unit.found;
        let other = found.foreign + found.elsewhere + found.altered;
        [
            name.clone(),
            number(unit.written),
            number(found.verified),
            number(found.wrong),
            number(found.missing + found.bad),
            number(found.changed),
            number(other),
            number(not_met(unit)),
        ]
    });
    let mut text = format!(
        "{}\n{:.2} % of {} that the journal says stand are verified: computed from their source again, and the same to the \
         byte\n",
        report::table(header, rows, &[1, 2, 3, 4, 5, 6, 7]),
        (deep.share() * 10_000.0).floor() / 100.0,
        count(deep.written, "row")
    );
    if deep.units.values().any(|unit| not_met(unit) > 0) {
        text.push_str(
            "not met: no source row of this run gives them any more, as it was deleted since, has become bad, or lies \
             outside the run's window\n",
        );
    }
    text.push('\n');
    text
}

/// Rows of ours that no source row gave.
fn not_met(unit: &Unit) -> i64 {
    let found = &unit.found;
    let met = found.verified + found.wrong + found.changed + found.elsewhere + found.altered;
    (unit.written - met).max(0)
}

/// A line of the report with its indent, and nothing that speaks to the terminal.
fn safe(text: &str) -> String {
    let indent = text.len() - text.trim_start().len();
    format!("{}{}\n", &text[..indent], line(text))
}

/// What stands against it, in one line; none where nothing does.
pub(crate) fn errors(report: &Report) -> Option<String> {
    let errors: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.is_error && check.count > 0)
        .map(|check| format!("{} {}", report::number(check.count), check.what))
        .collect();
    (!errors.is_empty()).then(|| {
        format!(
            "validation failed, {}: {}",
            count(length(errors.len()), "error"),
            errors.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use worker::validate::{Checked, Count};

    use super::*;

    fn sample(errors: i64) -> Report {
        let check = |what: &str, count, is_error| Checked {
            what: what.into(),
            count,
            is_error,
            note: "look".into(),
            examples: vec!["key\u{1b}[2J".into()],
        };
        Report {
            run: None,
            counts: vec![Count {
                unit: "kpi_history".into(),
                destination: "KPIHistory".into(),
                rows: 1_080,
            }],
            checks: vec![
                check("negative KPI values", 12, false),
                check("orphans", errors, true),
            ],
            deep: None,
        }
    }

    #[test]
    fn counts_are_shown_even_where_nothing_was_run() {
        let text = report(&sample(0));
        assert!(
            text.contains("No run stands") && text.contains("KPIHistory: 1,080"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_warning_is_no_error() {
        assert_eq!(errors(&sample(0)), None);
        assert_eq!(
            errors(&sample(3)).as_deref(),
            Some("validation failed, 1 error: 3 orphans")
        );
    }
}
