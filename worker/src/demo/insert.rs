//! Rows on their way into the source tables: buffered, and written many at a time.

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use crate::backend::Transaction;

use super::tables::{TABLES, Table};

/// Rows with long documents are written before this many bytes are waiting, however few they are.
const WAITING_BYTES: usize = 4 << 20;

/// One value. A column holds one variant, in all of its rows.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Text(Option<String>),
    /// A JSON document, as text.
    Json(Option<String>),
    Int(Option<i32>),
    Real(f64),
    /// A decimal number, as text, so that no binary fraction comes between.
    Decimal(String),
    /// Milliseconds since 1970, UTC.
    Time(Option<i64>),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Some(text.into()))
    }

    pub(super) fn time(millis: i64) -> Self {
        Self::Time(Some(millis))
    }

    /// What makes PostgreSQL take the bound value for its column's type.
    fn cast(&self, backend: DbBackend) -> &'static str {
        match self {
            Self::Json(_) if backend == DbBackend::Postgres => "::jsonb",
            Self::Decimal(_) if backend == DbBackend::Postgres => "::numeric",
            Self::Json(_)
            | Self::Decimal(_)
            | Self::Text(_)
            | Self::Int(_)
            | Self::Real(_)
            | Self::Time(_) => "",
        }
    }

    fn into_value(self, backend: DbBackend) -> Value {
        match self {
            Self::Text(text) | Self::Json(text) => text.into(),
            Self::Decimal(digits) => digits.into(),
            Self::Int(number) => number.into(),
            Self::Real(number) => number.into(),
            Self::Time(millis) if backend == DbBackend::Postgres => {
                millis.map(|at| instant(at).naive_utc()).into()
            }
            Self::Time(millis) => millis
                .map(|at| instant(at).format("%Y-%m-%d %H:%M:%S%.3f").to_string())
                .into(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.as_ref().map_or(0, String::len),
            Self::Decimal(_) | Self::Int(_) | Self::Real(_) | Self::Time(_) => 0,
        }
    }
}

/// The instant at `millis`. Demo instants lie within two years of the caller's own, so the conversion holds.
pub(super) fn instant(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

/// An instant as the application's JSON writes it.
pub(super) fn iso(millis: i64) -> String {
    instant(millis).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Buffers rows per table and writes a table's rows when a batch of them is full, after those that they refer to.
#[derive(Debug)]
pub(super) struct Writer {
    batch_rows: usize,
    waiting: [Vec<Vec<Cell>>; TABLES.len()],
    bytes: usize,
    written: [u64; TABLES.len()],
}

impl Writer {
    /// A batch of `batch_rows` rows must stay within SQLite's 32,766 bound values: 2,340 rows of the widest table.
    pub(super) fn new(batch_rows: usize) -> Self {
        Self {
            batch_rows,
            waiting: Default::default(),
            bytes: 0,
            written: Default::default(),
        }
    }

    /// Takes one row for the table of number `table`.
    pub(super) async fn push(
        &mut self,
        tx: &Transaction,
        table: usize,
        row: Vec<Cell>,
    ) -> Result<(), DbErr> {
        self.bytes += row.iter().map(Cell::bytes).sum::<usize>();
        self.waiting[table].push(row);
        if self.bytes >= WAITING_BYTES {
            self.flush(tx).await?;
        } else if self.waiting[table].len() >= self.batch_rows {
            self.flush_up_to(tx, table).await?;
        }
        Ok(())
    }

    /// Writes whatever is waiting.
    pub(super) async fn flush(&mut self, tx: &Transaction) -> Result<(), DbErr> {
        self.flush_up_to(tx, TABLES.len() - 1).await
    }

    /// Rows written so far, per table.
    pub(super) fn written(&self) -> [u64; TABLES.len()] {
        self.written
    }

    async fn flush_up_to(&mut self, tx: &Transaction, last: usize) -> Result<(), DbErr> {
        for (at, table) in TABLES.iter().enumerate().take(last + 1) {
            let rows = std::mem::take(&mut self.waiting[at]);
            if rows.is_empty() {
                continue;
            }
            self.bytes -= rows.iter().flatten().map(Cell::bytes).sum::<usize>();
            let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            tx.execute_raw(insert(tx.get_database_backend(), table, rows))
                .await?;
            self.written[at] += count;
        }
        Ok(())
    }
}

fn insert(backend: DbBackend, table: &Table, rows: Vec<Vec<Cell>>) -> Statement {
    let mut sql = format!(
        r#"INSERT INTO "{}" ("{}") VALUES "#,
        table.name,
        table.columns.join(r#"", ""#)
    );
    let mut number = 0;
    for (at, row) in rows.iter().enumerate() {
        sql.push_str(if at == 0 { "(" } else { ", (" });
        for (column, cell) in row.iter().enumerate() {
            number += 1;
            let comma = if column == 0 { "" } else { ", " };
            sql.push_str(&format!("{comma}${number}{}", cell.cast(backend)));
        }
        sql.push(')');
    }
    let values = rows
        .into_iter()
        .flatten()
        .map(|cell| cell.into_value(backend));
    Statement::from_sql_and_values(backend, sql, values)
}
