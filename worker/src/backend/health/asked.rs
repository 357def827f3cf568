//! A question of the operator's own.

use sea_orm::{ConnectionTrait, DbErr};

use super::super::{Connection, Database, statement};
use crate::error::{Doing, Result};

impl Database {
    /// The first value of the first row of a query of the operator's, as text; none where it gives no row, or NULL. It may
    /// change nothing, and is given two seconds on PostgreSQL.
    ///
    /// # Errors
    /// The database's.
    pub async fn asked(&self, query: &str) -> Result<Option<String>> {
        let asked = ask(self.connection(), query).await;
        asked.doing("asking the query of --hold-when")
    }
}

/// As part of another, so that a query alone will do: no second statement, none that writes.
async fn ask(connection: &Connection, query: &str) -> Result<Option<String>, DbErr> {
    let query = query.trim().trim_end_matches(';');
    let sql = format!(
        "WITH asked (\"answer\") AS (\n{query}\n) SELECT CAST(\"answer\" AS TEXT) AS \"answer\" FROM asked LIMIT 1"
    );
    let transaction = connection.begin_asked().await?;
    let row = transaction
        .query_one_raw(statement(&transaction, &sql, []))
        .await;
    // It changed nothing, and how it ends changes nothing either.
    let _ = transaction.rollback().await;
    row?.map_or(Ok(None), |row| row.try_get("", "answer"))
}
