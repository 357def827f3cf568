//! The marker: which demo is in a database, and whether all of it is.
//!
//! It proves that the source tables beside it were made here, so that only those are ever emptied.

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use crate::backend::{Connection, Transaction};

use super::tables::TABLES;
use super::{DemoError, Size};

/// The marker's table holds one row. `attempt` goes up whenever an unfinished demo is begun anew.
const CREATE_MARKER: &str = r#"
CREATE TABLE "backstitch_demo" (
  "campaigns" BIGINT NOT NULL,
  "tasks"     BIGINT NOT NULL,
  "seed"      TEXT NOT NULL,
  "as_of"     TEXT NOT NULL,
  "complete"  INTEGER NOT NULL,
  "attempt"   BIGINT NOT NULL
)"#;

/// Any number does that nobody else uses; these are the letters "bstdemo".
const ALONE: &str = "SELECT pg_advisory_xact_lock(x'62737464656d6f'::bigint)";

/// What there is to do in a database.
#[derive(Debug)]
pub(super) enum Found {
    /// The tables are there and empty, and ours to fill.
    Empty(Attempt),
    /// The very demo that was asked for is complete.
    Complete(Size),
}

/// The right to fill the tables, which ends when another process begins the same demo anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt(i64);

/// Makes the tables ready to be filled, if they are ours to fill.
pub(super) async fn prepare(db: &Connection, size: &Size) -> Result<Found, DemoError> {
    let tx = db.begin_unlimited().await?;
    let found = prepare_in(&tx, size).await;
    match found {
        Ok(_) => tx.commit().await?,
        // The first error tells why; a rollback that fails too, on a connection that is gone, adds nothing.
        Err(_) => drop(tx.rollback().await),
    }
    found
}

