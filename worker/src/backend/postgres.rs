//! PostgreSQL's side of the seam.

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{self, ConnectOptions as _};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector};

use super::{Connection, Durability, PATIENCE, Replication, statement};
use crate::error::{Error, Result};

/// `query_canceled`: a statement ran into `statement_timeout`.
pub(super) const QUERY_CANCELED: &str = "57014";

/// `lock_not_available`: a statement waited longer than `lock_timeout`.
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Serialises the start of runs and the change of the schema; released with the transaction, so it works through a
/// pooler. The number spells "backstit".
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7089060205892233588)";

pub(super) const NOW: &str = "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)";

pub(super) const COLUMNS: &str = r#"SELECT CAST(a.attname AS TEXT) AS "name" FROM pg_attribute a
    WHERE a.attrelid = to_regclass(quote_ident($1)) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"#;

/// A trigger that is neither a foreign key's nor fires before (bit 1) its statement or row; INSERT and UPDATE are bits 2 and
/// 4. <https://www.postgresql.org/docs/current/catalog-pg-trigger.html>
pub(super) const FOLLOWED: &str = r#"SELECT 1 AS "one" FROM pg_trigger
    WHERE (tgrelid = to_regclass(quote_ident($1))
        OR tgrelid IN (SELECT relid FROM pg_partition_tree(to_regclass(quote_ident($1)))))
        AND NOT tgisinternal AND tgtype & 2 = 0 AND tgtype & 20 <> 0 LIMIT 1"#;

/// A trigger or rule that may make another row of what a statement inserts or updates: also one that fires before it.
pub(super) const ALTERING: &str = r#"SELECT 1 AS "one" FROM pg_trigger
    WHERE (tgrelid = to_regclass(quote_ident($1))
        OR tgrelid IN (SELECT relid FROM pg_partition_tree(to_regclass(quote_ident($1)))))
        AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 20 <> 0
    UNION ALL SELECT 1 FROM pg_rewrite
    WHERE ev_class = to_regclass(quote_ident($1)) AND ev_type IN ('2', '3') LIMIT 1"#;

/// The types of a table's columns.
pub(super) const TYPES: &str = r#"SELECT CAST(attname AS TEXT) AS "name", format_type(atttypid, atttypmod) AS "type"
    FROM pg_attribute WHERE attrelid = to_regclass(quote_ident($1)) AND attnum > 0 AND NOT attisdropped"#;

/// An ordinary table, kept by PostgreSQL's own means, that no other inherits from, of which the role may read every row and
/// what the system knows of it.
pub(super) const PLAIN: &str = r#"SELECT 1 AS "one" FROM pg_class c JOIN pg_am a ON a.oid = c.relam
    WHERE c.oid = to_regclass(quote_ident($1)) AND c.relkind = 'r' AND a.amname = 'heap'
        AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid)
        AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid)"#;

/// A table that inherits from another, and is no partition of it.
pub(super) const HEIR: &str = r#"SELECT CAST(i.inhrelid::regclass AS TEXT) AS "name" FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhparent AND c.relkind <> 'p'
    WHERE i.inhparent = to_regclass(quote_ident($1)) ORDER BY 1 LIMIT 1"#;

pub(super) const REFERENCES: &str = r#"SELECT CAST(c.oid AS TEXT) AS "constraint",
        CAST(c.conrelid::regclass AS TEXT) AS "child", CAST(a.attname AS TEXT) AS "child_column",
        CAST(p.attname AS TEXT) AS "parent_column"
    FROM pg_constraint c
    CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY k ("from", "to", "place")
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k."from"
    JOIN pg_attribute p ON p.attrelid = c.confrelid AND p.attnum = k."to"
    WHERE c.contype = 'f' AND c.confrelid = to_regclass(quote_ident($1)) ORDER BY c.oid, k."place" "#;

