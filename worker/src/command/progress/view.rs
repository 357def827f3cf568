//! Progress as lines: facts and a width in, lines out.

use std::time::Duration;

use worker::forecast::Range;
use worker::program::paint::{self, Line, Look, Side, pad};
use worker::report;
use worker::status::{Hold, Unit};
use worker::time;

use super::facts::{Facts, Last};

/// How wide a bar is at most, and at least: where there is less room, there is none.
const BAR: (usize, usize) = (30, 8);

/// Between two columns.
const GAP: &str = "  ";

/// What stands in the columns of a unit, most wanted first: the last ones give way where there is no room.
const COLUMNS: usize = 7;
const NAME: usize = 0;
const SHARE: usize = 1;
const BAD: usize = 2;
const LEFT: usize = 3;
const BARS: usize = 4;
const ROWS: usize = 5;
const RATE: usize = 6;

/// How they stand from left to right.
const ORDER: [usize; COLUMNS] = [NAME, BARS, SHARE, ROWS, RATE, LEFT, BAD];

/// A unit's cells; that of its bar stays empty.
struct Cells {
    cells: [String; COLUMNS],
    look: Look,
    done: i64,
    total: i64,
}

/// The block of a terminal of so many columns. `silence`: for how long the database has not answered.
pub(super) fn block(facts: &Facts, columns: usize, silence: Option<Duration>) -> Vec<Line> {
    let units: Vec<_> = facts
        .run
        .units
        .iter()
        .filter(|unit| unit.state != "pending")
        .map(|unit| cells(unit, facts.left.get(&unit.unit)))
        .collect();
    let mut lines = Vec::new();
    if let Some(silence) = silence {
        let silence = report::duration(silence.as_secs_f64().floor());
        let text =
            format!("the database has not answered for {silence}; what stands below is as old");
        lines.push(Line::new(text, Look::Bad));
    }
    for hold in &facts.holds {
        lines.push(Line::new(holding(hold, facts.run.now), Look::Warn));
    }
    lines.extend(bars(&units, columns));
    if let Some(following) = facts.caught_up() {
        lines.push(Line::new(report::following(following), Look::Plain));
    }
    if let Some(last) = &facts.last {
        lines.push(Line::new(event(last, facts.run.now), Look::Dim));
    }
    lines
}

/// The lines where nothing is redrawn: one for each unit that goes on, each whole, so that it may be read alone.
pub(in crate::command) fn plain(facts: &Facts) -> Vec<String> {
    let mut rest = String::new();
    for hold in &facts.holds {
        rest.push_str(&format!(", {}", holding(hold, facts.run.now)));
    }
    if let Some(last) = &facts.last {
        rest.push_str(&format!(", {}", event(last, facts.run.now)));
    }
    let line = |unit: &Unit| format!("{}{rest}", sentence(unit, facts.left.get(&unit.unit)));
    let begun = facts.run.units.iter().filter(|unit| has_begun(unit));
    begun.map(line).collect()
}

/// Whether nothing more is to come of a unit.
pub(super) fn has_ended(unit: &Unit) -> bool {
    !matches!(unit.state, "pending" | "running")
}

/// What became of a unit.
pub(super) fn ended(unit: &Unit) -> String {
    let mut text = format!(
        "{}: {}, {} rows written",
        unit.unit,
        unit.state,
        report::number(unit.written)
    );
    if unit.quarantined > 0 {
        text.push_str(&format!(", {} bad", report::number(unit.quarantined)));
    }
    text
}

/// Whether there is progress to show: a unit whose partitions are planned waits for those before it.
fn has_begun(unit: &Unit) -> bool {
    unit.state == "running" && (unit.pass > 1 || unit.read > 0)
}

fn sentence(unit: &Unit, left: Option<&Range>) -> String {
    let mut text = format!(
        "{}: {}, {} of {} rows read",
        unit.unit,
        share(unit),
        report::number(unit.pass_read),
        report::number(unit.pass_expected)
    );
    for more in [rate(unit), time_left(unit, left), bad(unit)] {
        if !more.is_empty() {
            text.push_str(", ");
            text.push_str(&more);
        }
    }
    text
}

fn cells(unit: &Unit, left: Option<&Range>) -> Cells {
    let is_running = unit.state == "running";
    let rows = match is_running {
        true => format!(
            "{} / {}",
            report::number(unit.pass_read),
            report::number(unit.pass_expected)
        ),
        false => format!("{} written", report::number(unit.written)),
    };
    Cells {
        cells: [
            unit.unit.clone(),
            share(unit),
            bad(unit),
            time_left(unit, left),
            String::new(),
            rows,
            rate(unit),
        ],
        look: match unit.state {
            "completed" => Look::Good,
            "running" => Look::Plain,
            _ => Look::Warn,
        },
        done: if unit.state == "completed" {
            1
        } else {
            unit.pass_read
        },
        total: if unit.state == "completed" {
            1
        } else {
            unit.pass_expected
        },
    }
}

