//! The schema: what is pending, applying it, taking it down, and whether the sources are what the plan's units read.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::backend::{Database, Dialect, quote, statement};
use crate::core::plan::{Column, Destination, Write};
use crate::engine::Plan;
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::retry::Retry;
use crate::shutdown::Shutdown;
use crate::source::Source;

/// The journal's table.
const JOURNAL: &str = "backstitch_journal";

/// A change of the schema, and whether it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Whether it is applied.
    pub is_applied: bool,
}

/// All changes in their order.
///
/// # Errors
/// The database's.
pub async fn status(database: &Database) -> Result<Vec<Change>> {
    // The list of tables leaves out those that the role may not read, so that they would seem not to be there.
    let table = Migrator::migration_table_name().to_string();
    database.check_readable(&table).await?;
    let applied = applied(database).await?;
    let changes: Vec<_> = Migrator::migrations()
        .iter()
        .map(|migration| Change {
            name: migration.name().to_owned(),
            is_applied: applied.iter().any(|name| name == migration.name()),
        })
        .collect();
    let is_unknown = |name: &&String| !changes.iter().any(|change| change.name == **name);
    if let Some(newer) = applied.iter().find(is_unknown) {
        return Err(Error::Refused(format!(
            "the schema is newer than this program, which does not know its change {newer}: use a newer release"
        )));
    }
    Ok(changes)
}

/// What is applied, by whatever release. Read without the migrator, whose statements survive no pooler.
async fn applied(database: &Database) -> Result<Vec<String>> {
    let table = Migrator::migration_table_name().to_string();
    if database.columns(&table).await?.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT \"version\" FROM {}", quote(&table));
    let rows = database.all(&sql, []).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "version")).collect())
        .doing("reading which schema changes are applied")
}

/// Refuses to go on while changes are pending.
///
/// # Errors
/// [`Error::Refused`], with the command to run.
pub async fn check_applied(database: &Database) -> Result<()> {
    let changes = status(database).await?;
    let pending: Vec<_> = changes
        .iter()
        .filter(|change| !change.is_applied)
        .map(|change| change.name.as_str())
        .collect();
    if pending.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "the schema is not applied yet (pending: {}): run `cli schema up`, or `worker run --migrate`",
        pending.join(", ")
    )))
}

/// Applies what is pending, under a lock, in one transaction, never waiting long for a table's lock: whoever queues
/// behind us would wait as long. Gives the names of what was applied.
///
/// # Errors
/// [`Error::Refused`]: a table of somebody else is in the way. The database's. Nothing is applied then.
pub async fn up(database: &Database, plan: &Plan) -> Result<Vec<String>> {
    let mut retry = Retry::default();
    loop {
        match try_up(database, plan).await {
            Ok(applied) => return Ok(applied),
            Err(error) => retry.pause(error, &Shutdown::default()).await?,
        }
    }
}

async fn try_up(database: &Database, plan: &Plan) -> Result<Vec<String>> {
    let transaction = begin(database).await?;
    fault::point(|| "schema: locked".into());
    let pending = Migrator::get_pending_migrations_read_only(&transaction).await;
    let pending = pending.doing("reading which schema changes are applied")?;
    let names: Vec<_> = pending
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    if !names.is_empty() {
        check_shapes(database, plan).await?;
        let applied = Migrator::up(&transaction, None).await;
        applied.doing("applying the schema; nothing of it was kept")?;
    }
    fault::point(|| "schema: applied".into());
    transaction.commit().await.doing("applying the schema")?;
    fault::point(|| "schema: committed".into());
    Ok(names)
}

/// Refuses destinations that are there already and are not what a unit writes into: somebody else's tables.
async fn check_shapes(database: &Database, plan: &Plan) -> Result<()> {
    for unit in plan.iter() {
        let destination = &unit.definition().destination;
        // What is updated is the application's own table, to which the schema adds.
        if destination.write != Write::Insert {
            continue;
        }
        let columns = database.columns(&destination.table).await?;
        let mut wanted = destination.columns.iter();
        if let Some(column) = wanted.find(|column| !columns.contains(&column.name))
            && !columns.is_empty()
        {
            return Err(Error::Refused(format!(
                "table {} is there already and has no column {}, so it is not the one that unit {} writes into; \
                 nothing was changed: rename it, or see whose it is",
                destination.table,
                column.name,
                unit.definition().name
            )));
        }
    }
    Ok(())
}

