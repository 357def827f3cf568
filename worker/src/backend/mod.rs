//! The seam between the engine and the two databases: connecting, transactions, and the few places where their SQL
//! differs. Knows nothing of units, journal or plan.

mod address;
mod connect;
mod connection;
mod dialect;
mod errors;
pub mod health;
pub mod indexes;
mod life;
mod postgres;
mod sqlite;
mod target;
mod transaction;

use std::collections::HashMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, Value};

pub use self::address::Address;
pub use self::connect::Access;
pub use self::connection::Connection;
pub use self::dialect::Dialect;
pub use self::errors::{
    code, describe, hint, is_timeout, is_transient, is_unique_violation, refuses_row,
};
pub use self::life::life;
pub use self::transaction::Transaction;
use crate::error::{Doing, Error, Result};

/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

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
    connection: Connection,
}

impl Database {
    /// Closes all connections, so that SQLite folds its log back into the file. What follows fails.
    pub async fn close(&self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(
                error = describe(&error),
                "the database did not close in order"
            );
        }
    }

    /// The connection, for queries that need no transaction.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Which of the two it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        Dialect::of(&self.connection)
    }

    /// How many transactions were begun through it since it was connected.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.connection.begun()
    }

    /// The same database on a connection of its own, which is made when it is first asked, by whoever asks; none on SQLite.
    #[must_use]
    pub fn beside(&self) -> Option<Self> {
        (self.dialect() == Dialect::Postgres).then(|| Self {
            connection: postgres::beside(self.connection.pool()).into(),
        })
    }

    /// How many connections it has open; 0 on SQLite.
    #[must_use]
    pub fn open_connections(&self) -> u32 {
        match self.dialect() {
            Dialect::Postgres => self.connection.pool().size(),
            Dialect::Sqlite => 0,
        }
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self, durability: Durability) -> Result<Transaction, DbErr> {
        self.connection.begin(durability).await
    }

    /// Begins a transaction that only reads, at one snapshot.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_read(&self) -> Result<Transaction, DbErr> {
        self.connection.begin_read().await
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

    /// Refuses to go on with a table that is there and that the role may not read.
    ///
    /// # Errors
    /// [`Error::Usage`]: it may not be read. The database's.
    pub async fn check_readable(&self, table: &str) -> Result<()> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let doing = format!("looking at the rights to {table}");
        let row = self.one(postgres::FORBIDDEN, [table.into()]).await;
        let role = row
            .and_then(|row| row.map(|row| row.try_get::<String>("", "role")).transpose())
            .doing(doing)?;
        match role {
            None => Ok(()),
            Some(role) => Err(Error::Usage(format!(
                "the role {role} may not read the table {table} (42501); grant the role what it lacks, or use another \
                 role"
            ))),
        }
    }

    /// Whether triggers fire after a statement that writes to a table.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_followed(&self, table: &str) -> Result<bool> {
        let sql = match self.dialect() {
            Dialect::Postgres => postgres::FOLLOWED,
            Dialect::Sqlite => sqlite::FOLLOWED,
        };
        let found = self.one(sql, [table.into()]).await;
        let found = found.doing(format!("looking for triggers of {table}"))?;
        Ok(found.is_some())
    }

    /// Whether a table is an ordinary one, and readable as a whole: no view, no foreign table, no partitioned one, and none
    /// that others inherit from.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_plain(&self, table: &str) -> Result<bool> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(false);
        }
        let found = self.one(postgres::PLAIN, [table.into()]).await;
        let found = found.doing(format!("looking at what kind of table {table} is"))?;
        Ok(found.is_some())
    }

    /// Whether a table has triggers or rules that may make another row of what is written to it.
    ///
    /// # Errors
    /// The database's.
    pub async fn may_alter(&self, table: &str) -> Result<bool> {
        let sql = match self.dialect() {
            Dialect::Postgres => postgres::ALTERING,
            Dialect::Sqlite => sqlite::FOLLOWED,
        };
        let found = self.one(sql, [table.into()]).await;
        let found = found.doing(format!("looking for triggers and rules of {table}"))?;
        Ok(found.is_some())
    }

    /// The types of a table's columns, by name, as the database spells them; SQLite's columns have none that binds.
    ///
    /// # Errors
    /// The database's.
    pub async fn types(&self, table: &str) -> Result<HashMap<String, String>> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(HashMap::new());
        }
        let doing = format!("reading the column types of {table}");
        let rows = self.all(postgres::TYPES, [table.into()]).await;
        let kind = |row: &QueryResult| Ok((row.try_get("", "name")?, row.try_get("", "type")?));
        rows.and_then(|rows| rows.iter().map(kind).collect())
            .doing(doing)
    }

    /// Refuses a destination that another table inherits from: its rows show up among ours, under any key.
    ///
    /// # Errors
    /// [`Error::Refused`]: there is one. The database's.
    pub async fn check_without_heirs(&self, table: &str) -> Result<()> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let found = self.one(postgres::HEIR, [table.into()]).await;
        let heir = found
            .and_then(|row| row.map(|row| row.try_get::<String>("", "name")).transpose())
            .doing(format!("looking for tables that inherit from {table}"))?;
        match heir {
            None => Ok(()),
            Some(heir) => Err(Error::Refused(format!(
                "the table {heir} inherits from {table}, so its rows cannot be told from those of {table}: take it out \
                 (ALTER TABLE {heir} NO INHERIT …), or partition {table} declaratively"
            ))),
        }
    }

    /// How far the server's replicas have come, but for those of these names. SQLite has none.
    ///
    /// # Errors
    /// The database's.
    pub async fn replication(&self, ignored: &[String]) -> Result<Replication, DbErr> {
        match self.dialect() {
            Dialect::Postgres => postgres::replication(&self.connection, ignored).await,
            Dialect::Sqlite => Ok(Replication::default()),
        }
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
        let doing = format!("reading the foreign keys onto {table}");
        let rows = self.all(sql, [table.into()]).await.doing(doing.as_str())?;
        let mut references: Vec<Reference> = Vec::new();
        for row in &rows {
            let read = || {
                let name: String = row.try_get("", "constraint")?;
                let table: String = row.try_get("", "child")?;
                let column: String = row.try_get("", "child_column")?;
                let to: Option<String> = row.try_get("", "parent_column")?;
                Ok((name, table, column, to))
            };
            let (name, table, column, to) = read().doing(doing.as_str())?;
            match references.last_mut() {
                Some(last) if last.name == name => last.columns.push((column, to)),
                _ => references.push(Reference {
                    name,
                    table,
                    columns: vec![(column, to)],
                }),
            }
        }
        Ok(references)
    }
}

/// The replicas of a server, as far as the role may see them. Positions are bytes from the log's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// Where the log ends.
    pub end: i64,
    /// The replica that is furthest behind: its name, and up to where it has replayed the log.
    pub slowest: Option<(String, i64)>,
    /// How many the role may not see.
    pub hidden: usize,
}

/// A foreign key onto a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What tells it from others.
    pub name: String,
    /// The table that refers, quoted for SQL.
    pub table: String,
    /// Each column that refers, and the one that it refers to; none: the primary key.
    pub columns: Vec<(String, Option<String>)>,
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

/// Whether a value is bytes: SQLite lets a column of text hold them.
#[must_use]
pub fn is_blob(row: &QueryResult, column: &str) -> bool {
    sqlite::is_blob(row, column)
}

/// A quoted identifier.
#[must_use]
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
