//! The databases of a PostgreSQL server: making, dropping and counting who is in them, by way of another database of it.

use crate::backend::{Access, Address, Database, quote};
use crate::error::{Doing, Error, Result};
use crate::report::number;

/// Connections to the database that stands beside.
const CONNECTIONS: u32 = 3;

/// Which database is connected to, so that others can be made, renamed and dropped.
const BESIDE: [&str; 2] = ["postgres", "template1"];

/// Who is connected to a database, but for a session of ours and for what the server itself sends away.
const SESSIONS: &str = r#"SELECT COALESCE(NULLIF(application_name, ''), 'unnamed') AS "name", COUNT(*) AS "sessions"
    FROM pg_stat_activity WHERE datname = $1 AND pid <> $2 AND backend_type <> 'autovacuum worker'
    GROUP BY 1 ORDER BY 1"#;

/// Sends everybody away, but for a session of ours.
const TERMINATE: &str = r#"SELECT COUNT(pg_terminate_backend(pid)) AS "sessions" FROM pg_stat_activity
    WHERE datname = $1 AND pid <> $2 AND backend_type <> 'autovacuum worker'"#;

const PREPARED: &str =
    r#"SELECT COUNT(*) AS "prepared" FROM pg_prepared_xacts WHERE database = $1"#;

/// Connects to a database beside the one that is to be worked on.
///
/// # Errors
/// As [`Database::connect`]; that of the first which was tried.
pub(super) async fn connect(address: &Address, named: Option<&str>) -> Result<Database> {
    let connect = async |name: &str| {
        Database::connect(address.beside(name)?.url(), CONNECTIONS, Access::Write).await
    };
    if let Some(name) = named {
        return connect(name).await;
    }
    match connect(BESIDE[0]).await {
        Err(error @ Error::Usage(_)) => match connect(BESIDE[1]).await {
            Ok(database) => Ok(database),
            Err(_) => Err(Error::Usage(format!(
                "{error}; a database beside it is needed to make others from: name one with --maintenance-db"
            ))),
        },
        connected => connected,
    }
}

/// The release of the server, its major number and its whole text.
///
/// # Errors
/// The database's.
pub(super) async fn release(database: &Database) -> Result<(u32, String)> {
    let sql = "SELECT CAST(current_setting('server_version_num') AS INTEGER) / 10000 AS \"major\", \
               current_setting('server_version') AS \"version\"";
    let doing = "reading the server's release";
    let row = database.one(sql, []).await.doing(doing)?;
    let read = |row: &sea_orm::QueryResult| {
        let major: i32 = row.try_get("", "major")?;
        Ok::<_, sea_orm::DbErr>((major.unsigned_abs(), row.try_get("", "version")?))
    };
    match row {
        Some(row) => read(&row).doing(doing),
        None => Err(Error::Unexpected(format!("{doing}: no answer"))),
    }
}

/// Refuses to go on where the role may not make a database, or is not of those who own this one.
///
/// # Errors
/// [`Error::Refused`], with what the role lacks. The database's.
pub(super) async fn check_rights(server: &Database, of: Option<&str>) -> Result<()> {
    let sql = r#"SELECT CAST(r.rolname AS TEXT) AS "role", r.rolsuper OR r.rolcreatedb AS "creates",
            COALESCE((SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database d WHERE d.datname = $1), TRUE) AS "owns"
        FROM pg_roles r WHERE r.rolname = current_user"#;
    let doing = "looking at the role's rights";
    let row = server.one(sql, [of.into()]).await.doing(doing)?;
    let Some(row) = row else { return Ok(()) };
    let read = || {
        let role: String = row.try_get("", "role")?;
        let creates: bool = row.try_get("", "creates")?;
        let owns: bool = row.try_get("", "owns")?;
        Ok::<_, sea_orm::DbErr>((role, creates, owns))
    };
    let (role, creates, owns) = read().doing(doing)?;
    if !creates {
        return Err(Error::Refused(format!(
            "the role {role} may not make a database to restore into: give it CREATEDB (ALTER ROLE {} CREATEDB), or use \
             another role",
            quote(&role)
        )));
    }
    if !owns {
        return Err(Error::Refused(format!(
            "the role {role} does not own the database {}, so it may not rename it: use its owner's role",
            of.unwrap_or_default()
        )));
    }
    Ok(())
}

/// A database's oid; none: there is no such database.
///
/// # Errors
/// The database's.
pub(super) async fn oid(server: &Database, name: &str) -> Result<Option<String>> {
    let sql = "SELECT CAST(oid AS TEXT) AS \"oid\" FROM pg_database WHERE datname = $1";
    let row = server.one(sql, [name.into()]).await;
    row.and_then(|row| row.map(|row| row.try_get("", "oid")).transpose())
        .doing("looking for the database")
}

