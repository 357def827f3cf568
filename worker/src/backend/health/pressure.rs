//! What others do in the server while we work: how many, whether they wait for locks, and what the server itself has in
//! hand. Asked again and again, so each is one short query.

use std::path::PathBuf;

use sea_orm::FromQueryResult;

use super::super::Database;
use super::Number;
use crate::error::Result;

/// The sessions of a server.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Sessions {
    /// Of others, those that have worked within the time asked for, as far as the role may see that.
    pub busy: i64,
    /// Of others, those with a statement under way.
    pub active: i64,
    /// Of others, those of which the role may not see what they do.
    pub hidden: i64,
    /// Ours, of all Backstitch processes, in all databases.
    pub ours: i64,
    /// `max_connections`.
    pub most: i64,
    /// Transactions that the server has ended, of all databases.
    pub transactions: i64,
    /// Sessions of others that wait for a lock of ours.
    pub behind: i64,
    /// Sessions of others that have waited for a lock for over a second, whoever has it.
    pub waiting: i64,
    /// Where the write-ahead log ends, in bytes; 0 on a replica.
    pub log: i64,
}

/// A backend's name for itself is seen by everybody, its state is not. Locks are looked at where somebody waits for one, or
/// where nobody may say.
const SESSIONS: &str = r#"WITH client AS MATERIALIZED (
        SELECT pid, application_name = 'backstitch' AS "ours", state, state_change, wait_event_type = 'Lock' AS "waits",
            backend_type IS NULL AS "hidden"
        FROM pg_stat_activity
        WHERE datid IS NOT NULL AND pid <> pg_backend_pid()
            AND (backend_type = 'client backend' OR backend_type IS NULL)),
    waiting AS MATERIALIZED (
        SELECT DISTINCT l.pid, l.waitstart FROM pg_locks l JOIN client c ON c.pid = l.pid AND NOT c."ours"
        WHERE NOT l.granted AND EXISTS (SELECT FROM client WHERE NOT "ours" AND ("waits" OR "hidden")))
    SELECT count(*) FILTER (WHERE NOT "ours" AND (state = 'active'
            OR state_change > clock_timestamp() - $1 * INTERVAL '1 millisecond')) AS "busy",
        count(*) FILTER (WHERE NOT "ours" AND state = 'active') AS "active",
        count(*) FILTER (WHERE NOT "ours" AND "hidden") AS "hidden",
        count(*) FILTER (WHERE "ours") AS "ours",
        CAST(current_setting('max_connections') AS BIGINT) AS "most",
        (SELECT CAST(sum(xact_commit + xact_rollback) AS BIGINT) FROM pg_stat_database) AS "transactions",
        (SELECT count(*) FROM waiting w
            WHERE pg_blocking_pids(w.pid) && ARRAY(SELECT pid FROM client WHERE "ours")) AS "behind",
        (SELECT count(*) FROM waiting w WHERE w.waitstart < clock_timestamp() - INTERVAL '1 second') AS "waiting",
        CASE WHEN pg_is_in_recovery() THEN 0
            ELSE CAST(pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS BIGINT) END AS "log"
    FROM client"#;

/// What the server has in hand besides statements.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Chores {
    /// Whether the last attempt to archive the log failed.
    pub is_archiving_failing: bool,
    /// Whether the log is archived at all.
    pub is_archived: bool,
    /// Whether the role may know what waits to be archived.
    pub may_count: bool,
    /// `max_wal_size` in bytes.
    pub max_wal_size: i64,
    /// A replication slot that is about to lose what it should keep.
    pub losing: Option<String>,
    /// Checkpoints that were asked for because of too much log, since the statistics began; none where the release counts
    /// them elsewhere.
    pub requested: Option<i64>,
    /// `checkpoint_warning` in seconds: more often than this is too often.
    pub too_often: i64,
    /// Tables of this database that are being vacuumed against wraparound, as far as the role may see that.
    pub wraparound: i64,
}

const CHORES: &str = r#"SELECT current_setting('archive_mode') <> 'off' AS "is_archived",
        COALESCE(a.last_failed_time > COALESCE(a.last_archived_time, '-infinity'), FALSE)
            AND current_setting('archive_mode') <> 'off' AS "is_archiving_failing",
        has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE') AS "may_count",
        pg_size_bytes(current_setting('max_wal_size')) AS "max_wal_size",
        (SELECT CAST(slot_name AS TEXT) FROM pg_replication_slots WHERE wal_status = 'unreserved' ORDER BY 1 LIMIT 1)
            AS "losing",
        (SELECT CAST(to_jsonb(b) ->> 'checkpoints_req' AS BIGINT) FROM pg_stat_bgwriter b) AS "requested",
        (SELECT CAST(setting AS BIGINT) FROM pg_settings WHERE name = 'checkpoint_warning') AS "too_often",
        (SELECT count(*) FROM pg_stat_progress_vacuum v JOIN pg_stat_activity s ON s.pid = v.pid
            WHERE v.datname = current_database() AND s.query LIKE '%to prevent wraparound%') AS "wraparound"
    FROM pg_stat_archiver a"#;

/// A statement that so much as names the function is refused to a role that may not call it.
const UNARCHIVED: &str = r#"SELECT count(*) * pg_size_bytes(current_setting('wal_segment_size')) AS "number"
    FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"#;

#[derive(FromQueryResult)]
struct Clock {
    now: i64,
}

impl Database {
    /// Who else is in the server, and who of them has worked within so many milliseconds. PostgreSQL only.
    ///
    /// # Errors
    /// The database's.
    pub async fn sessions(&self, within: i64) -> Result<Option<Sessions>> {
        self.first(SESSIONS, [within.into()], "looking at other sessions")
            .await
    }

    /// What the server has in hand besides statements. PostgreSQL only.
    ///
    /// # Errors
    /// The database's.
    pub async fn chores(&self) -> Result<Option<Chores>> {
        self.first(CHORES, [], "looking at what the server has in hand")
            .await
    }

    /// Bytes of log that wait to be archived. PostgreSQL only, for a role that may know.
    ///
    /// # Errors
    /// The database's.
    pub async fn unarchived(&self) -> Result<i64> {
        let doing = "looking at what waits to be archived";
        let number: Option<Number> = self.first(UNARCHIVED, [], doing).await?;
        Ok(number.map_or(0, |number| number.number))
    }

    /// The database's clock, milliseconds since 1970.
    ///
    /// # Errors
    /// The database's.
    pub async fn clock(&self) -> Result<i64> {
        let sql = format!("SELECT {} AS \"now\"", self.dialect().now());
        let clock: Option<Clock> = self.first(&sql, [], "reading the database's clock").await?;
        Ok(clock.map_or(0, |clock| clock.now))
    }

    /// A folder on this machine's disk that the database grows on; none where it is on another machine, or nobody may say.
    ///
    /// # Errors
    /// The database's.
    pub async fn disk(&self) -> Result<Option<PathBuf>> {
        if let Some(file) = self.file().await? {
            let path = PathBuf::from(file.path);
            return Ok(path.parent().map(PathBuf::from));
        }
        let Some(storage) = self.storage().await? else {
            return Ok(None);
        };
        let place = super::room::here(self, storage).await?;
        Ok(place.map(PathBuf::from))
    }

    /// The smallest transaction there is: what somebody else's takes, it takes as well.
    ///
    /// # Errors
    /// The database's.
    pub async fn touch(&self) -> Result<()> {
        let touched = self.one("SELECT 1 AS \"one\"", []).await;
        crate::error::Doing::doing(touched, "asking how long an answer takes").map(drop)
    }
}
