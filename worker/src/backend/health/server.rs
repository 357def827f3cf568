//! The server, and how it orders text.

use sea_orm::FromQueryResult;

use super::super::{Database, Dialect};
use super::texts;
use crate::error::Result;

/// The server, as a whole.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Server {
    /// Its release as a number: 150004.
    pub number: i32,
    /// Its release.
    pub version: String,
    /// Whether it is a replica, to which nothing can be written.
    pub is_replica: bool,
    /// Whether transactions are read-only unless they ask for more.
    pub is_read_only: bool,
    /// The encoding of the database.
    pub encoding: String,
    /// The role.
    pub role: String,
    /// Connections that this role may still make to this database.
    pub free: i64,
    /// Standbys that a commit waits for, as configured; empty where it waits for none.
    pub synchronous: String,
}

const SERVER: &str = r#"SELECT CAST(current_setting('server_version_num') AS INTEGER) AS "number",
        current_setting('server_version') AS "version", pg_is_in_recovery() AS "is_replica",
        current_setting('default_transaction_read_only') = 'on' AS "is_read_only",
        CAST(pg_encoding_to_char(d.encoding) AS TEXT) AS "encoding", CAST(current_user AS TEXT) AS "role",
        current_setting('synchronous_standby_names') AS "synchronous",
        CAST(LEAST(
            CAST(current_setting('max_connections') AS INTEGER)
                - CAST(current_setting('superuser_reserved_connections') AS INTEGER)
                - (SELECT sum(numbackends) FROM pg_stat_database),
            CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit - pg_stat_get_db_numbackends(d.oid) END,
            CASE WHEN r.rolconnlimit >= 0 THEN r.rolconnlimit
                - (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid) END) AS BIGINT) AS "free"
    FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user"#;

/// How text is ordered by default, and whether the library that orders it is still the one that the indexes were built
/// with.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Collation {
    /// The locale.
    pub name: String,
    /// Whether the ICU library orders text, not the operating system's.
    pub is_icu: bool,
    /// The version that was recorded; none where the order has none (C, POSIX), or the server keeps none.
    pub recorded: Option<String>,
    /// The version today.
    pub actual: Option<String>,
}

const COLLATION: &str = r#"SELECT COALESCE(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale', d.datcollate) AS "name",
        d.datlocprovider = 'i' AS "is_icu", CAST(d.datcollversion AS TEXT) AS "recorded",
        CAST(pg_database_collation_actual_version(d.oid) AS TEXT) AS "actual"
    FROM pg_database d WHERE d.datname = current_database()"#;

const COLLATION_BEFORE_15: &str = r#"SELECT CAST(d.datcollate AS TEXT) AS "name", FALSE AS "is_icu",
        CAST(NULL AS TEXT) AS "recorded", CAST(NULL AS TEXT) AS "actual"
    FROM pg_database d WHERE d.datname = current_database()"#;

/// Orders of single columns that are not what they were.
const COLUMN_COLLATIONS: &str = r#"SELECT DISTINCT CAST(c.collname AS TEXT) AS "name", c.collprovider = 'i' AS "is_icu",
        CAST(c.collversion AS TEXT) AS "recorded", CAST(pg_collation_actual_version(c.oid) AS TEXT) AS "actual"
    FROM unnest($1) t JOIN pg_attribute a ON a.attrelid = to_regclass(quote_ident(t)) AND NOT a.attisdropped
    JOIN pg_collation c ON c.oid = a.attcollation
    WHERE c.collversion <> pg_collation_actual_version(c.oid) ORDER BY 1"#;

/// Each is for PostgreSQL alone.
impl Database {
    /// The server; none on SQLite.
    ///
    /// # Errors
    /// The database's.
    pub async fn server(&self) -> Result<Option<Server>> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        self.first(SERVER, [], "looking at the server").await
    }

    /// How text is ordered; first the database's own order, then those of columns of these tables that are not what they
    /// were.
    ///
    /// # Errors
    /// The database's.
    pub async fn collations(&self, server: &Server, tables: &[String]) -> Result<Vec<Collation>> {
        let sql = match server.number {
            ..150_000 => COLLATION_BEFORE_15,
            _ => COLLATION,
        };
        let doing = "looking at how text is ordered";
        let mut collations: Vec<Collation> = self.every(sql, [], doing).await?;
        collations.extend(
            self.every(COLUMN_COLLATIONS, [texts(tables)], doing)
                .await?,
        );
        Ok(collations)
    }
}
