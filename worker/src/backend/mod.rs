//! The seam between the engine and the two databases: connecting, transactions, and the few places where their SQL
//! differs. Knows nothing of units, journal or plan.

mod postgres;
mod sqlite;

use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database as Connector, DatabaseConnection,
    DatabaseTransaction, DbBackend, DbErr, QueryResult, RuntimeErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, Value, sqlx,
};

use crate::error::{Doing, Error, Result};

/// How safely a transaction must be on disk when its commit returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Others act on it: on disk first.
    Synced,
    /// Row and event are lost or kept together, and a replay goes by what is there: the disk may follow later.
    Relaxed,
}

/// A pool of connections to one database.
#[derive(Clone, Debug)]
pub struct Database {
    connection: DatabaseConnection,
}

impl Database {
    /// Connects, with up to `connections` at a time.
    ///
    /// # Errors
    /// [`Error::Usage`]: the URL is none of ours, the file or database does not exist, the password is wrong.
    /// [`Error::Transient`]: the server does not answer.
    pub async fn connect(url: &str, connections: u32) -> Result<Self> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(30))
            .connect_timeout(Duration::from_secs(10))
            .sqlx_logging(false);
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => postgres::configure(&mut options),
            Some("sqlite") => sqlite::configure(&mut options),
            _ => {
                return Err(Error::Usage(
                    "the database URL must begin with postgres:// or sqlite://; for instance \
                     postgres://user@host/database or sqlite://backstitch.db?mode=rwc"
                        .into(),
                ));
            }
        }
        let mut attempt = 0;
        loop {
            match Self::try_connect(options.clone()).await {
                Ok(database) => return Ok(database),
                // Two processes that make the file, or set its journal mode, at once: one is told at once that it is
                // locked, whatever the busy timeout.
                Err(error)
                    if sqlite::is_locked(&code(&error).unwrap_or_default()) && attempt < 100 =>
                {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(refused(url, error)),
            }
        }
    }

    async fn try_connect(options: ConnectOptions) -> Result<Self, DbErr> {
        let connection = Connector::connect(options).await?;
        let database = Self { connection };
        database.one("SELECT 1 AS \"one\"", []).await?;
        Ok(database)
    }

    /// The connection, for queries that need no transaction.
    #[must_use]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Which of the two it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        Dialect::of(&self.connection)
    }

    /// Begins a transaction that writes: limits on PostgreSQL, `BEGIN IMMEDIATE` on SQLite. All settings are local to
    /// it, because a pooler may hand the session to somebody else afterwards.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self, durability: Durability) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.connection.begin_with_options(options).await?;
        if self.dialect() == Dialect::Postgres {
            let settings = postgres::transaction_settings(durability);
            transaction
                .execute_raw(statement(&transaction, settings, []))
                .await?;
        }
        Ok(transaction)
    }

    /// Begins a transaction that only reads, at one snapshot.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_read(&self) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.connection.begin().await?;
        if self.dialect() == Dialect::Postgres {
            let settings = postgres::READ_SETTINGS;
            transaction
                .execute_raw(statement(&transaction, settings, []))
                .await?;
        }
        Ok(transaction)
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// The database's.
    pub async fn all(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        all(&self.connection, sql, values).await
    }

    /// The first row of a query.
    ///
    /// # Errors
    /// The database's.
    pub async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, DbErr> {
        self.connection
            .query_one_raw(statement(&self.connection, sql, values))
            .await
    }

    /// What tells this database from a copy of it: on PostgreSQL the cluster's system identifier and the database's
    /// oid, on SQLite the file's device and inode.
    ///
    /// # Errors
    /// The database's.
    pub async fn identity(&self) -> Result<String> {
        match self.dialect() {
            Dialect::Postgres => postgres::identity(&self.connection).await,
            Dialect::Sqlite => sqlite::identity(&self.connection).await,
        }
        .doing("reading the database's identity")
    }

    /// The names of a table's columns, in their order; empty where there is no such table.
    ///
    /// # Errors
    /// The database's.
    pub async fn columns(&self, table: &str) -> Result<Vec<String>> {
        let sql = match self.dialect() {
            Dialect::Postgres => postgres::COLUMNS,
            Dialect::Sqlite => sqlite::COLUMNS,
        };
        let rows = self.all(sql, [table.into()]).await;
        rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "name")).collect())
            .doing(format!("reading the columns of {table}"))
    }

    /// Foreign keys onto a table: rows behind them would be deleted or changed with a row of it, or forbid it.
    ///
    /// # Errors
    /// The database's.
    pub async fn references(&self, table: &str) -> Result<Vec<Reference>> {
        let sql = match self.dialect() {
            Dialect::Postgres => postgres::REFERENCES,
            Dialect::Sqlite => sqlite::REFERENCES,
        };
        let rows = self.all(sql, [table.into()]).await;
        let reference = |row: &QueryResult| {
            Ok(Reference {
                table: row.try_get("", "child")?,
                column: row.try_get("", "child_column")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(reference).collect())
            .doing(format!("reading the foreign keys onto {table}"))
    }
}

/// A foreign key onto a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The table that refers, quoted for SQL.
    pub table: String,
    /// The column that refers, as it is named.
    pub column: String,
}

