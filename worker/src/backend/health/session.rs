//! Whether a session of the server is ours alone, or a pooler hands it to others between two transactions.

use sea_orm::sqlx::{self, Postgres, Row as _, pool::PoolConnection};
use sea_orm::{DbErr, RuntimeErr};

use super::super::{Database, Dialect};
use crate::error::{Doing, Result};

/// Looks at most: a pooler that hands out the session that was idle for longest shows itself at the second.
const TRIES: u32 = 4;

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Ours, until the connection ends: a direct connection, or a pooler that pools whole sessions.
    Own,
    /// Handed to somebody else between two transactions.
    Shared,
}

impl Database {
    /// Whether two connections of ours are seen in one session, or one of them in two. Who waits while the other holds a
    /// transaction open would have to be given another session: so this does not depend on how a pooler chooses.
    ///
    /// # Errors
    /// The database's.
    pub async fn session(&self) -> Result<Session> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(Session::Own);
        }
        self.look_at_sessions()
            .await
            .map_err(|error| DbErr::Query(RuntimeErr::SqlxError(error.into())))
            .doing("looking whether the connection is pooled")
    }

    async fn look_at_sessions(&self) -> Result<Session, sqlx::Error> {
        let pool = self.connection.pool();
        let (mut one, mut other) = (pool.acquire().await?, pool.acquire().await?);
        let first = process(&mut one).await?;
        for _ in 0..TRIES {
            // Each statement outside of a transaction is one.
            let mut held = sqlx::Connection::begin(&mut *other).await?;
            let row = sqlx::raw_sql(PROCESS).fetch_one(&mut *held).await;
            let again = process(&mut one).await;
            held.rollback().await?;
            let (held, again): (i32, i32) = (row?.try_get(0)?, again?);
            if held == first || again != first {
                return Ok(Session::Shared);
            }
        }
        Ok(Session::Own)
    }
}

/// In one message, so that nothing is prepared in a session that may not be ours.
const PROCESS: &str = "SELECT pg_backend_pid()";

async fn process(connection: &mut PoolConnection<Postgres>) -> Result<i32, sqlx::Error> {
    let row = sqlx::raw_sql(PROCESS).fetch_one(&mut **connection).await?;
    row.try_get(0)
}