/// The databases whose names begin so and that nobody is connected to: what an end in the midst of something has left.
///
/// # Errors
/// The database's.
pub(super) async fn abandoned(server: &Database, prefix: &str) -> Result<Vec<String>> {
    let sql = r#"SELECT CAST(d.datname AS TEXT) AS "name" FROM pg_database d WHERE starts_with(CAST(d.datname AS TEXT), $1)
        AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datname = d.datname) ORDER BY 1"#;
    let rows = server.all(sql, [prefix.into()]).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "name")).collect())
        .doing("looking for databases that were left over")
}

/// Drops a database of ours, whoever is connected to it.
///
/// # Errors
/// The database's.
pub(super) async fn drop(server: &Database, name: &str) -> Result<()> {
    let (major, _) = release(server).await?;
    let force = if major >= 13 { " WITH (FORCE)" } else { "" };
    let sql = format!("DROP DATABASE IF EXISTS {}{force}", quote(name));
    execute(server, &sql, &format!("dropping the database {name}")).await
}

/// Executes a statement that no transaction may be around.
///
/// # Errors
/// The database's.
pub(super) async fn execute(server: &Database, sql: &str, doing: &str) -> Result<()> {
    use sea_orm::ConnectionTrait;
    let done = server.connection().execute_unprepared(sql).await;
    done.doing(doing).map(|_| ())
}

/// The sessions in a database but this one: how many, and what they call themselves; empty: there are none.
///
/// # Errors
/// The database's.
pub(super) async fn sessions(
    server: &Database,
    name: &str,
    but: i32,
) -> Result<Vec<(String, i64)>> {
    let rows = server.all(SESSIONS, [name.into(), but.into()]).await;
    let read =
        |row: &sea_orm::QueryResult| Ok((row.try_get("", "name")?, row.try_get("", "sessions")?));
    rows.and_then(|rows| rows.iter().map(read).collect())
        .doing("looking who is connected to the database")
}

/// Ends the sessions in a database but this one.
///
/// # Errors
/// The database's.
pub(super) async fn disconnect(server: &Database, name: &str, but: i32) -> Result<()> {
    let done = server.one(TERMINATE, [name.into(), but.into()]).await;
    done.doing("ending the sessions of the database")
        .map(|_| ())
}

/// Refuses a database that others are connected to, or that has prepared transactions, which outlive a session.
///
/// # Errors
/// [`Error::Refused`], with how many there are and their names. The database's.
pub(super) async fn check_unused(
    server: &Database,
    name: &str,
    may_disconnect: bool,
) -> Result<()> {
    let row = server.one(PREPARED, [name.into()]).await;
    let prepared: Option<i64> = row
        .and_then(|row| row.map(|row| row.try_get("", "prepared")).transpose())
        .doing("looking for prepared transactions")?;
    if prepared.unwrap_or_default() > 0 {
        return Err(Error::Refused(format!(
            "nothing was changed: the database {name} has {} prepared transactions, which only COMMIT PREPARED or \
             ROLLBACK PREPARED ends",
            number(prepared.unwrap_or_default())
        )));
    }
    let sessions = sessions(server, name, 0).await?;
    if sessions.is_empty() || may_disconnect {
        return Ok(());
    }
    Err(in_use(name, &sessions))
}

/// Why a database in use is left alone.
pub(super) fn in_use(name: &str, sessions: &[(String, i64)]) -> Error {
    let total: i64 = sessions.iter().map(|(_, sessions)| sessions).sum();
    let names = sessions.iter().map(|(name, sessions)| match sessions {
        1 => name.clone(),
        sessions => format!("{name} ({})", number(*sessions)),
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let plural = if total == 1 {
        "session is"
    } else {
        "sessions are"
    };
    Error::Refused(format!(
        "nothing was changed: {} {plural} connected to the database {name}: {names}; stop them, or say --disconnect to \
         end them",
        number(total)
    ))
}

/// A name for another database beside one, within PostgreSQL's 63 bytes.
pub(super) fn name_beside(name: &str, suffix: &str) -> String {
    let mut end = name.len().min(63_usize.saturating_sub(suffix.len()));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit() {
        assert_eq!(name_beside("app", "_before_1"), "app_before_1");
        let long = name_beside(&"ü".repeat(31), "_before_1");
        assert!(long.len() <= 63 && long.ends_with("ü_before_1"), "{long}");
    }

    #[test]
    fn whoever_is_connected_is_named() {
        let sessions = [("api".to_owned(), 2), ("psql".to_owned(), 1)];
        let text = in_use("app", &sessions).to_string();
        assert!(text.contains("3 sessions are connected"), "{text}");
        assert!(text.contains("api (2), psql"), "{text}");
    }
}
