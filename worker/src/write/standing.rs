//! Rows that stand in a destination: looking at them, removing them, putting values back.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, QueryResult};

use super::set::{Set, aliased, chunks};
use super::{as_texts, values};
use crate::backend::{self, Dialect, quote};
use crate::core::plan::{Column, ColumnType, Destination, Write};
use crate::error::{Doing, Result};
use crate::provenance::Written;
use crate::unit::{Cell, Row};

/// Which of these keys the destination holds.
///
/// # Errors
/// The database's.
pub async fn present(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    keys: &[&str],
) -> Result<Vec<String>> {
    let dialect = Dialect::of(connection);
    let key = quote(&destination.key);
    let sql = dialect.lookup(&quote(&destination.table), &key, "$1");
    let rows = backend::all(connection, &sql, [dialect.texts(keys)]).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "key")).collect())
        .doing(format!("looking up keys in {}", destination.table))
}

/// Which of these keys are of a tenant's rows; `told` is the expression that tells a row's.
///
/// # Errors
/// The database's.
pub async fn of_tenant(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    (told, tenant): (&str, &str),
    keys: &[&str],
) -> Result<HashSet<String>> {
    let dialect = Dialect::of(connection);
    let key = quote(&destination.key);
    let sql = format!(
        "SELECT t.{key} AS \"key\" FROM {} t WHERE {} AND {told} = $2",
        quote(&destination.table),
        dialect.is_any(&format!("t.{key}"), "$1"),
    );
    let rows = backend::all(connection, &sql, [dialect.texts(keys), tenant.into()]).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "key")).collect())
        .doing(format!(
            "looking for a tenant's rows of {}",
            destination.table
        ))
}

/// The rows of these keys as they are: each key that is there, with its digest; locked where `lock` is given.
///
/// # Errors
/// The database's.
pub async fn digests(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    image: &[String],
    keys: &[&str],
    lock: Lock,
) -> Result<HashMap<String, u64>> {
    let dialect = Dialect::of(connection);
    let key = quote(&destination.key);
    let sql = format!(
        "SELECT {key} AS \"key\", {} AS \"image\" FROM {} WHERE {}{}",
        dialect.image(&destination.table, image),
        quote(&destination.table),
        dialect.is_any(&key, "$1"),
        match lock {
            Lock::None => String::new(),
            // In one order, so that two that lock the same rows wait rather than deadlock.
            Lock::ForUpdate => format!(
                " ORDER BY {key}{}",
                match destination.write {
                    Write::Insert | Write::Remove => dialect.for_update(),
                    Write::Update { .. } | Write::Restore => dialect.for_no_key_update(),
                }
            ),
        },
    );
    let rows = backend::all(connection, &sql, [dialect.texts(keys)]).await;
    let digest = |row: &QueryResult| Ok((row.try_get("", "key")?, dialect.digest(row, "image")?));
    rows.and_then(|rows| rows.iter().map(digest).collect())
        .doing(format!("reading rows of {}", destination.table))
}

/// Whether rows are locked as they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// They stay as they are until the transaction ends.
    ForUpdate,
    /// They do not.
    None,
}

/// Removes rows by key; gives the keys of those that went: a trigger or a policy may keep a row.
///
/// # Errors
/// The database's.
pub async fn remove(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    keys: &[&str],
) -> Result<HashSet<String>> {
    let dialect = Dialect::of(connection);
    let key = quote(&destination.key);
    let sql = format!(
        "DELETE FROM {} WHERE {} RETURNING {key} AS \"key\"",
        quote(&destination.table),
        dialect.is_any(&key, "$1")
    );
    let rows = backend::all(connection, &sql, [dialect.texts(keys)]).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "key")).collect())
        .doing(format!("removing rows from {}", destination.table))
}

/// Puts values back to what they were before an update; gives the keys of the rows that took them.
///
/// # Errors
/// The database's.
pub async fn restore(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    rows: &[&Written],
) -> Result<HashSet<String>> {
    let dialect = Dialect::of(connection);
    let (table, key) = (quote(&destination.table), quote(&destination.key));
    let texts: Vec<_> = destination
        .columns
        .iter()
        .map(|column| Column {
            name: column.name.clone(),
            kind: ColumnType::Text,
        })
        .collect();
    let before: Vec<_> = rows
        .iter()
        .map(|row| Row {
            source: String::new(),
            key: row.key.clone(),
            values: match &row.before {
                Some(before) => before.iter().cloned().map(Cell::from).collect(),
                None => vec![Cell::Null; destination.values().len()],
            },
            expects: None,
        })
        .collect();
    let assignments: Vec<_> = destination
        .values()
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let value = dialect.cast(
                &format!("\"new\".\"c{}\"", index + 1),
                sql_type(column.kind),
            );
            format!("{} = {value}", quote(&column.name))
        })
        .collect();
    let nothing = vec![None; destination.values().len()];
    let wanted: HashMap<_, _> = rows
        .iter()
        .map(|row| (row.key.as_str(), row.before.as_ref().unwrap_or(&nothing)))
        .collect();
    let mut restored = HashSet::new();
    for chunk in chunks(dialect, &before, texts.len()) {
        let doing = || format!("putting values back in {}", destination.table);
        let set = Set::new(dialect, &texts, chunk).doing(doing())?;
        let sql = format!(
            "UPDATE {table} SET {} FROM (SELECT {} FROM {}) AS \"new\" WHERE {table}.{key} = \"new\".\"c0\" \
             RETURNING {table}.{key} AS \"key\", {}",
            assignments.join(", "),
            aliased(&set.columns),
            set.from,
            as_texts(dialect, destination, "after"),
        );
        for row in backend::all(connection, &sql, set.values)
            .await
            .doing(doing())?
        {
            let key: String = row.try_get("", "key").doing(doing())?;
            let after = values(&row, "after", destination.values().len()).doing(doing())?;
            // A trigger may have put something else there.
            if wanted
                .get(key.as_str())
                .is_some_and(|before| **before == after)
            {
                restored.insert(key);
            }
        }
    }
    Ok(restored)
}

/// PostgreSQL's name of a type.
pub(super) fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "TEXT",
        ColumnType::Integer => "INTEGER",
        ColumnType::Double => "DOUBLE PRECISION",
        ColumnType::Timestamp => "TIMESTAMP(3)",
        ColumnType::Json => "JSONB",
    }
}