/// Takes the schema down again.
///
/// # Errors
/// [`Error::Refused`]: rows or journal would be lost.
pub async fn down(database: &Database, plan: &Plan, discard_journal: bool) -> Result<Vec<String>> {
    let transaction = begin(database).await?;
    let applied = Migrator::get_applied_migrations_read_only(&transaction).await;
    let applied = applied.doing("reading which schema changes are applied")?;
    // Taken down in the reverse order.
    let names: Vec<_> = applied
        .iter()
        .rev()
        .map(|migration| migration.name().to_owned())
        .collect();
    if names.is_empty() {
        transaction.rollback().await.doing("ending a transaction")?;
        return Ok(names);
    }
    // Nobody may write what the check below has not seen.
    lock_destinations(database, &transaction, plan).await?;
    refuse_losses(
        &transaction,
        losses(database, &transaction, plan, discard_journal).await?,
    )
    .await?;
    let taken_down = Migrator::down(&transaction, None).await;
    taken_down.doing("taking the schema down; nothing of it was changed")?;
    transaction.commit().await.doing("taking the schema down")?;
    Ok(names)
}

/// Refuses to take the schema down while rows or journal would be lost.
///
/// # Errors
/// [`Error::Refused`], naming them.
pub async fn check_losses(database: &Database, plan: &Plan, discard_journal: bool) -> Result<()> {
    let connection = database.connection();
    refuse_losses(
        connection,
        losses(database, connection, plan, discard_journal).await?,
    )
    .await
}

/// Says what would be lost, and only what applies to it.
async fn refuse_losses(connection: &impl ConnectionTrait, losses: Vec<String>) -> Result<()> {
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

/// On SQLite the transaction is the only writer already.
async fn lock_destinations(
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
        let sql = "SELECT count(*) FROM \"backstitch_journal\"".to_owned();
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

async fn begin(database: &Database) -> Result<DatabaseTransaction> {
    let doing = "beginning the schema change";
    let transaction = database.connection().begin_schema_change().await;
    let transaction = transaction.doing(doing)?;
    database.dialect().lock(&transaction).await.doing(doing)?;
    Ok(transaction)
}

/// The source that a plan reads, checked.
///
/// # Errors
/// [`Error::Usage`]: a table or a column that a unit reads is missing.
pub async fn source(
    database: &Database,
    plan: &Plan,
    as_of: i64,
    window_days: u32,
) -> Result<Source> {
    let missing = check_source(database, plan).await?;
    Ok(Source::new(database.clone(), as_of, window_days, missing))
}

/// The optional tables that the database lacks, in order.
///
/// # Errors
/// [`Error::Usage`]: a table or a column that a unit reads is missing.
pub async fn missing(database: &Database, plan: &Plan) -> Result<Vec<String>> {
    let mut missing: Vec<_> = check_source(database, plan).await?.into_iter().collect();
    missing.sort();
    Ok(missing)
}

/// Checks that the tables and columns that a plan's units read exist; gives the optional tables that do not.
///
/// # Errors
/// [`Error::Usage`], naming the first that is missing.
pub async fn check_source(database: &Database, plan: &Plan) -> Result<HashSet<String>> {
    let mut missing = HashSet::new();
    for unit in plan.iter() {
        for table in unit.tables() {
            let columns = database.columns(&table.name).await?;
            if columns.is_empty() {
                if table.optional {
                    missing.insert(table.name);
                    continue;
                }
                return Err(Error::Usage(format!(
                    "this database has no table {}, which unit {} reads: check that the URL names the database of \
                     the application (to try Backstitch on made-up data: `worker run --demo`)",
                    table.name,
                    unit.definition().name
                )));
            }
            if let Some(column) = table
                .columns
                .iter()
                .find(|column| !columns.contains(column))
            {
                return Err(Error::Usage(format!(
                    "table {} has no column {column}, which unit {} reads: compare it with the schema that the plan \
                     was made for",
                    table.name,
                    unit.definition().name
                )));
            }
        }
    }
    Ok(missing)
}

/// The columns that the digests of a destination's rows cover: for inserts all that there are, for updates those that
/// are overwritten.
///
/// # Errors
/// [`Error::Usage`]: the destination lacks a column.
pub async fn image(database: &Database, destination: &Destination) -> Result<Vec<String>> {
    let columns = database.columns(&destination.table).await?;
    if let Some(column) = destination
        .columns
        .iter()
        .find(|column| !columns.contains(&column.name))
    {
        return Err(Error::Usage(format!(
            "the destination {} has no column {}: compare it with `cli schema status`",
            destination.table, column.name
        )));
    }
    Ok(match destination.write {
        Write::Insert => columns,
        Write::Update { .. } => destination
            .values()
            .iter()
            .map(|column| column.name.clone())
            .collect(),
    })
}
