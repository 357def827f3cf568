//! Indexes that PostgreSQL builds beside those who write: outside of a transaction, so that nothing can be set for the one
//! statement, and one after the other, because two builds on one table wait for each other for ever.

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, RuntimeErr};

use super::{Database, PATIENCE, Transaction, all, statement};

/// Serialises the builds of one database, as long as a transaction is open. The number spells "backsidx".
const TURN: &str = r#"SELECT pg_try_advisory_xact_lock(7089056601606808696) AS "taken""#;

/// Indexes that nothing leans on: neither a constraint nor a foreign key, for which each deletion of a row that is
/// referred to would have to read the whole table meanwhile.
const SECONDARY: &str = r#"SELECT CAST(c.relname AS TEXT) AS "name", format('%I.%I', n.nspname, c.relname) AS "quoted",
        pg_get_indexdef(c.oid) AS "sql"
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indrelid = to_regclass(quote_ident($1)) AND c.relkind = 'i' AND NOT i.indisunique AND NOT i.indisexclusion
        AND NOT i.indisreplident AND NOT EXISTS (SELECT FROM pg_constraint f
            WHERE f.contype = 'f' AND f.conrelid = i.indrelid AND f.conkey[1] = i.indkey[0])
    ORDER BY c.oid"#;

/// An index of a table as it stands, and whether a server process is at it: one that builds an index of the table, or one
/// that has locked this one to drop it. Such a process goes on after its client was killed.
const STANDING: &str = r#"WITH found AS (SELECT format('%I.%I', n.nspname, c.relname) AS quoted, c.oid,
            i.indisvalid AND i.indisready AS valid
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE i.indrelid = to_regclass(quote_ident($1)) AND c.relname = $2)
    SELECT (SELECT quoted FROM found) AS "quoted", COALESCE((SELECT valid FROM found), false) AS "valid",
        EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'relation'
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
            AND (l.relation = (SELECT oid FROM found) AND l.mode = 'ShareUpdateExclusiveLock'
                OR l.relation = to_regclass(quote_ident($1)) AND l.mode <> 'AccessShareLock'
                    AND l.pid IN (SELECT p.pid FROM pg_stat_progress_create_index p))) AS "busy""#;

/// How far a build on a table is. What it counts differs from phase to phase.
const PROGRESS: &str = r#"SELECT p.phase AS "phase", p.current_locker_pid AS "waits_for",
        CASE WHEN p.blocks_total > 0 THEN 100 * p.blocks_done / p.blocks_total
            WHEN p.tuples_total > 0 THEN 100 * p.tuples_done / p.tuples_total END AS "percent"
    FROM pg_stat_progress_create_index p WHERE p.relid = to_regclass(quote_ident($1)) LIMIT 1"#;

/// Cancels what begins with a mark, in whichever session a pooler has put it.
const CANCEL: &str = "SELECT count(pg_cancel_backend(a.pid)) FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.state = 'active' AND starts_with(a.query, $1)";

/// What bounds a statement in a session where we may not set it.
const LIMITS: &str = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')";

/// An index as a statement makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// The same with its schema, quoted.
    pub quoted: String,
    /// The statement that makes it beside those who write.
    pub sql: String,
}

/// An index as it stands, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name with its schema, quoted, where there is one of that name.
    pub quoted: Option<String>,
    /// Whether it is whole, and used.
    pub is_valid: bool,
    /// Whether some server process is building or dropping it, or builds another one of the table.
    pub is_busy: bool,
}

/// The right to build, which one process of all has. It ends with its transaction, so with its process.
#[derive(Debug)]
pub struct Turn(Transaction);

/// A connection of its own for statements that run outside of a transaction and have no limit.
#[derive(Debug)]
pub struct Builder {
    connection: PgConnection,
    /// `statement_timeout` and `lock_timeout`, as the session has them; `0`: none.
    limits: [String; 2],
}

