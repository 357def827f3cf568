//! Rows as something to select from: one array a column on PostgreSQL, `VALUES` on SQLite.

use chrono::DateTime;
use sea_orm::{DbErr, Value};

use crate::backend::Dialect;
use crate::core::plan::{Column, ColumnType};
use crate::unit::{Cell, Row};

/// SQLite's limit on bound values in a statement.
const SQLITE_BINDS: usize = 32_766;

/// As many rows at a time as the database binds in one statement.
pub(super) fn chunks(
    dialect: Dialect,
    rows: &[Row],
    columns: usize,
) -> std::slice::Chunks<'_, Row> {
    match dialect {
        Dialect::Postgres => rows.chunks(rows.len().max(1)),
        Dialect::Sqlite => rows.chunks(SQLITE_BINDS / columns.max(1)),
    }
}

/// Rows as something to select from.
pub(super) struct Set {
    /// An expression for each column.
    pub(super) columns: Vec<String>,
    /// What stands behind FROM.
    pub(super) from: String,
    /// The bound values.
    pub(super) values: Vec<Value>,
}

impl Set {
    /// # Errors
    /// An instant lies beyond what any calendar holds: a fault of the unit that gave it.
    pub(super) fn new(dialect: Dialect, columns: &[Column], rows: &[Row]) -> Result<Self, DbErr> {
        match dialect {
            Dialect::Postgres => Self::unnest(columns, rows),
            Dialect::Sqlite => Self::values(columns, rows),
        }
    }

    /// One array a column. SeaORM's arrays hold no NULL, so a column that has one brings a second array that says
    /// where.
    fn unnest(columns: &[Column], rows: &[Row]) -> Result<Self, DbErr> {
        let mut set = Self {
            columns: Vec::new(),
            from: String::new(),
            values: Vec::new(),
        };
        let mut arrays = Vec::new();
        let mut names = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let is_null = |row: &Row| index > 0 && row.values[index - 1] == Cell::Null;
            set.values.push(array(column.kind, index, rows)?);
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
        Ok(set)
    }

    fn values(columns: &[Column], rows: &[Row]) -> Result<Self, DbErr> {
        // Unnamed placeholders: SQLite searches all names for each `$n`, so thousands of them would take seconds.
        let line = format!("({})", vec!["?"; columns.len()].join(", "));
        let lines = vec![line.as_str(); rows.len()];
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        for row in rows {
            values.push(row.key.clone().into());
            for cell in row.values.iter().cloned() {
                values.push(bound(cell)?);
            }
        }
        let names = (1..=columns.len()).map(|place| format!("\"column{place}\""));
        Ok(Self {
            columns: names.collect(),
            from: format!("(VALUES {})", lines.join(", ")),
            values,
        })
    }
}

/// A column of all rows as an array; where a cell is NULL, something of the type stands in.
fn array(kind: ColumnType, index: usize, rows: &[Row]) -> Result<Value, DbErr> {
    let cells = rows.iter().map(|row| match index {
        0 => None,
        _ => row.values.get(index - 1),
    });
    Ok(match kind {
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
            let instants: Result<Vec<_>, _> = cells
                .map(|cell| match cell {
                    Some(Cell::Timestamp(millis)) => naive(*millis),
                    _ => naive(0),
                })
                .collect();
            instants?.into()
        }
    })
}

/// A value for SQLite, whose instants are text with milliseconds.
fn bound(cell: Cell) -> Result<Value, DbErr> {
    Ok(match cell {
        Cell::Null => Value::String(None),
        Cell::Text(text) | Cell::Json(text) => text.into(),
        Cell::Integer(integer) => integer.into(),
        Cell::Double(double) => double.into(),
        Cell::Timestamp(millis) => naive(millis)?
            .format("%Y-%m-%d %H:%M:%S%.3f")
            .to_string()
            .into(),
    })
}

fn naive(millis: i64) -> Result<chrono::NaiveDateTime, DbErr> {
    let instant = DateTime::from_timestamp_millis(millis);
    let instant = instant.ok_or_else(|| {
        DbErr::Type(format!(
            "no calendar holds the instant {millis} ms after 1970"
        ))
    })?;
    Ok(instant.naive_utc())
}

/// The columns, named `c0`, `c1`, …
pub(super) fn aliased(columns: &[String]) -> String {
    let aliased: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("{column} AS \"c{index}\""))
        .collect();
    aliased.join(", ")
}
