//! The partitions' projection: a cache of what their streams say, kept in the same transaction.

mod reconcile;

pub use self::reconcile::{rebuild, reconcile};

use entity::backstitch_partition as table;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, Select,
};

use crate::chain::Head;
use crate::core::event::{Cursor, PartitionPlanned};
use crate::core::state::{Gate, PartitionState};
use crate::error::{Doing, Error, Result};

/// A partition's row.
pub type Row = table::Model;

/// Batches may follow.
pub const OPEN: &str = "open";
/// The range is exhausted.
pub const DONE: &str = "done";
/// The unit is over its error budget.
pub const STOPPED: &str = "stopped";
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
        // One that is stopped or fenced takes no batch either, so whether it was done no longer matters.
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

/// The status of a partition.
#[must_use]
pub fn status(gate: Gate, done: bool) -> &'static str {
    match (gate, done) {
        (Gate::Fenced, _) => FENCED,
        (Gate::Open | Gate::Stopped, true) => DONE,
        (Gate::Stopped, false) => STOPPED,
        (Gate::Open, false) => OPEN,
    }
}

/// The row that stands for a state.
#[must_use]
pub fn row(
    run: &str,
    state: &PartitionState,
    gate: Gate,
    head: &Head,
    (first_at, last_at): (i64, i64),
) -> Row {
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
        status: status(gate, state.done).into(),
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

fn partition(run: &str, stream: &str) -> Select<table::Entity> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
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
    partition(run, stream)
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
    partition(run, stream)
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

/// Fences every partition of a run; waits for the batches that are being committed.
///
/// # Errors
/// The database's.
pub async fn fence(connection: &impl ConnectionTrait, run: &str) -> Result<()> {
    let fenced = change_status(run, FENCED);
    let fenced = fenced.exec(connection).await;
    fenced.doing("fencing a run's partitions")?;
    Ok(())
}

/// Stops the open partitions of a unit, or opens the stopped ones again; waits for the batches that are being
/// committed.
///
/// # Errors
/// The database's.
pub async fn turn(
    connection: &impl ConnectionTrait,
    run: &str,
    unit: &str,
    from: &str,
    to: &str,
) -> Result<()> {
    change_status(run, to)
        .filter(table::Column::Unit.eq(unit))
        .filter(table::Column::Status.eq(from))
        .exec(connection)
        .await
        .doing("changing the status of a unit's partitions")?;
    Ok(())
}

fn change_status(run: &str, to: &str) -> sea_orm::UpdateMany<table::Entity> {
    let changed = table::ActiveModel {
        status: Set(to.into()),
        ..Default::default()
    };
    table::Entity::update_many()
        .set(changed)
        .filter(table::Column::Run.eq(run))
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
    partition(run, stream)
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

/// Source rows read and bad rows of one unit's partitions. A catch-up pass reads all rows again, so of it only what
/// it found counts as read; what it computes anew from rows that it read before is nothing found. A bad row was read,
/// also where it was met on the way to another, and its own turn is still to come.
pub fn totals<'a>(rows: impl Iterator<Item = &'a Row>) -> (i64, i64) {
    let (read, bad) = rows.fold((0, 0), |(read, bad), row| {
        let new = match row.pass {
            1 => row.read,
            _ => row.read.min(row.written + row.quarantined),
        };
        (read + new, bad + row.quarantined)
    });
    (read.max(bad), bad)
}
