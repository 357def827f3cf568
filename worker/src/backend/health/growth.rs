//! How large tables and the log are, asked within a transaction: the difference is what it has added.

use sea_orm::{ConnectionTrait, DbErr};

use super::super::{Dialect, statement};

/// Sizes at a moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Of the tables, with their indexes; on SQLite of the file.
    pub tables: i64,
    /// Where the write-ahead log ends; of the whole server, whoever writes. None on SQLite.
    pub log: Option<i64>,
}

/// The log's end is that of what is written, on disk or not.
const POSTGRES: &str = r#"SELECT
        COALESCE(CAST(sum(pg_total_relation_size(to_regclass(quote_ident(t)))) AS BIGINT), 0) AS "tables",
        CAST(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS BIGINT) AS "log"
    FROM unnest($1) t"#;

/// Pages that are free are written to first.
const SQLITE: &str = r#"SELECT (c."page_count" - f."freelist_count") * s."page_size" AS "tables"
    FROM pragma_page_count c, pragma_freelist_count f, pragma_page_size s"#;

/// The sizes now.
///
/// # Errors
/// The database's.
pub async fn sizes(connection: &impl ConnectionTrait, tables: &[&str]) -> Result<Sizes, DbErr> {
    let dialect = Dialect::of(connection);
    let asked = match dialect {
        Dialect::Postgres => statement(connection, POSTGRES, [dialect.texts(tables)]),
        Dialect::Sqlite => statement(connection, SQLITE, []),
    };
    let Some(row) = connection.query_one_raw(asked).await? else {
        return Ok(Sizes::default());
    };
    Ok(Sizes {
        tables: row.try_get("", "tables")?,
        log: match dialect {
            Dialect::Postgres => Some(row.try_get("", "log")?),
            Dialect::Sqlite => None,
        },
    })
}
