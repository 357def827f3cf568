//! Reading a backup back: its files against their digests, its list against the rows that it should hold, and, where
//! somebody asks for all of it, its rows, restored into a database that is dropped again.

use std::path::Path;

use super::catalogue::{Listed, Reading};
use super::digest::{self, Files};
use super::manifest::Manifest;
use super::{Watch, failed, pg, server, sqlite, tables, tools};
use crate::backend::{Address, Database};
use crate::core::event::{Backup, BackupMethod, BackupVerified, Event};
use crate::error::{Error, Result};
use crate::runbook;
use crate::shutdown::Shutdown;

/// What a database is called that a backup is restored into to be counted.
const SCRATCH: &str = "backstitch_verify_";

/// A backup that is to be read back.
#[derive(Clone, Copy, Debug)]
pub struct Verify<'a> {
    /// The backup.
    pub listed: &'a Listed,
    /// The server to restore it into, and to drop that again; none: only its files and its list are read. Not looked at on
    /// SQLite, where a restore is a copy.
    pub full: Option<&'a Address>,
    /// How.
    pub reading: Reading<'a>,
}

/// What reading a backup back came to.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The backup.
    pub backup: Backup,
    /// The result, as it is noted.
    pub verified: BackupVerified,
    /// Whether it was noted; a journal notes nothing of a backup that it does not know.
    pub is_noted: bool,
    /// Databases that an earlier verification has left on the server, as it was killed.
    pub left_over: Vec<String>,
}

/// Reads a backup back, and notes the result where the journal knows it; none: somebody asked to stop.
///
/// # Errors
/// [`Error::Refused`]: a provider has it; the role may not make a database. [`Error::Usage`]: a program is missing. What is
/// wrong with the backup is no error, but a part of the result.
pub async fn verify(
    database: Option<&Database>,
    order: &Verify<'_>,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<Verification>> {
    let backup = &order.listed.backup;
    if matches!(backup.method, BackupMethod::Command { .. }) {
        return Err(Error::Refused(format!(
            "the backup {} is a provider's snapshot, which cannot be read back from here: restore it beside, as the \
             provider does it, and look at it there",
            backup.id
        )));
    }
    let mut left_over = Vec::new();
    let verified = if order.full.is_some() && is_dump(backup) {
        check_full(order, &mut left_over, shutdown, step).await?
    } else {
        check(order, shutdown, step).await?
    };
    let Some(verified) = verified else {
        return Ok(None);
    };
    let mut is_noted = false;
    if let Some(database) = database
        && order.listed.is_noted
    {
        let event = Event::BackupVerified(verified.clone());
        runbook::note(database, order.reading.worker, &[event]).await?;
        is_noted = true;
    }
    Ok(Some(Verification {
        backup: backup.clone(),
        verified,
        is_noted,
        left_over,
    }))
}

fn is_dump(backup: &Backup) -> bool {
    matches!(
        backup.method,
        BackupMethod::Directory | BackupMethod::Custom
    )
}

/// All but a restore into a server.
async fn check(
    order: &Verify<'_>,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<BackupVerified>> {
    let listed = order.listed;
    let Some((manifest, mut problems)) = files(listed, shutdown, step).await? else {
        return Ok(None);
    };
    let mut verified = BackupVerified {
        backup: listed.backup.id.clone(),
        full: false,
        tables: 0,
        rows: 0,
        problems: Vec::new(),
    };
    if let (Some(folder), Some(manifest), true) = (&listed.folder, manifest, problems.is_empty()) {
        let rows = &manifest.backup.rows;
        if is_dump(&listed.backup) {
            let tool = tools::find("pg_restore", 0, order.reading.surroundings)?;
            let Some(missing) = pg::listed(&tool, folder, rows, shutdown).await? else {
                return Ok(None);
            };
            problems = missing;
        } else {
            let (found, wrong) = match order.full.is_some() {
                true => restored_copy(folder, step).await?,
                false => sqlite::read(&folder.join(sqlite::COPY), step).await?,
            };
            problems = wrong;
            problems.extend(tables::differences(rows, &found));
            verified.full = order.full.is_some();
            verified.rows = found.values().sum();
        }
        verified.tables = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    }
    verified.problems = problems;
    Ok(Some(verified))
}

/// A copy of SQLite's, copied as a restore would, and read.
async fn restored_copy(folder: &Path, step: &mut Watch<'_>) -> Result<(tables::Rows, Vec<String>)> {
    let scratch = tempfile::tempdir();
    let scratch = scratch.map_err(|error| failed("making a folder to restore into", &error))?;
    let (from, to) = (folder.join(sqlite::COPY), scratch.path().join(sqlite::COPY));
    let copied = to.clone();
    let copying = tokio::task::spawn_blocking(move || std::fs::copy(from, copied)).await;
    match copying {
        Ok(copied) => copied.map_err(|error| failed("restoring the copy", &error))?,
        Err(_) => return Err(Error::Unexpected("restoring the copy: it panicked".into())),
    };
    sqlite::read(&to, step).await
}

