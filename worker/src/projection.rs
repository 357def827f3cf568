//! The partitions' projection: a cache of what their streams say, kept in the same transaction, checked against the
//! journal before it is trusted, and rebuilt from it where it lags.

use entity::backstitch_partition as table;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect,
};

use crate::backend::{Database, Durability};
use crate::chain::Head;
use crate::core::event::{Cursor, Event, PartitionPlanned};
use crate::core::state::{PartitionState, RunState};
use crate::error::{Doing, Error, Result};
use crate::journal;

/// A partition's row.
pub type Row = table::Model;

/// Batches may follow.
pub const OPEN: &str = "open";
/// The range is exhausted.
pub const DONE: &str = "done";
/// An undo has begun.
pub const FENCED: &str = "fenced";

/// The state that a row stands for.
///
/// # Errors
/// [`Error::Damaged`]: its cursor cannot be read.
pub fn state(row: &Row) -> Result<PartitionState> {
    let cursor = row.cursor.as_deref().map(serde_json::from_str::<Cursor>);
    let cursor = cursor.transpose().map_err(|_| {
        Error::Damaged(format!(
            "the cursor of partition {} cannot be read",
            row.stream
        ))
    })?;
    Ok(PartitionState {
        planned: PartitionPlanned {
            unit: row.unit.clone(),
            pass: row.pass,
            section: row.section,
            part: row.part,
            lower: row.lower.clone(),
            upper: row.upper.clone(),
            estimate: row.estimate,
        },
        // A fenced partition takes no batch either, so whether it was done no longer matters.
        done: row.status != OPEN,
        cursor,
        pending_bad: 0,
        batches: row.batches,
        read: row.read,
        written: row.written,
        skipped: row.skipped,
        quarantined: row.quarantined,
        undone_to: row.undone_to,
        removed: row.removed,
        kept: row.kept,
        gone: row.gone,
    })
}

/// The row that stands for a state.
#[must_use]
pub fn row(
    run: &str,
    state: &PartitionState,
    fenced: bool,
    head: &Head,
    (first_at, last_at): (i64, i64),
) -> Row {
    let status = match (fenced, state.done) {
        (true, _) => FENCED,
        (false, true) => DONE,
        (false, false) => OPEN,
    };
    Row {
        run: run.into(),
        stream: state.planned.stream(),
        unit: state.planned.unit.clone(),
        pass: state.planned.pass,
        section: state.planned.section,
        part: state.planned.part,
        lower: state.planned.lower.clone(),
        upper: state.planned.upper.clone(),
        estimate: state.planned.estimate,
        status: status.into(),
        cursor: state
            .cursor
            .as_ref()
            .map(|cursor| serde_json::json!(cursor).to_string()),
        seq: head.seq,
        head: head.hash.clone(),
        batches: state.batches,
        read: state.read,
        written: state.written,
        skipped: state.skipped,
        quarantined: state.quarantined,
        undone_to: state.undone_to,
        removed: state.removed,
        kept: state.kept,
        gone: state.gone,
        first_at,
        last_at,
    }
}

/// The times of a row after another event: those of its first event and of this one.
#[must_use]
pub fn times(row: &Row, at: i64) -> (i64, i64) {
    (if row.first_at == 0 { at } else { row.first_at }, at)
}

/// Adds the rows of partitions that were just planned.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, rows: Vec<Row>) -> Result<()> {
    // Bound values have a limit, and a row has 23.
    for chunk in rows.chunks(1_000) {
        let models = chunk
            .iter()
            .cloned()
            .map(IntoActiveModel::into_active_model);
        table::Entity::insert_many(models)
            .exec_without_returning(connection)
            .await
            .doing("planning partitions")?;
    }
    Ok(())
}

/// Claims a partition until the transaction ends. None: another worker holds it, or it is not open any more.
///
/// # Errors
/// The database's.
pub async fn claim(
    connection: &impl ConnectionTrait,
    run: &str,
    stream: &str,
) -> Result<Option<Row>> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
        .filter(table::Column::Status.eq(OPEN))
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(connection)
        .await
        .doing("claiming a partition")
}

/// Locks a partition, waiting for whoever holds it.
///
/// # Errors
/// The database's.
pub async fn lock(
    connection: &impl ConnectionTrait,
    run: &str,
    stream: &str,
) -> Result<Option<Row>> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
        .lock_exclusive()
        .one(connection)
        .await
        .doing("locking a partition")
}