/// How far a unit is: of a catch-up pass, in which all is written and what came late is looked for, its own share.
fn share(unit: &Unit) -> String {
    match (unit.state, unit.pass) {
        ("running", 2..) => {
            let all = i128::from(unit.pass_expected.max(unit.pass_read).max(1));
            format!("catch-up {} %", 100 * i128::from(unit.pass_read) / all)
        }
        ("running", _) => format!("{:.0} %", unit.percent.floor()),
        ("completed", _) => "done".to_owned(),
        (state, _) => state.to_owned(),
    }
}

fn rate(unit: &Unit) -> String {
    let rate = unit.rows_per_second.filter(|_| unit.state == "running");
    rate.map_or_else(String::new, |rate| format!("{} rows/s", report::rate(rate)))
}

fn bad(unit: &Unit) -> String {
    match unit.quarantined {
        0 => String::new(),
        bad => format!("{} bad", report::number(bad)),
    }
}

/// The time left: from the fastest of the last batches to the slowest, where that differs.
fn time_left(unit: &Unit, left: Option<&Range>) -> String {
    let seconds = |millis: u64| compact(Duration::from_millis(millis).as_secs_f64());
    let likely = unit.seconds_left.filter(|_| unit.state == "running");
    match (left, likely) {
        (Some(left), _) if seconds(left.low) == seconds(left.high) => {
            format!("{} left", seconds(left.low))
        }
        (Some(left), _) => format!("{}–{} left", seconds(left.low), seconds(left.high)),
        (None, Some(left)) => format!("{} left", compact(left)),
        (None, None) => String::new(),
    }
}

/// Seconds in few columns: `1m12s`.
fn compact(seconds: f64) -> String {
    report::duration(seconds).replace(' ', "")
}

/// What is held for, and since when.
fn holding(hold: &Hold, now: i64) -> String {
    let since = report::duration(seconds(now - hold.since));
    let what = match hold.limit.as_str() {
        "" => format!("{}, {}", hold.signal, hold.value),
        limit => format!("{}: {}, at most {limit}", hold.signal, hold.value),
    };
    format!("holding for {since}: {what}")
}

fn event(last: &Last, now: i64) -> String {
    let unit = last.unit.as_ref();
    let unit = unit.map_or_else(String::new, |unit| format!(" of {unit}"));
    format!(
        "last event {}{unit} {} ago, {}",
        last.kind,
        report::duration(seconds(now - last.at)),
        time::show(last.at)
    )
}

/// Whole seconds, never less than none.
fn seconds(millis: i64) -> f64 {
    let seconds = Duration::from_millis(millis.max(0).unsigned_abs());
    seconds.as_secs_f64().floor()
}

