//! The write-ahead log, whoever keeps it, and where the data is.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sea_orm::FromQueryResult;

use super::super::Database;
use crate::error::Result;

/// How the write-ahead log is bounded, in bytes; -1: not at all.
#[derive(Clone, Debug, FromQueryResult)]
pub struct WalRoom {
    /// `max_wal_size`: what it grows to between two checkpoints.
    pub max_wal_size: i64,
    /// `wal_keep_size`: what is kept for replicas in any case.
    pub wal_keep_size: i64,
    /// `max_slot_wal_keep_size`: what slots may keep.
    pub max_slot_wal_keep_size: i64,
}

const WAL_ROOM: &str = r#"SELECT pg_size_bytes(current_setting('max_wal_size')) AS "max_wal_size",
        pg_size_bytes(current_setting('wal_keep_size')) AS "wal_keep_size",
        pg_size_bytes(current_setting('max_slot_wal_keep_size')) AS "max_slot_wal_keep_size""#;

/// How the archiving of the write-ahead log goes.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Archiver {
    /// Whether it is archived at all.
    pub is_on: bool,
    /// Whether the last attempt failed.
    pub is_failing: bool,
    /// Attempts that failed since the statistics began.
    pub failed: i64,
}

const ARCHIVER: &str = r#"SELECT current_setting('archive_mode') <> 'off' AS "is_on", failed_count AS "failed",
        COALESCE(last_failed_time > COALESCE(last_archived_time, '-infinity'), FALSE) AS "is_failing"
    FROM pg_stat_archiver"#;

/// A replication slot, which keeps the log that its owner has not taken.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody takes from it now.
    pub is_active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`; none where it keeps nothing yet.
    pub status: Option<String>,
    /// Bytes of log that it keeps.
    pub retained: Option<i64>,
}

const SLOTS: &str = r#"SELECT CAST(slot_name AS TEXT) AS "name", active AS "is_active", wal_status AS "status",
        CASE WHEN NOT pg_is_in_recovery() THEN CAST(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS BIGINT) END
            AS "retained"
    FROM pg_replication_slots ORDER BY 1"#;

/// Where the server keeps its data, as far as the role may know.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Storage {
    /// Its data directory, on its own host.
    pub data: Option<String>,
    /// Where new tables of this database go, where that is not below the data directory.
    pub tablespace: Option<String>,
    /// Whether the role may know the cluster's identifier.
    pub is_known: bool,
    /// The database's size in bytes; none where the role may not connect to it.
    pub bytes: Option<i64>,
}

const STORAGE: &str = r#"SELECT (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS "data",
        NULLIF(pg_tablespace_location(d.dattablespace), '') AS "tablespace",
        has_function_privilege('pg_control_system()', 'EXECUTE') AS "is_known",
        pg_database_size(d.oid) AS "bytes"
    FROM pg_database d WHERE d.datname = current_database()"#;

/// Where the data is, if that is on this machine: the control file that lies there is this server's own. A server in a
/// container, or behind a tunnel, may name a folder that is somebody else's here.
pub(crate) async fn here(database: &Database, storage: Storage) -> Result<Option<String>> {
    let Some(data) = storage.data.filter(|_| storage.is_known) else {
        return Ok(None);
    };
    let control = Path::new(&data).join("global/pg_control");
    let mut first = [0; 8];
    let read = File::open(control).and_then(|mut file| file.read_exact(&mut first));
    if read.is_err() {
        return Ok(None);
    }
    let identity = database.identity().await?;
    let own = format!("cluster {} ", u64::from_ne_bytes(first));
    Ok(identity
        .contains(&own)
        .then(|| storage.tablespace.unwrap_or(data)))
}

/// Each is for PostgreSQL alone.
impl Database {
    /// How the write-ahead log is bounded.
    ///
    /// # Errors
    /// The database's.
    pub async fn wal_room(&self) -> Result<Option<WalRoom>> {
        self.first(WAL_ROOM, [], "looking at the write-ahead log")
            .await
    }

    /// How archiving goes.
    ///
    /// # Errors
    /// The database's.
    pub async fn archiver(&self) -> Result<Option<Archiver>> {
        self.first(ARCHIVER, [], "looking at the archiver").await
    }

    /// The replication slots.
    ///
    /// # Errors
    /// The database's.
    pub async fn slots(&self) -> Result<Vec<Slot>> {
        self.every(SLOTS, [], "looking at replication slots").await
    }

    /// Where the server keeps its data.
    ///
    /// # Errors
    /// The database's.
    pub async fn storage(&self) -> Result<Option<Storage>> {
        self.first(STORAGE, [], "looking where the data is").await
    }
}
