//! An SQLite file: the backup is copied beside it, checked and noted, and then takes its name. The file before gets a second
//! name first, and the new one replaces the first name in one step, so that there is always a database of that name.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sea_orm::ConnectionTrait;

use super::{NOTHING, Restore, Restored, backup, confirmed, event, note};
use crate::backend::{Access, Address, Database, Durability};
use crate::backup::manifest::Manifest;
use crate::backup::sqlite::{COPY, read};
use crate::backup::{Watch, failed, stamp, tables};
use crate::core::event::BackupRestored;
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::heads::Heads;
use crate::journal;
use crate::schema;
use crate::shutdown::Shutdown;

/// What SQLite keeps beside a file whose last transactions are not in it yet.
const LOGS: [&str; 2] = ["-wal", "-journal"];

pub(super) async fn check(order: &Restore<'_>) -> Result<()> {
    let Some(file) = standing(order.address)? else {
        return Ok(());
    };
    check_unused(&file)?;
    let locked = Locked::take(&file).await?;
    locked.release().await;
    Ok(())
}

pub(super) async fn restore(
    order: &Restore<'_>,
    manifest: &Manifest,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<Restored>> {
    let standing = standing(order.address)?;
    let target = match &standing {
        Some(file) => file.clone(),
        None => order.address.file()?,
    };
    let from = order
        .listed
        .folder
        .as_deref()
        .unwrap_or(Path::new(""))
        .join(COPY);
    let at = {
        let copy = Database::connect(Address::of_file(&from).url(), 1, Access::Read).await?;
        let now = journal::now(copy.connection()).await;
        copy.close().await;
        stamp(now?, "%Y%m%dT%H%M%S%.3fZ")
    };
    let left_over = left_over(&target);
    let copy = Copy::make(&from, &target, standing.as_deref(), &at).await?;
    if shutdown.is_requested() {
        return Ok(None);
    }
    fault::point(|| "restore: made".into());
    let (rows, mut problems) = read(&copy.path, step).await?;
    problems.extend(tables::differences(&manifest.backup.rows, &rows));
    if !problems.is_empty() {
        return Err(Error::Failed(format!(
            "nothing was changed: what was restored is not what the backup says: {}",
            problems.join("; ")
        )));
    }
    fault::point(|| "restore: restored".into());
    if shutdown.is_requested() {
        return Ok(None);
    }
    let noted = take_name(order, manifest, copy, &target, standing.is_some(), &at).await?;
    let live = Database::connect(Address::of_file(&target).url(), 1, Access::Read).await?;
    let confirmed = confirmed(&live, noted, left_over).await;
    live.close().await;
    confirmed.map(Some)
}

async fn take_name(
    order: &Restore<'_>,
    manifest: &Manifest,
    copy: Copy,
    target: &Path,
    is_standing: bool,
    at: &str,
) -> Result<BackupRestored> {
    let backup = backup(order, manifest);
    let mut noted = event(order, &backup, NOTHING.into(), String::new());
    let mut locked = None;
    if is_standing {
        check_unused(target)?;
        let taken = Locked::take(target).await?;
        noted.from.clone_from(&taken.identity);
        noted.head = taken.head().await;
        noted.kept_as = Some(
            named_beside(target, "", &format!(".before-{at}"))
                .display()
                .to_string(),
        );
        locked = Some(taken);
    }
    let swapped = async {
        let database =
            Database::connect(Address::of_file(&copy.path).url(), 2, Access::Write).await?;
        let done = async {
            noted.to = database.identity().await?;
            note(&database, order.reading.worker, &noted).await
        };
        let done = done.await;
        // Its log is folded into the file.
        database.close().await;
        done?;
        copy.take_name(target, noted.kept_as.as_deref().map(Path::new))
    };
    let swapped = swapped.await;
    if let Some(locked) = locked {
        locked.release().await;
    }
    swapped.map(|()| noted)
}

/// The file that stands, by way of links; none: there is none.
fn standing(address: &Address) -> Result<Option<PathBuf>> {
    let file = address.file()?;
    if let Ok(file) = file.canonicalize() {
        return Ok(Some(file));
    }
    let logs = LOGS.map(|log| with(&file, log));
    match logs.iter().find(|log| log.exists()) {
        // SQLite would write what is in it into the restored file.
        Some(log) => Err(Error::Refused(format!(
            "nothing was changed: there is no {}, but a log of it, {}: move that away first",
            file.display(),
            log.display()
        ))),
        None => Ok(None),
    }
}

/// The database that stands, which nobody else writes to while this is held.
struct Locked {
    database: Database,
    transaction: crate::backend::Transaction,
    identity: String,
    has_journal: bool,
}

impl Locked {
    async fn take(file: &Path) -> Result<Self> {
        let in_use = || {
            Error::Refused(format!(
                "nothing was changed: another process has {} open: stop it first",
                file.display()
            ))
        };
        let opened = Database::connect(Address::of_file(file).url(), 1, Access::Write).await;
        let database = opened.map_err(|error| match error {
            Error::Transient(_) => in_use(),
            error => Error::Refused(format!(
                "nothing was changed: {error}; where it is broken, move it away, with its -wal, and restore again"
            )),
        })?;
        let locked = async {
            // Leaving the log folds it into the file, and is granted to whoever is alone alone.
            let left = database
                .connection()
                .execute_unprepared("PRAGMA journal_mode = DELETE");
            left.await.doing("locking the database")?;
            // The transaction has the only connection.
            let identity = database.identity().await?;
            let has_journal = schema::has_journal(&database).await.unwrap_or_default();
            let begun = database.begin(Durability::Synced).await;
            Ok((begun.doing("locking the database")?, identity, has_journal))
        };
        let locked: Result<_> = locked.await;
        match locked {
            Ok((transaction, identity, has_journal)) => Ok(Self {
                database,
                transaction,
                identity,
                has_journal,
            }),
            Err(error) => {
                database.close().await;
                match error.is_transient() {
                    true => Err(in_use()),
                    false => Err(error),
                }
            }
        }
    }

    /// The digest of where its journal ends; empty where that cannot be read.
    async fn head(&self) -> String {
        if !self.has_journal {
            return Heads::default().digest();
        }
        match Heads::load(&self.transaction).await {
            Ok(heads) => heads.digest(),
            Err(error) => {
                tracing::warn!(
                    "the journal before cannot be read, so that its end is not noted: {error}"
                );
                String::new()
            }
        }
    }

    async fn release(self) {
        // Nothing was written.
        let _ = self.transaction.rollback().await;
        self.database.close().await;
    }
}

/// A copy beside the file, removed again unless it takes the name.
struct Copy {
    path: PathBuf,
    is_kept: bool,
}

impl Copy {
    async fn make(from: &Path, target: &Path, standing: Option<&Path>, at: &str) -> Result<Self> {
        let path = named_beside(target, ".", &format!(".restoring-{at}"));
        let copy = Self {
            path: path.clone(),
            is_kept: false,
        };
        let (from, like) = (from.to_owned(), standing.map(Path::to_owned));
        let copying = move || -> std::io::Result<()> {
            std::fs::copy(from, &path)?;
            let mode = match like.map(std::fs::metadata).transpose()? {
                Some(like) => {
                    // Only root may give a file away; then it must be, or the application cannot open it.
                    let owned = std::os::unix::fs::chown(&path, Some(like.uid()), Some(like.gid()));
                    match (owned, std::fs::metadata(&path)?.uid() == like.uid()) {
                        (Err(error), false) => return Err(error),
                        _ => like.permissions().mode(),
                    }
                }
                None => 0o600,
            };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
            File::open(&path)?.sync_all()
        };
        match tokio::task::spawn_blocking(copying).await {
            Ok(copied) => {
                copied.map_err(|error| failed("copying the backup beside the database", &error))?
            }
            Err(_) => return Err(Error::Unexpected("copying the backup: it panicked".into())),
        }
        Ok(copy)
    }

    /// Keeps the file before under its second name, and replaces it.
    fn take_name(mut self, target: &Path, before: Option<&Path>) -> Result<()> {
        let take = || -> std::io::Result<()> {
            File::open(&self.path)?.sync_all()?;
            if let Some(before) = before {
                std::fs::hard_link(target, before)?;
                fault::point(|| "restore: renamed away".into());
            }
            std::fs::rename(&self.path, target)?;
            fault::point(|| "restore: swapped".into());
            match target.parent().filter(|folder| *folder != Path::new("")) {
                Some(folder) => File::open(folder)?.sync_all(),
                None => File::open(".")?.sync_all(),
            }
        };
        for log in LOGS.map(|log| with(&self.path, log)) {
            if log.exists() {
                return Err(Error::Unexpected(format!(
                    "nothing was changed: SQLite has left {} beside the restored file",
                    log.display()
                )));
            }
        }
        take().map_err(|error| failed("putting the restored file into place", &error))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if !self.is_kept {
            for path in [
                self.path.clone(),
                with(&self.path, "-wal"),
                with(&self.path, "-shm"),
            ] {
                // What cannot be removed is told by the next restore.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Refuses a file that another process has open: SQLite's locks tell it of a file in WAL alone. Processes of other users are
/// seen by root alone.
fn check_unused(file: &Path) -> Result<()> {
    let Ok(wanted) = std::fs::metadata(file) else {
        return Ok(());
    };
    let own = std::process::id().to_string();
    let mut users = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = process.file_name().to_string_lossy().into_owned();
        if id == own || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let handles = std::fs::read_dir(process.path().join("fd"));
        let is_it = |handle: std::fs::DirEntry| {
            let opened = std::fs::metadata(handle.path());
            opened.is_ok_and(|opened| (opened.dev(), opened.ino()) == (wanted.dev(), wanted.ino()))
        };
        if handles.into_iter().flatten().flatten().any(is_it) {
            let name = std::fs::read_to_string(process.path().join("comm"));
            let name = name.unwrap_or_default().trim().to_owned();
            users.push(format!("{name} (process {id})"));
        }
    }
    match users.is_empty() {
        true => Ok(()),
        false => Err(Error::Refused(format!(
            "nothing was changed: {} is open in {}: stop it first",
            file.display(),
            users.join(", ")
        ))),
    }
}

/// What earlier restores have left beside the file.
fn left_over(target: &Path) -> Vec<String> {
    let prefix = named_beside(target, ".", ".restoring-");
    let prefix = prefix
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let folder = target.parent().filter(|folder| *folder != Path::new(""));
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new(".")));
    let entries = entries.into_iter().flatten().flatten();
    let is_ours =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
    let mut found: Vec<_> = entries
        .filter(is_ours)
        .map(|entry| entry.path().display().to_string())
        .collect();
    found.sort();
    found
}

/// A path in the same folder.
fn named_beside(file: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(prefix);
    name.push(file.file_name().unwrap_or_default());
    name.push(suffix);
    file.with_file_name(name)
}

/// A path with something behind it.
fn with(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