/// The units below each other, as much of each as there is room for.
fn bars(units: &[Cells], columns: usize) -> Vec<Line> {
    // The screen keeps the last column free.
    let room = columns.saturating_sub(1);
    let mut widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let cells = units.iter().map(|unit| paint::width(&unit.cells[column]));
        cells.max().unwrap_or(0)
    });
    widths[BARS] = BAR.0;
    let taken = |widths: &[usize]| -> usize {
        let filled = widths.iter().filter(|width| **width > 0);
        filled
            .map(|width| width + GAP.len())
            .sum::<usize>()
            .saturating_sub(GAP.len())
    };
    let mut shown = COLUMNS;
    while shown > LEFT && taken(&widths[..shown]) > room {
        let others = taken(&widths[..shown]) - if shown > BARS { widths[BARS] } else { 0 };
        if shown > BARS && others + BAR.1 <= room {
            widths[BARS] = room - others;
        } else {
            shown -= 1;
        }
    }
    let line = |unit: &Cells| {
        let mut line = Line::default();
        for column in ORDER
            .into_iter()
            .filter(|column| *column < shown && widths[*column] > 0)
        {
            if column != NAME {
                line = line.and(GAP, Look::Plain);
            }
            let (cell, width) = (&unit.cells[column], widths[column]);
            line = match column {
                NAME => line.and(pad(cell, width, Side::Right), unit.look),
                BARS => Line([line.0, paint::bar(unit.done, unit.total, width).0].concat()),
                BAD if !cell.is_empty() => line.and(pad(cell, width, Side::Left), Look::Bad),
                _ => line.and(pad(cell, width, Side::Left), Look::Plain),
            };
        }
        line
    };
    units.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use worker::core::event::Purpose;
    use worker::program::paint::Colours;
    use worker::status::Run;

    use super::*;

    fn unit(name: &str, state: &'static str) -> Unit {
        Unit {
            unit: name.into(),
            state,
            pass: 1,
            expected: 2_000,
            read: 1_000,
            written: 990,
            skipped: 7,
            quarantined: 3,
            removed: 0,
            kept: 0,
            refreshed: 0,
            changed: 0,
            percent: 50.0,
            pass_expected: 2_000,
            pass_read: 1_000,
            rows_per_second: Some(100.0),
            seconds_left: Some(10.0),
        }
    }

    fn facts(units: Vec<Unit>) -> Facts {
        let range = Range {
            low: 8_000,
            likely: 10_000,
            high: 72_000,
        };
        Facts {
            run: Run {
                run: "0199f3a2-7c41-7d2e-8000-000000000000".into(),
                state: "running",
                as_of: 0,
                window_days: 90,
                following: None,
                steered: None,
                repairs: None,
                purpose: Purpose::Backfill,
                started_at: 0,
                last_at: 90_000,
                workers: 1,
                now: 91_900,
                units,
            },
            left: BTreeMap::from([("events".to_owned(), range)]),
            holds: vec![Hold {
                signal: "replica lag".into(),
                value: "45 s".into(),
                limit: "30 s".into(),
                since: 79_000,
            }],
            last: Some(Last {
                kind: "BatchCommitted".into(),
                unit: Some("events".into()),
                at: 90_000,
            }),
        }
    }

    fn shown(facts: &Facts, columns: usize) -> Vec<String> {
        let lines = block(facts, columns, None);
        let paint = |line: &Line| line.paint(columns.saturating_sub(1), Colours::None);
        lines.iter().map(paint).collect()
    }

    fn few() -> Facts {
        let mut again = unit("kpi", "running");
        (again.pass, again.pass_read) = (2, 500);
        let done = Unit {
            quarantined: 0,
            ..unit("prompts", "completed")
        };
        facts(vec![
            done,
            unit("events", "running"),
            again,
            unit("later", "pending"),
        ])
    }

    #[test]
    fn a_wide_terminal_has_everything() {
        let expected = [
            "holding for 12s: replica lag: 45 s, at most 30 s",
            "prompts  ██████████████████████████████           done    990 written                              ",
            "events   ███████████████░░░░░░░░░░░░░░░           50 %  1,000 / 2,000  100 rows/s  8s–1m12s left  3 bad",
            "kpi      ███████░░░░░░░░░░░░░░░░░░░░░░░  catch-up 25 %    500 / 2,000  100 rows/s       10s left  3 bad",
            "last event BatchCommitted of events 1s ago, 1970-01-01T00:01:30.000Z",
        ];
        let shown = shown(&few(), 120);
        let trimmed = |line: &str| line.trim_end().to_owned();
        let shown: Vec<_> = shown.iter().map(|line| trimmed(line)).collect();
        assert_eq!(shown, expected.map(trimmed));
    }

    #[test]
    fn a_narrow_terminal_has_what_matters_most() {
        for (columns, has, has_not) in [
            (
                100,
                &["rows/s", "1,000 / 2,000", "left", "3 bad", "█"][..],
                &["…"][..],
            ),
            (
                80,
                &["1,000 / 2,000", "8s–1m12s left", "3 bad", "█"],
                &["rows/s"],
            ),
            (
                60,
                &["50 %", "8s–1m12s left", "3 bad", "█"],
                &["rows/s", "2,000"],
            ),
            (40, &["events", "50 %", "3 bad"], &["█"]),
            (26, &["events", "50 %"], &["█"]),
            (4, &["ev…"], &[]),
        ] {
            let lines = shown(&few(), columns);
            let line = &lines[2];
            for word in has {
                assert!(line.contains(word), "{word} at {columns}: {line}");
            }
            for word in has_not {
                assert!(!line.contains(word), "{word} at {columns}: {line}");
            }
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut huge = unit("広告キャンペーン", "running");
        (huge.pass_read, huge.pass_expected) = (i64::MAX, i64::MAX);
        (huge.rows_per_second, huge.seconds_left) = (Some(1e300), Some(1e18));
        (huge.quarantined, huge.pass) = (i64::MAX, 2);
        let mut facts = facts(vec![huge, unit("e\u{301}", "stopped")]);
        facts.holds[0].value = "x\n\u{1b}[2J".repeat(50);
        for columns in 0..200 {
            for line in shown(&facts, columns) {
                assert!(paint::width(&line) < columns.max(1), "{columns}: {line}");
                assert!(!line.contains(['\n', '\u{1b}']), "{line}");
            }
        }
    }

    #[test]
    fn a_database_that_is_silent_is_told() {
        let lines = block(&few(), 80, Some(Duration::from_millis(12_900)));
        assert!(
            lines[0].0[0].text.contains("has not answered for 12s"),
            "{lines:?}"
        );
    }

    #[test]
    fn without_a_terminal_each_line_tells_all() {
        let lines = plain(&few());
        assert_eq!(
            lines[0],
            "events: 50 %, 1,000 of 2,000 rows read, 100 rows/s, 8s–1m12s left, 3 bad, holding for 12s: replica lag: 45 s, at \
             most 30 s, last event BatchCommitted of events 1s ago, 1970-01-01T00:01:30.000Z"
        );
        assert!(
            lines[1].starts_with("kpi: catch-up 25 %, 500 of 2,000 rows read"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2);
        assert_eq!(
            ended(&few().run.units[0]),
            "prompts: completed, 990 rows written"
        );
        assert!(has_ended(&few().run.units[0]) && !has_ended(&few().run.units[1]));
    }

    #[test]
    fn a_unit_that_waits_is_left_out() {
        let mut waiting = unit("u", "running");
        (waiting.read, waiting.pass_read) = (0, 0);
        assert!(!has_begun(&waiting));
        waiting.pass = 2;
        assert!(has_begun(&waiting));
    }
}
