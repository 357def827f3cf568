//! Which backups there are: those that the journal knows, and those in a folder, whether it knows them or not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::manifest::{self, Manifest};
use super::tools::Surroundings;
use crate::core::event::{Backup, BackupVerified, Event};
use crate::error::{Error, Result};
use crate::runbook::Runbook;

/// A backup that is known.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The backup, as the journal has it, else as its manifest does.
    pub backup: Backup,
    /// Where its files are now; none: they are not where they were, or a provider has them.
    pub folder: Option<PathBuf>,
    /// Whether the journal knows it.
    pub is_noted: bool,
    /// When it was last read back, and with what result; milliseconds since 1970.
    pub verified: Option<(i64, BackupVerified)>,
}

/// How backups are read back or restored.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Tables at a time; none: a few. PostgreSQL only.
    pub jobs: Option<u32>,
    /// The database that is connected to while others are made; none: `postgres`, then `template1`.
    pub maintenance: Option<&'a str>,
    /// Where programs are.
    pub surroundings: &'a Surroundings,
    /// Who does it, for the journal.
    pub worker: &'a str,
}

/// All backups that the journal knows or that are in the folder, oldest first.
#[must_use]
pub fn list(runbook: &Runbook, to: &Path) -> Vec<Listed> {
    let mut known: BTreeMap<String, Listed> = BTreeMap::new();
    for noted in &runbook.events {
        match &noted.event {
            Event::BackupTaken(backup) => {
                known.insert(backup.id.clone(), of_journal(backup, to));
            }
            Event::BackupRestored(restored) => {
                let backup = &restored.backup;
                let listed = || of_journal(backup, to);
                known.entry(backup.id.clone()).or_insert_with(listed);
            }
            Event::BackupVerified(verified) => {
                if let Some(listed) = known.get_mut(&verified.backup) {
                    listed.verified = Some((noted.entry.at, verified.clone()));
                }
            }
            _ => {}
        }
    }
    for (folder, manifest) in in_folder(to) {
        known.entry(manifest.backup.id.clone()).or_insert(Listed {
            backup: manifest.backup,
            folder: Some(folder),
            is_noted: false,
            verified: None,
        });
    }
    let mut listed: Vec<_> = known.into_values().collect();
    listed.sort_by_key(|listed| (listed.backup.begun_at, listed.backup.id.clone()));
    listed
}

/// The backup of this id, or whose id begins so, or in this folder; none named: the newest that has files.
///
/// # Errors
/// [`Error::Usage`]: there is none, or there are several. [`Error::Failed`]: its manifest is broken.
pub fn find(runbook: &Runbook, to: &Path, named: Option<&str>) -> Result<Listed> {
    let mut listed = list(runbook, to);
    let Some(named) = named else {
        let newest = listed
            .into_iter()
            .rev()
            .find(|listed| listed.folder.is_some());
        return newest.ok_or_else(|| {
            Error::Usage(format!(
                "there is no backup, neither in the journal nor in {}; `cli backup create` takes one",
                to.display()
            ))
        });
    };
    if let Some(at) = listed.iter().position(|listed| listed.backup.id == named) {
        return Ok(listed.swap_remove(at));
    }
    let path = Path::new(named);
    if path.is_dir() {
        return in_path(path, listed);
    }
    let begin_so = |listed: &&Listed| listed.backup.id.starts_with(named);
    let mut found = listed.iter().filter(begin_so);
    match (found.next(), found.next()) {
        (Some(listed), None) => Ok(listed.clone()),
        (Some(_), Some(_)) => Err(Error::Usage(format!(
            "several backups begin with {named}: name one whole; `cli backup list` shows them"
        ))),
        (None, _) => Err(Error::Usage(format!(
            "there is no backup {named}, neither in the journal nor in {}, nor a folder of that name; `cli backup list` \
             shows those that there are, of another folder with --to",
            to.display()
        ))),
    }
}

/// The backup in a folder, with what the journal knows of it.
fn in_path(path: &Path, listed: Vec<Listed>) -> Result<Listed> {
    let path = path.canonicalize();
    let path = path.map_err(|error| super::failed("looking at the backup's folder", &error))?;
    let manifest = match Manifest::read(&path) {
        Ok(manifest) => manifest,
        // What the journal knows of it can still be compared.
        Err(error) => {
            let known = |listed: &Listed| Path::new(&listed.backup.place) == path;
            return listed.into_iter().find(known).ok_or(error);
        }
    };
    let known = |listed: &Listed| listed.backup.id == manifest.backup.id;
    let mut found = listed.into_iter().find(known).unwrap_or(Listed {
        backup: manifest.backup,
        folder: None,
        is_noted: false,
        verified: None,
    });
    found.folder = Some(path);
    Ok(found)
}

/// Whether a folder is there; one that may not be looked into is told of, as it is not gone.
fn is_folder(place: &Path) -> bool {
    match std::fs::metadata(place) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                tracing::warn!(
                    "{} may not be looked into by this user, so its backup seems to be gone: run this as the user who \
                     took it",
                    place.display()
                );
            }
            false
        }
    }
}

fn of_journal(backup: &Backup, to: &Path) -> Listed {
    let places = [PathBuf::from(&backup.place), to.join(&backup.id)];
    let is_there = |place: &PathBuf| place.is_absolute() && is_folder(place);
    let folder = places
        .into_iter()
        .enumerate()
        .find(|(number, place)| match number {
            0 => is_there(place),
            _ => place.join(manifest::NAME).is_file(),
        });
    Listed {
        backup: backup.clone(),
        folder: folder.map(|(_, place)| place),
        is_noted: true,
        verified: None,
    }
}

/// The backups in a folder. One that cannot be read is none.
fn in_folder(to: &Path) -> Vec<(PathBuf, Manifest)> {
    let entries = std::fs::read_dir(to).into_iter().flatten().flatten();
    let is_complete = |path: &PathBuf| path.extension().is_none_or(|end| end != "partial");
    entries
        .map(|entry| entry.path())
        .filter(is_complete)
        .filter_map(|path| {
            let path = path.canonicalize().ok()?;
            let manifest = Manifest::read(&path).ok()?;
            Some((path, manifest))
        })
        .collect()
}
