//! Whether the release before still works on the live schema: the statements that it sends are run for real, in a
//! transaction that is rolled back. Triggers fire in it; what they do is rolled back with it.

mod statements;

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;

use self::statements::{Row, Step, steps};
use crate::backend::{self, Database, Durability, Transaction, all};
use crate::engine::Plan;
use crate::error::{Doing, Result};
use crate::retry::Retry;
use crate::schema::Schema;
use crate::shutdown::Shutdown;

/// How long a statement may take: the application would have given up.
const PATIENCE: &str = "SELECT set_config('statement_timeout', '5s', true)";

/// What became of the statements, each by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compat {
    /// Those that ran, and answered as they should.
    pub ran: Vec<String>,
    /// Those that did not.
    pub failed: Vec<Told>,
    /// Those that were not run.
    pub skipped: Vec<Told>,
}

/// A statement, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// What it does.
    pub name: String,
    /// Why it failed, or was not run. No value of a row.
    pub why: String,
}

/// Runs the statements of the release before, whose tables `before` makes, and takes all of it back.
///
/// # Errors
/// [`crate::error::Error::Usage`]: the role may not do what the application does; `before` cannot be read. Transient: something was in
/// the way. The database's.
pub async fn check(database: &Database, plan: &Plan, before: &str) -> Result<Compat> {
    let old = Schema::of_script(database.dialect(), before)?;
    let now = Schema::expected(database.dialect())?;
    let mut retry = Retry::brief();
    loop {
        match try_check(database, plan, &old, &now).await {
            Ok(compat) => return Ok(compat),
            Err(error) => retry.pause(error, &Shutdown::default()).await?,
        }
    }
}

async fn try_check(database: &Database, plan: &Plan, old: &Schema, now: &Schema) -> Result<Compat> {
    let mut compat = Compat::default();
    let mut there = BTreeSet::new();
    for table in old.tables.iter().chain(&now.tables) {
        if !database.columns(&table.name).await?.is_empty() {
            there.insert(table.name.clone());
        }
    }
    let tables: Vec<_> = plan.iter().flat_map(|unit| unit.tables()).collect();
    for table in old
        .tables
        .iter()
        .filter(|table| !there.contains(&table.name))
    {
        let name = format!("all of {}", table.name);
        let is_required = |of: &crate::unit::SourceTable| of.name == table.name && !of.optional;
        let why = String::from("there is no such table");
        match tables.iter().any(is_required) {
            true => compat.failed.push(Told { name, why }),
            false => compat.skipped.push(Told { name, why }),
        }
    }
    let seed = format!("backstitch-compat-{}", uuid::Uuid::new_v4());
    let doing = "running the statements of the release before";
    let transaction = database.begin(Durability::Relaxed).await.doing(doing)?;
    let ran = run(&transaction, steps(old, now, &there, &seed), &mut compat).await;
    // Whatever became of them, nothing of it may stay.
    let ended = transaction.rollback().await.doing("ending a transaction");
    ran.and(ended)?;
    Ok(compat)
}

async fn run(transaction: &Transaction, steps: Vec<Step>, compat: &mut Compat) -> Result<()> {
    let dialect = backend::Dialect::of(transaction);
    let settings = match dialect {
        backend::Dialect::Postgres => Some(PATIENCE),
        backend::Dialect::Sqlite => None,
    };
    // A constraint that is deferred would be checked by a commit that never comes.
    for setting in settings.into_iter().chain(dialect.check_at_once()) {
        let set = transaction.execute_unprepared(setting).await;
        set.doing("setting the limits of a transaction")?;
    }
    let mut made: BTreeSet<Row> = BTreeSet::new();
    for step in steps {
        if let Some(missing) = step.needs.iter().find(|row| !made.contains(row)) {
            let why = format!("its row of {} could not be made", missing.table);
            compat.skipped.push(Told {
                name: step.name,
                why,
            });
            continue;
        }
        match attempt(transaction, &step).await? {
            None => {
                made.extend(step.makes);
                compat.ran.push(step.name);
            }
            Some(why) => compat.failed.push(Told {
                name: step.name,
                why,
            }),
        }
    }
    Ok(())
}

/// Runs a statement behind a savepoint; gives why it failed.
async fn attempt(transaction: &Transaction, step: &Step) -> Result<Option<String>> {
    let name = &step.name;
    let around = |sql: &'static str| async move {
        let done = transaction.execute_unprepared(sql).await;
        done.doing(format!("running the statement: {name}"))
    };
    around("SAVEPOINT backstitch_compat").await?;
    let why = match all(transaction, &step.sql, []).await {
        Ok(rows) if rows.len() == step.rows => None,
        Ok(rows) => Some(format!(
            "{} of {} rows came back: a trigger, a rule or a policy of the database does something else with them",
            rows.len(),
            step.rows
        )),
        Err(error) if says_nothing(&error) => {
            return Err(error).doing(format!("running the statement: {name}"));
        }
        Err(error) => Some(backend::describe(&error)),
    };
    if why.is_some() {
        around("ROLLBACK TO SAVEPOINT backstitch_compat").await?;
    }
    around("RELEASE SAVEPOINT backstitch_compat").await?;
    Ok(why)
}

/// Whether an error tells of the connection, a lock or a right of ours rather than of the schema.
fn says_nothing(error: &DbErr) -> bool {
    let code = backend::code(error);
    match code.as_deref() {
        // A foreign key is the schema's.
        Some("23503" | "787") => false,
        // The role may not.
        Some("42501") => true,
        _ => backend::is_transient(error),
    }
}
