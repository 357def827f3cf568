//! Backups of a database: taking them, reading them back, putting a database back from one.
//!
//! A backup is a folder: its files, and beside them a manifest ([`manifest`]) with SHA-256 of each file and the rows of each
//! table at the instant that the backup is of. On PostgreSQL the files are `pg_dump`'s, on SQLite the file is what `VACUUM
//! INTO` writes: a consistent copy of an online database, in one read transaction. A provider's snapshot has no folder: a
//! command takes it, and what it said is kept. What is done to backups is evidence in the journal's runbook; the manifest
//! serves where no journal is left.

mod catalogue;
mod child;
mod command;
mod digest;
mod manifest;
mod pg;
mod properties;
mod restore;
mod said;
mod server;
mod sqlite;
mod tables;
mod tools;
mod verify;

use std::path::Path;

use crate::backend::{Address, Database, Dialect};
use crate::core::event::{Backup, BackupMethod, Event};
use crate::error::{Error, Result};
use crate::journal;
use crate::runbook;
use crate::shutdown::Shutdown;

use self::manifest::{Manifest, Partial};
use self::properties::Properties;
use self::tables::Rows;

pub use self::catalogue::{Listed, Reading, find, list};
pub use self::restore::{Restore, Restored, check as check_restore, restore};
pub use self::tools::Surroundings;
pub use self::verify::{Verification, Verify, verify};

/// How `pg_dump` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A folder with a file for each table: several tables are dumped at a time.
    Directory,
    /// One file.
    Custom,
}

/// How far something is; sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So much is written.
    Written(u64),
    /// The rows of so many tables are counted.
    Counted {
        /// Tables.
        tables: usize,
        /// Of so many.
        of: usize,
    },
    /// So much is read back.
    Read {
        /// Bytes.
        bytes: u64,
        /// Of so many.
        of: u64,
    },
    /// The database that is restored into is of this size.
    Restored(u64),
}

/// Is told how far something is.
pub type Watch<'a> = dyn FnMut(Step) + Send + 'a;

/// A backup that is to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Create<'a> {
    /// Of this database.
    pub address: &'a Address,
    /// Below this folder.
    pub to: &'a Path,
    /// None: a directory. PostgreSQL only.
    pub format: Option<Format>,
    /// Tables that are dumped at a time; none: a few. PostgreSQL only.
    pub jobs: Option<u32>,
    /// A provider's snapshot, by this command; empty: none.
    pub command: &'a [String],
    /// Where programs are.
    pub surroundings: &'a Surroundings,
    /// Who takes it, for the journal.
    pub worker: &'a str,
}

/// What a way of taking a backup brings.
struct Contents {
    method: BackupMethod,
    rows: Rows,
    database: Option<Properties>,
}

/// Takes a backup and notes it, or why it could not be taken; none: somebody asked to stop, and nothing is left of it.
///
/// # Errors
/// [`Error::Usage`]: what is asked for does not fit the database, a program is missing. [`Error::Transient`]: the disk is
/// full, the connection was lost. [`Error::Failed`]: what was written does not read back. Nothing is left of the backup.
pub async fn create(
    database: &Database,
    order: &Create<'_>,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<Backup>> {
    let begun_at = journal::now(database.connection()).await?;
    let begun = tokio::time::Instant::now();
    let mut backup = Backup {
        id: id(&order.address.name()?, begun_at),
        method: BackupMethod::Sqlite,
        place: String::new(),
        database: database.identity().await?,
        server: String::new(),
        bytes: 0,
        digest: String::new(),
        rows: Rows::new(),
        begun_at,
        millis: 0,
    };
    let way = Way::choose(database, order, &mut backup).await?;
    let taken = way
        .take(database, order, &mut backup, begun, shutdown, step)
        .await;
    let event = match &taken {
        Ok(true) => Event::BackupTaken(backup.clone()),
        Ok(false) => Event::BackupFailed {
            method: way.name().into(),
            why: "interrupted by a signal".into(),
        },
        Err(error) => Event::BackupFailed {
            method: way.name().into(),
            why: error.without_values(),
        },
    };
    let noted = runbook::note(database, order.worker, &[event]).await;
    match (taken, noted) {
        (Ok(true), Ok(())) => Ok(Some(backup)),
        (Ok(true), Err(error)) => {
            tracing::warn!(
                "the backup {} is complete in {}, but could not be noted in the journal",
                backup.id,
                backup.place
            );
            Err(error)
        }
        (Ok(false), _) => Ok(None),
        (Err(error), _) => Err(error),
    }
}

