//! Progress on standard error: bars on a terminal, a line every few seconds elsewhere. Read from the journal and its
//! projection, so it shows the work of every process on the run.

mod facts;
mod view;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use worker::backend::Database;
use worker::program;
use worker::program::screen::{self, Way};
use worker::shutdown::Shutdown;
use worker::status::Holds;

pub(super) use self::facts::Facts;
pub(super) use self::view::plain as sentences;

/// How often the bars are drawn: seldom enough for a database that others use.
const REDRAW: Duration = Duration::from_secs(1);
/// How often a line is told where there are no bars.
const LINE: Duration = Duration::from_secs(5);

/// A task that shows progress until it is stopped.
pub(super) struct Progress {
    stop: Shutdown,
    task: JoinHandle<()>,
}

impl Progress {
    /// Starts, for a worker at a run.
    pub(super) fn start(database: Database, run: String, worker: &str) -> Self {
        let stop = Shutdown::default();
        let stopped = stop.clone();
        let holds = Holds::of(&run, worker);
        let task = tokio::spawn(async move {
            match screen::way() {
                Way::Nothing => {}
                Way::Lines => lines(&database, &run, holds, &stopped).await,
                Way::Block => bars(&database, &run, holds, &stopped).await,
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

async fn lines(database: &Database, run: &str, mut holds: Holds, stop: &Shutdown) {
    let mut told = None;
    let mut known: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut last = Instant::now();
    loop {
        let is_over = stop.is_requested();
        // A line that cannot be had is left out: the run goes on, or says itself why it does not.
        if let Ok(facts) = Facts::load(database, run, &mut holds).await {
            // A unit's end is told at once.
            for unit in &facts.run.units {
                let before = known.insert(unit.unit.clone(), unit.state);
                if before.is_some_and(|before| before != unit.state) && view::has_ended(unit) {
                    program::note(&view::ended(unit));
                }
            }
            if last.elapsed() >= LINE && !is_over {
                last = Instant::now();
                // Once it has caught up, a line a round tells all that there is to tell.
                match facts.caught_up() {
                    Some(following) if told == following.caught_up_to => {}
                    Some(following) => {
                        told = following.caught_up_to;
                        program::note(&worker::report::following(following));
                    }
                    None => view::plain(&facts)
                        .iter()
                        .for_each(|line| program::note(line)),
                }
            }
        }
        if is_over {
            return;
        }
        stop.sleep(REDRAW).await;
    }
}

async fn bars(database: &Database, run: &str, mut holds: Holds, stop: &Shutdown) {
    let mut shown: Option<Facts> = None;
    let mut heard = Instant::now();
    loop {
        let is_over = stop.is_requested();
        // Where it cannot be had, what is known stays, and how old it is.
        if let Ok(facts) = Facts::load(database, run, &mut holds).await {
            heard = Instant::now();
            shown = Some(facts);
        }
        if let Some(facts) = &shown {
            let silence = Some(heard.elapsed()).filter(|silence| *silence > 2 * REDRAW);
            screen::show(view::block(facts, screen::size().columns, silence));
        }
        if is_over {
            return screen::leave();
        }
        stop.sleep(REDRAW).await;
    }
}
