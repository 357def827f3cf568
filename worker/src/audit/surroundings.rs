//! What stands around the journal's streams: provenance that none of them knows, and rows that stand more than once.
//! Each question is one statement, so it is answered at one instant, beside workers too.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::{Finding, TWICE};
use crate::backend;
use crate::error::{Doing, Result};

/// Provenance that no batch speaks of. One that wrote nothing speaks of none: its payload has a null in that place, and
/// no text in a payload can look like what is searched for, as its quotes are escaped.
const ORPHANS: &str = "SELECT r.\"run\", r.\"stream\", min(r.\"seq\") AS \"seq\" FROM \"backstitch_journal_rows\" r \
     LEFT JOIN \"backstitch_journal\" j ON j.\"run\" = r.\"run\" AND j.\"stream\" = r.\"stream\" \
         AND j.\"seq\" = r.\"seq\" AND j.\"kind\" = 'BatchCommitted' AND j.\"payload\" LIKE '%\"provenance\":\"%' \
     WHERE j.\"run\" IS NULL GROUP BY r.\"run\", r.\"stream\" ORDER BY r.\"run\", r.\"stream\"";

/// What is off, the first of each stream.
///
/// # Errors
/// The database's.
pub(super) async fn look(connection: &impl ConnectionTrait) -> Result<Vec<Finding>> {
    let what = "rows stand as written by this batch, and there is no such batch";
    let mut findings = find(connection, ORPHANS, what).await?;
    // A table may have lost its key, and a batch has one row of provenance, whatever table it names. Events too: a page
    // of a stream may end between one and its double.
    for (table, place, what) in [
        ("backstitch_journal", "\"run\", \"stream\", \"seq\"", TWICE),
        (
            "backstitch_journal_rows",
            "\"run\", \"stream\", \"seq\"",
            "its provenance (backstitch_journal_rows) stands more than once",
        ),
        (
            "backstitch_partition",
            "\"run\", \"stream\"",
            "its projection (backstitch_partition) stands more than once",
        ),
    ] {
        let doubled = format!(
            "SELECT \"run\", \"stream\", min(\"seq\") AS \"seq\" FROM \
                 (SELECT \"run\", \"stream\", min(\"seq\") AS \"seq\" FROM \"{table}\" \
                 GROUP BY {place} HAVING count(*) > 1) d \
             GROUP BY \"run\", \"stream\" ORDER BY \"run\", \"stream\""
        );
        findings.extend(find(connection, &doubled, what).await?);
    }
    Ok(findings)
}

/// A finding for each place that a query gives.
async fn find(connection: &impl ConnectionTrait, sql: &str, what: &str) -> Result<Vec<Finding>> {
    let doing = "looking around the journal's streams";
    let rows = backend::all(connection, sql, []).await.doing(doing)?;
    let finding = |row: &QueryResult| {
        Ok(Finding {
            run: row.try_get("", "run")?,
            stream: row.try_get("", "stream")?,
            seq: Some(row.try_get("", "seq")?),
            what: what.to_owned(),
        })
    };
    let findings: std::result::Result<_, DbErr> = rows.iter().map(finding).collect();
    findings.doing(doing)
}
