//! Progress on standard error: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use worker::report;

use crate::output;

const LINE: Duration = Duration::from_secs(5);

/// How far something of a known length is.
pub(crate) struct Progress {
    what: &'static str,
    done: i64,
    total: i64,
    /// None where standard error is no terminal.
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    /// Starts; `what` names what is counted: `rows`.
    pub(crate) fn start(what: &'static str, total: i64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{bar:40} {percent:>3} %  {msg}  {elapsed}";
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total.unsigned_abs()).with_style(style)
        });
        Self {
            what,
            done: 0,
            total,
            bar,
            said: Instant::now(),
        }
    }

    /// Goes on by so many.
    pub(crate) fn advance(&mut self, by: i64) {
        self.reach(self.done + by);
    }

    /// Goes on to so many.
    pub(crate) fn reach(&mut self, done: i64) {
        self.done = done;
        let line = format!(
            "{} of {} {}",
            report::number(done),
            report::number(self.total.max(done)),
            self.what
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.set_position(done.unsigned_abs());
            }
            None if self.said.elapsed() >= LINE => {
                output::note(&line);
                self.said = Instant::now();
            }
            None => {}
        }
    }

    /// Goes on to so many of another total, where that is only known on the way.
    pub(crate) fn reach_of(&mut self, done: i64, total: i64) {
        self.total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total.unsigned_abs());
        }
        self.reach(done);
    }

    /// Ends: the bar makes room for the result. Gives how far it came.
    pub(crate) fn finish(self) -> i64 {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.done
    }
}

/// How far something of an unknown length is.
pub(crate) struct Moving {
    /// None where standard error is no terminal.
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Moving {
    /// Starts.
    pub(crate) fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        Self {
            bar,
            said: Instant::now(),
        }
    }

    /// Says how far it is.
    pub(crate) fn say(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(line.to_owned());
                bar.tick();
            }
            None if self.said.elapsed() >= LINE => {
                output::note(line);
                self.said = Instant::now();
            }
            None => {}
        }
    }

    /// Ends: it makes room for the result.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
