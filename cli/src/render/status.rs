//! Where runs stand.

use serde::Serialize;
use worker::core::event::Purpose;
use worker::core::state::RunStatus;
use worker::report::{self, number};
use worker::{status, time};

use worker::report::table;

use super::control;

/// A worker that is silent for longer has probably ended, milliseconds: a batch takes seconds at most.
const QUIET: i64 = 60_000;

/// What there is to say before the first run.
pub(crate) const NOTHING_RUN: &str =
    "nothing was run in this database yet; `worker run` starts a run";

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    /// Its id.
    pub(crate) run: String,
    /// `running`, `completed`, `rolling back`, `partly rolled back` or `rolled back`.
    pub(crate) state: &'static str,
    /// The run that it repairs, where it brings nothing of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repairs: Option<String>,
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// The instant that it stands for, milliseconds since 1970.
    pub(crate) as_of: i64,
    /// When it started, milliseconds since 1970.
    pub(crate) started_at: i64,
    /// Rows written.
    pub(crate) written: i64,
    /// Bad rows set aside.
    pub(crate) quarantined: i64,
    /// Rows that a rollback removed, or put back to their value before.
    pub(crate) removed: i64,
}

impl Summary {
    /// Sums up a run.
    pub(crate) fn of(run: &status::Run) -> Self {
        let sum = |of: fn(&status::Unit) -> i64| run.units.iter().map(of).sum();
        Self {
            run: run.run.clone(),
            state: run.state,
            repairs: run.repairs.clone(),
            purpose: run.purpose,
            as_of: run.as_of,
            started_at: run.started_at,
            written: sum(|unit| unit.written),
            quarantined: sum(|unit| unit.quarantined),
            removed: sum(|unit| unit.removed),
        }
    }
}

/// A run, unit by unit.
pub(crate) fn run(run: &status::Run) -> String {
    let mut text = format!(
        "run            {}\nstate          {}\nas of          {}\nwindow         {} days\nstarted        {}\n\
         last activity  {} ({} ago)\n{}\n",
        run.run,
        state(run),
        time::show(run.as_of),
        run.window_days,
        time::show(run.started_at),
        time::show(run.last_at),
        ago(run.now - run.last_at),
        report::units(run)
    );
    if let Some(steered) = &run.steered
        && !steered.settings.is_empty()
    {
        text.push_str(&format!("set by hand: {}\n", control::settings(steered)));
    }
    if let Some(following) = &run.following {
        text.push_str(&report::following(following));
        text.push('\n');
    }
    if let Some(repaired) = &run.repairs {
        text.push_str(&match run.purpose {
            Purpose::Replay => format!("it tries again what run {repaired} set aside\n"),
            Purpose::Undo => format!("it takes back a part of run {repaired}\n"),
            Purpose::Redo => format!("it writes a part of run {repaired} again\n"),
            _ => format!("it repairs run {repaired}\n"),
        });
    }
    let changing = run.units.iter();
    for unit in changing.filter(|unit| unit.refreshed + unit.changed > 0) {
        text.push_str(&format!(
            "{}: brought {} up to date, left {} alone that the application changed since\n",
            unit.unit,
            number(unit.refreshed),
            number(unit.changed)
        ));
    }
    let undone: Vec<_> = run
        .units
        .iter()
        .filter(|unit| unit.removed + unit.kept > 0)
        .collect();
    for unit in undone {
        text.push_str(&format!(
            "{}: rollback took back {}, kept {}\n",
            unit.unit,
            number(unit.removed),
            number(unit.kept)
        ));
    }
    text
}

/// The state, and of a run that is not over whether somebody is at it: a worker that was killed tells nobody.
fn state(run: &status::Run) -> String {
    if let Some(stands) = run
        .steered
        .as_ref()
        .and_then(|steered| control::stands(run, steered))
    {
        return stands;
    }
    if run.state != RunStatus::Running.word() {
        return run.state.to_owned();
    }
    let silence = run.now - run.last_at;
    // Whoever follows a run and finds nothing says so once a minute, and not before the next look.
    let every = run
        .following
        .as_ref()
        .map(|following| following.every_millis);
    let quiet = match every {
        Some(every) => 2 * (QUIET + i64::try_from(every).unwrap_or(QUIET)),
        None => QUIET,
    };
    let command = run.purpose.command();
    match run.workers {
        0 => format!("{}, but no worker is at it: `{command}` goes on", run.state),
        _ if silence > quiet => format!(
            "{}, but no worker was seen for {}: if none is at it, `{command}` goes on",
            run.state,
            ago(silence)
        ),
        _ => run.state.to_owned(),
    }
}

