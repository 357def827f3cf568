//! Rows as data: how they are written into a database and read back, the same way on both backends.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sea_orm::QueryResult;

use crate::database::{Backend, Database};
use crate::moment::Moment;

const POSTGRES: &str = include_str!("../../worker/src/demo/phase45.postgres.sql");
const SQLITE: &str = include_str!("../../worker/src/demo/phase45.sqlite.sql");

/// The source tables that a database may lack.
pub const OPTIONAL: [&str; 4] = ["AgentTask", "Deal", "KpiSnapshot", "UserFeedback"];

/// One value of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL's NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A double.
    Double(f64),
    /// A decimal, as it is written.
    Decimal(String),
    /// Text.
    Text(String),
    /// A JSON text.
    Json(String),
    /// An instant.
    Moment(Moment),
}

/// How a column is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As a whole number.
    Int,
    /// As a double.
    Double,
    /// As an exact decimal.
    Decimal,
    /// As text.
    Text,
    /// As a JSON text.
    Json,
    /// As an instant.
    Moment,
}

/// Rows for one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns that the rows fill.
    pub columns: &'static [&'static str],
    /// The rows, in the order of the columns.
    pub rows: Vec<Vec<Value>>,
}

/// A log file of agents' executions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Its name; one that ends in `.gz` is compressed.
    pub name: String,
    /// Its content as it lies on the disk.
    pub bytes: Vec<u8>,
}

/// A whole source: tables and log files.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Source {
    /// Rows, parents before children.
    pub tables: Vec<Table>,
    /// Log files, in the order in which they are given to the worker.
    pub logs: Vec<LogFile>,
    /// Optional tables that the database lacks.
    pub without: Vec<&'static str>,
}

impl Source {
    /// Makes the source schema and fills it.
    pub async fn load(&self, database: &Database) -> Result<()> {
        database.create_source_schema(&self.without).await?;
        self.insert(database).await
    }

    /// Fills a schema that is there already.
    pub async fn insert(&self, database: &Database) -> Result<()> {
        for table in self
            .tables
            .iter()
            .filter(|table| !self.without.contains(&table.name))
        {
            insert(database, table).await?;
        }
        Ok(())
    }

    /// Writes the log files into a folder.
    pub fn write_logs(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let write = |log: &LogFile| {
            let path = folder.join(&log.name);
            std::fs::write(&path, &log.bytes)
                .with_context(|| format!("write {}", path.display()))?;
            Ok(path)
        };
        self.logs.iter().map(write).collect()
    }
}

/// The statements of the source schema, without some of the tables.
#[must_use]
pub fn schema(backend: Backend, without: &[&str]) -> Vec<String> {
    let script = match backend {
        Backend::Sqlite => SQLITE,
        Backend::Postgres => POSTGRES,
    };
    let bare: String = script
        .lines()
        .map(|line| format!("{}\n", line.split("--").next().unwrap_or("")))
        .collect();
    let of_one_left_out = |statement: &str| {
        without
            .iter()
            .any(|name| statement.contains(&format!("\"{name}\"")))
    };
    let statements = bare.split(';').map(str::trim);
    statements
        .filter(|text| !text.is_empty() && !of_one_left_out(text))
        .map(str::to_owned)
        .collect()
}

/// Inserts rows, some hundred in a statement.
pub async fn insert(database: &Database, table: &Table) -> Result<()> {
    let head = format!(
        "INSERT INTO \"{}\" (\"{}\") VALUES ",
        table.name,
        table.columns.join("\", \"")
    );
    for rows in table.rows.chunks(200) {
        let rows: Vec<String> = rows
            .iter()
            .map(|row| literals(database.backend, row))
            .collect();
        database
            .execute(&format!("{head}{}", rows.join(", ")))
            .await?;
    }
    Ok(())
}

fn literals(backend: Backend, row: &[Value]) -> String {
    let cells: Vec<String> = row.iter().map(|value| literal(backend, value)).collect();
    format!("({})", cells.join(", "))
}

/// A value as SQL spells it.
#[must_use]
pub fn literal(backend: Backend, value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Decimal(text) => text.clone(),
        Value::Double(number) if number.is_finite() => format!("{number:?}"),
        Value::Double(number) => match backend {
            Backend::Postgres => format!("'{number}'"),
            Backend::Sqlite => if *number > 0.0 { "9e999" } else { "-9e999" }.to_owned(),
        },
        Value::Moment(moment) => format!("'{}'", moment.stored()),
        Value::Text(text) | Value::Json(text) if text.contains('\0') => {
            let mut hexadecimal = String::new();
            for byte in text.bytes() {
                write!(hexadecimal, "{byte:02x}").expect("a string takes any text");
            }
            format!("CAST(X'{hexadecimal}' AS TEXT)")
        }
        Value::Text(text) | Value::Json(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

/// Reads some columns of a whole table, in the order that the database gives to its ids.
pub async fn read(
    database: &Database,
    table: &str,
    columns: &[(&str, Kind)],
) -> Result<Vec<Vec<Value>>> {
    let expressions: Vec<String> = columns
        .iter()
        .map(|(name, kind)| expression(database.backend, name, *kind))
        .collect();
    let sql = format!(
        "SELECT {} FROM \"{table}\" ORDER BY \"id\"",
        expressions.join(", ")
    );
    let rows = database.query(&sql).await?;
    let decode = |row: &QueryResult| -> Result<Vec<Value>> {
        let cells = columns.iter().enumerate();
        cells
            .map(|(index, (name, kind))| cell(row, index, *kind).context((*name).to_owned()))
            .collect()
    };
    rows.iter()
        .map(|row| decode(row).with_context(|| format!("read {table}")))
        .collect()
}

fn expression(backend: Backend, name: &str, kind: Kind) -> String {
    let column = format!("\"{name}\"");
    match (backend, kind) {
        (_, Kind::Text) => column,
        (Backend::Sqlite, Kind::Json | Kind::Moment) => column,
        (Backend::Sqlite, Kind::Int) => format!("CAST({column} AS INTEGER)"),
        (Backend::Sqlite, Kind::Double | Kind::Decimal) => format!("CAST({column} AS REAL)"),
        (Backend::Postgres, Kind::Int) => format!("{column}::bigint"),
        (Backend::Postgres, Kind::Double) => column,
        (Backend::Postgres, Kind::Decimal | Kind::Json) => format!("{column}::text"),
        (Backend::Postgres, Kind::Moment) => {
            format!("to_char({column}, 'YYYY-MM-DD HH24:MI:SS.MS')")
        }
    }
}

fn cell(row: &QueryResult, index: usize, kind: Kind) -> Result<Value> {
    let text = || row.try_get_by_index::<Option<String>>(index);
    Ok(match kind {
        Kind::Int => row
            .try_get_by_index::<Option<i64>>(index)?
            .map_or(Value::Null, Value::Int),
        Kind::Double => row
            .try_get_by_index::<Option<f64>>(index)?
            .map_or(Value::Null, Value::Double),
        Kind::Decimal => match row.try_get_by_index::<Option<f64>>(index) {
            Ok(number) => number.map_or(Value::Null, |number| Value::Decimal(number.to_string())),
            Err(_) => text()?.map_or(Value::Null, Value::Decimal),
        },
        Kind::Text => text()?.map_or(Value::Null, Value::Text),
        Kind::Json => text()?.map_or(Value::Null, Value::Json),
        Kind::Moment => match text()? {
            None => Value::Null,
            Some(text) => Value::Moment(
                Moment::parse_stored(&text).with_context(|| format!("the instant {text}"))?,
            ),
        },
    })
}
