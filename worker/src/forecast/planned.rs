//! What a run would do, put together: units, samples, the pending schema change with its locks, the last rehearsal.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Need, Sample, sample};
use crate::approval::{self, Approval};
use crate::backend::{Database, Dialect};
use crate::core::event::{Event, PlanRehearsed};
use crate::core::plan::Write;
use crate::engine::{self, Plan};
use crate::error::Result;
use crate::runbook::Runbook;
use crate::schema;
use crate::schema::locks::{self, Lock};

/// What a run would do.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// The plan's fingerprint.
    pub plan: String,
    /// Who approved it last; none: nobody did.
    pub approval: Option<Approval>,
    /// The instant that the run would stand for, milliseconds since 1970.
    pub as_of: i64,
    /// How many days before it the sources are taken from.
    pub window_days: u32,
    /// The units in order.
    pub units: Vec<UnitPlanned>,
    /// The schema changes that are pending, in order.
    pub schema: Vec<SchemaChange>,
    /// What it needs: as the rehearsal has measured it, else as the samples have it.
    pub need: Need,
    /// The last rehearsal of this plan, and when it was, milliseconds since 1970.
    pub rehearsal: Option<(i64, PlanRehearsed)>,
}

/// What a unit would do.
#[derive(Clone, Debug, Serialize)]
pub struct UnitPlanned {
    /// The unit.
    pub unit: String,
    /// Its version.
    pub version: u32,
    /// What it is for.
    pub summary: String,
    /// Units that must be complete before it begins.
    pub depends_on: Vec<String>,
    /// Where it writes.
    pub table: String,
    /// The columns that it writes, the key first.
    pub columns: Vec<String>,
    /// Whether it overwrites columns of rows that are there; else it adds rows.
    pub is_update: bool,
    /// What a look at its source tells.
    pub sample: Sample,
}

/// A pending schema change.
#[derive(Clone, Debug, Serialize)]
pub struct SchemaChange {
    /// Its name.
    pub name: String,
    /// Its statements in order.
    pub statements: Vec<Statement>,
}

/// A statement of a schema change.
#[derive(Clone, Debug, Serialize)]
pub struct Statement {
    /// The SQL.
    pub sql: String,
    /// The locks that it takes; none: nothing is known of it. On SQLite there are none to tell.
    pub locks: Option<Vec<Lock>>,
}

/// Puts it together; changes nothing.
///
/// # Errors
/// The database's.
pub async fn planned(
    database: &Database,
    plan: &Plan,
    runbook: &Runbook,
    (as_of, window_days): (i64, u32),
) -> Result<Planned> {
    let source = schema::source(database, plan, as_of, window_days).await?;
    let schema = pending(database).await?;
    let samples = sample(&source, plan, schema.is_empty()).await?;
    let fingerprint = engine::fingerprint(plan);
    let rehearsal = rehearsal(runbook, &fingerprint);
    let need = match &rehearsal {
        Some((_, rehearsed)) => Need::measured(rehearsed),
        None => Need::of(&samples),
    };
    let units = plan.iter().zip(samples).map(|(unit, sample)| {
        let definition = unit.definition();
        UnitPlanned {
            unit: definition.name.clone(),
            version: definition.version,
            summary: definition.summary.clone(),
            depends_on: definition.depends_on.clone(),
            table: definition.destination.table.clone(),
            columns: (definition.destination.columns.iter())
                .map(|column| column.name.clone())
                .collect(),
            is_update: definition.destination.write != Write::Insert,
            sample,
        }
    });
    Ok(Planned {
        units: units.collect(),
        approval: approval::of(runbook, &fingerprint),
        as_of,
        window_days,
        schema,
        need,
        rehearsal,
        plan: fingerprint,
    })
}

/// The last rehearsal of a plan.
pub(crate) fn rehearsal(runbook: &Runbook, fingerprint: &str) -> Option<(i64, PlanRehearsed)> {
    let newest = runbook.newest(|event| match event {
        Event::PlanRehearsed(rehearsed) if rehearsed.plan == fingerprint => Some(rehearsed.clone()),
        _ => None,
    });
    newest.map(|(noted, rehearsed)| (noted.entry.at, rehearsed))
}

/// The schema changes that are pending, with the locks of each statement: all of them are one transaction.
async fn pending(database: &Database) -> Result<Vec<SchemaChange>> {
    let is_sqlite = database.dialect() == Dialect::Sqlite;
    let status = schema::status(database).await?;
    let is_pending = |name: &str| {
        let mut pending = status.iter().filter(|change| !change.is_applied);
        pending.any(|change| change.name == name)
    };
    let changes: Vec<_> = migration::sql()
        .into_iter()
        .filter(|change| is_pending(change.name))
        .map(|change| {
            (
                change.name,
                change.statements(is_sqlite).collect::<Vec<_>>(),
            )
        })
        .collect();
    let all: Vec<_> = changes
        .iter()
        .flat_map(|(_, sql)| sql.iter().copied())
        .collect();
    let mut there = BTreeSet::new();
    for lock in all.iter().filter_map(|sql| locks::lock(sql)).flatten() {
        if !database.columns(&lock.table).await?.is_empty() {
            there.insert(lock.table);
        }
    }
    let mut locks = locks::of_transaction(&all, &there).into_iter();
    let changes = changes.into_iter().map(|(name, sql)| SchemaChange {
        name: name.to_owned(),
        statements: (sql.into_iter())
            .map(|sql| Statement {
                sql: sql.to_owned(),
                locks: match locks.next() {
                    Some(locks) if !is_sqlite => locks,
                    _ => None,
                },
            })
            .collect(),
    });
    Ok(changes.collect())
}
