//! What a unit reads through: the database, the run's two instants, and the keyset queries that units share.

mod key;
mod keyset;
mod text;

use std::collections::HashSet;

use sea_orm::{DbErr, QueryResult, Value};

use crate::backend::{self, Database, Dialect, quote};
use crate::error::{Doing, Result};
use crate::unit::{Parts, Range};

pub use self::key::{Key, key};
pub use self::keyset::Keyset;
pub use self::text::{HAS_NUL, NOT_TEXT, TOO_LARGE, Texts, required, text};

/// About how many bytes of values a page brings: it ends behind the row that reaches this. Rows alone are no bound, as
/// each may bring megabytes, and a page is held a few times over (read ahead, bound, in the database's own copy).
pub const PAGE_BYTES: i64 = 8 << 20;

/// The column in which a query that is [`bounded`] has each row's bytes.
pub const BYTES: &str = "bytes";

/// The rows of a query, in `order` (columns of it), as long as those before them weigh less than [`PAGE_BYTES`]. The
/// query has a column [`BYTES`] that is never NULL. At least its first row stays, and where any was cut, those that
/// stay weigh at least [`PAGE_BYTES`].
///
/// On SQLite all columns of the query pass through a sort: let it give keys and bytes alone, and join the values.
#[must_use]
pub fn bounded(query: &str, order: &str) -> String {
    let bytes = quote(BYTES);
    format!(
        "SELECT b.* FROM (SELECT q.*, CAST(SUM(q.{bytes}) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) \
            AS BIGINT) - q.{bytes} AS \"before\" FROM ({query}) q) b WHERE b.\"before\" < {PAGE_BYTES}"
    )
}

/// A source, as a run sees it.
#[derive(Clone, Debug)]
pub struct Source {
    database: Database,
    /// The instant that the run stands for, milliseconds since 1970.
    pub as_of: i64,
    /// The instant that it stood for when it began: a run that is followed stands for a later one by and by.
    pub begun: i64,
    /// How many days before `begun` the sources are taken from.
    pub window_days: u32,
    /// Whether this is a catch-up pass.
    pub catching_up: bool,
    /// Whether every row is wanted as it would be written, whatever stands in the destination.
    pub proving: bool,
    missing: HashSet<String>,
}

impl Source {
    /// A source of which the tables in `missing` do not exist.
    #[must_use]
    pub fn new(database: Database, as_of: i64, window_days: u32, missing: HashSet<String>) -> Self {
        Self {
            database,
            as_of,
            begun: as_of,
            window_days,
            catching_up: false,
            proving: false,
            missing,
        }
    }

    /// The same as of a later instant; the window begins where it began.
    #[must_use]
    pub fn at(&self, as_of: i64) -> Self {
        Self {
            as_of,
            ..self.clone()
        }
    }

    /// The same, for a catch-up pass.
    #[must_use]
    pub fn catching_up(&self) -> Self {
        Self {
            catching_up: true,
            ..self.clone()
        }
    }

    /// The same, for what was written to be computed again: what a catch-up pass leaves to the next run is left out, and
    /// what stands in the destination counts for nothing.
    #[must_use]
    pub fn proving(&self) -> Self {
        Self {
            proving: true,
            ..self.catching_up()
        }
    }

    /// The window's first instant, milliseconds since 1970.
    #[must_use]
    pub fn since(&self) -> i64 {
        self.begun - i64::from(self.window_days) * 86_400_000
    }

    /// Whether the database has an optional table.
    #[must_use]
    pub fn has(&self, table: &str) -> bool {
        !self.missing.contains(table)
    }

    /// Which SQL to write.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// All rows of a query, which may take no longer than a reading transaction allows.
    ///
    /// # Errors
    /// The database's.
    pub async fn all(
        &self,
        doing: &str,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>> {
        let read = self.database.begin_read().await.doing(doing)?;
        let rows = backend::all(&read, sql, values).await.doing(doing)?;
        read.rollback().await.doing(doing)?;
        Ok(rows)
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&self, table: &str) -> Result<i64> {
        let doing = format!("counting the rows of {table}");
        let count = format!("SELECT count(*) AS \"count\" FROM {}", quote(table));
        let count = self.all(&doing, &count, []).await?;
        let count = count.first().map_or(Ok(0), |row| row.try_get("", "count"));
        count.doing(doing)
    }

    /// Cuts a table by one of its text columns into ranges of about as many rows each.
    ///
    /// # Errors
    /// The database's.
    pub async fn split(&self, table: &str, column: &str, parts: Parts) -> Result<Vec<Range>> {
        let doing = format!("cutting {table} into partitions");
        let count = self.count(table).await?;
        let (table, column) = (quote(table), quote(column));
        let parts = parts.of(count);
        let mut ends: Vec<String> = Vec::new();
        let mut passed = 0;
        for part in 1..=parts {
            let rows = if part == parts {
                // Rows may have come or gone since they were counted: the last is looked up as such.
                let sql = format!(
                    "SELECT {column} AS \"end\" FROM {table} ORDER BY {column} DESC LIMIT 1"
                );
                self.all(&doing, &sql, []).await?
            } else {
                // Counted from the end before it, so that all ends cost one reading of the keys.
                let more = count * part / parts - passed;
                if more == 0 {
                    continue;
                }
                passed += more;
                let mut values = vec![(more - 1).into()];
                let behind = match ends.last() {
                    None => String::new(),
                    Some(end) => {
                        let (value, around) = key::bound(end);
                        values.push(value);
                        format!("WHERE {column} > {}", around("$2".into()))
                    }
                };
                let sql = format!(
                    "SELECT {column} AS \"end\" FROM {table} {behind} ORDER BY {column} LIMIT 1 OFFSET $1"
                );
                self.all(&doing, &sql, values).await?
            };
            let end: Result<Vec<Key>, DbErr> = rows.iter().map(|row| key(row, "end")).collect();
            let end = end.doing(doing.as_str())?;
            ends.extend(end.into_iter().map(|key| key.cursor));
        }
        // Rows that share a value belong together, so an end that repeats is none.
        ends.dedup();
        Ok(ranges(ends, count))
    }
}

/// Ranges that end where `ends` says, sharing the estimate among them.
#[must_use]
pub fn ranges(ends: Vec<String>, rows: i64) -> Vec<Range> {
    if ends.is_empty() {
        return vec![Range {
            lower: None,
            upper: None,
            estimate: rows,
        }];
    }
    let share = rows / i64::try_from(ends.len()).unwrap_or(1);
    let mut lower = None;
    let mut ranges = Vec::with_capacity(ends.len());
    for end in ends {
        ranges.push(Range {
            lower: lower.replace(end.clone()),
            upper: Some(end),
            estimate: share,
        });
    }
    ranges
}