/// The role, where there is such a table in the search path and it may not be read; a schema that the role may not use
/// is left out of the path, so the public one is looked at by its name.
pub(super) const FORBIDDEN: &str = r#"SELECT CAST(current_user AS TEXT) AS "role" FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND (n.nspname = ANY(current_schemas(false)) OR n.nspname = 'public')
    HAVING bool_and(NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')))"#;

/// What a digest's text form depends on, pinned; `true`: for this transaction alone. And a policy that would hide rows from
/// us is an error: what cannot be seen would be lost, and left behind.
macro_rules! pinned {
    () => {
        "set_config('row_security', 'off', true), \
         set_config('DateStyle', 'ISO, YMD', true), set_config('TimeZone', 'UTC', true), \
         set_config('extra_float_digits', '1', true), set_config('bytea_output', 'hex', true), \
         set_config('IntervalStyle', 'postgres', true)"
    };
}

/// Begins a transaction that reads at one snapshot.
pub(super) const BEGIN_READ: &str = concat!(
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT set_config('statement_timeout', '60s', true), \
     set_config('idle_in_transaction_session_timeout', '60s', true), ",
    pinned!()
);

/// The same for a question that is asked again and again: it must be answered soon.
pub(super) const BEGIN_ASKED: &str = concat!(
    "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SELECT set_config('statement_timeout', '2s', true), \
     set_config('lock_timeout', '1s', true), set_config('idle_in_transaction_session_timeout', '60s', true), ",
    pinned!()
);

/// The same without limits, for a snapshot that a backup is of: as long as it takes, but never long for a lock.
pub(super) const BEGIN_SNAPSHOT: &str = concat!(
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT set_config('statement_timeout', '0', true), \
     set_config('idle_in_transaction_session_timeout', '0', true), set_config('lock_timeout', '60s', true), ",
    pinned!()
);

/// Begins a transaction around a single statement. A whole table may have to be counted, whatever the role's usual limit.
pub(super) const BEGIN_ONE: &str = concat!(
    "BEGIN ISOLATION LEVEL READ COMMITTED; \
     SELECT set_config('idle_in_transaction_session_timeout', '60s', true), \
     set_config('statement_timeout', '0', true), ",
    pinned!()
);

/// Begins a transaction without limits.
pub(super) const BEGIN_UNLIMITED: &str = concat!(
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('statement_timeout', '0', true), ",
    pinned!()
);

/// The same for one that is held open and idle while others work.
pub(super) const BEGIN_IDLE: &str = concat!(
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('statement_timeout', '0', true), \
     set_config('idle_in_transaction_session_timeout', '0', true), ",
    pinned!()
);

/// What bounds a writing transaction: a statement, a wait for a lock, and a silence of ours.
macro_rules! limits {
    ($lock_timeout:literal) => {
        concat!(
            "set_config('statement_timeout', '30s', true), \
             set_config('lock_timeout', '",
            $lock_timeout,
            "', true), set_config('idle_in_transaction_session_timeout', '60s', true), ",
            pinned!()
        )
    };
}

/// Begins a writing transaction. One message, whatever it sets.
pub(super) fn begin(durability: Durability) -> &'static str {
    // Others act on what is told here, so it is on disk, whatever the database's default; one that asks for more than
    // that has its way.
    const SYNCED: &str = concat!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; \
         SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
            ELSE current_setting('synchronous_commit') END, true), ",
        limits!("5s")
    );
    // A batch locks rows of the application: below deadlock_timeout (1 s), so that it is always ours that gives way,
    // and nobody waits behind it for longer.
    const RELAXED: &str = concat!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('synchronous_commit', 'off', true), ",
        limits!("300ms")
    );
    match durability {
        Durability::Synced => SYNCED,
        Durability::Relaxed => RELAXED,
    }
}

/// For a schema change: nobody waits behind it for long. A pooled session may hold statements under the names that
/// sqlx gives, and those that are not ours nobody can use through such a pooler anyway.
pub(super) const SCHEMA_SETTINGS: &str = concat!(
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT ",
    limits!("500ms"),
    "; DO $$ DECLARE name TEXT; BEGIN \
     FOR name IN SELECT p.name FROM pg_prepared_statements p WHERE p.name LIKE 'sqlx\\_s\\_%' LOOP \
     EXECUTE format('DEALLOCATE %I', name); END LOOP; END $$"
);

