//! The Unit trait and the types that it speaks: what somebody implements to bring a plan of their own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sea_orm::{DbErr, QueryResult};

use crate::core::event::{Cursor, Input};
use crate::core::plan::Definition;
use crate::error::Result;
use crate::source::{self, PAGE_BYTES, Source};

/// A value over this many bytes is a bad row.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// One backfill into one destination. The engine asks it for pages and writes what they hold; it never writes itself.
#[async_trait]
pub trait Unit: Send + Sync {
    /// What it is, and where it writes.
    fn definition(&self) -> &Definition;

    /// The tables that it reads.
    fn tables(&self) -> Vec<SourceTable>;

    /// Files that it reads; the run pins their digests.
    fn inputs(&self) -> &[Input] {
        &[]
    }

    /// Cuts a section of the source into key ranges in ascending order, as many as `parts` allows, the last with an upper
    /// end, so that a pass over a growing table ends. At least one range, even of an empty source.
    ///
    /// # Errors
    /// The database's.
    async fn split(&self, source: &Source, section: usize, parts: Parts) -> Result<Vec<Range>>;

    /// The next page of a range after the cursor, in key order, transformed: about `limit` source rows, and fewer where
    /// their values come to [`PAGE_BYTES`] before. The database alone compares keys. Reading twice at one cursor gives the same page while the source stands still.
    ///
    /// # Errors
    /// The database's; an unreadable input.
    async fn read(
        &self,
        source: &Source,
        section: usize,
        range: &Range,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page>;

    /// Whether its rows are computed from source rows that go on changing. Catch-up passes then bring those up to date that
    /// stand as the run wrote them. A pass may give each of them once only, the same as long as the source stands still.
    fn is_refreshed(&self) -> bool {
        false
    }

    /// Columns that say as of which instant a row was computed. One that differs from what its source gives in these alone
    /// is up to date.
    fn dated(&self) -> &[&str] {
        &[]
    }

    /// The SQL expression that tells whose a row of the destination is, which is called `t`: for a rollback of one tenant's
    /// rows. It may read what the unit reads or writes, and no more: a role has no right to other columns.
    fn tenant(&self) -> Option<&str> {
        None
    }

    /// Questions about the destination that must all be answered with zero.
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}

/// A table that a unit reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTable {
    /// Its name.
    pub name: String,
    /// Whether a database may lack it; it is then taken as empty.
    pub optional: bool,
    /// The columns read.
    pub columns: Vec<String>,
}

/// A range of source keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lower end, excluded.
    pub lower: Option<String>,
    /// The upper end, included.
    pub upper: Option<String>,
    /// Source rows expected in it; for progress only.
    pub estimate: i64,
}

/// How finely a section may be cut: a range that is worked on apart costs its own planning, events and looks, so that
/// one which does not fill a batch is not worth them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Ranges at most.
    pub most: u32,
    /// Source rows in each at least.
    pub rows: u32,
}

impl Parts {
    /// Into how many ranges so many source rows are cut; at least 1.
    #[must_use]
    pub fn of(self, rows: i64) -> i64 {
        let filled = rows / i64::from(self.rows.max(1));
        filled.clamp(1, i64::from(self.most.max(1)))
    }

    /// The same for a table of which each row holds `rows` source rows, at least 1.
    #[must_use]
    pub fn holding(self, rows: i64) -> Self {
        let held = u32::try_from(rows).unwrap_or(u32::MAX).max(1);
        Self {
            rows: self.rows.div_ceil(held),
            ..self
        }
    }
}

/// A page of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// What became of the source rows, in their order, and rows that are computed from many of them.
    pub items: Vec<Item>,
    /// Source rows that need nothing and have no item, by reason.
    pub skipped: BTreeMap<&'static str, i64>,
    /// How many source rows were read: the error budget is a share of them.
    pub read: i64,
    /// The cursor after the page.
    pub to: Option<Cursor>,
    /// Whether the range is exhausted.
    pub last: bool,
    /// How many bytes of values it brought, as far as its query tells.
    pub bytes: i64,
}