/// The few differences between the two databases' SQL. Placeholders are `$1`, `$2`, … on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// Which one a connection speaks.
    pub fn of(connection: &impl ConnectionTrait) -> Self {
        match connection.get_database_backend() {
            DbBackend::Sqlite => Self::Sqlite,
            _ => Self::Postgres,
        }
    }

    /// A condition that holds where `expression` is one of the texts bound by [`Dialect::texts`].
    #[must_use]
    pub fn is_any(self, expression: &str, placeholder: &str) -> String {
        match self {
            Self::Postgres => format!("{expression} = ANY({placeholder})"),
            Self::Sqlite => {
                format!("{expression} IN (SELECT \"value\" FROM json_each({placeholder}))")
            }
        }
    }

    /// Any number of texts as one bound value.
    #[must_use]
    pub fn texts(self, texts: &[&str]) -> Value {
        match self {
            Self::Postgres => texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
                .into(),
            Self::Sqlite => serde_json::json!(texts).to_string().into(),
        }
    }

    /// The suffix that locks the rows of a SELECT; SQLite has one writer and needs none.
    #[must_use]
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Postgres => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// The database's clock, milliseconds since 1970.
    #[must_use]
    pub fn now(self) -> &'static str {
        match self {
            Self::Postgres => postgres::NOW,
            Self::Sqlite => sqlite::NOW,
        }
    }

    /// An expression for an instant's milliseconds since 1970; NULL where it is none (infinite, or not a time).
    #[must_use]
    pub fn millis(self, column: &str) -> String {
        match self {
            Self::Postgres => postgres::millis(column),
            Self::Sqlite => sqlite::millis(column),
        }
    }

    /// An expression for a column of type JSON as text.
    #[must_use]
    pub fn as_text(self, expression: &str) -> String {
        format!("CAST({expression} AS TEXT)")
    }

    /// An expression for a text as a value of a column's type. SQLite's columns convert what they are given.
    #[must_use]
    pub fn cast(self, expression: &str, sql_type: &str) -> String {
        match self {
            Self::Postgres => format!("CAST({expression} AS {sql_type})"),
            Self::Sqlite => expression.to_owned(),
        }
    }

    /// An expression for the length of a text in bytes.
    #[must_use]
    pub fn bytes(self, expression: &str) -> String {
        match self {
            Self::Postgres => format!("CAST(octet_length({expression}) AS BIGINT)"),
            Self::Sqlite => format!("length(CAST({expression} AS BLOB))"),
        }
    }

    /// An expression that pictures a row's columns: what [`Dialect::digest`] reads a digest from.
    #[must_use]
    pub fn image(self, table: &str, columns: &[String]) -> String {
        let columns: Vec<_> = columns
            .iter()
            .map(|column| format!("{}.{}", quote(table), quote(column)))
            .collect();
        match self {
            Self::Postgres => postgres::image(&columns),
            Self::Sqlite => sqlite::image(&columns),
        }
    }

    /// A row's digest, from the column that holds its [`Dialect::image`].
    ///
    /// # Errors
    /// The column is missing or of another type.
    pub fn digest(self, row: &QueryResult, column: &str) -> Result<u64, DbErr> {
        match self {
            Self::Postgres => Ok(row.try_get::<i64>("", column)?.cast_unsigned()),
            Self::Sqlite => Ok(sqlite::digest(&row.try_get::<String>("", column)?)),
        }
    }

    /// Takes the lock under which a run starts and a schema changes, until the transaction ends.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        if self == Self::Postgres {
            let lock = statement(transaction, postgres::LOCK, []);
            transaction.execute_raw(lock).await?;
        }
        Ok(())
    }
}

