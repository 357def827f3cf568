//! Indexes that a schema change leaves out of the tables that it makes, because an index that is built over all rows costs
//! less than one that grows with each: which they are, and which are still to be built.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::ConnectionTrait;

use super::waits;
use crate::backend::{Database, Dialect, indexes};
use crate::core::event::{DeferredIndex, Event, OwedIndex};
use crate::core::plan::Write;
use crate::engine::Plan;
use crate::error::{Doing, Result};
use crate::{journal, runbook, runs};

/// When the secondary indexes of a new destination are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indexes {
    /// By the run, once it has written what there was. On SQLite they are always there before: a build would lock the
    /// whole database for as long as it takes.
    #[default]
    After,
    /// With the table.
    Before,
}

/// Drops the indexes of destinations that the change in this transaction has made, which are empty and nobody else sees
/// yet; gives the events that tell how to build them. Of somebody else's tables, and of those that were there, none.
pub(super) async fn leave_out(
    transaction: &impl ConnectionTrait,
    plan: &Plan,
    before: &BTreeSet<String>,
) -> Result<Vec<Event>> {
    if Dialect::of(transaction) == Dialect::Sqlite {
        return Ok(Vec::new());
    }
    let doing = "leaving indexes out until the run";
    let after = waits::tables(transaction).await?;
    let mut events = Vec::new();
    let mut seen = BTreeSet::new();
    for unit in plan.iter() {
        let destination = &unit.definition().destination;
        let table = &destination.table;
        let is_new = after.contains(table) && !before.contains(table);
        if destination.write != Write::Insert || !is_new || !seen.insert(table) {
            continue;
        }
        let found = indexes::secondary(transaction, table).await.doing(doing)?;
        for index in &found {
            let drop = format!("DROP INDEX {}", index.quoted);
            transaction.execute_unprepared(&drop).await.doing(doing)?;
        }
        if !found.is_empty() {
            let index = |index: indexes::Definition| DeferredIndex {
                name: index.name,
                sql: index.sql,
            };
            events.push(Event::IndexesDeferred {
                table: table.clone(),
                indexes: found.into_iter().map(index).collect(),
            });
        }
    }
    Ok(events)
}

/// What was left out and no run has built yet, by table.
///
/// # Errors
/// A journal that does not fold. The database's.
pub(super) async fn unbuilt(database: &Database) -> Result<BTreeMap<String, Vec<DeferredIndex>>> {
    let mut unbuilt: BTreeMap<String, Vec<DeferredIndex>> = BTreeMap::new();
    for noted in runbook::load(database).await?.events {
        if let Event::IndexesDeferred { table, indexes } = noted.event {
            unbuilt.insert(table, indexes);
        }
    }
    if unbuilt.is_empty() {
        return Ok(unbuilt);
    }
    for run in journal::runs(database.connection()).await? {
        let (state, _) = runs::load(database.connection(), &run).await?;
        for indexes in unbuilt.values_mut() {
            indexes.retain(|index| !state.built.contains(&index.name));
        }
    }
    Ok(unbuilt)
}

/// The indexes that a run of a plan owes: those of its destinations that no run has built yet, whether or not somebody has
/// made them by hand.
///
/// # Errors
/// A journal that does not fold. The database's.
pub async fn owed(database: &Database, plan: &Plan) -> Result<Vec<OwedIndex>> {
    let mut owed = Vec::new();
    for (table, indexes) in unbuilt(database).await? {
        // The last one that writes to the table: each before it would have to write into the index.
        let mut units = plan.iter().map(|unit| unit.definition()).rev();
        let Some(unit) = units.find(|unit| unit.destination.table == table) else {
            continue;
        };
        owed.extend(indexes.into_iter().map(|index| OwedIndex {
            unit: unit.name.clone(),
            table: table.clone(),
            name: index.name,
            sql: index.sql,
        }));
    }
    Ok(owed)
}
