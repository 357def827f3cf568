//! Progress on standard error: a line that is redrawn on a terminal, one every few seconds elsewhere.

use std::time::{Duration, Instant};

use worker::program::paint::{Line, Look, bar};
use worker::program::screen::{self, Way};
use worker::report;

use crate::output;

const LINE: Duration = Duration::from_secs(5);

/// How often a line is redrawn at most.
const REDRAW: Duration = Duration::from_millis(200);

/// How wide a bar is.
const BAR: usize = 30;

/// How far something of a known length is.
pub(crate) struct Progress {
    what: &'static str,
    done: i64,
    total: i64,
    said: Said,
}

impl Progress {
    /// Starts; `what` names what is counted: `rows`.
    pub(crate) fn start(what: &'static str, total: i64) -> Self {
        Self {
            what,
            done: 0,
            total,
            said: Said::new(),
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
        let bar = bar(done, self.total, BAR);
        self.said.say(bar.and("  ", Look::Plain), &line);
    }

    /// Goes on to so many of another total, where that is only known on the way.
    pub(crate) fn reach_of(&mut self, done: i64, total: i64) {
        self.total = total;
        self.reach(done);
    }

    /// Ends: the bar makes room for the result. Gives how far it came.
    pub(crate) fn finish(self) -> i64 {
        screen::clear();
        self.done
    }
}

/// How far something of an unknown length is.
pub(crate) struct Moving(Said);

impl Moving {
    /// Starts.
    pub(crate) fn start() -> Self {
        Self(Said::new())
    }

    /// Says how far it is.
    pub(crate) fn say(&mut self, line: &str) {
        self.0.say(Line::default(), line);
    }

    /// Ends: it makes room for the result.
    pub(crate) fn finish(self) {
        screen::clear();
    }
}

/// When something was told last.
struct Said {
    began: Instant,
    last: Option<Instant>,
}

impl Said {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            last: None,
        }
    }

    /// Tells a line, where it is time; `ahead` stands before it on a terminal.
    fn say(&mut self, ahead: Line, text: &str) {
        let since = self.last.unwrap_or(self.began).elapsed();
        match screen::way() {
            Way::Nothing => return,
            Way::Lines if since < LINE => return,
            Way::Lines => output::note(text),
            Way::Block if self.last.is_some() && since < REDRAW => return,
            Way::Block => {
                let took = report::duration(self.began.elapsed().as_secs_f64().floor());
                let line = ahead.and(text, Look::Plain);
                screen::show(vec![line.and(format!("  {took}"), Look::Dim)]);
            }
        }
        self.last = Some(Instant::now());
    }
}
