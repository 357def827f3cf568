//! Reading what is new in the journal: stream by stream, each from where it was read before. Positions tell nothing, as an
//! event that was appended first may be committed last; a stream has no gaps.

use std::collections::{BTreeMap, HashMap};

use super::fold::{Fold, Place};
use super::gates::{self, GateView};
use super::{Picture, picture};
use crate::backend::Database;
use crate::core::replay::{CONTROL_STREAM, RUN_STREAM, WORKER_STREAM};
use crate::error::Result;
use crate::journal::{self, Filter};
use crate::{projection, runbook, status};

/// Events in a page.
const PAGE: u64 = 1_000;
/// Events that one look reads.
const BUDGET: u64 = 10_000;
/// Processes that are looked at.
const PROCESSES: u64 = 200;
/// Every so many looks, what changes rarely is looked at: gates, the journal's size, processes that are silent for long.
const RARELY: u64 = 10;
/// Beyond this a process that was not heard of is looked at rarely, milliseconds.
const LONG: i64 = 600_000;

/// Which run is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest, whichever that is at the time.
    Newest,
    /// This one.
    Run(String),
}

/// What was read of a run so far.
#[derive(Debug)]
pub struct Watch {
    which: Which,
    run: Option<String>,
    fold: Fold,
    seen: HashMap<String, i64>,
    unread: u64,
    looks: u64,
    gates: Vec<GateView>,
    disk: BTreeMap<String, i64>,
}

impl Watch {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(which: Which) -> Self {
        Self {
            which,
            run: None,
            fold: Fold::default(),
            seen: HashMap::new(),
            unread: 0,
            looks: 0,
            gates: Vec::new(),
            disk: BTreeMap::new(),
        }
    }

    /// Reads what is new, as far as one look goes: where the picture is not whole, the next look reads on. None: nothing
    /// was run yet.
    ///
    /// # Errors
    /// The database's; there is no such run.
    pub async fn look(&mut self, database: &Database) -> Result<Option<Picture>> {
        let connection = database.connection();
        let run = match &self.which {
            Which::Run(run) => Some(run.clone()),
            Which::Newest => journal::newest_run(connection).await?,
        };
        let Some(run) = run else {
            return Ok(None);
        };
        if self.run.as_ref() != Some(&run) {
            *self = Self::new(self.which.clone());
            self.run = Some(run.clone());
        }
        let standing = status::load(connection, &run).await?;
        let is_whole = self.read(database, &run, standing.now).await?;
        if self.looks.is_multiple_of(RARELY) {
            let runbook = runbook::load(database).await?;
            self.gates = gates::watched(database, &runbook, standing.now).await?;
            self.gates.extend(gates::judged(&runbook));
            self.disk = journal::disk(connection).await?;
        }
        self.looks += 1;
        let mut drawn = picture(standing, self.fold.clone(), (is_whole, self.unread));
        drawn.gates.clone_from(&self.gates);
        drawn.disk.clone_from(&self.disk);
        Ok(Some(drawn))
    }

    /// The same, however many looks it takes.
    ///
    /// # Errors
    /// The same.
    pub async fn look_at_all(&mut self, database: &Database) -> Result<Option<Picture>> {
        loop {
            match self.look(database).await? {
                Some(picture) if !picture.is_whole => {}
                looked => return Ok(looked),
            }
        }
    }

    /// Reads what is new; false where there is more than one look may read.
    async fn read(&mut self, database: &Database, run: &str, now: i64) -> Result<bool> {
        let mut budget = BUDGET;
        self.stream(database, run, RUN_STREAM, &mut budget).await?;
        let rollbacks = (1..=self.fold.undos).map(|undo| format!("{CONTROL_STREAM}/{undo}"));
        for stream in
            std::iter::once(CONTROL_STREAM.to_owned()).chain(rollbacks.collect::<Vec<_>>())
        {
            self.stream(database, run, &stream, &mut budget).await?;
        }
        for partition in projection::load(database.connection(), run).await? {
            let seen = self.seen.get(&partition.stream).copied().unwrap_or(0);
            if partition.seq > seen {
                self.stream(database, run, &partition.stream, &mut budget)
                    .await?;
            }
        }
        for (worker, stream) in self.workers(database, run).await? {
            let known = self
                .fold
                .processes
                .iter()
                .find(|known| known.worker == worker);
            let is_over = known.is_some_and(|known| known.stopped.is_some());
            let is_long_silent = known.is_some_and(|known| now - known.last > LONG);
            if !is_over && (!is_long_silent || self.looks.is_multiple_of(RARELY)) {
                self.stream(database, run, &stream, &mut budget).await?;
            }
        }
        Ok(budget > 0)
    }

    /// The processes of a run and their streams.
    async fn workers(&self, database: &Database, run: &str) -> Result<Vec<(String, String)>> {
        let begun = Filter {
            run: Some(run.to_owned()),
            kind: Some("WorkerStarted".to_owned()),
            ..Filter::default()
        };
        let begun = journal::select(database.connection(), &begun, PROCESSES, true).await?;
        let begun = begun.into_iter().map(|entry| (entry.worker, entry.stream));
        // A rollback's process does not tell that it started; its batches do.
        let met = self.fold.processes.iter().map(|process| {
            let stream = format!("{WORKER_STREAM}{}", process.worker);
            (process.worker.clone(), stream)
        });
        let mut streams: Vec<_> = begun.chain(met).collect();
        streams.sort_unstable();
        streams.dedup();
        Ok(streams)
    }

    /// Reads a stream on, as far as the budget goes.
    async fn stream(
        &mut self,
        database: &Database,
        run: &str,
        stream: &str,
        budget: &mut u64,
    ) -> Result<()> {
        while *budget > 0 {
            let seen = self.seen.get(stream).copied().unwrap_or(0);
            let limit = PAGE.min(*budget);
            let page =
                journal::stream_after(database.connection(), run, stream, seen, limit).await?;
            let read = page.len() as u64;
            *budget -= read;
            for entry in page {
                self.seen.insert(stream.to_owned(), entry.seq);
                let place = Place {
                    stream: &entry.stream,
                    worker: &entry.worker,
                    at: entry.at,
                    bytes: bytes(&entry),
                };
                match journal::event(&entry) {
                    Ok(event) => self.fold.apply(place, event),
                    // It is shown as far as this release understands it.
                    Err(_) => self.unread += 1,
                }
            }
            if read < limit {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What an event takes as text.
fn bytes(entry: &journal::Entry) -> usize {
    let texts = [
        &entry.run,
        &entry.stream,
        &entry.kind,
        &entry.payload,
        &entry.worker,
        &entry.prev,
        &entry.hash,
    ];
    let optional = [&entry.unit, &entry.key].into_iter().flatten();
    texts.into_iter().chain(optional).map(String::len).sum()
}
