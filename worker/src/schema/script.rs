//! The SQL of the schema changes as a script, for people to read, to sign, and to execute by hand where only they may: what
//! `cli schema up` executes, and the entries by which it is known as applied.

use std::collections::BTreeSet;
use std::fmt::Write;

use migration::{Migrator, MigratorTrait};

use super::locks::{Lock, of_transaction};
use super::{Schema, digest, status, waits};
use crate::backend::{Database, Dialect, quote};
use crate::error::Result;

/// Which script.
#[derive(Clone, Debug)]
pub struct Script {
    /// The database that it is for.
    pub dialect: Dialect,
    /// The changes that are in it, by name; none: all.
    changes: Option<Vec<String>>,
    /// The tables that are there before it; none: nobody looked.
    tables: Option<BTreeSet<String>>,
    /// Columns that are there before it, as (table, column).
    columns: Vec<(String, String)>,
}

impl Script {
    /// For any database of its kind that holds the application's tables and nothing of the schema.
    #[must_use]
    pub fn of(dialect: Dialect) -> Self {
        Self {
            dialect,
            changes: None,
            tables: None,
            columns: Vec::new(),
        }
    }

    /// For a database as it is: all changes, or only those that are pending.
    ///
    /// # Errors
    /// [`crate::error::Error::Refused`]: the schema is newer than this program. The database's.
    pub async fn for_database(database: &Database, only_pending: bool) -> Result<Self> {
        let dialect = database.dialect();
        let changes = match only_pending {
            true => {
                let changes = status(database).await?.into_iter();
                let pending = changes.filter(|change| !change.is_applied);
                Some(pending.map(|change| change.name).collect())
            }
            false => None,
        };
        let mut columns = Vec::new();
        for table in added(dialect)? {
            for column in database.columns(&table).await? {
                columns.push((table.clone(), column));
            }
        }
        Ok(Self {
            dialect,
            changes,
            tables: Some(waits::tables(database.connection()).await?),
            columns,
        })
    }
}

/// The tables of somebody else to which columns are added.
fn added(dialect: Dialect) -> Result<Vec<String>> {
    let expected = Schema::expected(dialect)?;
    let added = expected.tables.into_iter().filter(|table| !table.is_made);
    Ok(added.map(|table| table.name).collect())
}

/// The script. Its last line is the digest of all changes, whichever are in it.
///
/// # Errors
/// [`crate::error::Error::Usage`]: a statement of a change cannot be read.
pub fn script(script: &Script) -> Result<String> {
    let is_sqlite = script.dialect == Dialect::Sqlite;
    let changes = migration::sql();
    let changes: Vec<_> = changes
        .iter()
        .filter(|change| match &script.changes {
            Some(names) => names.iter().any(|name| name == change.name),
            None => true,
        })
        .collect();
    let mut text = head(script);
    if changes.is_empty() {
        text.push_str("-- Nothing is pending.\n");
        text.push_str(&tail(script));
        return Ok(text);
    }
    let statements: Vec<_> = changes
        .iter()
        .flat_map(|change| change.statements(is_sqlite))
        .collect();
    let others: BTreeSet<String> = Schema::expected(script.dialect)?
        .others()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let there = script.tables.as_ref().unwrap_or(&others);
    let names: Vec<_> = changes
        .iter()
        .map(|change| change.name.to_owned())
        .collect();
    text.push_str(match is_sqlite {
        true => "BEGIN IMMEDIATE;\n",
        false => {
            "BEGIN;\nSET LOCAL lock_timeout = '500ms';\nSET LOCAL statement_timeout = '30s';\n"
        }
    });
    if !is_sqlite {
        for (_, lock) in waits::statements(&names, there) {
            let _ = write!(
                text,
                "\n-- First, so that nobody waits behind a change in its midst.\n{lock};\n"
            );
        }
    }
    let _ = write!(
        text,
        "\n-- What is applied is on record here.\n-- lock: none: the table is new, or nothing is done\n{};\n",
        migration::bookkeeping(is_sqlite)
    );
    let mut locks = of_transaction(&statements, there).into_iter();
    for change in changes {
        let _ = write!(text, "\n-- {}\n", change.name);
        for statement in change.statements(is_sqlite) {
            let locks = locks.next().flatten();
            if let Some(column) = is_there(script, statement)? {
                let _ = write!(text, "\n-- {column} is there already.\n");
                continue;
            }
            let lock = words(script.dialect, locks.as_deref());
            let _ = write!(text, "\n-- lock: {lock}\n{statement};\n");
        }
        let table = quote(&Migrator::migration_table_name().to_string());
        let now = match is_sqlite {
            true => "CAST(strftime('%s', 'now') AS INTEGER)",
            false => "CAST(extract(epoch FROM now()) AS BIGINT)",
        };
        let _ = write!(
            text,
            "\n-- lock: none that anybody waits for\nINSERT INTO {table} (\"version\", \"applied_at\") VALUES ('{}', {now});\n",
            change.name
        );
    }
    text.push_str("\nCOMMIT;\n");
    text.push_str(&tail(script));
    Ok(text)
}