/// Stores a partition's new state.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, row: Row) -> Result<()> {
    let mut model = row.into_active_model();
    for column in [
        table::Column::Lower,
        table::Column::Upper,
        table::Column::Estimate,
        table::Column::Status,
        table::Column::Cursor,
        table::Column::Seq,
        table::Column::Head,
        table::Column::Batches,
        table::Column::Read,
        table::Column::Written,
        table::Column::Skipped,
        table::Column::Quarantined,
        table::Column::UndoneTo,
        table::Column::Removed,
        table::Column::Kept,
        table::Column::Gone,
        table::Column::FirstAt,
        table::Column::LastAt,
    ] {
        model.reset(column);
    }
    table::Entity::update(model)
        .exec(connection)
        .await
        .doing("storing a partition's cursor")?;
    Ok(())
}

/// Bars every partition of a unit from further batches; waits for the ones that are being committed.
///
/// # Errors
/// The database's.
pub async fn fence(connection: &impl ConnectionTrait, run: &str, unit: &str) -> Result<()> {
    let fenced = table::ActiveModel {
        status: Set(FENCED.into()),
        ..Default::default()
    };
    table::Entity::update_many()
        .set(fenced)
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Unit.eq(unit))
        .exec(connection)
        .await
        .doing("fencing a unit's partitions")?;
    Ok(())
}

/// One partition's row.
///
/// # Errors
/// The database's.
pub async fn find(
    connection: &impl ConnectionTrait,
    run: &str,
    stream: &str,
) -> Result<Option<Row>> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
        .one(connection)
        .await
        .doing("reading a partition")
}

/// A run's partitions in the order in which they are worked through.
///
/// # Errors
/// The database's.
pub async fn load(connection: &impl ConnectionTrait, run: &str) -> Result<Vec<Row>> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .order_by_asc(table::Column::Unit)
        .order_by_asc(table::Column::Pass)
        .order_by_asc(table::Column::Section)
        .order_by_asc(table::Column::Part)
        .all(connection)
        .await
        .doing("reading the partitions")
}

/// Checks a run's projection against its journal and rebuilds what lags or is missing.
///
/// # Errors
/// [`Error::Damaged`]: the projection is ahead of the journal, so events are missing.
pub async fn reconcile(database: &Database, run: &str, state: &RunState) -> Result<()> {
    let connection = database.connection();
    let rows = load(connection, run).await?;
    for planned in state.partitions.values() {
        let stream = planned.stream();
        let row = rows.iter().find(|row| row.stream == stream);
        if !is_current(connection, row, run, planned).await? {
            mend(database, run, planned, state.is_fenced(&planned.unit)).await?;
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
) -> Result<bool> {
    let stream = planned.stream();
    let head = journal::head(connection, run, &stream).await?;
    let Some(row) = row.filter(|row| (row.seq, &row.head) == (head.seq, &head.hash)) else {
        return Ok(false);
    };
    let state = state(row)?;
    if state.planned != *planned {
        return Ok(false);
    }
    let last = journal::at(connection, run, &stream, head.seq).await?;
    Ok(match last.as_ref().map(journal::event).transpose()? {
        None => state.cursor.is_none() && row.status != DONE,
        Some(Event::BatchCommitted(batch)) => {
            let is_done = row.status == DONE;
            state.cursor == batch.to && (row.status == FENCED || is_done == batch.last)
        }
        Some(_) => true,
    })
}

/// Looks at one partition again under its lock, as a worker may have been between its row and its events, and rebuilds
/// its row where that is not what its stream says.
async fn mend(
    database: &Database,
    run: &str,
    planned: &PartitionPlanned,
    fenced: bool,
) -> Result<()> {
    let stream = planned.stream();
    let doing = "rebuilding a partition's projection";
    let transaction = database.begin(Durability::Synced).await.doing(doing)?;
    let row = lock(&transaction, run, &stream).await?;
    let rebuilt = rebuild(&transaction, run, planned, fenced).await?;
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
                run,
                stream,
                "a partition's projection was not what its journal says, and was rebuilt"
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
    fenced: bool,
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
            return Ok(row(run, &state, fenced, &head, times));
        }
    }
}

/// Source rows read and bad rows of one unit's partitions. A catch-up pass reads all rows again, so of it only what
/// it found counts as read.
pub fn totals<'a>(rows: impl Iterator<Item = &'a Row>) -> (i64, i64) {
    rows.fold((0, 0), |(read, bad), row| {
        let new = match row.pass {
            1 => row.read,
            _ => row.written + row.quarantined,
        };
        (read + new, bad + row.quarantined)
    })
}
