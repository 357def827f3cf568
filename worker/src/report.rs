//! Reports as text: data in, text out. Both programs show the same ones.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};

use crate::status;
use crate::time;
use crate::validate;

/// A count with thousands separators: `2,847`.
#[must_use]
pub fn number(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if count < 0 { format!("-{text}") } else { text }
}

/// A run's units as a table.
#[must_use]
pub fn units(run: &status::Run) -> String {
    let header = [
        "unit",
        "state",
        "read",
        "written",
        "skipped",
        "quarantined",
        "done",
        "rows/s",
        "time left",
    ];
    let rows = run.units.iter().map(|unit| {
        [
            unit.unit.clone(),
            unit.state.to_owned(),
            number(unit.read),
            number(unit.written),
            number(unit.skipped),
            number(unit.quarantined),
            format!("{:.0} %", unit.percent.floor()),
            unit.rows_per_second.map_or("-".into(), rate),
            unit.seconds_left.map_or("-".into(), duration),
        ]
    });
    table(header, rows, &[2, 3, 4, 5, 6, 7, 8])
}

/// How far a run that is followed has caught up, in one line.
#[must_use]
pub fn following(following: &status::Following) -> String {
    match (following.caught_up_to, following.behind_millis) {
        (Some(to), Some(behind)) => format!(
            "following: caught up to {}, {} rows in the last round, behind by {}",
            time::show(to),
            number(following.written),
            duration(
                std::time::Duration::from_millis(behind.max(0).unsigned_abs())
                    .as_secs_f64()
                    .floor()
            )
        ),
        _ => "following: not caught up yet".to_owned(),
    }
}

/// A table; the columns in `numbers` are aligned to the right. On a terminal it is no wider than that: what does not fit
/// goes on below, in its column.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    numbers: &[usize],
) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// A validation, as the migration plan's "Expected Output" shows it.
#[must_use]
pub fn validation(report: &validate::Report) -> String {
    let mut text = String::from("📊 Migration results\n");
    for count in &report.counts {
        let _ = writeln!(
            text,
            "  ✅ {}: {} rows",
            count.destination,
            number(count.rows)
        );
    }
    text.push_str("\n🔍 Data integrity\n");
    for check in &report.checks {
        let _ = match (check.count, check.is_error) {
            (0, _) => writeln!(text, "  ✅ no {}", check.what),
            (count, true) => writeln!(
                text,
                "  ❌ {} {} ({})",
                number(count),
                check.what,
                check.note
            ),
            (count, false) => writeln!(
                text,
                "  ⚠️  {} {} ({})",
                number(count),
                check.what,
                check.note
            ),
        };
        if !check.examples.is_empty() {
            let _ = writeln!(text, "     for instance {}", check.examples.join(", "));
        }
    }
    text.push('\n');
    text.push_str(match (report.has_errors(), &report.run) {
        (true, _) => "❌ Validation failed",
        (false, Some(_)) => "✅ Validation complete",
        (false, None) => "Nothing to validate: no run stands",
    });
    text
}

/// Rows a second, without a fraction.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a rate for people, far below 2^53"
)]
pub fn rate(rows_per_second: f64) -> String {
    number(rows_per_second.round() as i64)
}

/// Seconds for people: `2m 5s`.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a duration for people: not negative, and rounded up to seconds"
)]
pub fn duration(seconds: f64) -> String {
    let seconds = std::time::Duration::from_secs(seconds.max(0.0).ceil() as u64);
    humantime::format_duration(seconds).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_stand_below_each_other() {
        let rows = [
            ["a".to_owned(), "1,000".to_owned()],
            ["b".to_owned(), "7".to_owned()],
        ];
        let table = super::table(["unit", "rows"], rows, &[1]);
        let lines: Vec<_> = table
            .lines()
            .filter(|line| line.contains(['a', 'b']))
            .collect();
        let ends: Vec<_> = lines
            .iter()
            .map(|line| line.trim_end().chars().count())
            .collect();
        assert_eq!(ends[0], ends[1], "{table}");
    }

    #[test]
    fn numbers_have_separators() {
        let shown: Vec<_> = [0, 999, 1_000, -1_234_567]
            .into_iter()
            .map(super::number)
            .collect();
        assert_eq!(shown, ["0", "999", "1,000", "-1,234,567"]);
    }
}
