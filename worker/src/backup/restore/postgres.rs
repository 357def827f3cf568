//! A database of a PostgreSQL server: restored into a new one beside it, which then takes its name. Both renames are one
//! transaction, so that there is no instant at which a crash leaves no database of the name.

use sea_orm::ConnectionTrait;

use super::{Restore, Restored, backup, confirmed, event, head_if_readable, note};
use crate::backend::{self, Access, Database, Durability, Transaction, quote};
use crate::backup::manifest::Manifest;
use crate::backup::properties::Properties;
use crate::backup::{Watch, pg, server, stamp};
use crate::core::event::BackupRestored;
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::journal;
use crate::shutdown::Shutdown;

/// What PostgreSQL answers where others are connected.
const IN_USE: &str = "55006";

/// How often the name is tried for, where somebody connects again and again.
const ATTEMPTS: u32 = 3;

/// How often it is looked whether everybody is gone: PostgreSQL waits five seconds for them.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// Whether somebody holds a database's name for themselves: whoever connects from then on waits.
const HELD: &str = r#"SELECT 1 AS "one" FROM pg_locks WHERE locktype = 'object' AND granted AND mode = 'AccessExclusiveLock'
    AND classid = CAST('pg_database' AS regclass) AND CAST(objid AS TEXT) = $1"#;

/// The names that a restore deals in.
struct Names {
    /// The database's, as applications know it.
    live: String,
    /// While it is restored into.
    restoring: String,
    /// Of the one before, afterwards.
    before: String,
    /// The oid of what stands; none: nothing does.
    oid: Option<String>,
}

pub(super) async fn check(order: &Restore<'_>) -> Result<()> {
    let server = server::connect(order.address, order.reading.maintenance).await?;
    let checked = check_on(&server, order).await;
    server.close().await;
    checked
}

async fn check_on(server: &Database, order: &Restore<'_>) -> Result<()> {
    let name = order.address.name()?;
    server::check_rights(server, Some(&name)).await?;
    server::check_unused(server, &name, order.may_disconnect).await
}

