//! What a database tells of itself before anything is done to it. Each question stands alone; none changes anything.

mod activity;
mod asked;
mod blocked;
mod growth;
mod pressure;
mod rights;
mod room;
mod server;
mod session;

use sea_orm::{FromQueryResult, Value};

use super::{Database, Dialect};
use crate::error::{Doing, Result};

pub use self::activity::{Freeze, Prepared, Sequence, Transaction};
pub use self::blocked::Blocked;
pub use self::growth::{Sizes, sizes};
pub use self::pressure::{Chores, Sessions};
pub use self::rights::{Lacking, Owner};
pub(crate) use self::room::here;
pub use self::room::{Archiver, Slot, Storage, WalRoom};
pub use self::server::{Collation, Server};
pub use self::session::Session;

/// What an SQLite database tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct File {
    /// The library's release.
    pub version: String,
    /// The file's absolute path; empty for a database in memory.
    pub path: String,
    /// Its journal mode.
    pub journal: String,
    /// The file's size in bytes, without its log.
    pub bytes: i64,
}

const FILE: &str = r#"SELECT sqlite_version() AS "version", l."file" AS "path", j."journal_mode" AS "journal",
        c."page_count" * s."page_size" AS "bytes"
    FROM pragma_database_list l, pragma_journal_mode j, pragma_page_count c, pragma_page_size s
    WHERE l."name" = 'main'"#;

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

#[derive(FromQueryResult)]
struct Number {
    number: i64,
}

/// Texts as one bound value of PostgreSQL's.
fn texts(texts: &[String]) -> Value {
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    Dialect::Postgres.texts(&texts)
}

impl Database {
    /// What an SQLite database tells of itself; none on PostgreSQL.
    ///
    /// # Errors
    /// The database's.
    pub async fn file(&self) -> Result<Option<File>> {
        match self.dialect() {
            Dialect::Postgres => Ok(None),
            Dialect::Sqlite => self.first(FILE, [], "looking at the file").await,
        }
    }

    /// All rows of a query as what they stand for.
    async fn every<T: FromQueryResult>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
        doing: &str,
    ) -> Result<Vec<T>> {
        let rows = self.all(sql, values).await.doing(doing)?;
        let rows: std::result::Result<_, _> = rows
            .iter()
            .map(|row| T::from_query_result(row, ""))
            .collect();
        rows.doing(doing)
    }

    /// The first row of a query as what it stands for.
    async fn first<T: FromQueryResult>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
        doing: &str,
    ) -> Result<Option<T>> {
        Ok(self.every(sql, values, doing).await?.into_iter().next())
    }

    /// The names that a question about tables is answered with.
    async fn names(&self, sql: &str, tables: &[String], doing: &str) -> Result<Vec<String>> {
        let names: Vec<Name> = self.every(sql, [texts(tables)], doing).await?;
        Ok(names.into_iter().map(|name| name.name).collect())
    }
}
