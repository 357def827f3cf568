//! What was measured as text: pure.

use std::fmt::Write as _;

use super::results::{Figure, Measure, Section, Target};
use super::statistics::median;

/// A section as plain text: what was timed, the figures with their targets, and remarks.
#[must_use]
pub(crate) fn text(section: &Section, title: &str) -> String {
    let mut text = format!("== {title} ({})\n", section.size.name());
    for row in timed(section) {
        let [
            name,
            seconds,
            rate,
            cpu,
            program,
            sessions,
            others,
            wal,
            peak,
        ] = row;
        let _ = writeln!(
            text,
            "{name:<44} {seconds:>9} {rate:>9} {cpu:>7} {program:>9} {sessions:>9} {others:>8} {wal:>9} {peak:>9}"
        );
    }
    for figure in &section.figures {
        let _ = writeln!(text, "{}", line(figure));
    }
    for note in &section.notes {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// All figures that have a target, the last thing to be seen.
pub(crate) fn summary(sections: &[Section]) -> String {
    let mut text = String::from("== Targets\n");
    let figures = sections.iter().flat_map(|section| &section.figures);
    for figure in figures.filter(|figure| figure.target.is_some()) {
        let _ = writeln!(text, "{}", line(figure));
    }
    text
}

fn line(figure: &Figure) -> String {
    format!(
        "{:<78} {:>9}  {:<16} {}",
        figure.name,
        value(figure),
        spread(figure),
        verdict(figure)
    )
}

/// Rows of the table of what was timed, its head first; none where nothing was.
#[must_use]
pub(crate) fn timed(section: &Section) -> Vec<[String; 9]> {
    let head = [
        "", "seconds", "rows/s", "CPU s", "program", "sessions", "others", "WAL", "peak",
    ];
    let mut rows = Vec::new();
    for contender in section.contenders() {
        let middle = |values: Vec<f64>| median(&values).unwrap_or_default();
        let of = |figure: fn(&super::results::Sample) -> f64| middle(section.of(contender, figure));
        let all = section
            .samples
            .iter()
            .filter(|one| one.contender == contender);
        let peak = all.filter_map(|one| one.peak).max();
        rows.push([
            contender.to_owned(),
            format!("{:.2}", of(|one| one.seconds)),
            format!("{:.1}k", of(|one| one.rate()) / 1000.0),
            format!("{:.1}", of(super::results::Sample::cpu)),
            format!("{:.2}", of(|one| one.program_cpu / one.seconds)),
            format!("{:.2}", of(|one| one.session_cpu / one.seconds)),
            format!("{:.2}", of(|one| one.other_cpu / one.seconds)),
            format!("{:.0} MiB", of(|one| one.wal) / f64::from(1 << 20)),
            peak.map_or_else(String::new, |peak| {
                format!("{} MiB", peak.div_ceil(1 << 10))
            }),
        ]);
    }
    if !rows.is_empty() {
        rows.insert(0, head.map(str::to_owned));
    }
    rows
}

/// A figure's median.
#[must_use]
pub(crate) fn value(figure: &Figure) -> String {
    let shown = figure.median().map(|value| shown(figure.measure, value));
    shown.unwrap_or_else(|| "–".into())
}

/// From its least to its greatest value.
#[must_use]
pub(crate) fn spread(figure: &Figure) -> String {
    match figure.range() {
        Some((least, greatest)) if figure.values.len() > 1 => format!(
            "{}–{}",
            shown(figure.measure, least),
            shown(figure.measure, greatest)
        ),
        _ => String::new(),
    }
}

/// The target, and whether it is met.
#[must_use]
pub(crate) fn verdict(figure: &Figure) -> String {
    let Some(target) = figure.target else {
        return String::new();
    };
    let target = match target {
        Target::AtLeast(limit) => format!("≥ {}", shown(figure.measure, limit)),
        Target::AtMost(limit) => format!("≤ {}", shown(figure.measure, limit)),
    };
    match figure.is_met() {
        Some(true) => format!("{target} met"),
        Some(false) => format!("{target} NOT MET"),
        None => format!("{target} not measured"),
    }
}

fn shown(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Ratio => format!("{value:.2}×"),
        Measure::Milliseconds => format!("{value:.1} ms"),
        Measure::Seconds => format!("{value:.2} s"),
        Measure::Mebibytes => format!("{value:.1} MiB"),
        Measure::Count => format!("{value:.0}"),
    }
}