pub(super) async fn restore(
    order: &Restore<'_>,
    manifest: &Manifest,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<Restored>> {
    let server = server::connect(order.address, order.reading.maintenance).await?;
    let restored = beside(&server, order, manifest, shutdown, step).await;
    server.close().await;
    let Some((noted, left_over)) = restored? else {
        return Ok(None);
    };
    let live = Database::connect(order.address.url(), 2, Access::Read).await?;
    let confirmed = confirmed(&live, noted, left_over).await;
    live.close().await;
    confirmed.map(Some)
}

/// Restores into a new database, and drops that again where anything fails.
async fn beside(
    server: &Database,
    order: &Restore<'_>,
    manifest: &Manifest,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<(BackupRestored, Vec<String>)>> {
    check_on(server, order).await?;
    let live = order.address.name()?;
    // To the millisecond: one that was killed within the same second has left its database.
    let at = stamp(
        journal::now(server.connection()).await?,
        "%Y%m%d_%H%M%S_%3f",
    );
    let names = Names {
        restoring: server::name_beside(&live, &format!("_restoring_{at}")),
        before: server::name_beside(&live, &format!("_before_{at}")),
        oid: server::oid(server, &live).await?,
        live,
    };
    let prefix = names.restoring.trim_end_matches(&at);
    let left_over = server::abandoned(server, prefix).await?;
    // What somebody has given to the database since the backup is not in it, and is no data: it stays.
    let standing = match names.oid {
        Some(_) => Some(Properties::read(server.connection(), &names.live).await?),
        None => None,
    };
    let Some(properties) = &manifest.database else {
        return Err(Error::Failed(
            "the backup's manifest says nothing of its database".into(),
        ));
    };
    let given = standing.as_ref().unwrap_or(properties).given();
    let sql = properties.create(&names.restoring, Some(given));
    server::execute(server, &sql, "making a database to restore into").await?;
    fault::point(|| "restore: made".into());
    let taken = async {
        let source = pg::Source {
            address: order.address,
            surroundings: order.reading.surroundings,
            folder: order
                .listed
                .folder
                .as_deref()
                .unwrap_or(std::path::Path::new("")),
            rows: &manifest.backup.rows,
            jobs: order.reading.jobs,
        };
        let differences = source
            .restore(server, &names.restoring, shutdown, step)
            .await?;
        let Some(differences) = differences else {
            return Ok(None);
        };
        if !differences.is_empty() {
            return Err(Error::Failed(format!(
                "nothing was changed: what was restored is not what the backup says: {}",
                differences.join("; ")
            )));
        }
        let doing = "giving the restored database its rights and settings";
        let giving = server.begin(Durability::Synced).await.doing(doing)?;
        given.give(&giving, &names.restoring).await?;
        giving.commit().await.doing(doing)?;
        fault::point(|| "restore: restored".into());
        if shutdown.is_requested() {
            return Ok(None);
        }
        take_name(server, order, manifest, &names).await.map(Some)
    };
    let taken = taken.await;
    if !matches!(taken, Ok(Some(_)))
        && let Err(error) = server::drop(server, &names.restoring).await
    {
        tracing::warn!("the database {} is left over: {error}", names.restoring);
    }
    Ok(taken?.map(|noted| (noted, left_over)))
}

/// Gives the restored database the name, trying again where somebody connects meanwhile.
async fn take_name(
    server: &Database,
    order: &Restore<'_>,
    manifest: &Manifest,
    names: &Names,
) -> Result<BackupRestored> {
    let restored = order.address.beside(&names.restoring)?;
    let restored = Database::connect(restored.url(), 2, Access::Write).await?;
    let analyzed = analyze(&restored).await;
    let to = match analyzed {
        Ok(()) => restored.identity().await,
        Err(error) => Err(error),
    };
    restored.close().await;
    let to = to?;
    let mut attempt = 1;
    loop {
        match try_take_name(server, order, manifest, names, &to).await {
            Err(Error::Database { source, .. })
                if backend::code(&source).as_deref() == Some(IN_USE) =>
            {
                if attempt == ATTEMPTS {
                    let sessions = server::sessions(server, &names.live, 0).await?;
                    return Err(server::in_use(&names.live, &sessions));
                }
                attempt += 1;
            }
            taken => return taken,
        }
    }
}

/// What the planner knows of a table is in no dump.
async fn analyze(database: &Database) -> Result<()> {
    let doing = "gathering the planner's statistics";
    let transaction = database.connection().begin_unlimited().await.doing(doing)?;
    let done = transaction.execute_unprepared("ANALYZE").await;
    done.doing(doing)?;
    transaction.commit().await.doing(doing)
}

/// One attempt. The database before is locked against whoever connects and emptied of whoever is connected; then where its
/// journal ends is read, as nothing can be added to it any more, and noted in the restored one; then the names change.
async fn try_take_name(
    server: &Database,
    order: &Restore<'_>,
    manifest: &Manifest,
    names: &Names,
    to: &str,
) -> Result<BackupRestored> {
    let restored = order.address.beside(&names.restoring)?;
    // Where the backup is older than the journal, its tables are made, which takes a second connection.
    let restored = Database::connect(restored.url(), 2, Access::Write).await?;
    let backup = backup(order, manifest);
    let mut noted = event(order, &backup, super::NOTHING.into(), to.to_owned());
    let Some(oid) = &names.oid else {
        let renaming = async {
            note(&restored, order.reading.worker, &noted).await?;
            server
                .begin(Durability::Synced)
                .await
                .doing("beginning to rename")
        };
        let renaming = renaming.await;
        restored.close().await;
        rename(renaming?, names).await?;
        return Ok(noted);
    };
    noted.kept_as = Some(names.before.clone());
    // One that is broken is put back all the same.
    let reader = Database::connect(order.address.url(), 1, Access::Read).await;
    let reader = reader.inspect_err(|error| {
        tracing::warn!("the database before cannot be read, so that the end of its journal is not noted: {error}");
    });
    let reader = reader.ok();
    let renaming = tokio::spawn(rename_away(
        server.clone(),
        names.live.clone(),
        names.before.clone(),
        oid.clone(),
    ));
    let prepared = async {
        let own = match &reader {
            Some(reader) => own_process(reader).await?,
            None => 0,
        };
        while !renaming.is_finished() {
            if order.may_disconnect {
                server::disconnect(server, &names.live, own).await?;
            }
            let held = server.one(HELD, [oid.as_str().into()]).await;
            let is_held = held.doing("waiting for the database's name")?.is_some();
            if is_held && server::sessions(server, &names.live, own).await?.is_empty() {
                if let Some(reader) = &reader {
                    noted.from = reader.identity().await?;
                    noted.head = head_if_readable(reader).await;
                }
                return note(&restored, order.reading.worker, &noted).await;
            }
            tokio::time::sleep(LOOK).await;
        }
        // It failed; why is told below.
        Ok(())
    };
    let prepared: Result<()> = prepared.await;
    if let Some(reader) = reader {
        reader.close().await;
    }
    restored.close().await;
    let renaming = match renaming.await {
        Ok(renaming) => renaming,
        Err(_) => Err(Error::Unexpected(
            "renaming the database: it panicked".into(),
        )),
    };
    prepared?;
    fault::point(|| "restore: renamed away".into());
    rename(renaming?, names).await?;
    Ok(noted)
}

/// Renames what stands, in a transaction that is not committed yet. PostgreSQL waits up to five seconds until nobody is
/// connected to it.
async fn rename_away(
    server: Database,
    live: String,
    before: String,
    oid: String,
) -> Result<Transaction> {
    let doing = format!("renaming the database {live}");
    let transaction = server
        .begin(Durability::Synced)
        .await
        .doing(doing.as_str())?;
    let rename = format!(
        "ALTER DATABASE {} RENAME TO {}",
        quote(&live),
        quote(&before)
    );
    let renamed = transaction.execute_unprepared(&rename).await;
    renamed.doing(doing.as_str())?;
    let sql = "SELECT 1 AS \"one\" FROM pg_database WHERE datname = $1 AND CAST(oid AS TEXT) = $2";
    let found = backend::all(&transaction, sql, [before.into(), oid.into()]).await;
    match found.doing(doing.as_str())?.is_empty() {
        false => Ok(transaction),
        true => Err(Error::Refused(format!(
            "nothing was changed: somebody else has put another database into the place of {live} meanwhile"
        ))),
    }
}

/// Gives the restored database the name that is free now, and commits both.
async fn rename(transaction: Transaction, names: &Names) -> Result<()> {
    let doing = format!("giving the restored database the name {}", names.live);
    let (from, to) = (quote(&names.restoring), quote(&names.live));
    let rename = format!("ALTER DATABASE {from} RENAME TO {to}");
    let renamed = transaction.execute_unprepared(&rename).await;
    renamed.doing(doing.as_str())?;
    fault::point(|| "restore: renamed".into());
    transaction.commit().await.doing(doing.as_str())?;
    fault::point(|| "restore: swapped".into());
    Ok(())
}

/// The server's process that answers a connection.
async fn own_process(database: &Database) -> Result<i32> {
    let doing = "reading the session's process";
    let row = database
        .one("SELECT pg_backend_pid() AS \"pid\"", [])
        .await
        .doing(doing)?;
    let pid = row.map(|row| row.try_get("", "pid")).transpose();
    Ok(pid.doing(doing)?.unwrap_or_default())
}