impl Page {
    /// An empty page behind a cursor.
    #[must_use]
    pub fn new(after: Option<&Cursor>) -> Self {
        Self {
            items: Vec::new(),
            skipped: BTreeMap::new(),
            read: 0,
            to: after.cloned(),
            last: false,
            bytes: 0,
        }
    }

    /// Adds what became of the source row at a cursor.
    pub fn push(&mut self, cursor: Cursor, item: Item) {
        self.add(item);
        self.to = Some(cursor);
    }

    /// Adds what became of a source row that the cursor does not count.
    pub fn add(&mut self, item: Item) {
        self.items.push(item);
        self.read += 1;
    }

    /// Adds source rows that need nothing by themselves, such as those that were summed up.
    pub fn skip(&mut self, reason: &'static str, rows: i64) {
        if rows > 0 {
            *self.skipped.entry(reason).or_default() += rows;
            self.read += rows;
        }
    }

    /// Adds rows that are computed from many source rows, and so are none that was read.
    pub fn derive(&mut self, items: impl IntoIterator<Item = Item>) {
        self.items.extend(items);
    }

    /// Counts what a row of a query that is [`source::bounded`] weighs.
    ///
    /// # Errors
    /// The row has no such column.
    pub fn weigh(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        self.bytes += row.try_get::<i64>("", source::BYTES)?;
        Ok(())
    }

    /// Whether it may have been cut for its bytes: more rows may follow, however few there are.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.bytes >= PAGE_BYTES
    }

    /// Ends the page: the range is exhausted where the query gave fewer rows than its limit, and not for their bytes.
    pub fn end(&mut self, rows: usize, limit: usize) {
        self.last = rows < limit && !self.is_heavy();
    }
}

/// What became of a source row.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// It is to be written.
    Row(Row),
    /// It needs nothing; the reason is one of few.
    Skip(&'static str),
    /// It is bad: set aside.
    Bad {
        /// Its key in the source.
        key: String,
        /// What is wrong with it; never its values.
        reason: String,
    },
}

/// A row to be written: one cell for each of the destination's columns, the key first.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The source row's key, under which it is set aside where the database refuses it.
    pub source: String,
    /// The key.
    pub key: String,
    /// The other columns' values, in their order.
    pub values: Vec<Cell>,
    /// The digest of the values that stand, where these and no others may be overwritten.
    pub expects: Option<u64>,
}

/// A value to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL, whatever the type.
    Null,
    /// Text.
    Text(String),
    /// A 32-bit integer.
    Integer(i32),
    /// A double.
    Double(f64),
    /// An instant, milliseconds since 1970, UTC.
    Timestamp(i64),
    /// A JSON document as text.
    Json(String),
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A question about the destination; the answer should be zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is counted: `orphaned PromptPerformance rows`.
    pub counts: &'static str,
    /// Whether a count above zero is an error, or merely worth a look.
    pub is_error: bool,
    /// What to think of it, in brackets behind the count.
    pub note: &'static str,
    /// SQL that answers with one number; `{now}` stands for the database's clock in milliseconds since 1970, and
    /// `{millis:column}` for a column's.
    pub sql: &'static str,
}

#[cfg(test)]
mod tests {
    use super::Parts;

    #[test]
    fn a_source_is_cut_as_often_as_it_fills_batches() {
        let parts = Parts {
            most: 8,
            rows: 2_000,
        };
        let cut = [0, 1, 1_999, 3_999, 4_000, 15_999, 16_000, i64::MAX];
        assert_eq!(cut.map(|rows| parts.of(rows)), [1, 1, 1, 1, 2, 7, 8, 8]);
        assert_eq!(parts.holding(100).of(500), 8);
        assert_eq!(parts.holding(i64::MAX).of(3), 3);
        assert_eq!(parts.holding(0).of(500), 1);
        let none = Parts { most: 0, rows: 0 };
        assert_eq!(none.of(9), 1);
    }
}