async fn prepare_in(tx: &Transaction, size: &Size) -> Result<Found, DemoError> {
    let backend = tx.get_database_backend();
    if backend == DbBackend::Postgres {
        // Two processes that both find no table would both create them; SQLite's transaction is alone already.
        tx.execute_unprepared(ALONE).await?;
    }
    let there = existing(tx).await?;
    let marked = there.iter().any(|name| name == "backstitch_demo");
    let tables = there.len() - usize::from(marked);
    if !marked && tables > 0 {
        return Err(DemoError::Occupied);
    }
    if !marked {
        tx.execute_unprepared(CREATE_MARKER).await?;
    }
    if tables == 0 {
        let schema = match backend {
            DbBackend::Postgres => include_str!("phase45.postgres.sql"),
            _ => include_str!("phase45.sqlite.sql"),
        };
        tx.execute_unprepared(schema).await?;
        return begin_attempt(tx, size, 1).await.map(Found::Empty);
    }
    // Taking the row's lock first waits for whoever is filling the tables right now, and sees all that they wrote.
    let taken = r#"UPDATE "backstitch_demo" SET "attempt" = "attempt" + 1 WHERE "complete" = 0 RETURNING "attempt""#;
    if let Some(row) = tx
        .query_one_raw(Statement::from_string(backend, taken))
        .await?
    {
        for table in TABLES.iter().rev() {
            tx.execute_unprepared(&format!(r#"DELETE FROM "{}""#, table.name))
                .await?;
        }
        return begin_attempt(tx, size, row.try_get("", "attempt")?)
            .await
            .map(Found::Empty);
    }
    match stored(tx).await? {
        Some(there) if there == *size => Ok(Found::Complete(there)),
        Some(there) => Err(DemoError::Different(there)),
        None => Err(DemoError::Occupied),
    }
}

impl Attempt {
    /// Begins a transaction that may write into the tables, unless somebody else has begun this demo anew since.
    pub(super) async fn begin(self, db: &Connection) -> Result<Transaction, DemoError> {
        let tx = db.begin_unlimited().await?;
        let keep = r#"UPDATE "backstitch_demo" SET "attempt" = "attempt" WHERE "attempt" = $1 AND "complete" = 0"#;
        let kept = tx
            .execute_raw(Statement::from_sql_and_values(
                tx.get_database_backend(),
                keep,
                [self.0.into()],
            ))
            .await;
        match kept {
            Ok(kept) if kept.rows_affected() == 1 => Ok(tx),
            kept => {
                let _ = tx.rollback().await;
                Err(kept.map_or_else(DemoError::Database, |_| DemoError::Overtaken))
            }
        }
    }

    /// Notes that the demo is complete, in the transaction that wrote its last rows.
    pub(super) async fn complete(self, tx: &Transaction) -> Result<(), DbErr> {
        tx.execute_unprepared(r#"UPDATE "backstitch_demo" SET "complete" = 1"#)
            .await?;
        Ok(())
    }
}

/// Which of our tables' names are taken, the marker's included. SQLite's names ignore case.
async fn existing(tx: &Transaction) -> Result<Vec<String>, DbErr> {
    let backend = tx.get_database_backend();
    let names = TABLES
        .iter()
        .map(|table| format!("('{}')", table.name))
        .collect::<Vec<_>>()
        .join(", ");
    let is_taken = match backend {
        DbBackend::Postgres => "to_regclass(quote_ident(wanted.name)) IS NOT NULL",
        _ => {
            "wanted.name COLLATE NOCASE IN (SELECT name FROM sqlite_master WHERE type IN ('table', 'view'))"
        }
    };
    let sql = format!(
        "WITH wanted (name) AS (VALUES ('backstitch_demo'), {names}) SELECT wanted.name AS name FROM wanted WHERE {is_taken}"
    );
    let rows = tx
        .query_all_raw(Statement::from_string(backend, sql))
        .await?;
    rows.iter().map(|row| row.try_get("", "name")).collect()
}

async fn begin_attempt(tx: &Transaction, size: &Size, attempt: i64) -> Result<Attempt, DemoError> {
    let backend = tx.get_database_backend();
    tx.execute_unprepared(r#"DELETE FROM "backstitch_demo""#)
        .await?;
    let number = |number| {
        i64::try_from(number).map_err(|_| DbErr::Custom(format!("a demo of {number} is too large")))
    };
    let values: [Value; 5] = [
        number(size.campaigns)?.into(),
        number(size.tasks)?.into(),
        size.seed.to_string().into(),
        size.as_of
            .to_rfc3339_opts(SecondsFormat::AutoSi, true)
            .into(),
        attempt.into(),
    ];
    let sql = r#"INSERT INTO "backstitch_demo" ("campaigns", "tasks", "seed", "as_of", "complete", "attempt") VALUES ($1, $2, $3, $4, 0, $5)"#;
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(Attempt(attempt))
}

async fn stored(tx: &Transaction) -> Result<Option<Size>, DbErr> {
    let sql = r#"SELECT "campaigns", "tasks", "seed", "as_of" FROM "backstitch_demo""#;
    let Some(row) = tx
        .query_one_raw(Statement::from_string(tx.get_database_backend(), sql))
        .await?
    else {
        return Ok(None);
    };
    let unreadable = |what: &str| {
        DbErr::Custom(format!(
            "the marker table \"backstitch_demo\" holds an unreadable {what}"
        ))
    };
    let as_of: String = row.try_get("", "as_of")?;
    Ok(Some(Size {
        campaigns: u64::try_from(row.try_get::<i64>("", "campaigns")?)
            .map_err(|_| unreadable("number of campaigns"))?,
        tasks: u64::try_from(row.try_get::<i64>("", "tasks")?)
            .map_err(|_| unreadable("number of tasks"))?,
        seed: row
            .try_get::<String>("", "seed")?
            .parse()
            .map_err(|_| unreadable("seed"))?,
        as_of: as_of
            .parse::<DateTime<Utc>>()
            .map_err(|_| unreadable("as_of"))?,
    }))
}
