//! A small question, asked again and again beside the work: how long its answer takes is what somebody else's takes.
//!
//! It has a thread, a runtime and a connection of its own: in the worker's it would wait for the worker's own tasks, and
//! tell of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gear::Gear;
use super::latency::Latency;
use super::turn::Turns;
use crate::backend::{Database, Dialect};

/// Between two questions beside the work.
const BESIDE: Duration = Duration::from_millis(100);
/// Between two questions while it is to be quiet.
const QUIET: Duration = Duration::from_millis(10);
/// How often it is looked whether there is anything to ask.
const IDLE: Duration = Duration::from_millis(100);
/// Who has not answered by then is asked on another connection.
const SILENCE: Duration = Duration::from_secs(5);
/// The pause after an error.
const PAUSE: Duration = Duration::from_secs(2);

/// Asks until it is dropped.
#[derive(Debug)]
pub(super) struct Probe {
    stop: Arc<AtomicBool>,
}

impl Probe {
    /// Begins to ask; none where there is nothing to ask, as on SQLite, or no thread to be had.
    pub(super) fn start(
        database: &Database,
        turns: &Arc<Turns>,
        latency: &Arc<Mutex<Latency>>,
    ) -> Option<Self> {
        // It is connected in the thread, whose runtime its connection then belongs to.
        if database.dialect() == Dialect::Sqlite {
            return None;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (database, asker) = (
            database.clone(),
            Asker {
                stop: stop.clone(),
                turns: turns.clone(),
                latency: latency.clone(),
            },
        );
        let begun = std::thread::Builder::new()
            .name("probe".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                match runtime {
                    Ok(runtime) => runtime.block_on(asker.run(&database)),
                    Err(error) => tracing::debug!("nobody asks how long an answer takes: {error}"),
                }
            });
        begun.is_ok().then_some(Self { stop })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Asker {
    stop: Arc<AtomicBool>,
    turns: Arc<Turns>,
    latency: Arc<Mutex<Latency>>,
}

impl Asker {
    async fn run(&self, database: &Database) {
        let mut asked = None;
        while !self.stop.load(Ordering::SeqCst) {
            // Nobody is there to notice anything.
            if self.turns.gear() == Gear::Full && !self.turns.is_to_be_quiet() {
                tokio::time::sleep(IDLE).await;
                continue;
            }
            // The first answer on a connection is as slow as it is to connect.
            let is_new = asked.is_none();
            let Some(connection) = asked.take().or_else(|| database.beside()) else {
                return;
            };
            match self.ask(&connection, !is_new).await {
                Ok(()) => {
                    asked = Some(connection);
                    let pause = match self.turns.is_to_be_quiet() {
                        true => QUIET,
                        false => BESIDE,
                    };
                    tokio::time::sleep(pause).await;
                }
                // One that did not answer is never used again.
                Err(why) => {
                    tracing::debug!("nobody answers how long an answer takes: {why}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        if let Some(connection) = asked {
            let _ = tokio::time::timeout(SILENCE, connection.close()).await;
        }
    }

    async fn ask(&self, connection: &Database, counts: bool) -> Result<(), String> {
        let before = self.turns.under_way();
        let began = Instant::now();
        // In a task of its own, so that nothing ever drops it midway.
        let connection = connection.clone();
        let touch = tokio::spawn(async move { connection.touch().await });
        match tokio::time::timeout(SILENCE, touch).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => return Err(error.to_string()),
            Ok(Err(_)) => return Err("the task ended".into()),
            Err(_) => return Err("no answer".into()),
        }
        let took = began.elapsed();
        if !counts {
            return Ok(());
        }
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        match (before, self.turns.under_way()) {
            ((_, true), _) => latency.beside(Instant::now(), took),
            ((before, false), (after, _)) if before == after => latency.quiet(took),
            // One began meanwhile: it says nothing of either.
            _ => {}
        }
        Ok(())
    }
}
