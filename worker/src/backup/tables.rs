//! The tables that a backup holds, and how many rows each has.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;

use crate::backend::{self, Dialect, quote};
use crate::error::{Doing, Result};
use crate::report::number;

/// Rows by table.
pub(super) type Rows = BTreeMap<String, i64>;

/// The tables that `pg_dump` dumps the rows of, quoted with their schema: neither the server's own nor an extension's.
const POSTGRES: &str = r#"SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS "name"
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT 1 FROM pg_depend d
            WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1"#;

const SQLITE: &str = r#"SELECT "name" FROM sqlite_master WHERE "type" = 'table' AND "name" NOT LIKE 'sqlite\_%' ESCAPE '\'
    ORDER BY "name" "#;

/// The tables of a database.
///
/// # Errors
/// The database's.
pub(super) async fn list(connection: &impl ConnectionTrait) -> Result<Vec<String>> {
    let sql = match Dialect::of(connection) {
        Dialect::Postgres => POSTGRES,
        Dialect::Sqlite => SQLITE,
    };
    let rows = backend::all(connection, sql, []).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "name")).collect())
        .doing("listing the tables")
}

/// Counts the rows of tables, one after the other; `counted` is told after each how many are.
///
/// # Errors
/// The database's.
pub(super) async fn count(
    connection: &impl ConnectionTrait,
    tables: &[String],
    mut counted: impl FnMut(usize),
) -> Result<Rows> {
    let mut rows = Rows::new();
    for (number, table) in tables.iter().enumerate() {
        let sql = match Dialect::of(connection) {
            // Those of a table that inherits from it are its own.
            Dialect::Postgres => format!("SELECT COUNT(*) AS \"rows\" FROM ONLY {table}"),
            Dialect::Sqlite => format!("SELECT COUNT(*) AS \"rows\" FROM {}", quote(table)),
        };
        let found = backend::all(connection, &sql, []).await;
        let count = found.and_then(|found| match found.first() {
            Some(row) => row.try_get("", "rows"),
            None => Err(sea_orm::DbErr::RecordNotFound("a count".into())),
        });
        rows.insert(
            table.clone(),
            count.doing(format!("counting the rows of {table}"))?,
        );
        counted(number + 1);
    }
    Ok(rows)
}

/// How what was found differs from what a backup says, one line a table.
pub(super) fn differences(expected: &Rows, found: &Rows) -> Vec<String> {
    let mut lines = Vec::new();
    for (table, rows) in expected {
        match found.get(table) {
            None => lines.push(format!("table {table} is missing")),
            Some(other) if other != rows => lines.push(format!(
                "{table} has {} rows instead of {}",
                number(*other),
                number(*rows)
            )),
            Some(_) => {}
        }
    }
    let more = found.keys().filter(|table| !expected.contains_key(*table));
    lines.extend(more.map(|table| format!("table {table} is not among those of the backup")));
    lines
}

/// A table's schema and name without their quotes; none: it has not both.
pub(super) fn unquoted(table: &str) -> Option<(String, String)> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    let mut rest = table.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                rest.next();
                parts.last_mut()?.push('"');
            }
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            character => parts.last_mut()?.push(character),
        }
    }
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(schema), Some(name), None) => Some((schema, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_taken_off() {
        for (table, schema, name) in [
            ("public.\"Campaign\"", "public", "Campaign"),
            ("\"a.b\".\"c\"\"d\"", "a.b", "c\"d"),
        ] {
            assert_eq!(unquoted(table), Some((schema.into(), name.into())));
        }
        assert_eq!(unquoted("alone"), None);
    }

    #[test]
    fn each_difference_is_named() {
        let rows = |all: &[(&str, i64)]| -> Rows {
            all.iter()
                .map(|(table, rows)| ((*table).to_owned(), *rows))
                .collect()
        };
        let expected = rows(&[("a", 1), ("b", 2), ("c", 3)]);
        assert!(differences(&expected, &expected).is_empty());
        let lines = differences(&expected, &rows(&[("a", 1), ("b", 1_000), ("d", 0)]));
        assert_eq!(
            lines,
            [
                "b has 1,000 rows instead of 2",
                "table c is missing",
                "table d is not among those of the backup"
            ]
        );
    }
}
