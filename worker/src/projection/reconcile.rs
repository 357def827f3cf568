//! The projection against the journal: checked before it is trusted, and rebuilt where it lags.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::{FENCED, Row, insert, load, lock, row, state, status, update};
use crate::backend::{Database, Durability};
use crate::chain::Head;
use crate::core::event::{Event, PartitionPlanned};
use crate::core::state::{Gate, PartitionState, RunState};
use crate::error::{Doing, Error, Result};
use crate::{journal, runs};

/// Checks a run's projection against its journal and rebuilds what lags or is missing.
///
/// # Errors
/// [`Error::Damaged`]: the projection is ahead of the journal, so events are missing.
pub async fn reconcile(database: &Database, run: &str, state: &RunState) -> Result<()> {
    let connection = database.connection();
    let rows: HashMap<_, _> = load(connection, run)
        .await?
        .into_iter()
        .map(|row| (row.stream.clone(), row))
        .collect();
    for planned in state.partitions.values() {
        let row = rows.get(&planned.stream());
        if !is_current(connection, row, run, planned, state.gate(&planned.unit)).await? {
            mend(database, run, planned).await?;
        }
    }
    Ok(())
}

/// Whether a row is where its stream's last event leaves it.
async fn is_current(
    connection: &impl ConnectionTrait,
    row: Option<&Row>,
    run: &str,
    planned: &PartitionPlanned,
    gate: Gate,
) -> Result<bool> {
    let Some(row) = row else {
        return Ok(false);
    };
    let stream = planned.stream();
    let last = journal::last(connection, run, &stream).await?;
    let head = last.as_ref().map_or_else(Head::empty, |entry| Head {
        seq: entry.seq,
        hash: entry.hash.clone(),
    });
    let state = state(row)?;
    if (row.seq, &row.head) != (head.seq, &head.hash) || state.planned != *planned {
        return Ok(false);
    }
    Ok(match last.as_ref().map(journal::event).transpose()? {
        None => {
            row.status == status(gate, false) && state.cursor.is_none() && row.undone_to.is_none()
        }
        Some(Event::BatchCommitted(batch)) => {
            row.status == status(gate, batch.last)
                && state.cursor == batch.to
                && row.undone_to.is_none()
        }
        Some(Event::BatchUndone(undone)) => {
            row.status == FENCED && row.undone_to == Some(undone.batch)
        }
        // No other event ends a partition's stream; the fold says what is wrong.
        Some(_) => false,
    })
}

/// Looks at one partition again under its lock, as a worker may have been between its row and its events, and rebuilds
/// its row where that is not what its stream says.
async fn mend(database: &Database, run: &str, planned: &PartitionPlanned) -> Result<()> {
    let stream = planned.stream();
    let doing = "rebuilding a partition's projection";
    let transaction = database.begin(Durability::Synced).await.doing(doing)?;
    let row = lock(&transaction, run, &stream).await?;
    // Only now: whoever fences or stops the partition changes this very row together with the run's state.
    let (state, _) = runs::load(&transaction, run).await?;
    let gate = state.gate(&planned.unit);
    let rebuilt = rebuild(&transaction, run, planned, gate).await?;
    match row {
        Some(row) if row == rebuilt => {}
        Some(row) if row.seq > rebuilt.seq => {
            return Err(Error::Damaged(format!(
                "partition {stream} has seen event {}, and its stream ends at {}",
                row.seq, rebuilt.seq
            )));
        }
        stale => {
            tracing::warn!(
                "the projection of {stream} was not what its journal says, and was rebuilt"
            );
            match stale {
                Some(_) => update(&transaction, rebuilt).await?,
                None => insert(&transaction, vec![rebuilt]).await?,
            }
        }
    }
    transaction.commit().await.doing(doing)
}

/// A partition's row, from its stream alone.
///
/// # Errors
/// [`Error::Illegal`], [`Error::Damaged`]: the stream does not fold.
pub async fn rebuild(
    connection: &impl ConnectionTrait,
    run: &str,
    planned: &PartitionPlanned,
    gate: Gate,
) -> Result<Row> {
    let mut state = PartitionState::new(planned.clone());
    let mut head = Head::empty();
    let mut times = (0, 0);
    let stream = planned.stream();
    loop {
        let entries = journal::stream_after(connection, run, &stream, head.seq, 1_000).await?;
        for entry in &entries {
            state.apply(&journal::event(entry)?)?;
            head = Head {
                seq: entry.seq,
                hash: entry.hash.clone(),
            };
            times = (if times.0 == 0 { entry.at } else { times.0 }, entry.at);
        }
        if entries.len() < 1_000 {
            return Ok(row(run, &state, gate, &head, times));
        }
    }
}
