//! The schema: what is pending, applying it, and taking it down.

mod deferred;
mod description;
mod expected;
pub mod locks;
mod losses;
pub mod prisma;
mod script;
mod verify;
mod waits;

use migration::{Migrator, MigratorTrait};
use sea_orm::DatabaseTransaction;

use crate::backend::{Database, Dialect, quote};
use crate::core::event::Event;
use crate::core::plan::Write;
use crate::core::replay::RUNBOOK;
use crate::engine::Plan;
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::retry::Retry;
use crate::runbook;
use crate::shutdown::Shutdown;

pub use self::deferred::{Indexes, owed};
pub use self::description::{Column, ForeignKey, Index, Schema, Table, Unique};
pub use self::expected::{check_source, image, look_at_source, missing, source};
pub use self::losses::check_losses;
pub use self::script::{Script, script};
pub use self::verify::{Difference, Verification, verify};

/// The journal's table.
const JOURNAL: &str = "backstitch_journal";

/// The tables that the schema adds for the journal's sake.
const OURS: [&str; 3] = [JOURNAL, "backstitch_journal_rows", "backstitch_partition"];

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

/// Applies what is pending, trying again where something is in the way that may pass. Gives the names of what was
/// applied.
///
/// # Errors
/// As [`try_up`].
pub async fn up(
    database: &Database,
    plan: &Plan,
    worker: &str,
    indexes: Indexes,
) -> Result<Vec<String>> {
    let mut retry = Retry::default();
    loop {
        match try_up(database, plan, worker, indexes).await {
            Ok(applied) => return Ok(applied),
            Err(error) => retry.pause(error, &Shutdown::default()).await?,
        }
    }
}

/// Applies what is pending, under a lock, in one transaction, never waiting long for a table's lock: whoever queues
/// behind us would wait as long. Gives the names of what was applied.
///
/// # Errors
/// [`Error::Refused`]: a table of somebody else is in the way. The database's. Nothing is applied then.
pub async fn try_up(
    database: &Database,
    plan: &Plan,
    worker: &str,
    indexes: Indexes,
) -> Result<Vec<String>> {
    if status(database)
        .await?
        .iter()
        .all(|change| change.is_applied)
    {
        return Ok(Vec::new());
    }
    let transaction = begin(database).await?;
    fault::point(|| "schema: locked".into());
    let pending = Migrator::get_pending_migrations_read_only(&transaction).await;
    let pending = pending.doing("reading which schema changes are applied")?;
    let names: Vec<_> = pending
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    if !names.is_empty() {
        if names.len() == Migrator::migrations().len() {
            check_unused(database).await?;
        }
        check_shapes(database, plan).await?;
        if let Err(error) = waits::lock(&transaction, &names).await {
            // Whoever waits behind us goes on first.
            transaction.rollback().await.doing("ending a transaction")?;
            return Err(waits::told(database, &names, error).await);
        }
        let before = waits::tables(&transaction).await?;
        let applied = Migrator::up(&transaction, None).await;
        applied.doing("applying the schema; nothing of it was kept")?;
        let mut events = vec![Event::SchemaApplied {
            changes: names.clone(),
            digest: digest(database.dialect()),
        }];
        if indexes == Indexes::After {
            events.extend(deferred::leave_out(&transaction, plan, &before).await?);
        }
        runbook::append(&transaction, worker, RUNBOOK, &events).await?;
    }
    fault::point(|| "schema: applied".into());
    transaction.commit().await.doing("applying the schema")?;
    fault::point(|| "schema: committed".into());
    Ok(names)
}

/// Whether the journal's own tables are there.
///
/// # Errors
/// The database's.
pub async fn has_journal(database: &Database) -> Result<bool> {
    let changes = status(database).await?;
    let journal = changes.first();
    Ok(journal.is_some_and(|change| change.is_applied))
}

/// Makes the journal's own tables where the database has none, and nothing else of the schema: evidence begins before it.
///
/// # Errors
/// [`Error::Refused`]: a table of somebody else is in the way. The database's.
pub async fn make_journal(database: &Database) -> Result<()> {
    if has_journal(database).await? {
        return Ok(());
    }
    let transaction = begin(database).await?;
    let pending = Migrator::get_pending_migrations_read_only(&transaction).await;
    let pending = pending.doing("reading which schema changes are applied")?;
    if pending.len() == Migrator::migrations().len() {
        check_unused(database).await?;
        let made = Migrator::up(&transaction, Some(1)).await;
        made.doing("making the journal's tables; nothing of them was kept")?;
    }
    let made = transaction.commit().await;
    made.doing("making the journal's tables")
}

/// BLAKE3 over the SQL of all changes, in hexadecimal: what a review of it vouches for.
#[must_use]
pub fn digest(dialect: Dialect) -> String {
    let mut hasher = blake3::Hasher::new();
    for change in migration::sql() {
        hasher.update(change.name.as_bytes());
        for statement in change.statements(dialect == Dialect::Sqlite) {
            hasher.update(&(statement.len() as u64).to_le_bytes());
            hasher.update(statement.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// Refuses tables under our own names where no change is applied.
async fn check_unused(database: &Database) -> Result<()> {
    for table in OURS {
        if !database.columns(table).await?.is_empty() {
            return Err(Error::Refused(format!(
                "table {table} is there already, and no schema change of this program's is on record: nothing was changed; \
                 rename it, or, where it holds a journal, bring back the table {} from the same backup",
                Migrator::migration_table_name()
            )));
        }
    }
    Ok(())
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

/// Takes the schema down again, trying again where something is in the way that may pass.
///
/// # Errors
/// [`Error::Refused`]: rows or journal would be lost. The database's. Nothing is changed then.
pub async fn down(database: &Database, plan: &Plan, discard_journal: bool) -> Result<Vec<String>> {
    let mut retry = Retry::default();
    loop {
        match try_down(database, plan, discard_journal).await {
            Ok(names) => return Ok(names),
            Err(error) => retry.pause(error, &Shutdown::default()).await?,
        }
    }
}

async fn try_down(database: &Database, plan: &Plan, discard_journal: bool) -> Result<Vec<String>> {
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
    losses::lock(database, &transaction, plan).await?;
    losses::check(database, &transaction, plan, discard_journal).await?;
    let taken_down = Migrator::down(&transaction, None).await;
    taken_down.doing("taking the schema down; nothing of it was changed")?;
    transaction.commit().await.doing("taking the schema down")?;
    Ok(names)
}

async fn begin(database: &Database) -> Result<DatabaseTransaction> {
    let doing = "beginning the schema change";
    let transaction = database.connection().begin_schema_change().await;
    let transaction = transaction.doing(doing)?;
    database.dialect().lock(&transaction).await.doing(doing)?;
    Ok(transaction)
}
