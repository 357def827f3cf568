//! The runbook: evidence for the steps of a migration that no run tells, from the first look to the certificate. It stands
//! in the journal under a name of its own in a run's place, because it is of the database, whatever runs there are.

pub mod checklist;
pub mod phase;

use sea_orm::ConnectionTrait;

use crate::backend::{self, Database, Durability};
use crate::chain::Head;
use crate::core::event::Event;
use crate::core::replay::RUNBOOK;
use crate::core::state::RunbookState;
use crate::error::{Doing, Error, Result};
use crate::journal::{self, Entry, Stream};
use crate::retry::Retry;
use crate::runs::point;
use crate::schema;
use crate::shutdown::Shutdown;

/// Events in a page of a load.
const PAGE: u64 = 1_000;

/// An event of the runbook, and where it stands.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The stored event.
    pub entry: Entry,
    /// What it says.
    pub event: Event,
}

/// The runbook as it stands.
#[derive(Clone, Debug, Default)]
pub struct Runbook {
    /// What its events fold into.
    pub state: RunbookState,
    /// Its events, oldest first; few.
    pub events: Vec<Noted>,
}

impl Runbook {
    /// The newest event of which `of` makes something, with what it makes of it.
    pub fn newest<'a, T>(
        &'a self,
        mut of: impl FnMut(&'a Event) -> Option<T>,
    ) -> Option<(&'a Noted, T)> {
        let mut newest_first = self.events.iter().rev();
        newest_first.find_map(|noted| of(&noted.event).map(|made| (noted, made)))
    }

    fn head(&self) -> Head {
        self.events.last().map_or_else(Head::empty, |last| Head {
            seq: last.entry.seq,
            hash: last.entry.hash.clone(),
        })
    }
}

/// Loads the runbook; an empty one where the database has no journal yet.
///
/// # Errors
/// [`Error::Illegal`], [`Error::Damaged`]: it does not fold. The database's.
pub async fn load(database: &Database) -> Result<Runbook> {
    match schema::has_journal(database).await? {
        true => load_from(database.connection()).await,
        false => Ok(Runbook::default()),
    }
}

async fn load_from(connection: &impl ConnectionTrait) -> Result<Runbook> {
    let mut runbook = Runbook::default();
    loop {
        let after = runbook.head().seq;
        let page = journal::stream_after(connection, RUNBOOK, RUNBOOK, after, PAGE).await?;
        let read = page.len() as u64;
        for entry in page {
            let event = journal::event(&entry)?;
            runbook.state.apply(RUNBOOK, &event)?;
            runbook.events.push(Noted { entry, event });
        }
        if read < PAGE {
            return Ok(runbook);
        }
    }
}

/// Notes events in the runbook, patiently. Makes the journal's own tables first where the database has none yet: evidence
/// begins before the schema does.
///
/// # Errors
/// [`Error::Refused`]: a newer release wrote the journal. An illegal event; the database's, after bounded retries.
pub async fn note(database: &Database, worker: &str, events: &[Event]) -> Result<()> {
    note_in(database, worker, RUNBOOK, events).await.map(|_| ())
}

/// Notes events in a stream of the runbook's (`gate/<id>`, `validation/<id>`, or its own); gives the stream's new head.
///
/// # Errors
/// As [`note`].
pub async fn note_in(
    database: &Database,
    worker: &str,
    stream: &str,
    events: &[Event],
) -> Result<Head> {
    let mut retry = Retry::default();
    let mut unknown = None;
    loop {
        match try_note(database, worker, stream, events, &mut unknown).await {
            Ok(Some(head)) => return Ok(head),
            // Another process was first: the next place is free.
            Ok(None) => {}
            Err(error) => retry.pause(error, &Shutdown::default()).await?,
        }
    }
}

/// One attempt; none: another process was first. `unknown` is where the events stand if a commit took place that erred.
async fn try_note(
    database: &Database,
    worker: &str,
    stream: &str,
    events: &[Event],
    unknown: &mut Option<Head>,
) -> Result<Option<Head>> {
    schema::make_journal(database).await?;
    let connection = database.connection();
    journal::check_format(connection).await?;
    if let Some(head) = unknown {
        let entry = journal::at(connection, RUNBOOK, stream, head.seq).await?;
        if entry.is_some_and(|entry| entry.hash == head.hash) {
            return Ok(Some(head.clone()));
        }
    }
    let doing = "noting evidence in the journal";
    let transaction = database.begin(Durability::Synced).await.doing(doing)?;
    match append(&transaction, worker, stream, events).await {
        Ok(head) => {
            *unknown = Some(head.clone());
            transaction.commit().await.doing(doing)?;
            point(events, "committed");
            Ok(Some(head))
        }
        Err(Error::Database { source, .. }) if backend::is_unique_violation(&source) => {
            transaction.rollback().await.doing(doing)?;
            Ok(None)
        }
        Err(error) => {
            transaction.rollback().await.doing(doing)?;
            Err(error)
        }
    }
}

/// Appends to a stream of the runbook's within a transaction, such as the one that changes the schema.
///
/// # Errors
/// A unique violation where another process appended first; an illegal event; the database's.
pub(crate) async fn append(
    transaction: &impl ConnectionTrait,
    worker: &str,
    stream: &str,
    events: &[Event],
) -> Result<Head> {
    let head = if stream == RUNBOOK {
        let mut runbook = load_from(transaction).await?;
        for event in events {
            runbook.state.apply(RUNBOOK, event)?;
        }
        runbook.head()
    } else {
        journal::head(transaction, RUNBOOK, stream).await?
    };
    let at = journal::now(transaction).await?;
    let place = Stream {
        run: RUNBOOK,
        stream,
        worker,
    };
    let chained = journal::chain(place, &head, at, events)?;
    let head = journal::append(transaction, chained).await?;
    point(events, "appended");
    Ok(head)
}
