//! Putting a database back from a backup. What stands is never overwritten: the backup is restored beside it, checked, and
//! only then takes its name; the database before is kept under another.

mod postgres;
mod provider;
mod sqlite;

use super::catalogue::{Listed, Reading};
use super::manifest::Manifest;
use super::{Watch, verify};
use crate::backend::{Address, Database, Dialect};
use crate::core::event::{Backup, BackupMethod, BackupRestored, Event};
use crate::error::{Error, Result};
use crate::heads::Heads;
use crate::shutdown::Shutdown;
use crate::{runbook, runs, schema};

/// What stands for an identity where no database stood.
const NOTHING: &str = "none";

/// A database that is to be put back.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// From this backup.
    pub listed: &'a Listed,
    /// The database.
    pub address: &'a Address,
    /// Whether sessions of others may be ended. PostgreSQL only.
    pub may_disconnect: bool,
    /// Why, for the journal; may be empty.
    pub reason: &'a str,
    /// A provider's snapshot is put back by this command.
    pub command: &'a [String],
    /// How.
    pub reading: Reading<'a>,
}

/// A database that was put back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What is noted of it, in the database that stands now.
    pub noted: BackupRestored,
    /// A run that was open when the backup was taken: it goes on in another database now.
    pub open_run: Option<String>,
    /// What earlier restores have left, as they were killed: databases or files.
    pub left_over: Vec<String>,
}

/// Refuses what cannot be restored, before anybody is asked for their word.
///
/// # Errors
/// [`Error::Usage`]: backup and database, or backup and command, do not fit; there is nothing to restore from.
/// [`Error::Refused`]: the database is in use, a right is missing.
pub async fn check(order: &Restore<'_>) -> Result<()> {
    let backup = &order.listed.backup;
    let is_snapshot = matches!(backup.method, BackupMethod::Command { .. });
    if is_snapshot == order.command.is_empty() {
        return Err(Error::Usage(match is_snapshot {
            true => format!(
                "the backup {} is a provider's snapshot: give the command that puts it back behind `--`, with {{id}} \
                 for its id",
                backup.id
            ),
            false => format!(
                "the backup {} is in files of our own, which no command is needed for: leave out what stands behind \
                 `--`",
                backup.id
            ),
        }));
    }
    if is_snapshot {
        return Ok(());
    }
    let dialect = match backup.method {
        BackupMethod::Sqlite => Dialect::Sqlite,
        _ => Dialect::Postgres,
    };
    if dialect != order.address.dialect() {
        return Err(Error::Usage(format!(
            "the backup {} is of {}, and the database {} is not: name the database that it is to be restored to",
            backup.id, backup.server, order.address
        )));
    }
    if order.listed.folder.is_none() {
        return Err(Error::Usage(format!(
            "the files of the backup {} are not in {} any more: name the folder where they are instead of the id",
            backup.id, backup.place
        )));
    }
    match dialect {
        Dialect::Postgres => postgres::check(order).await,
        Dialect::Sqlite => sqlite::check(order).await,
    }
}

/// Puts a database back, and notes it there; none: somebody asked to stop, and the database stands as it was.
///
/// # Errors
/// As [`check`]. [`Error::Failed`]: the backup is not what it was, or restores to something else. [`Error::Transient`]: the
/// disk is full, the connection was lost. The database stands as it was.
pub async fn restore(
    order: &Restore<'_>,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<Restored>> {
    if !order.command.is_empty() {
        return provider::restore(order, shutdown).await;
    }
    let Some((manifest, problems)) = verify::files(order.listed, shutdown, step).await? else {
        return Ok(None);
    };
    let (Some(manifest), true) = (manifest, problems.is_empty()) else {
        return Err(Error::Failed(format!(
            "nothing was changed: the backup {} is not as it was written: {}; use another one",
            order.listed.backup.id,
            problems.join("; ")
        )));
    };
    match order.address.dialect() {
        Dialect::Postgres => postgres::restore(order, &manifest, shutdown, step).await,
        Dialect::Sqlite => sqlite::restore(order, &manifest, shutdown, step).await,
    }
}

/// What is to be noted, but for where the journal before ended.
fn event(order: &Restore<'_>, backup: &Backup, from: String, to: String) -> BackupRestored {
    BackupRestored {
        backup: backup.clone(),
        from,
        to,
        kept_as: None,
        head: String::new(),
        reason: order.reason.to_owned(),
        problems: Vec::new(),
    }
}

/// The backup as the manifest has it, and where it is now.
fn backup(order: &Restore<'_>, manifest: &Manifest) -> Backup {
    let mut backup = manifest.backup.clone();
    if let Some(folder) = &order.listed.folder {
        backup.place = folder.display().to_string();
    }
    backup
}

/// The digest of where a database's journal ends.
async fn head(database: &Database) -> Result<String> {
    match schema::has_journal(database).await? {
        true => Ok(Heads::load(database.connection()).await?.digest()),
        false => Ok(Heads::default().digest()),
    }
}

/// The same of a database that may be broken, which is why it is put back: then nothing.
async fn head_if_readable(database: &Database) -> String {
    match head(database).await {
        Ok(head) => head,
        Err(error) => {
            tracing::warn!(
                "the journal before cannot be read, so that its end is not noted: {error}"
            );
            String::new()
        }
    }
}

/// Notes it in the database that was put back.
async fn note(database: &Database, worker: &str, restored: &BackupRestored) -> Result<()> {
    let event = Event::BackupRestored(restored.clone());
    runbook::note(database, worker, &[event]).await
}

/// The run that was under way when the backup was taken; none where none was, or the schema was still to come.
async fn open_run(database: &Database) -> Result<Option<String>> {
    match schema::check_applied(database).await {
        Ok(()) => {
            let unfinished = runs::unfinished(database.connection()).await?;
            Ok(unfinished.map(|(run, _)| run))
        }
        Err(_) => Ok(None),
    }
}

/// Looks at what stands now: it is the one that was restored, and says so.
async fn confirmed(
    database: &Database,
    noted: BackupRestored,
    left_over: Vec<String>,
) -> Result<Restored> {
    let identity = database.identity().await?;
    let runbook = runbook::load(database).await?;
    let is_noted = runbook.newest(|event| match event {
        Event::BackupRestored(restored) => Some(*restored == noted),
        _ => None,
    });
    if identity != noted.to || !is_noted.is_some_and(|(_, is_it)| is_it) {
        return Err(Error::Failed(format!(
            "the database that stands now is not the one that was restored ({identity} instead of {}): somebody else \
             changed it in the same moment; look at both before you go on",
            noted.to
        )));
    }
    let open_run = open_run(database).await?;
    Ok(Restored {
        noted,
        open_run,
        left_over,
    })
}
