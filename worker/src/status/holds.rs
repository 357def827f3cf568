//! What a process holds for now, as its own stream says.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;

use crate::core::event::Event;
use crate::core::replay::WORKER_STREAM;
use crate::error::Result;
use crate::journal::{self, Entry};

/// Events of a stream that one look takes in.
const PAGE: u64 = 200;

/// A hold that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What makes the process hold.
    pub signal: String,
    /// How much of it there was.
    pub value: String,
    /// How much is too much; empty: it is no measure.
    pub limit: String,
    /// Since when, milliseconds since 1970.
    pub since: i64,
}

/// The holds of a process: its stream is read on with each look.
#[derive(Debug)]
pub struct Holds {
    run: String,
    stream: String,
    seq: i64,
    open: BTreeMap<String, Hold>,
}

impl Holds {
    /// Those of a worker at a run; nothing was read yet.
    #[must_use]
    pub fn of(run: &str, worker: &str) -> Self {
        Self {
            run: run.to_owned(),
            stream: format!("{WORKER_STREAM}{worker}"),
            seq: 0,
            open: BTreeMap::new(),
        }
    }

    /// Reads on; gives what is under way.
    ///
    /// # Errors
    /// The database's; an event that cannot be read.
    pub async fn look(&mut self, connection: &impl ConnectionTrait) -> Result<Vec<Hold>> {
        let entries =
            journal::stream_after(connection, &self.run, &self.stream, self.seq, PAGE).await?;
        for entry in &entries {
            self.take(entry)?;
        }
        Ok(self.open.values().cloned().collect())
    }

    fn take(&mut self, entry: &Entry) -> Result<()> {
        match journal::event(entry)? {
            Event::HoldStarted {
                signal,
                value,
                limit,
            } => {
                let hold = Hold {
                    signal: signal.clone(),
                    value,
                    limit,
                    since: entry.at,
                };
                self.open.insert(signal, hold);
            }
            Event::HoldEnded { signal, .. } => {
                self.open.remove(&signal);
            }
            Event::WorkerStopped { .. } => self.open.clear(),
            _ => {}
        }
        self.seq = entry.seq;
        Ok(())
    }
}

/// The newest event of a run that is committed.
///
/// # Errors
/// The database's.
pub async fn last(connection: &impl ConnectionTrait, run: &str) -> Result<Option<Entry>> {
    let newest = journal::select(connection, &super::of_run(run, None), 1, true).await?;
    Ok(newest.into_iter().next_back())
}
