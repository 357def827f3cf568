//! A run's own stream: load it, start it, append to it. Its events are few, so it is folded whole each time, and an
//! append that loses the race for the next seq decides again on what the winner wrote.

use crate::backend::{self, Database, Durability, Transaction};
use crate::chain::Head;
use crate::core::event::{Event, RunStarted};
use crate::core::replay::RUN_STREAM;
use crate::core::state::{Gate, PartitionState, RunState};
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::journal::{self, Stream};
use crate::projection;
use sea_orm::ConnectionTrait;

/// Events in a page of a load.
const PAGE: u64 = 1_000;

/// A new name in the journal, for a worker or another program: short, and unlike all others'.
#[must_use]
pub fn worker_id(program: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{program}-{}", &id[..12])
}

/// Loads a run's own stream and folds it.
///
/// # Errors
/// [`Error::Usage`]: there is no such run. [`Error::Illegal`], [`Error::Damaged`]: it does not fold.
pub async fn load(connection: &impl ConnectionTrait, run: &str) -> Result<(RunState, Head)> {
    let mut state: Option<RunState> = None;
    let mut head = Head::empty();
    loop {
        let entries = journal::stream_after(connection, run, RUN_STREAM, head.seq, PAGE).await?;
        for entry in &entries {
            let event = journal::event(entry)?;
            match &mut state {
                None => state = Some(RunState::begin(&event)?),
                Some(state) => state.apply(&event)?,
            }
            head = Head {
                seq: entry.seq,
                hash: entry.hash.clone(),
            };
        }
        if (entries.len() as u64) < PAGE {
            break;
        }
    }
    match state {
        Some(state) => Ok((state, head)),
        None => Err(Error::Usage(format!(
            "there is no run {run}; `cli runs` lists them"
        ))),
    }
}

/// The run that is not finished, if there is one: running (only the newest can be), or being rolled back.
///
/// # Errors
/// The database's; a journal that does not fold.
pub async fn unfinished(connection: &impl ConnectionTrait) -> Result<Option<(String, RunState)>> {
    if let Some(run) = journal::newest_run(connection).await? {
        let (state, _) = load(connection, &run).await?;
        if state.status.is_open() {
            return Ok(Some((run, state)));
        }
    }
    match journal::undoing(connection).await?.into_iter().next() {
        Some(run) => {
            let (state, _) = load(connection, &run).await?;
            Ok(Some((run, state)))
        }
        None => Ok(None),
    }
}

/// Starts a run where none is unfinished, under a lock, so that two workers never start two. `started` is given the
/// database's clock. False: another worker was first.
///
/// # Errors
/// The database's.
pub async fn start(
    database: &Database,
    run: &str,
    worker: &str,
    started: impl FnOnce(i64) -> RunStarted,
) -> Result<bool> {
    let transaction = begin(database).await?;
    let lock = database.dialect().lock(&transaction).await;
    lock.doing("waiting for another worker that starts a run")?;
    if unfinished(&transaction).await?.is_some() {
        end(transaction).await?;
        return Ok(false);
    }
    let at = journal::now(&transaction).await?;
    let events = [Event::RunStarted(started(at))];
    let stream = Stream {
        run,
        stream: RUN_STREAM,
        worker,
    };
    let chained = journal::chain(stream, &Head::empty(), at, &events)?;
    journal::append(&transaction, chained).await?;
    point(&events, "appended");
    transaction.commit().await.doing("committing an event")?;
    point(&events, "committed");
    Ok(true)
}

/// Appends to a run's own stream what `decide` makes of the state, together with the projection's part of it; where
/// another worker was first, loads the state anew and asks again. None from `decide`: there is nothing to do. Gives
/// the state as it then is, and whether anything was appended.
///
/// # Errors
/// What `decide` refuses, an illegal event, the database's.
pub async fn append(
    database: &Database,
    run: &str,
    worker: &str,
    decide: impl FnMut(&RunState) -> Result<Option<Vec<Event>>> + Send,
) -> Result<(RunState, bool)> {
    append_with(database, run, worker, Exclusive::No, decide).await
}

