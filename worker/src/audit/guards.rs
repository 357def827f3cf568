//! The triggers that keep the journal append-only: whether they stand, and do what the schema made them do. Where one
//! does not, the statements that put it back are told.

use migration::guards::{Guard, POSTGRES_GUARDS, REFUSE, SQLITE_GUARDS};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::Finding;
use crate::backend::{self, Dialect, quote};
use crate::error::{Doing, Result};

/// Triggers before (2) DELETE (8), UPDATE (16) or TRUNCATE (32), once a statement, whatever the columns and on no
/// condition; and the body of what they call.
const POSTGRES: &str = "SELECT CAST(c.relname AS TEXT) AS \"table\", CAST(t.tgname AS TEXT) AS \"name\", \
         p.prosrc AS \"body\", t.tgenabled = 'A' AS \"always\" \
     FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid \
     WHERE t.tgrelid IN (to_regclass('backstitch_journal'), to_regclass('backstitch_journal_rows')) \
         AND t.tgtype = 2 + 8 + 16 + 32 AND CAST(t.tgattr AS TEXT) = '' AND t.tgqual IS NULL";

const SQLITE: &str = "SELECT \"tbl_name\" AS \"table\", \"name\", \"sql\" AS \"body\", TRUE AS \"always\" \
     FROM sqlite_master WHERE \"type\" = 'trigger'";

/// A trigger that stands.
struct Standing {
    table: String,
    name: String,
    body: String,
    always: bool,
}

/// What is off.
///
/// # Errors
/// The database's.
pub(crate) async fn look(connection: &impl ConnectionTrait) -> Result<Vec<Finding>> {
    let dialect = Dialect::of(connection);
    let (sql, guards) = match dialect {
        Dialect::Postgres => (POSTGRES, POSTGRES_GUARDS.as_slice()),
        Dialect::Sqlite => (SQLITE, SQLITE_GUARDS.as_slice()),
    };
    let doing = "looking for the journal's triggers";
    let rows = backend::all(connection, sql, []).await.doing(doing)?;
    let standing: std::result::Result<Vec<_>, DbErr> = rows.iter().map(read).collect();
    let standing = standing.doing(doing)?;
    let findings = guards.iter().filter_map(|guard| {
        let what = fault(dialect, guard, &standing)?;
        Some(Finding {
            run: String::new(),
            stream: String::new(),
            seq: None,
            what,
        })
    });
    Ok(findings.collect())
}

fn read(row: &QueryResult) -> std::result::Result<Standing, DbErr> {
    Ok(Standing {
        table: row.try_get("", "table")?,
        name: row.try_get("", "name")?,
        body: row.try_get("", "body")?,
        always: row.try_get("", "always")?,
    })
}

/// What is wrong with a trigger, and what to do.
fn fault(dialect: Dialect, guard: &Guard, standing: &[Standing]) -> Option<String> {
    let expected = match dialect {
        Dialect::Postgres => REFUSE.split("$$").nth(1).unwrap_or(REFUSE),
        Dialect::Sqlite => guard.create,
    };
    let stands = standing.iter().find(|trigger| {
        trigger.table == guard.table
            && trigger.name == guard.name
            && one_line(&trigger.body) == one_line(expected)
    });
    let Guard { table, name, .. } = guard;
    match stands {
        Some(trigger) if trigger.always => None,
        Some(_) => Some(format!(
            "the trigger {name} that keeps {table} append-only may be passed by, as it does not fire ALWAYS \
             (a restore with --disable-triggers leaves it so): as the table's owner run {}",
            guard.always
        )),
        None => Some(format!(
            "the trigger {name} that keeps {table} append-only is missing, or does something else: as the table's \
             owner run {}",
            again(dialect, guard)
        )),
    }
}

/// The statements that make a trigger as it was, whatever stands in its place.
fn again(dialect: Dialect, guard: &Guard) -> String {
    let (table, name) = (quote(guard.table), quote(guard.name));
    let create = one_line(guard.create);
    match dialect {
        Dialect::Postgres => format!(
            "{}; DROP TRIGGER IF EXISTS {name} ON {table}; {create}; {}",
            one_line(REFUSE).replacen("CREATE ", "CREATE OR REPLACE ", 1),
            guard.always
        ),
        Dialect::Sqlite => format!("DROP TRIGGER IF EXISTS {name}; {create}"),
    }
}

/// A statement on one line: it is shown so, and may be put back so. The spaces mean nothing in any of ours.
fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}
