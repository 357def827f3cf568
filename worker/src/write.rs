//! Set writes: a batch's rows in as few statements as the database allows, never one a row. Each gives back the rows
//! that were actually written and the digest of what the database made of them.

use chrono::DateTime;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, TransactionTrait, Value};

use crate::backend::{self, Dialect, quote};
use crate::core::plan::{Column, ColumnType, Destination, Write};
use crate::error::{Doing, Result};
use crate::provenance::Written;
use crate::unit::{Cell, Row};

/// SQLite's limit on bound values in a statement.
const SQLITE_BINDS: usize = 32_766;

/// Writes rows; `image` are the destination's columns that a digest covers.
///
/// # Errors
/// The database's.
pub async fn write(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    image: &[String],
    rows: &[Row],
) -> Result<Vec<Written>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let doing = || format!("writing to {}", destination.table);
    match &destination.write {
        Write::Insert => insert(connection, destination, image, rows).await,
        Write::Update { guard } => update(connection, destination, guard, image, rows).await,
    }
    .doing(doing())
}

/// Writes rows of which the database refuses some: finds those by halving, each half behind a savepoint, and gives
/// them with the database's code.
///
/// # Errors
/// The database's, where it refuses for another reason than what is in a row.
pub async fn write_isolating(
    transaction: &DatabaseTransaction,
    destination: &Destination,
    image: &[String],
    rows: &[Row],
) -> Result<(Vec<Written>, Vec<(Row, String)>)> {
    let doing = || format!("writing to {}", destination.table);
    let mut written = Vec::new();
    let mut refused = Vec::new();
    let mut halves = vec![rows];
    while let Some(half) = halves.pop() {
        let savepoint = transaction.begin().await.doing(doing())?;
        match write(&savepoint, destination, image, half).await {
            Ok(rows) => {
                savepoint.commit().await.doing(doing())?;
                written.extend(rows);
            }
            Err(error) => {
                savepoint.rollback().await.doing(doing())?;
                let Some(code) = error.refuses_row() else {
                    return Err(error);
                };
                match half {
                    [row] => refused.push((row.clone(), code)),
                    rows => {
                        // The first half is popped first, so the rows keep their order.
                        let (first, second) = rows.split_at(rows.len() / 2);
                        halves.push(second);
                        halves.push(first);
                    }
                }
            }
        }
    }
    Ok((written, refused))
}

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
    let sql = format!(
        "SELECT {key} AS \"key\" FROM {} WHERE {}",
        quote(&destination.table),
        dialect.is_any(&key, "$1")
    );
    let rows = backend::all(connection, &sql, [dialect.texts(keys)]).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "key")).collect())
        .doing(format!("looking up keys in {}", destination.table))
}

async fn insert(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    image: &[String],
    rows: &[Row],
) -> Result<Vec<Written>, DbErr> {
    let dialect = Dialect::of(connection);
    let table = quote(&destination.table);
    let key = quote(&destination.key);
    let names: Vec<_> = destination
        .columns
        .iter()
        .map(|column| quote(&column.name))
        .collect();
    let mut written = Vec::with_capacity(rows.len());
    for chunk in chunks(dialect, rows, destination.columns.len()) {
        let set = Set::new(dialect, &destination.columns, chunk);
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {} WHERE TRUE ON CONFLICT ({key}) DO NOTHING \
             RETURNING {key} AS \"key\", {} AS \"image\"",
            names.join(", "),
            set.columns.join(", "),
            set.from,
            dialect.image(&destination.table, image),
        );
        for row in backend::all(connection, &sql, set.values).await? {
            written.push(Written {
                key: row.try_get("", "key")?,
                digest: dialect.digest(&row, "image")?,
                before: None,
            });
        }
    }
    Ok(written)
}

