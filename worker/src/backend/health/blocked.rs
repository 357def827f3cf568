//! Whether sessions of ours wait for somebody, and whether there are any.

use sea_orm::FromQueryResult;
use serde::Serialize;

use super::super::{Database, Dialect};
use super::Number;
use crate::error::Result;

/// A session of Backstitch that waits for a lock, and who has it.
#[derive(Clone, Debug, PartialEq, Serialize, FromQueryResult)]
pub struct Blocked {
    /// The server process that waits.
    pub process: i32,
    /// How long its statement has been under way, in seconds.
    pub seconds: f64,
    /// The server process that it waits for.
    pub behind: i32,
    /// That one's role; empty where it may not be seen.
    pub role: String,
    /// What that one's program calls itself.
    pub program: String,
    /// What that one does: `active`, `idle in transaction`, …
    pub state: String,
    /// How long that one's transaction has been open, in seconds.
    pub open: f64,
}

/// No statement is read: it may hold values.
const BLOCKED: &str = r#"SELECT a.pid AS "process", b.pid AS "behind",
        COALESCE(CAST(extract(epoch FROM clock_timestamp() - a.query_start) AS DOUBLE PRECISION), 0) AS "seconds",
        COALESCE(CAST(b.usename AS TEXT), '') AS "role", COALESCE(b.application_name, '') AS "program",
        COALESCE(b.state, '') AS "state",
        COALESCE(CAST(extract(epoch FROM clock_timestamp() - b.xact_start) AS DOUBLE PRECISION), 0) AS "open"
    FROM pg_stat_activity a JOIN LATERAL unnest(pg_blocking_pids(a.pid)) w ON TRUE JOIN pg_stat_activity b ON b.pid = w
    WHERE a.datname = current_database() AND a.application_name = 'backstitch' AND a.wait_event_type = 'Lock'
        AND a.pid <> pg_backend_pid() AND b.application_name <> 'backstitch'
    ORDER BY 2 DESC LIMIT 10"#;

/// A session's name for itself is seen by everybody. The one that asks may have made others within the last moment.
const OURS: &str = r#"SELECT count(*) AS "number" FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'backstitch' AND pid <> pg_backend_pid()
        AND backend_start < (SELECT s.backend_start FROM pg_stat_activity s WHERE s.pid = pg_backend_pid())
            - INTERVAL '3 seconds'"#;

impl Database {
    /// Sessions of Backstitch in this database that wait for a lock of somebody else; none on SQLite, where nobody can tell.
    ///
    /// # Errors
    /// The database's.
    pub async fn blocked(&self) -> Result<Vec<Blocked>> {
        match self.dialect() {
            Dialect::Postgres => {
                self.every(BLOCKED, [], "looking who waits for a lock")
                    .await
            }
            Dialect::Sqlite => Ok(Vec::new()),
        }
    }

    /// How many sessions of Backstitch there are in this database, older by 3 seconds than the one that asks, which may have
    /// made others; none on SQLite, where nobody can tell.
    ///
    /// # Errors
    /// The database's.
    pub async fn others_of_ours(&self) -> Result<Option<i64>> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        let number: Option<Number> = self.first(OURS, [], "looking for sessions of ours").await?;
        Ok(number.map(|number| number.number))
    }
}
