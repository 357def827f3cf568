//! What statements outside a transaction go through, and what begins one.
//!
//! SeaORM prepares every statement under a name, and between that and its execution a transaction pooler may hand
//! the session to somebody else, whose statements have the same names: at best the second half fails, at worst it
//! executes theirs. So on PostgreSQL each statement here runs in a transaction and stays unnamed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sea_orm::sqlx;
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, QueryResult, RuntimeErr, SqliteTransactionMode, Statement, StreamTrait,
    TransactionOptions, TransactionTrait,
};

use super::transaction::Transaction;
use super::{Durability, postgres};

/// The connections to a database. On PostgreSQL each statement is a transaction of its own.
#[derive(Clone, Debug)]
pub struct Connection {
    inner: DatabaseConnection,
    /// Transactions begun, single statements counted in.
    begun: Arc<AtomicU64>,
}

impl From<DatabaseConnection> for Connection {
    fn from(inner: DatabaseConnection) -> Self {
        Self {
            inner,
            begun: Arc::default(),
        }
    }
}

impl Connection {
    /// Begins a transaction that writes: limits on PostgreSQL, `BEGIN IMMEDIATE` on SQLite. All settings are local to
    /// it, because a pooler may hand the session to somebody else afterwards. Who waits for a lock must see what its
    /// holder has committed, whatever the database's default isolation is.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self, durability: Durability) -> Result<Transaction, DbErr> {
        self.begin_with(postgres::begin(durability), IMMEDIATE)
            .await
    }

    /// The same without limits: for what nobody waits for.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_unlimited(&self) -> Result<Transaction, DbErr> {
        self.begin_with(postgres::BEGIN_UNLIMITED, IMMEDIATE).await
    }

    /// The same for what is held while nothing is done in it: it may stay idle for as long as it takes.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn begin_idle(&self) -> Result<Transaction, DbErr> {
        self.begin_with(postgres::BEGIN_IDLE, None).await
    }

    /// Begins a transaction that only reads, at one snapshot.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_read(&self) -> Result<Transaction, DbErr> {
        self.begin_with(postgres::BEGIN_READ, None).await
    }

    /// The same without limits, for as long as a backup takes.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_snapshot(&self) -> Result<Transaction, DbErr> {
        self.begin_with(postgres::BEGIN_SNAPSHOT, None).await
    }

    /// Begins a transaction for SeaORM's migrator, which takes no other. It prepares under names: those that others
    /// have left in the session are taken out of its way first.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_schema_change(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: IMMEDIATE,
            ..TransactionOptions::default()
        };
        let transaction = self.inner.begin_with_options(options).await?;
        if self.get_database_backend() == DbBackend::Postgres {
            let settings = postgres::SCHEMA_SETTINGS;
            transaction.execute_unprepared(settings).await?;
        }
        Ok(transaction)
    }

    /// Hands each row of a query on as it arrives: there may be more than fit in memory.
    ///
    /// # Errors
    /// The database's; those of `row`, which end the query.
    pub async fn each(
        &self,
        statement: Statement,
        mut row: impl FnMut(&QueryResult) -> Result<(), DbErr> + Send,
    ) -> Result<(), DbErr> {
        if self.get_database_backend() == DbBackend::Postgres {
            let transaction = self.begin_with(postgres::BEGIN_ONE, None).await?;
            return match transaction.each(&statement, row).await {
                Ok(()) => transaction.commit().await,
                Err(error) => Err(abandoned(transaction, error).await),
            };
        }
        let mut rows = self.inner.stream_raw(statement).await?;
        while let Some(found) = rows.try_next().await? {
            row(&found)?;
        }
        Ok(())
    }

    /// Begins a transaction around a question of the operator's: it changes nothing, and nobody waits for it for long.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn begin_asked(&self) -> Result<Transaction, DbErr> {
        self.begin_with(postgres::BEGIN_ASKED, None).await
    }

    /// Closes all connections. What follows fails.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.inner.close_by_ref().await
    }

    /// How many transactions were begun through it.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// The pool behind it, on PostgreSQL.
    pub(super) fn pool(&self) -> &sqlx::PgPool {
        self.inner.get_postgres_connection_pool()
    }

    async fn begin_with(
        &self,
        postgres: &'static str,
        sqlite: Option<SqliteTransactionMode>,
    ) -> Result<Transaction, DbErr> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        if self.get_database_backend() == DbBackend::Postgres {
            let pool = self.inner.get_postgres_connection_pool();
            let begun = pool.begin_with(postgres).await.map_err(unavailable)?;
            return Ok(Transaction::postgres(begun));
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: sqlite,
            ..TransactionOptions::default()
        };
        let begun = self.inner.begin_with_options(options).await?;
        Ok(Transaction::sqlite(begun))
    }

    async fn one(&self) -> Result<Transaction, DbErr> {
        self.begin_with(postgres::BEGIN_ONE, None).await
    }
}

const IMMEDIATE: Option<SqliteTransactionMode> = Some(SqliteTransactionMode::Immediate);

/// Ends a transaction whose statement has erred; that error tells why, and one of the rollback, on a connection that
/// is gone, adds nothing.
async fn abandoned(transaction: Transaction, error: DbErr) -> DbErr {
    let _ = transaction.rollback().await;
    error
}

fn unavailable(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}

/// Runs a method in a transaction of its own on PostgreSQL, as it is on SQLite.
macro_rules! alone {
    ($self:ident, $method:ident, $argument:expr) => {{
        if $self.get_database_backend() != DbBackend::Postgres {
            return $self.inner.$method($argument).await;
        }
        let transaction = $self.one().await?;
        match transaction.$method($argument).await {
            Ok(answer) => transaction.commit().await.map(|()| answer),
            Err(error) => Err(abandoned(transaction, error).await),
        }
    }};
}

#[async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(&self.inner)
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        alone!(self, execute_raw, statement)
    }

    /// In one message, so that it needs no transaction around it.
    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.inner.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        alone!(self, query_one_raw, statement)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        alone!(self, query_all_raw, statement)
    }
}
