//! A process's own decisions (its start and end, other batches, holds): a stream of its own, which binds nobody else.

use crate::backend::{Database, Durability};
use crate::core::event::Event;
use crate::core::replay::WORKER_STREAM;
use crate::error::{Doing, Result};
use crate::journal::{self, Stream};
use crate::retry::Retry;
use crate::runs::point;
use crate::shutdown::Shutdown;

/// A process's own stream. All its tasks append to it, one after the other, and nobody else does.
#[derive(Debug)]
pub struct Decisions {
    database: Database,
    run: String,
    worker: String,
    turn: tokio::sync::Mutex<()>,
}

impl Decisions {
    /// The stream of a process that works on a run.
    #[must_use]
    pub fn new(database: &Database, run: &str, worker: &str) -> Self {
        Self {
            database: database.clone(),
            run: run.to_owned(),
            worker: worker.to_owned(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The run that it is about.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Appends an event.
    ///
    /// # Errors
    /// The database's, after bounded retries.
    pub async fn note(&self, event: Event, shutdown: &Shutdown) -> Result<()> {
        let mut retry = Retry::default();
        loop {
            let turn = self.turn.lock().await;
            let appended = self.append(event.clone()).await;
            drop(turn);
            match appended {
                Ok(()) => return Ok(()),
                Err(error) => retry.pause(error, shutdown).await?,
            }
        }
    }

    async fn append(&self, event: Event) -> Result<()> {
        let doing = "noting a decision";
        let transaction = self.database.begin(Durability::Synced).await.doing(doing)?;
        let (run, worker) = (self.run.as_str(), self.worker.as_str());
        let name = format!("{WORKER_STREAM}{worker}");
        let head = journal::head(&transaction, run, &name).await?;
        let at = journal::now(&transaction).await?;
        let stream = Stream {
            run,
            stream: &name,
            worker,
        };
        // How fast others let it be is never twice the same, so it is no point that a test could find again.
        let is_point = !matches!(event, Event::PaceChanged { .. });
        let point = |events: &[Event], step| {
            if is_point {
                point(events, step);
            }
        };
        let events = [event];
        let chained = journal::chain(stream, &head, at, &events)?;
        journal::append(&transaction, chained).await?;
        point(&events, "appended");
        transaction.commit().await.doing(doing)?;
        point(&events, "committed");
        Ok(())
    }
}