/// A statement with bound values.
pub fn statement(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}

/// All rows of a query.
///
/// # Errors
/// The database's.
pub async fn all(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    connection
        .query_all_raw(statement(connection, sql, values))
        .await
}

/// A quoted identifier.
#[must_use]
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Whether trying the whole transaction again may help.
#[must_use]
pub fn is_transient(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(inner) | DbErr::Exec(inner) | DbErr::Query(inner) => match inner {
            RuntimeErr::SqlxError(error) => match error.as_ref() {
                sqlx::Error::Io(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(database) => {
                    let code = database.code().unwrap_or_default();
                    postgres::is_transient(&code) || sqlite::is_transient(&code)
                }
                _ => false,
            },
            RuntimeErr::Internal(_) => false,
        },
        _ => false,
    }
}

/// Whether the server ended a statement because it took too long.
#[must_use]
pub fn is_timeout(error: &DbErr) -> bool {
    code(error).as_deref() == Some(postgres::QUERY_CANCELED)
}

/// The code under which the database refused a row for what is in it; none where the error is of another kind.
#[must_use]
pub fn refuses_row(error: &DbErr) -> Option<String> {
    code(error).filter(|code| postgres::refuses_row(code) || sqlite::refuses_row(code))
}

/// Whether a unique constraint refused a row.
#[must_use]
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_))
    )
}

/// The database's own message, without the statement, its values, or a row's content (PostgreSQL's DETAIL).
#[must_use]
pub fn describe(error: &DbErr) -> String {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => match error.as_ref() {
            sqlx::Error::Database(database) => match database.code() {
                Some(code) => format!("{} ({code})", database.message()),
                None => database.message().to_owned(),
            },
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn code(error: &DbErr) -> Option<String> {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    let sqlx::Error::Database(database) = error.as_ref() else {
        return None;
    };
    database.code().map(std::borrow::Cow::into_owned)
}

/// Why a connection could not be made, and what to do.
fn refused(url: &str, error: DbErr) -> Error {
    let target = target(url);
    let said = describe(&error);
    let code = code(&error).unwrap_or_default();
    if let Some(hint) = postgres::connect_hint(&code).or_else(|| sqlite::connect_hint(&code)) {
        return Error::Usage(format!("cannot open the database {target}: {said}; {hint}"));
    }
    if is_transient(&error) {
        return Error::Transient(format!(
            "cannot reach the database {target}: {said}; check that it is up and not held by another process, then \
             try again"
        ));
    }
    Error::Usage(format!(
        "cannot open the database {target}: {said}; check the database URL"
    ))
}

/// What a URL names, without user, password and parameters.
fn target(url: &str) -> &str {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    let rest = rest.trim_start_matches("//");
    let end = rest.find('?').unwrap_or(rest.len());
    let rest = &rest[..end];
    match url.starts_with("sqlite:") {
        true => rest,
        false => rest.rsplit_once('@').map_or(rest, |(_, host)| host),
    }
}
