//! Rows that are removed and kept as they stood, and put back again, whole.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::set::{Set, aliased, chunks};
use super::standing::remove;
use super::values;
use crate::backend::{self, Dialect, Transaction, quote};
use crate::core::plan::{Column, ColumnType, Destination};
use crate::error::{Doing, Error, Result};
use crate::provenance::Written;
use crate::unit::{Cell, Row};

/// Removes rows by key; gives each that went as it stood, all its `columns` as texts in one JSON document. A trigger or a
/// policy may keep a row.
///
/// # Errors
/// The database's.
pub async fn remove_whole(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    columns: &[String],
    keys: &[&str],
) -> Result<HashMap<String, String>> {
    let dialect = Dialect::of(connection);
    let key = quote(&destination.key);
    let told: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let text = dialect.double_as_text(&quote(name));
            format!("{text} AS \"whole{index}\"")
        })
        .collect();
    let sql = format!(
        "DELETE FROM {} WHERE {} RETURNING {key} AS \"key\", {}",
        quote(&destination.table),
        dialect.is_any(&key, "$1"),
        told.join(", "),
    );
    let doing = || format!("removing rows from {}", destination.table);
    let rows = backend::all(connection, &sql, [dialect.texts(keys)]).await;
    let whole = |row: &QueryResult| -> Result<(String, String), DbErr> {
        let texts = values(row, "whole", columns.len())?;
        let whole: BTreeMap<_, _> = columns.iter().zip(texts).collect();
        let whole = serde_json::json!(whole).to_string();
        Ok((row.try_get("", "key")?, whole))
    };
    rows.and_then(|rows| rows.iter().map(whole).collect())
        .doing(doing())
}

/// Puts rows back that [`remove_whole`] took; gives the keys of those that stand again as they stood, by the digest of the
/// `image`. The others, that the database refuses or makes something else of, do not stand.
///
/// # Errors
/// The database's; [`Error::Damaged`]: what was kept is no row.
pub async fn put_back(
    transaction: &Transaction,
    destination: &Destination,
    (image, types): (&[String], &HashMap<String, String>),
    rows: &[&Written],
) -> Result<HashSet<String>> {
    let doing = || format!("putting rows back into {}", destination.table);
    let mut back = HashSet::with_capacity(rows.len());
    let mut halves = vec![rows];
    while let Some(half) = halves.pop() {
        if half.is_empty() {
            continue;
        }
        let savepoint = transaction.execute_unprepared("SAVEPOINT \"half\"");
        savepoint.await.doing(doing())?;
        match insert(transaction, destination, (image, types), half).await {
            Ok(inserted) => {
                let kept = transaction.execute_unprepared("RELEASE SAVEPOINT \"half\"");
                kept.await.doing(doing())?;
                back.extend(inserted);
            }
            Err(error) => {
                let undone = "ROLLBACK TO SAVEPOINT \"half\"; RELEASE SAVEPOINT \"half\"";
                let undone = transaction.execute_unprepared(undone);
                undone.await.doing(doing())?;
                if error.refuses_row().is_none() {
                    return Err(error);
                }
                if half.len() > 1 {
                    let (first, second) = half.split_at(half.len() / 2);
                    halves.extend([first, second]);
                }
            }
        }
    }
    Ok(back)
}

async fn insert(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    (image, types): (&[String], &HashMap<String, String>),
    rows: &[&Written],
) -> Result<Vec<String>> {
    let dialect = Dialect::of(connection);
    let doing = || format!("putting rows back into {}", destination.table);
    let (table, key) = (quote(&destination.table), quote(&destination.key));
    // Those of one batch were taken by one statement, so they have the same columns.
    let wholes: Vec<BTreeMap<String, Option<String>>> =
        rows.iter().map(|row| whole(row)).collect::<Result<_>>()?;
    let names = wholes.first().into_iter().flat_map(BTreeMap::keys);
    let names: Vec<_> = names.filter(|name| **name != destination.key).collect();
    let columns: Vec<_> = std::iter::once(&destination.key)
        .chain(names.iter().copied())
        .map(|name| Column {
            name: name.clone(),
            kind: ColumnType::Text,
        })
        .collect();
    let texts: Vec<_> = rows
        .iter()
        .zip(&wholes)
        .map(|(row, whole)| Row {
            source: String::new(),
            key: row.key.clone(),
            values: names
                .iter()
                .map(|name| Cell::from(whole.get(*name).cloned().flatten()))
                .collect(),
            expects: None,
        })
        .collect();
    let quoted: Vec<_> = columns.iter().map(|column| quote(&column.name)).collect();
    let cast: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let kind = types.get(&column.name).map_or("TEXT", String::as_str);
            dialect.cast(&format!("\"new\".\"c{index}\""), kind)
        })
        .collect();
    let mut stands = Vec::with_capacity(rows.len());
    let mut others = Vec::new();
    let wanted: HashMap<_, _> = rows
        .iter()
        .map(|row| (row.key.as_str(), row.digest))
        .collect();
    for chunk in chunks(dialect, &texts, columns.len()) {
        let set = Set::new(dialect, &columns, chunk).doing(doing())?;
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM (SELECT {} FROM {}) AS \"new\" WHERE TRUE \
             ON CONFLICT ({key}) DO NOTHING RETURNING {key} AS \"key\", {} AS \"image\"",
            quoted.join(", "),
            cast.join(", "),
            aliased(&set.columns),
            set.from,
            dialect.image(&destination.table, image),
        );
        let inserted = backend::all(connection, &sql, set.values).await;
        for row in inserted.doing(doing())? {
            let key: String = row.try_get("", "key").doing(doing())?;
            let digest = dialect.digest(&row, "image").doing(doing())?;
            match wanted.get(key.as_str()) == Some(&digest) {
                true => stands.push(key),
                false => others.push(key),
            }
        }
    }
    if !others.is_empty() {
        let others: Vec<_> = others.iter().map(String::as_str).collect();
        remove(connection, destination, &others).await?;
    }
    Ok(stands)
}

/// A row that [`remove_whole`] took, as it was kept: each column as text.
///
/// # Errors
/// [`Error::Damaged`]: what was kept is no row.
pub fn whole(row: &Written) -> Result<BTreeMap<String, Option<String>>> {
    let kept = match row.before.as_deref() {
        Some([Some(whole)]) => serde_json::from_str(whole).ok(),
        _ => None,
    };
    kept.ok_or_else(|| Error::Damaged("a row that was removed was not kept as it stood".into()))
}
