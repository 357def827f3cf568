//! Noting samples beside the watching: while the journal's database is away, samples are taken on time, and wait.

use tokio::task::JoinHandle;

use crate::backend::Database;
use crate::chain::Head;
use crate::core::event::Event;
use crate::error::{Error, Result};
use crate::runbook;
use crate::silence::panicked;

/// What is under way: the events, and how their noting ended.
type Noting = JoinHandle<(Vec<Event>, Result<Head>)>;

/// Notes events of a gate's stream, in their order.
pub(super) struct Noter {
    database: Database,
    worker: String,
    stream: String,
    waiting: Vec<Event>,
    noting: Option<Noting>,
}

impl Noter {
    /// Notes nothing yet.
    pub(super) fn new(database: &Database, worker: &str, stream: &str) -> Self {
        Self {
            database: database.clone(),
            worker: worker.to_owned(),
            stream: stream.to_owned(),
            waiting: Vec::new(),
            noting: None,
        }
    }

    /// Takes an event to note.
    pub(super) fn push(&mut self, event: Event) {
        self.waiting.push(event);
    }

    /// Goes on without waiting: begins to note what waits, unless something is under way. Gives the error of what was under
    /// way and failed; its events wait again.
    pub(super) async fn turn(&mut self) -> Option<Error> {
        let error = match &self.noting {
            Some(noting) if !noting.is_finished() => return None,
            Some(_) => self.end().await.err(),
            None => None,
        };
        self.begin();
        error
    }

    /// Notes all that waits; gives the stream's head.
    ///
    /// # Errors
    /// Something could not be noted, after bounded retries.
    pub(super) async fn flush(&mut self) -> Result<Head> {
        // Whatever failed before is tried once more.
        let _ = self.end().await;
        self.begin();
        self.end().await
    }

    /// Waits for what is under way; where nothing is, gives the head as it stands.
    async fn end(&mut self) -> Result<Head> {
        let Some(noting) = self.noting.take() else {
            let connection = self.database.connection();
            return crate::journal::head(connection, crate::core::replay::RUNBOOK, &self.stream)
                .await;
        };
        let (events, ended) = noting.await.map_err(|panic| panicked(&panic))?;
        if ended.is_err() {
            self.waiting.splice(0..0, events);
        }
        ended
    }

    fn begin(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let events = std::mem::take(&mut self.waiting);
        let (database, worker, stream) = (
            self.database.clone(),
            self.worker.clone(),
            self.stream.clone(),
        );
        self.noting = Some(tokio::spawn(async move {
            let noted = runbook::note_in(&database, &worker, &stream, &events).await;
            (events, noted)
        }));
    }
}