/// Locks the rows that may be overwritten, keeps their values, and overwrites them.
async fn update(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    guard: &str,
    image: &[String],
    rows: &[Row],
) -> Result<Vec<Written>, DbErr> {
    let dialect = Dialect::of(connection);
    let table = quote(&destination.table);
    let key = quote(&destination.key);
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
    let befores: Vec<_> = destination
        .values()
        .iter()
        .enumerate()
        .map(|(index, column)| {
            format!(
                "{} AS \"before{index}\"",
                dialect.as_text(&quote(&column.name))
            )
        })
        .collect();
    let sql = format!(
        "SELECT {key} AS \"key\", {} FROM {table} WHERE {} AND ({guard}){}",
        befores.join(", "),
        dialect.is_any(&key, "$1"),
        dialect.for_update(),
    );
    let mut before = std::collections::HashMap::new();
    for row in backend::all(connection, &sql, [dialect.texts(&keys)]).await? {
        let values = values(&row, "before", destination.values().len())?;
        before.insert(row.try_get::<String>("", "key")?, values);
    }
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| before.contains_key(&row.key))
        .cloned()
        .collect();
    let mut written = Vec::with_capacity(rows.len());
    for chunk in chunks(dialect, &rows, destination.columns.len()) {
        let set = Set::new(dialect, &destination.columns, chunk);
        let assignments: Vec<_> = destination
            .values()
            .iter()
            .enumerate()
            .map(|(index, column)| format!("{} = \"new\".\"c{}\"", quote(&column.name), index + 1))
            .collect();
        let sql = format!(
            "UPDATE {table} SET {} FROM (SELECT {} FROM {}) AS \"new\" WHERE {table}.{key} = \"new\".\"c0\" \
             RETURNING {table}.{key} AS \"key\", {} AS \"image\"",
            assignments.join(", "),
            aliased(&set.columns),
            set.from,
            dialect.image(&destination.table, image),
        );
        for row in backend::all(connection, &sql, set.values).await? {
            let key: String = row.try_get("", "key")?;
            written.push(Written {
                before: before.remove(&key),
                digest: dialect.digest(&row, "image")?,
                key,
            });
        }
    }
    Ok(written)
}

/// Removes rows by key; gives how many there were.
///
/// # Errors
/// The database's.
pub async fn remove(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    keys: &[&str],
) -> Result<u64> {
    let dialect = Dialect::of(connection);
    let sql = format!(
        "DELETE FROM {} WHERE {}",
        quote(&destination.table),
        dialect.is_any(&quote(&destination.key), "$1")
    );
    let delete = backend::statement(connection, &sql, [dialect.texts(keys)]);
    let deleted = connection.execute_raw(delete).await;
    let deleted = deleted.doing(format!("removing rows from {}", destination.table))?;
    Ok(deleted.rows_affected())
}

/// Puts values back to what they were before an update.
///
/// # Errors
/// The database's.
pub async fn restore(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    rows: &[&Written],
) -> Result<()> {
    let dialect = Dialect::of(connection);
    let table = quote(&destination.table);
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
    for chunk in chunks(dialect, &before, texts.len()) {
        let set = Set::new(dialect, &texts, chunk);
        let sql = format!(
            "UPDATE {table} SET {} FROM (SELECT {} FROM {}) AS \"new\" WHERE {table}.{} = \"new\".\"c0\"",
            assignments.join(", "),
            aliased(&set.columns),
            set.from,
            quote(&destination.key),
        );
        let update = backend::statement(connection, &sql, set.values);
        let updated = connection.execute_raw(update).await;
        updated.doing(format!("putting values back in {}", destination.table))?;
    }
    Ok(())
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
) -> Result<std::collections::HashMap<String, u64>> {
    let dialect = Dialect::of(connection);
    let key = quote(&destination.key);
    let sql = format!(
        "SELECT {key} AS \"key\", {} AS \"image\" FROM {} WHERE {}{}",
        dialect.image(&destination.table, image),
        quote(&destination.table),
        dialect.is_any(&key, "$1"),
        match lock {
            Lock::ForUpdate => dialect.for_update(),
            Lock::None => "",
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

/// PostgreSQL's name of a type.
fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "TEXT",
        ColumnType::Integer => "INTEGER",
        ColumnType::Double => "DOUBLE PRECISION",
        ColumnType::Timestamp => "TIMESTAMP(3)",
        ColumnType::Json => "JSONB",
    }
}

fn aliased(columns: &[String]) -> String {
    let aliased: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("{column} AS \"c{index}\""))
        .collect();
    aliased.join(", ")
}

/// The text columns `<prefix>0`, `<prefix>1`, … of a row.
fn values(row: &QueryResult, prefix: &str, count: usize) -> Result<Vec<Option<String>>, DbErr> {
    (0..count)
        .map(|index| row.try_get("", &format!("{prefix}{index}")))
        .collect()
}

/// As many rows at a time as the database binds in one statement.
fn chunks(dialect: Dialect, rows: &[Row], columns: usize) -> std::slice::Chunks<'_, Row> {
    match dialect {
        Dialect::Postgres => rows.chunks(rows.len().max(1)),
        Dialect::Sqlite => rows.chunks(SQLITE_BINDS / columns.max(1)),
    }
}

