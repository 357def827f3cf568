//! What a validation came to, as the runbook keeps it.

use crate::core::event::Validated;
use crate::report::number;

use super::{Checked, Report};

/// The event that tells of a report.
#[must_use]
pub fn evidence(report: &Report) -> Validated {
    let lines = |is_error: bool| {
        let stands = report
            .checks
            .iter()
            .filter(move |check| check.count > 0 && check.is_error == is_error);
        stands.map(line).collect()
    };
    let deep = report.deep.as_ref();
    let sum = |of: fn(&crate::core::event::Found) -> i64| -> i64 {
        deep.map_or(0, |deep| {
            deep.units.values().map(|unit| of(&unit.found)).sum()
        })
    };
    Validated {
        run: report.run.clone(),
        deep: deep.map(|deep| (deep.stream.clone(), deep.head.clone())),
        counts: report
            .counts
            .iter()
            .map(|count| (count.destination.clone(), count.rows))
            .collect(),
        verified: sum(|found| found.verified),
        wrong: sum(|found| found.wrong + found.missing + found.bad),
        changed: sum(|found| found.changed + found.foreign),
        errors: lines(true),
        warnings: lines(false),
    }
}

/// Without examples: an error's may name any source.
fn line(check: &Checked) -> String {
    format!("{} {}", number(check.count), check.what)
}