/// All runs.
pub(crate) fn runs(runs: &[Summary]) -> String {
    let header = [
        "run",
        "state",
        "as of",
        "started",
        "written",
        "quarantined",
        "removed",
    ];
    let rows = runs.iter().map(|run| {
        [
            run.run.clone(),
            match run.purpose {
                Purpose::Backfill => run.state.to_owned(),
                Purpose::Repair => format!("{}, a repair", run.state),
                Purpose::Replay => format!("{}, a replay", run.state),
                Purpose::Undo => format!("{}, a rollback of a part", run.state),
                Purpose::Redo => format!("{}, a redo", run.state),
            },
            time::show(run.as_of),
            time::show(run.started_at),
            number(run.written),
            number(run.quarantined),
            number(run.removed),
        ]
    });
    table(header, rows, &[4, 5, 6])
}

pub(super) fn ago(millis: i64) -> String {
    let millis = std::time::Duration::from_millis(millis.max(0).unsigned_abs());
    report::duration(millis.as_secs_f64().floor())
}

#[cfg(test)]
mod tests {
    use worker::core::event::Setting;

    use super::*;

    fn sample() -> status::Run {
        let unit = status::Unit {
            unit: "kpi_history".into(),
            state: "running",
            pass: 1,
            expected: 4_000,
            read: 2_000,
            written: 1_990,
            skipped: 8,
            quarantined: 2,
            removed: 0,
            kept: 0,
            refreshed: 12,
            changed: 3,
            percent: 50.0,
            pass_expected: 4_000,
            pass_read: 2_000,
            rows_per_second: Some(1_234.4),
            seconds_left: Some(61.0),
        };
        status::Run {
            run: "0199f3a2-7c41-7d2e-8000-000000000000".into(),
            state: "running",
            as_of: 1_762_214_400_000,
            window_days: 90,
            following: None,
            steered: None,
            repairs: None,
            purpose: Purpose::Backfill,
            started_at: 1_762_214_400_000,
            last_at: 1_762_214_460_000,
            workers: 1,
            now: 1_762_214_525_900,
            units: vec![
                unit.clone(),
                status::Unit {
                    removed: 5,
                    kept: 1,
                    ..unit
                },
            ],
        }
    }

    #[test]
    fn a_run_has_a_header_and_its_units() {
        let text = run(&sample());
        for part in [
            "2025-11-04T00:01:00.000Z (1m 5s ago)",
            "90 days",
            "1,234",
            "1m 1s",
            "50 %",
            "kpi_history: brought 12 up to date, left 3 alone",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(text.matches("rollback took back 5, kept 1").count(), 1);
    }

    #[test]
    fn an_interrupted_run_is_told_from_a_running_one() {
        let at = |workers, silence| {
            let sample = sample();
            state(&status::Run {
                workers,
                now: sample.last_at + silence,
                ..sample
            })
        };
        assert_eq!(at(1, 5_000), "running");
        let killed = at(1, 180_000);
        assert!(killed.contains("no worker was seen for 3m"), "{killed}");
        let following = status::Following {
            units: vec!["u".into()],
            every_millis: 30_000,
            caught_up_to: Some(0),
            behind_millis: Some(61_000),
            written: 7,
        };
        let waiting = |silence| status::Run {
            following: Some(following.clone()),
            now: sample().last_at + silence,
            ..sample()
        };
        assert_eq!(state(&waiting(175_000)), "running");
        assert!(state(&waiting(185_000)).contains("no worker was seen"));
        let text = run(&waiting(0));
        let line = "following: caught up to 1970-01-01T00:00:00.000Z, 7 rows in the last round, behind by 1m 1s";
        assert!(text.contains(line), "{text}");
        let stopped = at(0, 5_000);
        assert!(stopped.contains("no worker is at it"), "{stopped}");
    }

    #[test]
    fn a_paused_run_says_who_and_what_next() {
        let steered = |standing| status::Steered {
            standing,
            by: Some("Mia".into()),
            note: Some("lunch".into()),
            since: Some(sample().now - 61_000),
            settings: [(Setting::Pace, "2000/s".to_owned())].into(),
        };
        let shown = |standing, state| {
            run(&status::Run {
                steered: Some(steered(standing)),
                state,
                ..sample()
            })
        };
        let paused = shown("paused", "running");
        let line = "paused for 1m 1s, by Mia: lunch; `cli run resume --by NAME` lets it go on";
        assert!(paused.contains(line), "{paused}");
        assert!(paused.contains("set by hand: pace=2000/s"), "{paused}");
        assert!(shown("paused", "rolling back").contains("rolling back, paused for"));
        assert!(shown("cancelled", "running").contains("takes it back"));
        let going = shown("going", "running");
        assert!(going.contains("state          running"), "{going}");
    }

    #[test]
    fn a_summary_adds_up_the_units() {
        let summary = Summary::of(&sample());
        assert_eq!(
            (summary.written, summary.quarantined, summary.removed),
            (3_980, 4, 5)
        );
        assert!(runs(&[summary]).contains("3,980"));
    }
}