/// The same as [`check`], then a restore into a database of our own, whose rows are counted.
async fn check_full(
    order: &Verify<'_>,
    left_over: &mut Vec<String>,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<BackupVerified>> {
    let Some(address) = order.full else {
        return Ok(None);
    };
    let server = server::connect(address, order.reading.maintenance).await?;
    let checked = async {
        server::check_rights(&server, None).await?;
        *left_over = server::abandoned(&server, SCRATCH).await?;
        let Some(mut verified) = check(order, shutdown, step).await? else {
            return Ok(None);
        };
        if verified.problems.is_empty()
            && let Some(folder) = &order.listed.folder
        {
            let manifest = Manifest::read(folder)?;
            let counted = scratch(&server, address, order, &manifest, shutdown, step).await?;
            let Some(problems) = counted else {
                return Ok(None);
            };
            verified.full = true;
            verified.rows = manifest.backup.rows.values().sum();
            verified.problems = problems;
        }
        Ok(Some(verified))
    };
    let checked = checked.await;
    server.close().await;
    checked
}

/// Restores into a new database, which is dropped again whatever comes of it.
async fn scratch(
    server: &Database,
    address: &Address,
    order: &Verify<'_>,
    manifest: &Manifest,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<Vec<String>>> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("{SCRATCH}{}", &id[..12]);
    let Some(properties) = &manifest.database else {
        return Err(Error::Failed(
            "the backup's manifest says nothing of its database".into(),
        ));
    };
    let source = pg::Source {
        address,
        surroundings: order.reading.surroundings,
        folder: order.listed.folder.as_deref().unwrap_or(Path::new("")),
        rows: &manifest.backup.rows,
        jobs: order.reading.jobs,
    };
    let sql = properties.create(&name, None);
    server::execute(server, &sql, "making a database to restore into").await?;
    let restored = source.restore(server, &name, shutdown, step).await;
    let dropped = server::drop(server, &name).await;
    match restored {
        // What cannot be restored is what was to be found out; what may pass, or lacks a right, is not the backup's.
        Err(error @ (Error::Unexpected(_) | Error::Failed(_))) => {
            dropped?;
            Ok(Some(vec![error.to_string()]))
        }
        Err(error) => Err(error),
        Ok(counted) => dropped.map(|()| counted),
    }
}

/// The manifest, and what is wrong with the files, beside what the journal says of them; none: somebody asked to stop.
pub(super) async fn files(
    listed: &Listed,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<(Option<Manifest>, Vec<String>)>> {
    let Some(folder) = &listed.folder else {
        let gone = format!("its folder {} is gone", listed.backup.place);
        return Ok(Some((None, vec![gone])));
    };
    let manifest = match Manifest::read(folder) {
        Ok(manifest) => manifest,
        Err(error @ (Error::Usage(_) | Error::Failed(_))) => {
            return Ok(Some((None, vec![error.to_string()])));
        }
        Err(error) => return Err(error),
    };
    let names = match digest::list(folder) {
        Ok(names) => names,
        Err(error) => return Err(failed("listing the backup's files", &error)),
    };
    let mut problems = Vec::new();
    for (name, expected) in &manifest.files {
        match names.get(name) {
            None => problems.push(format!("the file {name} is missing")),
            Some(bytes) if *bytes != expected.bytes => problems.push(format!(
                "the file {name} has {bytes} bytes instead of {}",
                expected.bytes
            )),
            Some(_) => {}
        }
    }
    let more = names
        .keys()
        .filter(|name| !manifest.files.contains_key(*name));
    problems.extend(more.map(|name| format!("the file {name} is not the backup's")));
    if problems.is_empty() {
        let Some(files) = digest::read(folder, &names, shutdown, step).await? else {
            return Ok(None);
        };
        problems = changed(&manifest.files, &files);
    }
    if digest::of(&manifest.files) != manifest.backup.digest {
        problems.push("the manifest's digest is not that of its files".into());
    }
    let noted = &listed.backup;
    if listed.is_noted
        && (noted.digest != manifest.backup.digest || noted.rows != manifest.backup.rows)
    {
        problems.push("the manifest is not what the journal says of the backup".into());
    }
    Ok(Some((Some(manifest), problems)))
}

fn changed(expected: &Files, found: &Files) -> Vec<String> {
    let changed = expected
        .iter()
        .filter(|(name, hashed)| found.get(*name) != Some(*hashed));
    changed
        .map(|(name, _)| format!("the file {name} was changed: its SHA-256 is another"))
        .collect()
}