/// What a URL asks for, as far as a pooler takes it: digits are pinned by each transaction, and poolers refuse them
/// here. No statement outlives its transaction.
///
/// # Errors
/// It cannot be read.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options
        .application_name("backstitch")
        .statement_cache_capacity(0)
        .extra_float_digits(None)
        .disable_statement_logging())
}

/// Connects, beside SeaORM, which shows the URL to whoever traces it.
pub(super) async fn connect(url: &str, connections: u32) -> Result<DatabaseConnection, DbErr> {
    let unconnected = |error: sqlx::Error| DbErr::Conn(RuntimeErr::SqlxError(error.into()));
    let options = options(url).map_err(unconnected)?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE);
    let pool = pool.connect_with(options).await.map_err(unconnected)?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// Another pool for the same server: one connection, made when it is first asked.
pub(super) fn beside(pool: &sqlx::PgPool) -> DatabaseConnection {
    let options = pool.connect_options().as_ref().clone();
    let beside = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options);
    SqlxPostgresConnector::from_sqlx_postgres_pool(beside)
}

/// What may stand behind the `?` of a URL.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Refuses a parameter that nobody would heed: a misspelt `sslmode` must not become a connection without TLS.
///
/// # Errors
/// [`Error::Usage`], naming the parameter and never its value.
pub(super) fn check_parameters(url: &str) -> Result<()> {
    let Ok(url) = url::Url::parse(url) else {
        return Ok(());
    };
    for (name, _) in url.query_pairs() {
        let is_known = PARAMETERS.contains(&&*name) || name.starts_with("options[");
        if !is_known {
            return Err(Error::Usage(format!(
                "the database URL has a parameter {name}, which nobody knows: check its spelling (sslmode, \
                 sslrootcert, sslcert, sslkey, statement-cache-capacity, application_name, options, host, port, \
                 dbname, user)"
            )));
        }
    }
    Ok(())
}

/// The system identifier may be forbidden to the role; the oid alone still tells a restored database.
pub(super) async fn identity(connection: &Connection) -> Result<String, DbErr> {
    let oid = r#"SELECT CAST(d.oid AS TEXT) AS "oid",
        has_function_privilege('pg_control_system()', 'EXECUTE') AS "allowed"
        FROM pg_database d WHERE d.datname = current_database()"#;
    let row = connection
        .query_one_raw(statement(connection, oid, []))
        .await?
        .ok_or(DbErr::RecordNotFound("the current database".into()))?;
    let oid: String = row.try_get("", "oid")?;
    let cluster = if row.try_get("", "allowed")? {
        let system =
            r#"SELECT CAST(system_identifier AS TEXT) AS "system" FROM pg_control_system()"#;
        match connection
            .query_one_raw(statement(connection, system, []))
            .await?
        {
            Some(row) => row.try_get("", "system")?,
            None => String::from("unknown"),
        }
    } else {
        String::from("unknown")
    };
    Ok(format!("postgres cluster {cluster} database {oid}"))
}

