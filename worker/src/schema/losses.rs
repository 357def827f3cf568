//! What would be lost with the schema: rows in its tables and columns, and the journal.

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::JOURNAL;
use crate::backend::{Database, Dialect, quote, statement};
use crate::core::plan::{Column, Write};
use crate::engine::Plan;
use crate::error::{Doing, Error, Result};

/// Refuses to take the schema down while rows or journal would be lost.
///
/// # Errors
/// [`Error::Refused`], naming them.
pub async fn check_losses(database: &Database, plan: &Plan, discard_journal: bool) -> Result<()> {
    check(database, database.connection(), plan, discard_journal).await
}

/// The same within a transaction.
pub(super) async fn check(
    database: &Database,
    connection: &impl ConnectionTrait,
    plan: &Plan,
    discard_journal: bool,
) -> Result<()> {
    let losses = losses(database, connection, plan, discard_journal).await?;
    refuse(connection, losses).await
}

/// Says what would be lost, and only what applies to it.
async fn refuse(connection: &impl ConnectionTrait, losses: Vec<String>) -> Result<()> {
    if losses.is_empty() {
        return Ok(());
    }
    let is_journal = |loss: &String| loss.ends_with(JOURNAL);
    let mut advice = Vec::new();
    if losses.iter().any(|loss| !is_journal(loss)) {
        if has_standing_rows(connection).await? {
            advice.push("roll back the runs first (`cli rollback`)");
        }
        advice.push("remove rows of the application, and rows that a rollback kept, by hand");
    }
    if losses.iter().any(is_journal) {
        advice.push("export the journal (`cli journal export -o FILE`) and say --discard-journal");
    }
    Err(Error::Refused(format!(
        "taking the schema down would lose {}: {}",
        losses.join(", "),
        advice.join("; ")
    )))
}

/// Whether a run wrote rows that no rollback has looked at.
async fn has_standing_rows(connection: &impl ConnectionTrait) -> Result<bool> {
    let sql = "SELECT count(*) FROM \"backstitch_partition\" WHERE \"written\" > \"removed\" + \"kept\" + \"gone\"";
    let row = connection
        .query_one_raw(statement(connection, sql, []))
        .await;
    let count = row.and_then(|row| row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0)));
    Ok(count.doing("counting what runs wrote")? > 0)
}

/// Keeps everybody from writing what the check has not seen. On SQLite the transaction is the only writer already.
pub(super) async fn lock(
    database: &Database,
    transaction: &DatabaseTransaction,
    plan: &Plan,
) -> Result<()> {
    if database.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    for unit in plan.iter() {
        let table = &unit.definition().destination.table;
        if !database.columns(table).await?.is_empty() {
            let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", quote(table));
            let lock = statement(transaction, &lock, []);
            let locked = transaction.execute_raw(lock).await;
            locked.doing(format!("locking {table}"))?;
        }
    }
    Ok(())
}

/// What would be lost with the schema.
async fn losses(
    database: &Database,
    connection: &impl ConnectionTrait,
    plan: &Plan,
    discard_journal: bool,
) -> Result<Vec<String>> {
    let mut questions = Vec::new();
    for unit in plan.iter() {
        let destination = &unit.definition().destination;
        let (table, what) = (quote(&destination.table), &destination.table);
        let columns = database.columns(what).await?;
        match &destination.write {
            Write::Insert if columns.is_empty() => {}
            Write::Insert => {
                questions.push((format!("SELECT count(*) FROM {table}"), what.clone()));
            }
            // No plan's own unit takes back.
            Write::Remove | Write::Restore => {}
            Write::Update { .. } => {
                let there = |column: &&Column| columns.contains(&column.name);
                for column in destination.values().iter().filter(there) {
                    let name = quote(&column.name);
                    let sql = format!("SELECT count(*) FROM {table} WHERE {name} IS NOT NULL");
                    questions.push((sql, format!("{what}.{}", column.name)));
                }
            }
        }
    }
    if !discard_journal && !database.columns("backstitch_journal").await?.is_empty() {
        // That the schema was applied, and how, is nothing that anybody would miss.
        let sql = "SELECT count(*) FROM \"backstitch_journal\" \
             WHERE \"kind\" NOT IN ('SchemaApplied', 'IndexesDeferred')";
        let sql = sql.to_owned();
        questions.push((sql, JOURNAL.into()));
    }
    let mut losses = Vec::new();
    for (sql, what) in questions {
        let row = connection
            .query_one_raw(statement(connection, &sql, []))
            .await;
        let count = row.and_then(|row| row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0)));
        let count = count.doing(format!("counting {what}"))?;
        if count > 0 {
            let rows = if count == 1 { "row" } else { "rows" };
            losses.push(format!("{count} {rows} of {what}"));
        }
    }
    Ok(losses)
}
