//! Two runs, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use worker::core::event::Purpose;
use worker::diff::{Diff, Rows, Run, SetAside, Side, Unit};
use worker::report::{number, table};
use worker::time;

use super::text::{count, length, line, short};

/// What differs, and what each did.
pub(crate) fn diff(diff: &Diff) -> String {
    let mut text = String::new();
    for (name, run) in NAMES.iter().zip(&diff.runs) {
        let _ = writeln!(text, "{name}: {}", self::run(run));
    }
    text.push('\n');
    if diff.settings.is_empty() {
        text.push_str("both were started alike: plan, as_of, window, inputs, release\n");
    } else {
        let rows = diff.settings.iter().map(|setting| {
            let [one, other] = setting
                .values
                .each_ref()
                .map(|value| match value.as_deref() {
                    None | Some("") => "none".to_owned(),
                    Some(value) => line(value),
                });
            [line(&setting.what), one, other]
        });
        let _ = writeln!(
            text,
            "{}",
            table(["differs", NAMES[0], NAMES[1]], rows, &[])
        );
    }
    for unit in &diff.units {
        text.push('\n');
        text.push_str(&self::unit(unit));
    }
    text.push('\n');
    text.push_str(&set_aside(&diff.set_aside));
    for (name, rows) in &diff.rows {
        text.push_str(&written(name, rows));
    }
    text
}

const NAMES: [&str; 2] = ["the first", "the second"];

fn run(run: &Run) -> String {
    let purpose = match run.purpose {
        Purpose::Backfill => "",
        Purpose::Repair => " (a repair)",
        Purpose::Replay => " (a replay)",
        Purpose::Undo => " (a rollback of a part)",
        Purpose::Redo => " (a redo)",
    };
    format!(
        "run {}{purpose}, {}, began {}, {}",
        line(short(&run.run)),
        run.state,
        time::show(run.started_at),
        lasting(run.millis)
    )
}

/// A unit, with what differs in it; what does not is one line.
fn unit(unit: &Unit) -> String {
    let name = line(&unit.unit);
    let [one, other] = &unit.sides;
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (Some(_), None) => return format!("{name}: only the first run has it\n"),
        _ => return format!("{name}: only the second run has it\n"),
    };
    let all = [figures(one), figures(other)];
    let names: Vec<&String> = {
        let mut seen = BTreeSet::new();
        let names = all.iter().flatten().map(|(name, _)| name);
        names.filter(|name| seen.insert(*name)).collect()
    };
    let [ones, others] = all
        .each_ref()
        .map(|all| all.iter().cloned().collect::<BTreeMap<_, _>>());
    let mut rows = Vec::new();
    for figure in names {
        let of = |all: &BTreeMap<String, i64>| all.get(figure).copied().unwrap_or_default();
        let (one, other) = (of(&ones), of(&others));
        if one != other {
            let change = match other > one {
                true => format!("+{}", number(other - one)),
                false => number(other - one),
            };
            rows.push([line(figure), number(one), number(other), change]);
        }
    }
    let [ones_speed, others_speed] = [one, other].map(speed);
    let speed = format!(
        "{} in {ones_speed}, {} in {others_speed}",
        NAMES[0], NAMES[1]
    );
    if rows.is_empty() {
        return format!(
            "{name}: did the same, {} read and {} written; {speed}\n",
            number(one.read),
            number(one.written)
        );
    }
    let rows = table([&name, NAMES[0], NAMES[1], "change"], rows, &[1, 2, 3]);
    format!("{rows}\n{speed}\n")
}

fn figures(side: &Side) -> Vec<(String, i64)> {
    let mut figures: Vec<(String, i64)> = [("read", side.read), ("written", side.written)]
        .map(|(name, rows)| (name.to_owned(), rows))
        .into();
    let skipped = side.skipped.iter();
    figures.extend(skipped.map(|(reason, rows)| (format!("skipped: {reason}"), *rows)));
    let others = [
        ("bad", side.quarantined),
        ("brought up to date", side.refreshed),
        ("taken back", side.removed),
        ("kept by a rollback", side.kept),
    ];
    figures.extend(others.map(|(name, rows)| (name.to_owned(), rows)));
    figures
}

