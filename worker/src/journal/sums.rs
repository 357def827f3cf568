//! Many events in sum, for people who look at a run: the database adds them up.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::backend::{self, Dialect};
use crate::error::{Doing, Result};

/// What was done within a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its beginning, milliseconds since 1970.
    pub at: i64,
    /// Batches.
    pub batches: i64,
    /// Source rows read by them; of a rollback's, rows removed or put back.
    pub read: i64,
}

/// When a worker appended first and last, in whatever stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The worker.
    pub worker: String,
    /// When first, milliseconds since 1970.
    pub first_at: i64,
    /// When last.
    pub last_at: i64,
}

/// A run's batches of a kind of event, by stretches of so many milliseconds; those without a batch are left out.
///
/// # Errors
/// The database's.
pub async fn slots(
    connection: &impl ConnectionTrait,
    run: &str,
    kind: &str,
    millis: i64,
) -> Result<Vec<Slot>> {
    let rows = match kind {
        "BatchUndone" => "removed",
        _ => "read",
    };
    let read = Dialect::of(connection).member("\"payload\"", rows);
    let sql = format!(
        "SELECT \"at\" / {millis} * {millis} AS \"slot\", count(*) AS \"batches\", \
             CAST(sum({read}) AS BIGINT) AS \"read\" FROM \"backstitch_journal\" \
         WHERE \"run\" = $1 AND \"kind\" = $2 GROUP BY 1 ORDER BY 1"
    );
    let doing = "counting a run's batches";
    let rows = backend::all(connection, &sql, [run.into(), kind.into()]).await;
    let slot = |row: &QueryResult| {
        Ok(Slot {
            at: row.try_get("", "slot")?,
            batches: row.try_get("", "batches")?,
            read: row.try_get("", "read")?,
        })
    };
    let slots: std::result::Result<_, DbErr> = rows.doing(doing)?.iter().map(slot).collect();
    slots.doing(doing)
}

/// When each worker of a run appended first and last.
///
/// # Errors
/// The database's.
pub async fn spans(connection: &impl ConnectionTrait, run: &str) -> Result<Vec<Span>> {
    let sql = "SELECT \"worker\", min(\"at\") AS \"first_at\", max(\"at\") AS \"last_at\" \
               FROM \"backstitch_journal\" WHERE \"run\" = $1 GROUP BY \"worker\" ORDER BY 2, 1";
    let doing = "looking when workers were there";
    let rows = backend::all(connection, sql, [run.into()]).await;
    let span = |row: &QueryResult| {
        Ok(Span {
            worker: row.try_get("", "worker")?,
            first_at: row.try_get("", "first_at")?,
            last_at: row.try_get("", "last_at")?,
        })
    };
    let spans: std::result::Result<_, DbErr> = rows.doing(doing)?.iter().map(span).collect();
    spans.doing(doing)
}

/// Rows that needed nothing, in all batches of a run: by unit, by reason.
///
/// # Errors
/// The database's.
pub async fn skips(
    connection: &impl ConnectionTrait,
    run: &str,
) -> Result<BTreeMap<String, BTreeMap<String, i64>>> {
    let members = Dialect::of(connection).members("j.\"payload\"", "skipped");
    let sql = format!(
        "SELECT j.\"unit\", e.\"key\" AS \"reason\", CAST(sum(CAST(e.\"value\" AS BIGINT)) AS BIGINT) AS \"rows\" \
         FROM \"backstitch_journal\" j CROSS JOIN {members} e \
         WHERE j.\"run\" = $1 AND j.\"kind\" = 'BatchCommitted' GROUP BY 1, 2"
    );
    let doing = "adding up what needed nothing";
    let rows = backend::all(connection, &sql, [run.into()])
        .await
        .doing(doing)?;
    let mut skips: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for row in &rows {
        let unit: String = row.try_get("", "unit").doing(doing)?;
        let reason = row.try_get("", "reason").doing(doing)?;
        let rows = row.try_get("", "rows").doing(doing)?;
        skips.entry(unit).or_default().insert(reason, rows);
    }
    Ok(skips)
}

