//! Rows as they should be against the rows that stand, compared by the database, exactly as it would store them.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, QueryResult};

use super::set::{Set, aliased, chunks};
use super::standing::sql_type;
use crate::backend::{self, Dialect, quote};
use crate::core::plan::{Column, Destination, Write};
use crate::error::{Doing, Result};
use crate::unit::Row;

/// How what stands differs from a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// Whether a row stands at all; of rows to be updated, whether anybody has set its values yet.
    pub stands: bool,
    /// The names of the columns that hold something else.
    pub columns: Vec<String>,
}

/// Compares rows with those that stand under their keys; gives those that differ, by key. `types` are the destination's
/// column types, as [`crate::backend::Database::types`] gives them: a value is compared as such a column would store it.
///
/// # Errors
/// The database's; where it refuses a value, as for a write.
pub async fn differing(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    types: &HashMap<String, String>,
    rows: &[Row],
) -> Result<HashMap<String, Differs>> {
    let dialect = Dialect::of(connection);
    let (table, key) = (quote(&destination.table), quote(&destination.key));
    let stands = match &destination.write {
        Write::Insert | Write::Remove | Write::Restore => format!("{table}.{key} IS NOT NULL"),
        Write::Update { guard } => {
            format!("({table}.{key} IS NOT NULL AND NOT COALESCE(({guard}), FALSE))")
        }
    };
    let columns = destination.values();
    let is_same: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| is_same(dialect, &table, column, types, index + 1))
        .collect();
    let told: Vec<_> = is_same
        .iter()
        .enumerate()
        .map(|(index, is_same)| format!("{is_same} AS \"same{index}\""))
        .collect();
    let mut differing = HashMap::new();
    for chunk in chunks(dialect, rows, destination.columns.len()) {
        let doing = || format!("comparing rows of {}", destination.table);
        let set = Set::new(dialect, &destination.columns, chunk).doing(doing())?;
        let sql = format!(
            "SELECT \"new\".\"c0\" AS \"key\", {stands} AS \"stands\", {} \
             FROM (SELECT {} FROM {}) AS \"new\" LEFT JOIN {table} ON {table}.{key} = \"new\".\"c0\" \
             WHERE NOT ({stands}) OR NOT ({})",
            told.join(", "),
            aliased(&set.columns),
            set.from,
            is_same.join(" AND "),
        );
        let found = backend::all(connection, &sql, set.values).await;
        let read = |row: &QueryResult| {
            let mut differs = Differs {
                stands: row.try_get("", "stands")?,
                columns: Vec::new(),
            };
            for (index, column) in columns.iter().enumerate() {
                if !row.try_get::<bool>("", &format!("same{index}"))? {
                    differs.columns.push(column.name.clone());
                }
            }
            Ok((row.try_get::<String>("", "key")?, differs))
        };
        let found = found.and_then(|rows| rows.iter().map(read).collect::<Result<Vec<_>, _>>());
        differing.extend(found.doing(doing())?);
    }
    Ok(differing)
}

/// The condition that a column holds what is put into it. On PostgreSQL as texts, byte by byte: its own equality takes
/// −0 for 0 and `1.0` within JSONB for `1`. SQLite's takes the column's affinity, as a write does.
fn is_same(
    dialect: Dialect,
    table: &str,
    column: &Column,
    types: &HashMap<String, String>,
    index: usize,
) -> String {
    let stands = format!("{table}.{}", quote(&column.name));
    let new = format!("\"new\".\"c{index}\"");
    match dialect {
        Dialect::Postgres => {
            let kind = types.get(&column.name).map(String::as_str);
            let new = dialect.cast(&new, kind.unwrap_or(sql_type(column.kind)));
            format!(
                "({} COLLATE \"C\" IS NOT DISTINCT FROM {} COLLATE \"C\")",
                dialect.as_text(&stands),
                dialect.as_text(&new)
            )
        }
        Dialect::Sqlite => format!("({stands} IS ({new} COLLATE BINARY))"),
    }
}
