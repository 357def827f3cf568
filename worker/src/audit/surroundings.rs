//! What stands around the journal's streams: provenance that none of them knows, and the triggers that keep them.

use sea_orm::ConnectionTrait;

use super::Finding;
use crate::backend::{self, Dialect};
use crate::error::{Doing, Result};

/// What is off.
///
/// # Errors
/// The database's.
pub(super) async fn look(connection: &impl ConnectionTrait) -> Result<Vec<Finding>> {
    let mut findings = orphans(connection).await?;
    findings.extend(triggers(connection).await?);
    Ok(findings)
}

/// Provenance that no batch speaks of, the first of each stream: in one statement, so at one instant.
async fn orphans(connection: &impl ConnectionTrait) -> Result<Vec<Finding>> {
    let sql = "SELECT r.\"run\", r.\"stream\", min(r.\"seq\") AS \"seq\" FROM \"backstitch_journal_rows\" r \
               LEFT JOIN \"backstitch_journal\" j ON j.\"run\" = r.\"run\" AND j.\"stream\" = r.\"stream\" \
                   AND j.\"seq\" = r.\"seq\" AND j.\"kind\" = 'BatchCommitted' \
               WHERE j.\"run\" IS NULL GROUP BY r.\"run\", r.\"stream\" ORDER BY r.\"run\", r.\"stream\"";
    let doing = "looking for provenance without a batch";
    let rows = backend::all(connection, sql, []).await.doing(doing)?;
    let finding = |row: &sea_orm::QueryResult| {
        Ok(Finding {
            run: row.try_get("", "run")?,
            stream: row.try_get("", "stream")?,
            seq: Some(row.try_get("", "seq")?),
            what: "rows stand as written by this batch, and there is no such batch".into(),
        })
    };
    let findings: std::result::Result<_, sea_orm::DbErr> = rows.iter().map(finding).collect();
    findings.doing(doing)
}

/// The triggers that keep the journal append-only stand, and on PostgreSQL fire always.
async fn triggers(connection: &impl ConnectionTrait) -> Result<Vec<Finding>> {
    let (sql, expected) = match Dialect::of(connection) {
        Dialect::Postgres => (
            "SELECT count(*) AS \"count\" FROM pg_trigger WHERE tgname = 'backstitch_append_only' \
             AND tgenabled = 'A' AND tgrelid IN (to_regclass('backstitch_journal'), \
             to_regclass('backstitch_journal_rows'))",
            2,
        ),
        Dialect::Sqlite => (
            "SELECT count(*) AS \"count\" FROM sqlite_master WHERE \"type\" = 'trigger' \
             AND \"name\" LIKE 'backstitch_journal%' AND \"tbl_name\" LIKE 'backstitch_journal%'",
            4,
        ),
    };
    let doing = "looking for the journal's triggers";
    let rows = backend::all(connection, sql, []).await.doing(doing)?;
    let count: Result<i64, _> = rows.first().map_or(Ok(0), |row| row.try_get("", "count"));
    if count.doing(doing)? == expected {
        return Ok(Vec::new());
    }
    Ok(vec![Finding {
        run: String::new(),
        stream: String::new(),
        seq: None,
        what: "a trigger that keeps the journal append-only is missing or switched off".into(),
    }])
}
