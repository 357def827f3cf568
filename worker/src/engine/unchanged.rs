//! Whether anything that a unit reads or wrote has changed since its last pass was planned. Where nothing has, that pass has
//! read all that there is, and another would find nothing.
//!
//! PostgreSQL numbers its transactions, and each row bears the number of the one that wrote it. What a transaction older than
//! all that were still running at a mark wrote was there for every page that was read since; so no row is missing where no
//! row bears a later number, and none is gone where there are as many as before. Numbers are compared by their distance
//! (`age`), so a row of long ago may look young, and cost a pass, but never the other way around.
//! <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT>
//!
//! A crash of the server gives numbers a second time: those of transactions that it took back. So nothing is known across
//! one.
//!
//! SQLite tells nothing of the kind.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::{self, Database, Dialect, quote};
use crate::core::event::Mark;
use crate::core::plan::Write;
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::source::Source;
use crate::unit::Unit;

/// How many transactions may lie between a mark and now: half of those that can be told apart by their distance.
const MOST: u64 = 1 << 30;

const OLDEST: &str = "SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS \"oldest\"";

/// What a unit's tables hold now; none where the database cannot tell, or one of them is no plain table.
///
/// # Errors
/// The database's.
pub(super) async fn mark(source: &Source, unit: &dyn Unit) -> Result<Option<Mark>> {
    let database = source.database();
    // A test of the catch-up passes makes one of each.
    if database.dialect() == Dialect::Sqlite || fault::is_told("catch up always") {
        return Ok(None);
    }
    let life = life(database).await?;
    let Some(oldest) = oldest(database).await? else {
        return Ok(None);
    };
    let read = unit.tables().into_iter().map(|table| table.name);
    let mut tables: BTreeSet<_> = read.filter(|table| source.has(table)).collect();
    tables.insert(unit.definition().destination.table.clone());
    let mut rows = BTreeMap::new();
    for table in tables {
        if !database.is_plain(&table).await? {
            return Ok(None);
        }
        let counted = count(database, &table, "FALSE", &oldest).await?;
        rows.insert(table, counted.rows);
    }
    Ok(Some(Mark { oldest, rows, life }))
}

/// Whether a unit's tables hold what they held at a mark, and what the unit has written since.
///
/// # Errors
/// The database's.
pub(super) async fn since(
    database: &Database,
    unit: &dyn Unit,
    mark: &Mark,
    written: i64,
) -> Result<bool> {
    let destination = &unit.definition().destination;
    // Rows that are taken back are gone, or older than what they replace.
    let takes_back = destination.write.takes_back();
    if takes_back || mark.life.is_none() || !is_near(database, mark).await? {
        return Ok(false);
    }
    for (table, before) in &mark.rows {
        if !database.is_plain(table).await? {
            return Ok(false);
        }
        // Of the destination's rows, those that were written since are ours, or somebody else's business: those of an
        // update matter where they are due still, those of an insert where their number is not what we wrote.
        let (changed, more) = match (&destination.write, *table == destination.table) {
            (_, false) => ("TRUE", 0),
            (Write::Update { guard }, true) => (guard.as_str(), 0),
            (Write::Insert | Write::Remove | Write::Restore, true) => ("FALSE", written),
        };
        let found = count(database, table, changed, &mark.oldest).await?;
        if found.rows != before + more || found.changed > 0 {
            return Ok(false);
        }
    }
    // Asked last, so that no crash lies between the counts and this.
    Ok(life(database).await? == mark.life)
}

async fn life(database: &Database) -> Result<Option<String>> {
    let life = backend::life(database.connection()).await;
    life.doing("telling the server's life")
}

/// The oldest transaction that has not ended.
async fn oldest(database: &Database) -> Result<Option<String>> {
    let doing = "reading the oldest transaction";
    let row = database.one(OLDEST, []).await.doing(doing)?;
    let oldest = row.map(|row| row.try_get("", "oldest")).transpose();
    oldest.doing(doing)
}

/// Whether numbers can still be told apart by their distance from now.
async fn is_near(database: &Database, mark: &Mark) -> Result<bool> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|_| Error::Damaged("a mark of the journal names no transaction".into()))
    };
    let Some(now) = oldest(database).await? else {
        return Ok(false);
    };
    let passed = number(&now)?.checked_sub(number(&mark.oldest)?);
    Ok(passed.is_some_and(|passed| passed < MOST))
}

/// A table's rows, and those among them that were written since a mark and meet a condition.
struct Counted {
    rows: i64,
    changed: i64,
}

async fn count(database: &Database, table: &str, condition: &str, oldest: &str) -> Result<Counted> {
    let doing = || format!("looking for changes of {table}");
    let sql = format!(
        "SELECT count(*) AS \"rows\", \
            count(*) FILTER (WHERE age(xmin) <= age(CAST(CAST($1 AS xid8) AS xid)) AND ({condition})) AS \"changed\" \
         FROM {}",
        quote(table)
    );
    let row = database.one(&sql, [oldest.into()]).await.doing(doing())?;
    let row = row.ok_or_else(|| Error::Damaged("a count gave no row".into()))?;
    Ok(Counted {
        rows: row.try_get("", "rows").doing(doing())?,
        changed: row.try_get("", "changed").doing(doing())?,
    })
}
