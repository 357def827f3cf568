//! Progress on standard error: bars on a terminal, a line every few seconds elsewhere. Read from the journal's
//! projection, so it shows the work of every process on the run.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use worker::backend::Database;
use worker::report;
use worker::shutdown::Shutdown;
use worker::status::{self, Unit};

const REDRAW: Duration = Duration::from_millis(300);
const LINE: Duration = Duration::from_secs(5);

/// A task that shows progress until it is stopped.
pub(super) struct Progress {
    stop: Shutdown,
    task: JoinHandle<()>,
}

impl Progress {
    pub(super) fn start(database: Database, run: String) -> Self {
        let stop = Shutdown::default();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            if std::io::stderr().is_terminal() {
                bars(&database, &run, &stopped).await;
            } else {
                lines(&database, &run, &stopped).await;
            }
        });
        Self { stop, task }
    }

    /// Ends the task; a query of it that is under way is waited for.
    pub(super) async fn stop(self) {
        self.stop.request();
        let _ = self.task.await;
    }
}

async fn lines(database: &Database, run: &str, stop: &Shutdown) {
    let mut told = None;
    loop {
        stop.sleep(LINE).await;
        if stop.is_requested() {
            return;
        }
        // A line that cannot be had is left out: the run goes on, or says itself why it does not.
        let Ok(run) = status::load(database.connection(), run).await else {
            continue;
        };
        // Once it has caught up, a line a round tells all that there is to tell.
        if let Some(following) = run
            .following
            .as_ref()
            .filter(|it| it.caught_up_to.is_some())
        {
            if std::mem::replace(&mut told, following.caught_up_to) != following.caught_up_to {
                let _ = writeln!(anstream::stderr(), "{}", report::following(following));
            }
            continue;
        }
        for unit in run.units.iter().filter(|unit| has_begun(unit)) {
            let _ = writeln!(anstream::stderr(), "{}: {}", unit.unit, line(unit));
        }
    }
}

async fn bars(database: &Database, run: &str, stop: &Shutdown) {
    let all = MultiProgress::new();
    let mut bars: HashMap<String, ProgressBar> = HashMap::new();
    let mut last: Option<ProgressBar> = None;
    loop {
        stop.sleep(if last.is_some() { LINE } else { REDRAW }).await;
        if let Ok(run) = status::load(database.connection(), run).await {
            if let Some(following) = run
                .following
                .as_ref()
                .filter(|it| it.caught_up_to.is_some())
            {
                let bar = last.get_or_insert_with(|| {
                    let style = ProgressStyle::with_template("{msg}");
                    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                    all.add(ProgressBar::new(0).with_style(style))
                });
                bar.set_message(report::following(following));
            }
            for unit in run.units.iter().filter(|unit| unit.state != "pending") {
                let bar = bars.entry(unit.unit.clone()).or_insert_with(|| {
                    let bar = ProgressBar::new(0).with_style(style());
                    bar.set_prefix(unit.unit.clone());
                    all.add(bar)
                });
                bar.set_length(unit.pass_expected.max(unit.pass_read).unsigned_abs());
                bar.set_position(unit.pass_read.unsigned_abs());
                bar.set_message(line(unit));
            }
        }
        if stop.is_requested() {
            for bar in bars.values().chain(&last) {
                bar.abandon();
            }
            return;
        }
    }
}

/// Whether there is progress to show: a unit whose partitions are planned waits for those before it.
fn has_begun(unit: &Unit) -> bool {
    unit.state == "running" && (unit.pass > 1 || unit.read > 0)
}

/// How much of its pass is done, 0 to 100.
fn share(unit: &Unit) -> i64 {
    100 * unit.pass_read / unit.pass_expected.max(unit.pass_read).max(1)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>20} {bar:30} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(unit: &Unit) -> String {
    if unit.state != "running" {
        return format!(
            "{}, {} rows written",
            unit.state,
            report::number(unit.written)
        );
    }
    let mut line = match unit.pass {
        // All is written; what came late is looked for.
        2.. => format!("catching up, {} %", share(unit)),
        _ => format!("{:.0} %", unit.percent.floor()),
    };
    line.push_str(&format!(
        ", {} of {} rows read",
        report::number(unit.pass_read),
        report::number(unit.pass_expected)
    ));
    if let Some(rate) = unit.rows_per_second {
        line.push_str(&format!(", {} rows/s", report::rate(rate)));
    }
    if let Some(left) = unit.seconds_left {
        line.push_str(&format!(", {} left", report::duration(left)));
    }
    if unit.quarantined > 0 {
        line.push_str(&format!(", {} bad", report::number(unit.quarantined)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(pass: i32, read: i64, pass_read: i64) -> Unit {
        Unit {
            unit: "u".into(),
            state: "running",
            pass,
            expected: 1_000,
            read,
            written: 0,
            skipped: 0,
            quarantined: 0,
            removed: 0,
            kept: 0,
            refreshed: 0,
            changed: 0,
            percent: 50.0,
            pass_expected: 1_000,
            pass_read,
            rows_per_second: Some(100.0),
            seconds_left: Some(9.0),
        }
    }

    #[test]
    fn a_unit_that_waits_is_left_out() {
        assert!(!has_begun(&unit(1, 0, 0)));
        assert!(has_begun(&unit(1, 1, 1)) && has_begun(&unit(2, 1_000, 0)));
    }

    #[test]
    fn a_catch_up_pass_shows_its_own_progress() {
        let line = line(&unit(2, 1_000, 250));
        assert_eq!(
            line,
            "catching up, 25 %, 250 of 1,000 rows read, 100 rows/s, 9s left"
        );
    }
}