/// Rows as something to select from.
struct Set {
    /// An expression for each column.
    columns: Vec<String>,
    /// What stands behind FROM.
    from: String,
    /// The bound values.
    values: Vec<Value>,
}

impl Set {
    fn new(dialect: Dialect, columns: &[Column], rows: &[Row]) -> Self {
        match dialect {
            Dialect::Postgres => Self::unnest(columns, rows),
            Dialect::Sqlite => Self::values(columns, rows),
        }
    }

    /// One array a column. SeaORM's arrays hold no NULL, so a column that has one brings a second array that says
    /// where.
    fn unnest(columns: &[Column], rows: &[Row]) -> Self {
        let mut set = Self {
            columns: Vec::new(),
            from: String::new(),
            values: Vec::new(),
        };
        let mut arrays = Vec::new();
        let mut names = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let is_null = |row: &Row| index > 0 && row.values[index - 1] == Cell::Null;
            set.values.push(array(column.kind, index, rows));
            arrays.push(format!("${}", set.values.len()));
            names.push(format!("\"c{index}\""));
            let cell = match column.kind {
                ColumnType::Json => format!("CAST(\"set\".\"c{index}\" AS JSONB)"),
                _ => format!("\"set\".\"c{index}\""),
            };
            if rows.iter().any(is_null) {
                let nulls: Vec<bool> = rows.iter().map(is_null).collect();
                set.values.push(nulls.into());
                arrays.push(format!("${}", set.values.len()));
                names.push(format!("\"n{index}\""));
                let cell = format!("CASE WHEN NOT \"set\".\"n{index}\" THEN {cell} END");
                set.columns.push(cell);
            } else {
                set.columns.push(cell);
            }
        }
        set.from = format!(
            "UNNEST({}) AS \"set\" ({})",
            arrays.join(", "),
            names.join(", ")
        );
        set
    }

    fn values(columns: &[Column], rows: &[Row]) -> Self {
        // Unnamed placeholders: SQLite searches all names for each `$n`, so thousands of them would take seconds.
        let line = format!("({})", vec!["?"; columns.len()].join(", "));
        let lines = vec![line.as_str(); rows.len()];
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        for row in rows {
            values.push(row.key.clone().into());
            values.extend(row.values.iter().cloned().map(bound));
        }
        let names = (1..=columns.len()).map(|place| format!("\"column{place}\""));
        Self {
            columns: names.collect(),
            from: format!("(VALUES {})", lines.join(", ")),
            values,
        }
    }
}

/// A column of all rows as an array; where a cell is NULL, something of the type stands in.
fn array(kind: ColumnType, index: usize, rows: &[Row]) -> Value {
    let cells = rows.iter().map(|row| match index {
        0 => None,
        _ => row.values.get(index - 1),
    });
    match kind {
        ColumnType::Text | ColumnType::Json => {
            let texts: Vec<String> = cells
                .zip(rows)
                .map(|(cell, row)| match cell {
                    None => row.key.clone(),
                    Some(Cell::Text(text) | Cell::Json(text)) => text.clone(),
                    Some(_) if kind == ColumnType::Json => "null".into(),
                    Some(_) => String::new(),
                })
                .collect();
            texts.into()
        }
        ColumnType::Integer => {
            let integers: Vec<i32> = cells
                .map(|cell| match cell {
                    Some(Cell::Integer(integer)) => *integer,
                    _ => 0,
                })
                .collect();
            integers.into()
        }
        ColumnType::Double => {
            let doubles: Vec<f64> = cells
                .map(|cell| match cell {
                    Some(Cell::Double(double)) => *double,
                    _ => 0.0,
                })
                .collect();
            doubles.into()
        }
        ColumnType::Timestamp => {
            let instants: Vec<_> = cells
                .map(|cell| match cell {
                    Some(Cell::Timestamp(millis)) => naive(*millis),
                    _ => naive(0),
                })
                .collect();
            instants.into()
        }
    }
}

/// A value for SQLite, whose instants are text with milliseconds.
fn bound(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::String(None),
        Cell::Text(text) | Cell::Json(text) => text.into(),
        Cell::Integer(integer) => integer.into(),
        Cell::Double(double) => double.into(),
        Cell::Timestamp(millis) => naive(millis)
            .format("%Y-%m-%d %H:%M:%S%.3f")
            .to_string()
            .into(),
    }
}

fn naive(millis: i64) -> chrono::NaiveDateTime {
    DateTime::from_timestamp_millis(millis)
        .unwrap_or(DateTime::UNIX_EPOCH)
        .naive_utc()
}
