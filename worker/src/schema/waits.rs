//! What a schema change waits for: the tables of the application that it changes. They are locked before anything else is
//! done, each for itself, so that nobody waits behind a change that waits in its midst.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, QueryResult};

use super::locks::{Mode, Work, of_transaction};
use crate::backend::{self, Database, Dialect, quote, statement};
use crate::error::{Doing, Error, Result};

/// Who has a table locked. Everybody may read this; what a role may not see of others is NULL. No statement is read: it
/// may hold values.
const HOLDERS: &str = r#"SELECT l.pid AS "process", CAST(a.usename AS TEXT) AS "role", a.application_name AS "program",
        a.state AS "state", CAST(extract(epoch FROM now() - a.xact_start) AS BIGINT) AS "seconds"
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        AND l.relation = to_regclass(quote_ident($1))
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 5 DESC NULLS LAST LIMIT 3"#;

/// The statements that lock what these changes lock, the strongest first, on tables that are there. The first may wait as
/// long as a lock may be waited for, the others must have theirs at once.
pub(super) fn statements(names: &[String], there: &BTreeSet<String>) -> Vec<(String, String)> {
    let mut modes: BTreeMap<String, Mode> = BTreeMap::new();
    let changes = migration::sql();
    let changes = changes
        .iter()
        .filter(|change| names.iter().any(|name| name == change.name));
    let all: Vec<_> = changes
        .flat_map(|change| change.statements(false))
        .collect();
    for lock in of_transaction(&all, there).into_iter().flatten().flatten() {
        if lock.work != Work::New && there.contains(&lock.table) {
            let mode = modes.entry(lock.table).or_insert(lock.mode);
            *mode = (*mode).max(lock.mode);
        }
    }
    let mut modes: Vec<_> = modes.into_iter().collect();
    modes.sort_by_key(|(_, mode)| std::cmp::Reverse(*mode));
    let of = |(place, (table, mode)): (usize, (String, Mode))| {
        let at_once = if place > 0 { " NOWAIT" } else { "" };
        let name = quote(&table);
        (
            table,
            format!("LOCK TABLE {name} IN {} MODE{at_once}", mode.name()),
        )
    };
    modes.into_iter().enumerate().map(of).collect()
}

/// The tables that are there.
pub(super) async fn tables(connection: &impl ConnectionTrait) -> Result<BTreeSet<String>> {
    let sql = match Dialect::of(connection) {
        Dialect::Postgres => {
            "SELECT CAST(c.relname AS TEXT) AS \"name\" FROM pg_class c \
             WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)"
        }
        Dialect::Sqlite => "SELECT \"name\" FROM sqlite_master WHERE \"type\" = 'table'",
    };
    let rows = backend::all(connection, sql, []).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "name")).collect())
        .doing("reading which tables there are")
}

/// Locks them. On SQLite the transaction is the only writer already.
pub(super) async fn lock(transaction: &impl ConnectionTrait, names: &[String]) -> Result<()> {
    if Dialect::of(transaction) == Dialect::Sqlite {
        return Ok(());
    }
    let there = tables(transaction).await?;
    for (table, lock) in statements(names, &there) {
        let locked = transaction
            .execute_raw(statement(transaction, &lock, []))
            .await;
        locked.doing(format!(
            "locking the table {table} for the schema change; nothing was changed"
        ))?;
    }
    Ok(())
}

/// The error with who is in the way, where somebody is.
pub(super) async fn told(database: &Database, names: &[String], error: Error) -> Error {
    if !error.is_timeout() {
        return error;
    }
    match holders(database, names).await {
        Ok(holders) if !holders.is_empty() => {
            Error::Transient(format!("{error}; in the way: {}", holders.join(", ")))
        }
        // Who was in the way is gone, or cannot be seen: the error tells the table all the same.
        _ => error,
    }
}

async fn holders(database: &Database, names: &[String]) -> Result<Vec<String>> {
    let there = tables(database.connection()).await?;
    let mut holders = Vec::new();
    for (table, _) in statements(names, &there) {
        let rows = database.all(HOLDERS, [table.as_str().into()]).await;
        let doing = "looking who has a table locked";
        for row in &rows.doing(doing)? {
            let holder = holder(row).doing(doing)?;
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
    }
    Ok(holders)
}

fn holder(row: &QueryResult) -> std::result::Result<String, sea_orm::DbErr> {
    let process: i32 = row.try_get("", "process")?;
    let mut parts = Vec::new();
    let role: Option<String> = row.try_get("", "role")?;
    parts.extend(role.map(|role| format!("role {role}")));
    let program: Option<String> = row.try_get("", "program")?;
    parts.extend(program.filter(|program| !program.is_empty()));
    let state: Option<String> = row.try_get("", "state")?;
    parts.extend(state);
    let seconds: Option<i64> = row.try_get("", "seconds")?;
    parts.extend(seconds.map(|seconds| format!("in a transaction for {seconds} s")));
    Ok(match parts.is_empty() {
        true => format!("server process {process}"),
        false => format!("server process {process} ({})", parts.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_lock_is_waited_for_and_it_is_the_strongest() {
        let names: Vec<_> = migration::sql()
            .iter()
            .map(|change| change.name.to_owned())
            .collect();
        let there = |tables: &[&str]| -> BTreeSet<String> {
            tables.iter().map(|table| (*table).to_owned()).collect()
        };
        let source = statements(&names, &there(&["Campaign", "Asset"]));
        assert_eq!(source.len(), 1, "{source:?}");
        assert!(
            source[0]
                .1
                .ends_with("\"Campaign\" IN ACCESS EXCLUSIVE MODE")
        );
        let applied = statements(&names, &there(&["Campaign", "KPIHistory"]));
        assert!(applied[0].1.ends_with("ACCESS EXCLUSIVE MODE"));
        assert!(
            applied.len() > 1
                && applied[1..]
                    .iter()
                    .all(|(_, lock)| lock.ends_with("NOWAIT"))
        );
        assert!(statements(&names[..1], &there(&["Campaign"])).is_empty());
    }
}