/// The same for an event that opens a run again (an undo), under the lock under which runs start.
///
/// # Errors
/// [`Error::Refused`]: another run is unfinished; those of [`append`].
pub async fn append_exclusively(
    database: &Database,
    run: &str,
    worker: &str,
    decide: impl FnMut(&RunState) -> Result<Option<Vec<Event>>> + Send,
) -> Result<(RunState, bool)> {
    append_with(database, run, worker, Exclusive::Start, decide).await
}

/// Why nothing else may begin while a run is unfinished.
pub(crate) fn blocked(other: &str, state: &RunState) -> Error {
    Error::Refused(format!(
        "run {other} is {}: finish it, or roll it back, before an older one",
        state.status.word()
    ))
}

/// Whether an append must see that no other run is unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exclusive {
    No,
    Start,
}

async fn append_with(
    database: &Database,
    run: &str,
    worker: &str,
    exclusive: Exclusive,
    mut decide: impl FnMut(&RunState) -> Result<Option<Vec<Event>>> + Send,
) -> Result<(RunState, bool)> {
    loop {
        let transaction = begin(database).await?;
        if exclusive == Exclusive::Start {
            let lock = database.dialect().lock(&transaction).await;
            lock.doing("waiting for another worker that starts a run")?;
            if let Some((other, state)) = unfinished(&transaction).await?
                && other != run
            {
                end(transaction).await?;
                return Err(blocked(&other, &state));
            }
        }
        let (mut state, head) = load(&transaction, run).await?;
        let at = journal::now(&transaction).await?;
        let Some(events) = decide(&state)? else {
            end(transaction).await?;
            return Ok((state, false));
        };
        let stream = Stream {
            run,
            stream: RUN_STREAM,
            worker,
        };
        for event in &events {
            state.apply(event)?;
        }
        let chained = journal::chain(stream, &head, at, &events)?;
        point(&events, "decided");
        let projected = project(&transaction, run, &events).await;
        point(&events, "projected");
        let appended = match projected {
            Ok(()) => journal::append(&transaction, chained).await.map(|_| ()),
            Err(error) => Err(error),
        };
        match appended {
            Ok(()) => {
                point(&events, "appended");
                transaction.commit().await.doing("committing an event")?;
                point(&events, "committed");
                return Ok((state, true));
            }
            Err(Error::Database { source, .. }) if backend::is_unique_violation(&source) => {
                end(transaction).await?;
                // A race for the next place is won by somebody; where nobody has won it, another row is in the way.
                let now = journal::head(database.connection(), run, RUN_STREAM).await?;
                if now == head {
                    return Err(Error::Damaged(format!(
                        "an event of run {run} meets rows that no event speaks of ({})",
                        backend::describe(&source)
                    )));
                }
            }
            Err(error) => {
                end(transaction).await?;
                return Err(error);
            }
        }
    }
}

/// Passes a crash point of a run's or a worker's own stream.
pub(crate) fn point(events: &[Event], step: &str) {
    fault::point(|| {
        let first = events.first();
        let (kind, unit) = first.map_or(("nothing", None), |first| (first.kind(), first.unit()));
        format!("event {kind} {}: {step}", unit.unwrap_or("of the run"))
    });
}

/// What an event of the run changes in the partitions' projection.
async fn project(transaction: &Transaction, run: &str, events: &[Event]) -> Result<()> {
    let mut planned = Vec::new();
    for event in events {
        match event {
            Event::PartitionPlanned(partition) => {
                let state = PartitionState::new(partition.clone());
                let row = projection::row(run, &state, Gate::Open, &Head::empty(), (0, 0));
                planned.push(row);
            }
            Event::UnitStopped { unit, .. } => {
                let (from, to) = (projection::OPEN, projection::STOPPED);
                projection::turn(transaction, run, unit, from, to).await?;
            }
            Event::UnitReopened { unit } => {
                let (from, to) = (projection::STOPPED, projection::OPEN);
                projection::turn(transaction, run, unit, from, to).await?;
            }
            Event::UndoStarted { .. } => projection::fence(transaction, run).await?,
            _ => {}
        }
    }
    projection::insert(transaction, planned).await
}

async fn begin(database: &Database) -> Result<Transaction> {
    let transaction = database.begin(Durability::Synced).await;
    transaction.doing("beginning a transaction")
}

async fn end(transaction: Transaction) -> Result<()> {
    transaction.rollback().await.doing("ending a transaction")
}