fn set_aside(aside: &SetAside) -> String {
    let mut text = format!(
        "set aside: {} by both, {} by the first alone, {} by the second alone\n",
        number(aside.both),
        number(aside.alone[0]),
        number(aside.alone[1])
    );
    for ((name, examples), alone) in NAMES.iter().zip(&aside.examples).zip(aside.alone) {
        for (unit, key) in examples {
            let _ = writeln!(text, "  {name} alone: {} {}", line(unit), line(key));
        }
        more(&mut text, name, examples.len(), alone);
    }
    text
}

fn more(text: &mut String, name: &str, shown: usize, all: i64) {
    let left = all - length(shown);
    if shown > 0 && left > 0 {
        let _ = writeln!(text, "  {name} alone: {} more (--limit)", number(left));
    }
}

fn written(name: &str, rows: &Rows) -> String {
    let mut text = format!("{}: ", line(name));
    let _ = match rows.other {
        Some(other) => write!(
            text,
            "{} written by both to the same values, {} to others",
            count(rows.same, "row"),
            number(other)
        ),
        None => write!(
            text,
            "{} written by both (the table had other columns: nobody can tell whether to the same values)",
            count(rows.unknown, "row")
        ),
    };
    let _ = writeln!(
        text,
        ", {} by the first alone, {} by the second alone",
        number(rows.alone[0]),
        number(rows.alone[1])
    );
    for key in &rows.examples {
        let _ = writeln!(
            text,
            "  to others: {}   → cli journal row {} KEY",
            line(key),
            line(name)
        );
    }
    text
}

/// How long it took, and how fast that was.
fn speed(side: &Side) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a rate for people")]
    let rate = |rate: f64| format!(" ({} rows a second)", number(rate.min(9e15) as i64));
    let rate = side.rows_per_second.map_or_else(String::new, rate);
    format!("{}{rate}", lasting(side.millis))
}

fn lasting(millis: i64) -> String {
    let millis = u64::try_from(millis).unwrap_or(0);
    let shown = match millis < 10_000 {
        true => Duration::from_millis(millis),
        false => Duration::from_secs(millis / 1_000),
    };
    humantime::format_duration(shown).to_string()
}

#[cfg(test)]
mod tests {
    use worker::diff::Setting;

    use super::*;

    fn side(written: i64) -> Side {
        Side {
            version: 1,
            state: "completed",
            read: 10,
            written,
            skipped: [("too old".to_owned(), 10 - written)].into(),
            quarantined: 0,
            refreshed: 0,
            removed: 0,
            kept: 0,
            millis: 1_500,
            rows_per_second: Some(6.7),
        }
    }

    #[test]
    fn what_differs_is_told_and_what_does_not_is_a_line() {
        let run = |id: &str| Run {
            run: id.into(),
            state: "completed",
            purpose: Purpose::Backfill,
            started_at: 1_762_214_400_000,
            millis: 2_000,
        };
        let told = diff(&Diff {
            runs: [run("one"), run("other")],
            settings: vec![Setting {
                what: "release".into(),
                values: [Some("1".into()), None],
            }],
            units: vec![
                Unit {
                    unit: "a".into(),
                    sides: [Some(side(7)), Some(side(9))],
                },
                Unit {
                    unit: "b".into(),
                    sides: [Some(side(3)), Some(side(3))],
                },
                Unit {
                    unit: "c".into(),
                    sides: [None, Some(side(3))],
                },
            ],
            set_aside: SetAside {
                alone: [2, 0],
                both: 5,
                examples: [vec![("a".into(), "k1".into())], Vec::new()],
            },
            rows: [(
                "T".to_owned(),
                Rows {
                    alone: [1, 0],
                    same: 4,
                    other: Some(1),
                    unknown: 0,
                    examples: vec!["k9\u{1b}".into()],
                },
            )]
            .into(),
        });
        for words in [
            "the first: run one, completed",
            "release",
            "+2",
            "skipped: too old",
            "b: did the same, 10 read and 3 written",
            "c: only the second run has it",
            "set aside: 5 by both, 2 by the first alone, 0 by the second alone",
            "the first alone: a k1",
            "1 more (--limit)",
            "T: 4 rows written by both to the same values, 1 to others, 1 by the first alone",
            "to others: k9\\u{1b}",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}