/// Replicas that stream the log, and subscribers; not backups that are being taken. A role that may not see one sees that
/// it is there. While the server is a replica itself, nothing is written to it.
const REPLICATION: &str = r#"SELECT CAST(application_name AS TEXT) AS "name", state IS NULL AS "hidden",
        CAST(pg_wal_lsn_diff(replay_lsn, '0/0') AS BIGINT) AS "replayed",
        CASE WHEN pg_is_in_recovery() THEN 0
            ELSE CAST(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0') AS BIGINT) END AS "end"
    FROM pg_stat_replication
    WHERE state IS NULL OR (state IN ('streaming', 'catchup') AND replay_lsn IS NOT NULL AND application_name <> ALL($1))
    ORDER BY "replayed" NULLS LAST"#;

pub(super) async fn replication(
    connection: &Connection,
    ignored: &[String],
) -> Result<Replication, DbErr> {
    let ignored: Vec<_> = ignored.iter().map(String::as_str).collect();
    let ignored = super::Dialect::Postgres.texts(&ignored);
    let rows = super::all(connection, REPLICATION, [ignored]).await?;
    let mut replication = Replication::default();
    for row in &rows {
        replication.end = row.try_get("", "end")?;
        if row.try_get("", "hidden")? {
            replication.hidden += 1;
        } else if replication.slowest.is_none() {
            let name = row.try_get("", "name")?;
            replication.slowest = Some((name, row.try_get("", "replayed")?));
        }
    }
    Ok(replication)
}

pub(super) fn millis(column: &str) -> String {
    format!(
        "CASE WHEN isfinite({column}) THEN CAST(extract(epoch FROM {column}) * 1000 AS BIGINT) END"
    )
}

/// 64 bits over the row's text form. The C collation keeps a nondeterministic one from folding bytes together.
pub(super) fn image(columns: &[String]) -> String {
    format!(
        "hashtextextended(CAST(ROW({}) AS TEXT) COLLATE \"C\", 0)",
        columns.join(", ")
    )
}

/// Classes and codes after which the same transaction may succeed: lost connections, conflicts, lack of resources,
/// a server that starts, stops or has become a replica, and the limits that we set ourselves.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn is_transient(code: &str) -> bool {
    matches!(
        code,
        // A foreign key's parent that was deleted between read and write: the next read knows.
        "40001" | "40P01" | "25006" | "25P03" | "23503" | LOCK_NOT_AVAILABLE | QUERY_CANCELED
    ) || code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57P")
}

/// A data exception (22), a limit of an index or a row (54), a NOT NULL, a foreign key or a CHECK constraint.
pub(super) fn refuses_row(code: &str) -> bool {
    code.len() == 5
        && (code.starts_with("22")
            || code.starts_with("54")
            || matches!(code, "23502" | "23503" | "23514"))
}

/// Whether messages of this class quote values of rows: data exceptions, and what triggers raise.
pub(super) fn quotes_values(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("22") || code.starts_with("P0"))
}

/// Whether messages of this class, when a connection is made, quote its settings.
pub(super) fn quotes_settings(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("22") || code.starts_with("42")) && code != "42501"
}

pub(super) fn hint(code: &str) -> Option<&'static str> {
    match code {
        "28P01" | "28000" => {
            Some("check user and password (in the URL, in PGPASSWORD or in ~/.pgpass)")
        }
        "3D000" => {
            Some("create it first, or check the name at the end of the URL and its spelling")
        }
        "42501" => Some(
            "grant the role what it lacks (where a policy of row-level security hides rows: BYPASSRLS), or use another \
             role",
        ),
        "25006" => Some("the server is a replica, or default_transaction_read_only is on"),
        "2BP01" => Some("take away what depends on it first"),
        "42P01" | "42703" | "42804" | "42809" | "42883" | "42P10" => Some(
            "the database's tables are not what the plan expects: compare them with what `cli schema status` lists",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        BEGIN_ASKED, BEGIN_IDLE, BEGIN_ONE, BEGIN_READ, BEGIN_SNAPSHOT, BEGIN_UNLIMITED,
        SCHEMA_SETTINGS, begin,
    };
    use crate::backend::Durability;

    /// Whatever the database's or the role's defaults are.
    #[test]
    fn every_transaction_sets_what_it_needs() {
        for sql in [
            BEGIN_ASKED,
            BEGIN_IDLE,
            BEGIN_ONE,
            BEGIN_READ,
            BEGIN_SNAPSHOT,
            BEGIN_UNLIMITED,
            SCHEMA_SETTINGS,
            begin(Durability::Relaxed),
            begin(Durability::Synced),
        ] {
            for setting in [
                "ISOLATION LEVEL",
                "'statement_timeout'",
                "'row_security', 'off'",
                "'DateStyle'",
                "'TimeZone'",
                "'extra_float_digits'",
            ] {
                assert!(sql.contains(setting), "{setting} is missing in {sql}");
            }
        }
    }
}
