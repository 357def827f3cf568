//! The live schema against the expected one: column by column, key by key, index by index. Reads the catalog alone.

mod compare;
mod indexes;
mod live;

use std::fmt;

use serde::Serialize;

use self::live::Live;
use super::{Schema, deferred, status};
use crate::audit::guards;
use crate::backend::Database;
use crate::engine::Plan;
use crate::error::{Doing, Result};

/// Something that is not as it is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What: `KPIHistory.period`.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            expected,
            found,
            remedy,
        } = self;
        write!(
            formatter,
            "{what}: expected {expected}, found {found}; {remedy}"
        )
    }
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// What differs.
    pub differences: Vec<Difference>,
    /// What is there besides, and no difference: the application's own columns and indexes.
    pub notes: Vec<String>,
    /// Tables that were compared.
    pub tables: usize,
    /// Columns among them that were compared.
    pub columns: usize,
    /// Primary, unique and foreign keys that were compared.
    pub keys: usize,
    /// Indexes that were compared.
    pub indexes: usize,
    /// Triggers that were compared.
    pub triggers: usize,
}

impl Verification {
    fn differ(&mut self, what: &str, expected: &str, found: &str, remedy: String) {
        self.differences.push(Difference {
            what: what.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
            remedy,
        });
    }
}

/// Compares the live schema with the expected one, and the sources with what the plan's units read.
///
/// # Errors
/// [`crate::error::Error::Refused`]: the schema is newer than this program. The database's.
pub async fn verify(database: &Database, plan: &Plan) -> Result<Verification> {
    let mut verification = Verification::default();
    for change in status(database).await? {
        if !change.is_applied {
            verification.differ(
                &change.name,
                "a change that is applied",
                "no record of it",
                "run `cli schema up`".into(),
            );
        }
    }
    let deferred = deferred::unbuilt(database).await?;
    let doing = "beginning to read the catalog";
    let transaction = database.begin_read().await.doing(doing)?;
    let expected = Schema::expected(database.dialect())?;
    let mut has_guarded = false;
    for table in &expected.tables {
        let live = Live::read(&transaction, &table.name).await?;
        has_guarded |= live.is_some() && expected.triggers.iter().any(|(on, _)| *on == table.name);
        let deferred = deferred.get(&table.name).map_or(&[][..], Vec::as_slice);
        compare::table(
            &mut verification,
            database.dialect(),
            table,
            deferred,
            live.as_ref(),
        );
    }
    if has_guarded {
        verification.triggers = expected.triggers.len();
        for finding in guards::look(&transaction).await? {
            verification.differ(
                "the journal's guards",
                "triggers that keep it append-only",
                "that one is off",
                finding.what,
            );
        }
    }
    transaction.rollback().await.doing("ending a transaction")?;
    sources(database, plan, &mut verification).await?;
    Ok(verification)
}

/// What units read must be there, but for optional tables.
async fn sources(database: &Database, plan: &Plan, verification: &mut Verification) -> Result<()> {
    for unit in plan.iter() {
        let name = &unit.definition().name;
        for table in unit.tables() {
            let columns = database.columns(&table.name).await?;
            if columns.is_empty() && table.optional {
                let note = format!("{} is optional and not there: taken as empty", table.name);
                if !verification.notes.contains(&note) {
                    verification.notes.push(note);
                }
                continue;
            }
            if columns.is_empty() {
                verification.differ(
                    &table.name,
                    &format!("a table that unit {name} reads"),
                    "none",
                    "check that the URL names the application's database".into(),
                );
                continue;
            }
            for column in table.columns.iter().filter(|name| !columns.contains(name)) {
                verification.differ(
                    &format!("{}.{column}", table.name),
                    &format!("a column that unit {name} reads"),
                    "none",
                    "compare the table with the one that the plan was made for".into(),
                );
            }
        }
    }
    Ok(())
}