/// All batches of a unit, in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// When the first was committed, milliseconds since 1970.
    pub first_at: i64,
    /// When the last was.
    pub last_at: i64,
    /// Source rows read, in all passes.
    pub read: i64,
    /// How often rows were brought up to date.
    pub refreshed: i64,
}

/// The batches of a run in sum, by unit; what a rollback did later is none of it.
///
/// # Errors
/// The database's.
pub async fn work(connection: &impl ConnectionTrait, run: &str) -> Result<BTreeMap<String, Work>> {
    let dialect = Dialect::of(connection);
    let member = |name| dialect.member("\"payload\"", name);
    let sql = format!(
        "SELECT \"unit\", min(\"at\") AS \"first_at\", max(\"at\") AS \"last_at\", \
             CAST(sum({}) AS BIGINT) AS \"read\", CAST(sum({}) AS BIGINT) AS \"refreshed\" \
         FROM \"backstitch_journal\" WHERE \"run\" = $1 AND \"kind\" = 'BatchCommitted' GROUP BY 1",
        member("read"),
        member("refreshed"),
    );
    let doing = "adding up a run's batches";
    let rows = backend::all(connection, &sql, [run.into()])
        .await
        .doing(doing)?;
    let sum = |row: &QueryResult| {
        let work = Work {
            first_at: row.try_get("", "first_at")?,
            last_at: row.try_get("", "last_at")?,
            read: row.try_get("", "read")?,
            refreshed: row.try_get("", "refreshed")?,
        };
        Ok((row.try_get("", "unit")?, work))
    };
    let sums: std::result::Result<_, DbErr> = rows.iter().map(sum).collect();
    sums.doing(doing)
}

/// The bad rows of a run, each as often as units have it.
const ASIDE: &str = "SELECT DISTINCT \"unit\", \"key\" FROM \"backstitch_journal\" \
     WHERE \"kind\" = 'RowQuarantined' AND \"key\" IS NOT NULL AND \"run\" = ";

/// How many bad rows a run set aside, each once by unit.
///
/// # Errors
/// The database's.
pub async fn set_aside(connection: &impl ConnectionTrait, run: &str) -> Result<i64> {
    let sql = format!("SELECT count(*) AS \"rows\" FROM ({ASIDE} $1) a");
    let doing = "counting bad rows";
    let rows = backend::all(connection, &sql, [run.into()])
        .await
        .doing(doing)?;
    let count = rows.first().map_or(Ok(0), |row| row.try_get("", "rows"));
    count.doing(doing)
}

/// Of each of two runs, how many rows it set aside and the other did not, and up to `limit` of them by unit and key.
///
/// # Errors
/// The database's.
pub async fn set_aside_alone(
    connection: &impl ConnectionTrait,
    [first, second]: [&str; 2],
    limit: usize,
) -> Result<[(i64, Vec<(String, String)>); 2]> {
    let alone = format!("{ASIDE} $1 EXCEPT {ASIDE} $2");
    let count = format!("SELECT count(*) AS \"rows\" FROM ({alone}) a");
    let some = format!("SELECT * FROM ({alone}) a ORDER BY \"unit\", \"key\" LIMIT {limit}");
    let doing = "comparing bad rows";
    let mut found = Vec::with_capacity(2);
    for (run, other) in [(first, second), (second, first)] {
        let values = || [run.into(), other.into()];
        let rows = backend::all(connection, &count, values())
            .await
            .doing(doing)?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get("", "rows"));
        let rows = backend::all(connection, &some, values())
            .await
            .doing(doing)?;
        let place = |row: &QueryResult| Ok((row.try_get("", "unit")?, row.try_get("", "key")?));
        let places: std::result::Result<_, DbErr> = rows.iter().map(place).collect();
        found.push((count.doing(doing)?, places.doing(doing)?));
    }
    let second = found.pop().unwrap_or_default();
    Ok([found.pop().unwrap_or_default(), second])
}
