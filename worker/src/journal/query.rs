//! Events by what they are about: for people who look at the journal, not for the engine.

use entity::backstitch_journal as table;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::Entry;
use crate::core::event::{BatchUndone, Event};
use crate::error::{Doing, Result};

/// Which events to load; an empty filter takes all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this run.
    pub run: Option<String>,
    /// Of this unit.
    pub unit: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// Appended by this worker.
    pub worker: Option<String>,
    /// Since this instant, milliseconds since 1970.
    pub since: Option<i64>,
    /// Before this instant.
    pub until: Option<i64>,
    /// After this position.
    pub after: Option<i64>,
}

impl Filter {
    /// Whether an event passes.
    #[must_use]
    pub fn passes(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == found
        };
        is(&self.run, Some(&entry.run))
            && is(&self.unit, entry.unit.as_deref())
            && is(&self.kind, Some(&entry.kind))
            && is(&self.key, entry.key.as_deref())
            && is(&self.worker, Some(&entry.worker))
            && self.since.is_none_or(|since| since <= entry.at)
            && self.until.is_none_or(|until| entry.at < until)
            && self.after.is_none_or(|after| after < entry.position)
    }
}

/// Up to `limit` events that pass the filter, in the order in which they were appended; `newest` takes the last ones
/// rather than the first.
///
/// # Errors
/// The database's.
pub async fn select(
    connection: &impl ConnectionTrait,
    filter: &Filter,
    limit: u64,
    newest: bool,
) -> Result<Vec<Entry>> {
    let order = if newest {
        sea_orm::Order::Desc
    } else {
        sea_orm::Order::Asc
    };
    let mut entries = filtered(filter)
        .order_by(table::Column::Position, order)
        .limit(limit)
        .all(connection)
        .await
        .doing("reading the journal")?;
    if newest {
        entries.reverse();
    }
    Ok(entries)
}

/// Whether any batch of a unit skipped rows for this reason.
///
/// # Errors
/// The database's.
pub async fn has_skipped(
    connection: &impl ConnectionTrait,
    run: &str,
    unit: &str,
    reason: &str,
) -> Result<bool> {
    let filter = Filter {
        run: Some(run.to_owned()),
        unit: Some(unit.to_owned()),
        kind: Some("BatchCommitted".to_owned()),
        ..Filter::default()
    };
    // Payloads are stored to the byte as they were written, and a reason is one of few without any of LIKE's wildcards.
    let skipped = table::Column::Payload.contains(format!("\"{reason}\":"));
    let count = filtered(&filter).filter(skipped).count(connection).await;
    Ok(count.doing("looking for rows that a table did not take")? > 0)
}

/// A run's events of these kinds, in the order in which they were appended.
///
/// # Errors
/// The database's.
pub async fn of_kinds(
    connection: &impl ConnectionTrait,
    run: &str,
    kinds: &[&str],
) -> Result<Vec<Entry>> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Kind.is_in(kinds.iter().copied()))
        .order_by_asc(table::Column::Position)
        .all(connection)
        .await
        .doing("reading the journal")
}

/// The undo of a batch, where it was undone.
///
/// # Errors
/// The database's.
pub async fn undo_of(
    connection: &impl ConnectionTrait,
    (run, stream): (&str, &str),
    batch: i64,
) -> Result<Option<(Entry, BatchUndone)>> {
    // Payloads are stored to the byte as they were written, and this is never the last of their members.
    let of_batch = table::Column::Payload.contains(format!("\"batch\":{batch},"));
    let entries = table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
        .filter(table::Column::Seq.gt(batch))
        .filter(table::Column::Kind.eq("BatchUndone"))
        .filter(of_batch)
        .all(connection)
        .await
        .doing("looking for the undo of a batch")?;
    for entry in entries {
        match super::event(&entry)? {
            Event::BatchUndone(undone) if undone.batch == batch => {
                return Ok(Some((entry, undone)));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// How many events pass the filter.
///
/// # Errors
/// The database's.
pub async fn count(connection: &impl ConnectionTrait, filter: &Filter) -> Result<u64> {
    let count = filtered(filter).count(connection).await;
    count.doing("counting the journal's events")
}

fn filtered(filter: &Filter) -> sea_orm::Select<table::Entity> {
    let mut query = table::Entity::find();
    if let Some(run) = &filter.run {
        query = query.filter(table::Column::Run.eq(run));
    }
    if let Some(unit) = &filter.unit {
        query = query.filter(table::Column::Unit.eq(unit));
    }
    if let Some(kind) = &filter.kind {
        query = query.filter(table::Column::Kind.eq(kind));
    }
    if let Some(key) = &filter.key {
        query = query.filter(table::Column::Key.eq(key));
    }
    if let Some(worker) = &filter.worker {
        query = query.filter(table::Column::Worker.eq(worker));
    }
    if let Some(since) = filter.since {
        query = query.filter(table::Column::At.gte(since));
    }
    if let Some(until) = filter.until {
        query = query.filter(table::Column::At.lt(until));
    }
    if let Some(after) = filter.after {
        query = query.filter(table::Column::Position.gt(after));
    }
    query
}
