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
    loop {
        stop.sleep(LINE).await;
        if stop.is_requested() {
            return;
        }
        // A line that cannot be had is left out: the run goes on, or says itself why it does not.
        let Ok(run) = status::load(database.connection(), run).await else {
            continue;
        };
        for unit in run.units.iter().filter(|unit| unit.state == "running") {
            let _ = writeln!(anstream::stderr(), "{}: {}", unit.unit, line(unit));
        }
    }
}

async fn bars(database: &Database, run: &str, stop: &Shutdown) {
    let all = MultiProgress::new();
    let mut bars: HashMap<String, ProgressBar> = HashMap::new();
    loop {
        stop.sleep(REDRAW).await;
        if let Ok(run) = status::load(database.connection(), run).await {
            for unit in run.units.iter().filter(|unit| unit.state != "pending") {
                let bar = bars.entry(unit.unit.clone()).or_insert_with(|| {
                    let bar = ProgressBar::new(0).with_style(style());
                    bar.set_prefix(unit.unit.clone());
                    all.add(bar)
                });
                bar.set_length(unit.expected.max(unit.read).unsigned_abs());
                bar.set_position(unit.read.unsigned_abs());
                bar.set_message(line(unit));
            }
        }
        if stop.is_requested() {
            for bar in bars.values() {
                bar.abandon();
            }
            return;
        }
    }
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
    let mut line = if unit.pass > 1 {
        "catching up".to_owned()
    } else {
        format!("{:.0} %", unit.percent.floor())
    };
    line.push_str(&format!(
        ", {} of {} rows read",
        report::number(unit.read),
        report::number(unit.expected)
    ));
    if let Some(rate) = unit.rows_per_second {
        line.push_str(&format!(", {} rows/s", report::rate(rate)));
    }
    if let Some(left) = unit.seconds_left.filter(|_| unit.pass == 1) {
        line.push_str(&format!(", {} left", report::duration(left)));
    }
    if unit.quarantined > 0 {
        line.push_str(&format!(", {} bad", report::number(unit.quarantined)));
    }
    line
}
