//! What else goes on: transactions, vacuum, sequences.

use sea_orm::FromQueryResult;

use super::super::Database;
use super::{Number, texts};
use crate::error::Result;

/// A transaction of another session in this database.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Transaction {
    /// The session's process.
    pub process: i32,
    /// The role.
    pub role: String,
    /// What the program calls itself.
    pub program: String,
    /// `active`, `idle in transaction`, …
    pub state: String,
    /// How long it has been open, in seconds.
    pub seconds: f64,
    /// Whether it holds a lock on one of the tables asked for.
    pub has_lock: bool,
}

const TRANSACTIONS: &str = r#"SELECT a.pid AS "process", CAST(a.usename AS TEXT) AS "role", a.application_name AS "program",
        COALESCE(a.state, '') AS "state",
        CAST(extract(epoch FROM clock_timestamp() - a.xact_start) AS DOUBLE PRECISION) AS "seconds",
        EXISTS (SELECT FROM pg_locks l JOIN unnest($1) t ON l.relation = to_regclass(quote_ident(t))
            WHERE l.pid = a.pid AND l.granted) AS "has_lock"
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
        AND a.xact_start IS NOT NULL
    ORDER BY a.xact_start"#;

/// Sessions of which the role may not see what they do.
const UNSEEN: &str = r#"SELECT count(*) AS "number" FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type IS NULL"#;

/// A transaction that was prepared for a two-phase commit.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Prepared {
    /// Its name.
    pub name: String,
    /// How long ago it was prepared, in seconds.
    pub seconds: f64,
}

const PREPARED: &str = r#"SELECT gid AS "name",
        CAST(extract(epoch FROM clock_timestamp() - prepared) AS DOUBLE PRECISION) AS "seconds"
    FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"#;

/// How far vacuum is behind in the database of the server that is furthest.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Freeze {
    /// That database.
    pub database: String,
    /// Transactions since its oldest row was frozen.
    pub transactions: i64,
    /// The same for multixacts.
    pub multixacts: i64,
    /// Beyond so many, autovacuum freezes whatever is set.
    pub max_transactions: i64,
    /// The same for multixacts.
    pub max_multixacts: i64,
    /// Whether autovacuum runs at all.
    pub is_on: bool,
}

const FREEZE: &str = r#"SELECT CAST(datname AS TEXT) AS "database", CAST(age(datfrozenxid) AS BIGINT) AS "transactions",
        CAST(mxid_age(datminmxid) AS BIGINT) AS "multixacts",
        CAST(current_setting('autovacuum_freeze_max_age') AS BIGINT) AS "max_transactions",
        CAST(current_setting('autovacuum_multixact_freeze_max_age') AS BIGINT) AS "max_multixacts",
        current_setting('autovacuum') = 'on' AND current_setting('track_counts') = 'on' AS "is_on"
    FROM pg_database ORDER BY GREATEST(age(datfrozenxid), mxid_age(datminmxid)) DESC LIMIT 1"#;

/// Tables that autovacuum leaves alone.
const UNVACUUMED: &str = r#"SELECT t AS "name" FROM unnest($1) t JOIN pg_class c ON c.oid = to_regclass(quote_ident(t))
    WHERE c.reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0']
    ORDER BY 1"#;

/// A sequence behind a column of 32 bits or fewer.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The share of the column's numbers that it has used up, 0 to 1.
    pub used: f64,
}

const SEQUENCES: &str = r#"SELECT CAST(CAST(s.oid AS regclass) AS TEXT) AS "name",
        COALESCE(CASE WHEN has_sequence_privilege(s.oid, 'USAGE, SELECT') THEN pg_sequence_last_value(s.oid) END, 0)
            / CAST(LEAST(q.seqmax, CASE a.attlen WHEN 2 THEN 32767 ELSE 2147483647 END) AS DOUBLE PRECISION) AS "used"
    FROM unnest($1) t JOIN pg_depend d ON d.refobjid = to_regclass(quote_ident(t))
        AND d.classid = CAST('pg_class' AS regclass) AND d.refclassid = CAST('pg_class' AS regclass)
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid = s.oid
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE a.atttypid IN (CAST('int2' AS regtype), CAST('int4' AS regtype)) ORDER BY 1"#;

/// Each is for PostgreSQL alone.
impl Database {
    /// Transactions of other sessions in this database, the oldest first, and how many sessions the role may not see into;
    /// `tables`: those of which it is asked whether they hold a lock.
    ///
    /// # Errors
    /// The database's.
    pub async fn transactions(&self, tables: &[String]) -> Result<(Vec<Transaction>, i64)> {
        let doing = "looking at open transactions";
        let open = self.every(TRANSACTIONS, [texts(tables)], doing).await?;
        let unseen: Option<Number> = self.first(UNSEEN, [], doing).await?;
        Ok((open, unseen.map_or(0, |unseen| unseen.number)))
    }

    /// Transactions that wait for the second phase of their commit.
    ///
    /// # Errors
    /// The database's.
    pub async fn prepared(&self) -> Result<Vec<Prepared>> {
        self.every(PREPARED, [], "looking at prepared transactions")
            .await
    }

    /// How far vacuum is behind.
    ///
    /// # Errors
    /// The database's.
    pub async fn freeze(&self) -> Result<Option<Freeze>> {
        self.first(FREEZE, [], "looking at vacuum").await
    }

    /// Those of these tables that autovacuum leaves alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn unvacuumed(&self, tables: &[String]) -> Result<Vec<String>> {
        self.names(UNVACUUMED, tables, "looking at vacuum").await
    }

    /// The sequences behind columns of these tables that hold 32 bits or fewer.
    ///
    /// # Errors
    /// The database's.
    pub async fn small_sequences(&self, tables: &[String]) -> Result<Vec<Sequence>> {
        let doing = "looking at sequences";
        self.every(SEQUENCES, [texts(tables)], doing).await
    }
}