/// How a backup is taken, with all that is needed for it.
enum Way {
    Postgres(pg::Dump),
    Sqlite,
    Command,
}

impl Way {
    async fn choose(database: &Database, order: &Create<'_>, backup: &mut Backup) -> Result<Self> {
        let is_dump = order.format.is_some() || order.jobs.is_some();
        if !order.command.is_empty() {
            if is_dump {
                return Err(Error::Usage(
                    "--format and --jobs are pg_dump's, and a command was given instead of it: leave them out".into(),
                ));
            }
            backup.server = server_of(database).await?;
            return Ok(Self::Command);
        }
        backup.server = server_of(database).await?;
        match database.dialect() {
            Dialect::Postgres => Ok(Self::Postgres(pg::Dump::prepare(database, order).await?)),
            Dialect::Sqlite if is_dump => Err(Error::Usage(
                "--format and --jobs are for PostgreSQL; an SQLite database is copied whole: leave them out".into(),
            )),
            Dialect::Sqlite => Ok(Self::Sqlite),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "pg_dump",
            Self::Sqlite => "SQLite's copy",
            Self::Command => "the given command",
        }
    }

    /// False: somebody asked to stop.
    async fn take(
        &self,
        database: &Database,
        order: &Create<'_>,
        backup: &mut Backup,
        begun: tokio::time::Instant,
        shutdown: &Shutdown,
        step: &mut Watch<'_>,
    ) -> Result<bool> {
        if matches!(self, Self::Command) {
            let taken = command::run(
                order.command,
                &backup.id,
                order.address,
                order.surroundings,
                shutdown,
            )
            .await?;
            let Some(method) = taken else {
                return Ok(false);
            };
            backup.method = method;
            backup.place.clone_from(&backup.id);
            backup.millis = millis(begun);
            return Ok(true);
        }
        let partial = Partial::make(order.to, &backup.id)?;
        let folder = partial.folder();
        let contents = match self {
            Self::Postgres(dump) => dump.take(database, order, folder, shutdown, step).await?,
            _ => sqlite::copy(database, folder, shutdown, step).await?,
        };
        let Some(contents) = contents else {
            return Ok(false);
        };
        let names = digest::list(folder);
        let names = names.map_err(|error| failed("listing the backup's files", &error))?;
        let Some(files) = digest::read(folder, &names, shutdown, step).await? else {
            return Ok(false);
        };
        backup.place = partial.complete().display().to_string();
        backup.method = contents.method;
        backup.rows = contents.rows;
        backup.bytes = names.values().sum();
        backup.digest = digest::of(&files);
        backup.millis = millis(begun);
        partial.finish(&Manifest::new(backup.clone(), files, contents.database))?;
        Ok(true)
    }
}

/// The release of the server or the library, with its name.
async fn server_of(database: &Database) -> Result<String> {
    match database.dialect() {
        Dialect::Postgres => {
            let (_, version) = server::release(database).await?;
            Ok(format!("PostgreSQL {version}"))
        }
        Dialect::Sqlite => sqlite::release(database).await,
    }
}

/// A name for a backup that tells what it is of and when it began, and that a file may have: `app-20261126T091500.123Z`.
fn id(name: &str, at: i64) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let plain = |character| if is_plain(character) { character } else { '_' };
    let name: String = name.chars().take(60).map(plain).collect();
    format!("{name}-{}", stamp(at, "%Y%m%dT%H%M%S%.3fZ"))
}

/// An instant as a part of a name.
fn stamp(at: i64, form: &str) -> String {
    match chrono::DateTime::from_timestamp_millis(at) {
        Some(instant) => instant.format(form).to_string(),
        None => at.to_string(),
    }
}

fn millis(begun: tokio::time::Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What an error of the operating system's means: a full disk may be made room on, a path can be mended.
fn failed(doing: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind;
    let line = format!("{doing}: {}", reason(error));
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Transient(format!(
            "{line}; make room, then run the same command again"
        )),
        ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::NotADirectory
        | ErrorKind::AlreadyExists
        | ErrorKind::ReadOnlyFilesystem => {
            Error::Usage(format!("{line}; check the path and its permissions"))
        }
        _ => Error::Unexpected(line),
    }
}

/// The operating system's reason in plain words, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or_default();
    plain.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_files() {
        assert_eq!(id("app", 0), "app-19700101T000000.000Z");
        assert_eq!(id("../ä b.db", 1), "_____b_db-19700101T000000.001Z");
    }

    #[test]
    fn a_full_disk_may_pass() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(failed("writing", &full).exit_code(), 5);
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        assert_eq!(failed("writing", &missing).exit_code(), 2);
    }
}
