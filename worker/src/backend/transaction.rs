//! A transaction, whose statements are never prepared under a name: see [`super::connection`].

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sea_orm::sqlx::{self, AssertSqlSafe, Postgres};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    Statement, Values,
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;

/// A transaction. One that is dropped is rolled back.
#[derive(Debug)]
pub struct Transaction(Inner);

#[derive(Debug)]
enum Inner {
    Postgres(Mutex<sqlx::Transaction<'static, Postgres>>),
    Sqlite(DatabaseTransaction),
}

impl Transaction {
    pub(super) fn postgres(begun: sqlx::Transaction<'static, Postgres>) -> Self {
        Self(Inner::Postgres(Mutex::new(begun)))
    }

    pub(super) fn sqlite(begun: DatabaseTransaction) -> Self {
        Self(Inner::Sqlite(begun))
    }

    /// Commits it. An error leaves its outcome unknown.
    ///
    /// # Errors
    /// The database's.
    pub async fn commit(self) -> Result<(), DbErr> {
        match self.0 {
            Inner::Postgres(begun) => begun.into_inner().commit().await.map_err(not_executed),
            Inner::Sqlite(begun) => begun.commit().await,
        }
    }

    /// Takes back what was done in it.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollback(self) -> Result<(), DbErr> {
        match self.0 {
            Inner::Postgres(begun) => begun.into_inner().rollback().await.map_err(not_executed),
            Inner::Sqlite(begun) => begun.rollback().await,
        }
    }

    /// Hands each row of a query on, on PostgreSQL as it arrives.
    pub(super) async fn each(
        &self,
        statement: &Statement,
        mut row: impl FnMut(&QueryResult) -> Result<(), DbErr> + Send,
    ) -> Result<(), DbErr> {
        match &self.0 {
            Inner::Postgres(begun) => {
                let mut begun = begun.lock().await;
                let mut rows = unnamed(statement.clone()).fetch(&mut **begun);
                while let Some(found) = rows.try_next().await.map_err(not_queried)? {
                    row(&found.into())?;
                }
                Ok(())
            }
            Inner::Sqlite(begun) => {
                let rows = begun.query_all_raw(statement.clone()).await?;
                rows.iter().try_for_each(row)
            }
        }
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            Inner::Postgres(_) => DbBackend::Postgres,
            Inner::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Inner::Postgres(begun) => {
                let done = unnamed(statement).execute(&mut **begun.lock().await).await;
                done.map(Into::into).map_err(not_executed)
            }
            Inner::Sqlite(begun) => begun.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Inner::Postgres(begun) => {
                let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
                let done = sql.execute(&mut **begun.lock().await).await;
                done.map(Into::into).map_err(not_executed)
            }
            Inner::Sqlite(begun) => begun.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            Inner::Postgres(begun) => {
                let mut begun = begun.lock().await;
                let found = unnamed(statement).fetch_optional(&mut **begun).await;
                let found = found.map_err(not_queried)?;
                Ok(found.map(Into::into))
            }
            Inner::Sqlite(begun) => begun.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Inner::Postgres(begun) => {
                let mut begun = begun.lock().await;
                let found = unnamed(statement).fetch_all(&mut **begun).await;
                let found = found.map_err(not_queried)?;
                Ok(found.into_iter().map(Into::into).collect())
            }
            Inner::Sqlite(begun) => begun.query_all_raw(statement).await,
        }
    }
}

/// A statement that is parsed anew each time. The transaction keeps the session between its parsing and its execution.
fn unnamed(statement: Statement) -> sqlx::query::Query<'static, Postgres, SqlxValues> {
    let values = statement.values.unwrap_or(Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values)).persistent(false)
}

fn not_executed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

fn not_queried(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}