/// SQLite has no ADD COLUMN IF NOT EXISTS: a column that is there is left out.
fn is_there(script: &Script, statement: &str) -> Result<Option<String>> {
    if script.dialect == Dialect::Postgres || !statement.starts_with("ALTER TABLE") {
        return Ok(None);
    }
    let schema = Schema::of_script(script.dialect, statement)?;
    let added = schema.tables.iter().flat_map(|table| {
        let columns = table.columns.iter();
        columns.map(|column| (table.name.clone(), column.name.clone()))
    });
    let there = added.filter(|column| script.columns.contains(column));
    Ok(there
        .map(|(table, column)| format!("{table}.{column}"))
        .next())
}

fn head(script: &Script) -> String {
    let (name, program) = match script.dialect {
        Dialect::Postgres => ("PostgreSQL", "psql -f FILE"),
        Dialect::Sqlite => ("SQLite", "sqlite3 DATABASE < FILE"),
    };
    format!(
        "-- Backstitch {}: schema changes for {name}. `cli schema up` executes these statements, in one transaction. Where\n\
         -- only an administrator may, `{program}` does the same, and `cli schema status` then knows them as applied.\n\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn tail(script: &Script) -> String {
    format!("\n-- digest of all changes: {}\n", digest(script.dialect))
}

/// Locks in words.
fn words(dialect: Dialect, locks: Option<&[Lock]>) -> String {
    if dialect == Dialect::Sqlite {
        return "the database's only one, until the end: readers go on where the file is in WAL"
            .into();
    }
    match locks {
        None => "not known".into(),
        Some([]) => "none on a table".into(),
        Some(locks) => {
            let words = locks.iter().map(|lock| {
                format!(
                    "{} on {} ({}; {})",
                    lock.mode.name(),
                    lock.table,
                    lock.mode.blocks(),
                    lock.work.lasts()
                )
            });
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_every_statement_its_lock_and_the_digest() {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let text = script(&Script::of(dialect)).expect("it is read");
            for change in migration::sql() {
                for statement in change.statements(dialect == Dialect::Sqlite) {
                    let place = text.find(statement).expect(statement);
                    let before = text[..place].trim_end().lines().next_back();
                    assert!(before.is_some_and(|line| line.starts_with("-- lock: ")));
                }
                assert!(text.contains(&format!("VALUES ('{}'", change.name)));
            }
            assert!(!text.contains("not known"), "{text}");
            assert!(text.trim_end().ends_with(&digest(dialect)));
        }
    }

    #[test]
    fn a_column_that_is_there_is_left_out_on_sqlite() {
        let mut sqlite = Script::of(Dialect::Sqlite);
        sqlite.columns.push(("Campaign".into(), "prompt".into()));
        let text = script(&sqlite).expect("it is read");
        let added = "ALTER TABLE \"Campaign\" ADD COLUMN";
        assert!(text.contains("Campaign.prompt is there") && !text.contains(added));
    }
}