/// The indexes of a table that may be built later.
///
/// # Errors
/// The database's.
pub async fn secondary(
    connection: &impl ConnectionTrait,
    table: &str,
) -> Result<Vec<Definition>, DbErr> {
    let rows = all(connection, SECONDARY, [table.into()]).await?;
    let definition = |row: &QueryResult| {
        let sql: String = row.try_get("", "sql")?;
        Ok(Definition {
            name: row.try_get("", "name")?,
            quoted: row.try_get("", "quoted")?,
            sql: sql.replacen("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1),
        })
    };
    rows.iter().map(definition).collect()
}

impl Turn {
    /// Takes the right to build; none where another process has it.
    ///
    /// # Errors
    /// The database's.
    pub async fn take(database: &Database) -> Result<Option<Self>, DbErr> {
        let transaction = database.connection().begin_idle().await?;
        let taken = transaction.query_one_raw(statement(&transaction, TURN, []));
        let taken = match taken.await? {
            Some(row) => row.try_get("", "taken")?,
            None => false,
        };
        if !taken {
            transaction.rollback().await?;
            return Ok(None);
        }
        // An answered question keeps its snapshot until the next one, and a build waits for all snapshots: one message
        // ends it without another.
        transaction.execute_unprepared("SELECT 1").await?;
        Ok(Some(Self(transaction)))
    }

    /// Gives it back.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_back(self) -> Result<(), DbErr> {
        self.0.rollback().await
    }
}

impl Builder {
    /// Connects beside the pool. A direct connection has its limits taken off from the start; a pooler refuses that, and
    /// then the role's own hold.
    ///
    /// # Errors
    /// The database's.
    pub async fn connect(database: &Database) -> Result<Self, DbErr> {
        let connected = async {
            let options = database.connection().pool().connect_options();
            let unlimited = PgConnectOptions::clone(&options)
                .options([("statement_timeout", "0"), ("lock_timeout", "0")]);
            let mut connection = match unlimited.connect().await {
                Err(sqlx::Error::Database(_)) => options.connect().await?,
                connected => connected?,
            };
            let row = sqlx::raw_sql(LIMITS).fetch_one(&mut connection).await?;
            Ok::<_, sqlx::Error>(Self {
                limits: [row.try_get(0)?, row.try_get(1)?],
                connection,
            })
        };
        match tokio::time::timeout(PATIENCE, connected).await {
            Ok(connected) => connected.map_err(told),
            Err(_) => Err(DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout)),
        }
    }

    /// How long a statement may take, where something bounds it.
    #[must_use]
    pub fn statement_timeout(&self) -> Option<&str> {
        Some(self.limits[0].as_str()).filter(|limit| *limit != "0")
    }

    /// How long a statement may wait for a lock, where something bounds it.
    #[must_use]
    pub fn lock_timeout(&self) -> Option<&str> {
        Some(self.limits[1].as_str()).filter(|limit| *limit != "0")
    }

    /// Runs a statement, alone in its message: so it is outside of a transaction, and a pooler keeps it in one session.
    ///
    /// # Errors
    /// The database's.
    pub async fn run(&mut self, sql: &str) -> Result<(), DbErr> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        sql.execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(told)
    }

    /// Closes it. That it does not close in order changes nothing.
    pub async fn close(self) {
        let _ = tokio::time::timeout(PATIENCE, self.connection.close()).await;
    }
}

impl Database {
    /// How an index of a table stands.
    ///
    /// # Errors
    /// The database's.
    pub async fn index(&self, table: &str, name: &str) -> Result<Standing, DbErr> {
        let row = self.one(STANDING, [table.into(), name.into()]).await?;
        let row = row.ok_or(DbErr::RecordNotFound("an index".into()))?;
        Ok(Standing {
            quoted: row.try_get("", "quoted")?,
            is_valid: row.try_get("", "valid")?,
            is_busy: row.try_get("", "busy")?,
        })
    }

    /// How far the build of an index on a table is, in words; none where none is under way.
    ///
    /// # Errors
    /// The database's.
    pub async fn build_progress(&self, table: &str) -> Result<Option<String>, DbErr> {
        let Some(row) = self.one(PROGRESS, [table.into()]).await? else {
            return Ok(None);
        };
        let phase: String = row.try_get("", "phase")?;
        let waits_for: Option<i64> = row.try_get("", "waits_for")?;
        let percent: Option<i64> = row.try_get("", "percent")?;
        Ok(Some(match (waits_for.filter(|pid| *pid > 0), percent) {
            (Some(pid), _) => {
                format!("{phase}: the transaction of server process {pid} has to end first")
            }
            (None, Some(percent)) if !phase.starts_with("waiting") => {
                format!("{phase}, {percent} %")
            }
            (None, _) => phase,
        }))
    }

    /// Cancels the statement that begins with a mark.
    ///
    /// # Errors
    /// The database's.
    pub async fn cancel_marked(&self, mark: &str) -> Result<(), DbErr> {
        self.one(CANCEL, [mark.into()]).await.map(|_| ())
    }
}

fn told(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}
