//! What stands beside a backup's files, so that it can be listed, verified and restored where no journal is left.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::{self, Files};
use super::properties::Properties;
use super::{Backup, failed};
use crate::error::{Error, Result};

/// Its file's name in a backup's folder.
pub(super) const NAME: &str = "backup.json";

/// What a backup's folder is called while it is not complete.
const PARTIAL: &str = ".partial";

/// The version of the manifest that this build writes. 1: the first.
const FORMAT: u32 = 1;

/// A backup, its files, and what belongs to its database that no dump holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The version of this document.
    pub(super) format: u32,
    /// The backup, as the journal has it.
    pub(super) backup: Backup,
    /// Its files.
    pub(super) files: Files,
    /// What the server keeps of the database outside of it; none on SQLite.
    pub(super) database: Option<Properties>,
}

impl Manifest {
    /// A manifest of this build's.
    #[must_use]
    pub(super) fn new(backup: Backup, files: Files, database: Option<Properties>) -> Self {
        Self {
            format: FORMAT,
            backup,
            files,
            database,
        }
    }

    /// Reads the one in a backup's folder.
    ///
    /// # Errors
    /// [`Error::Usage`]: there is none. [`Error::Failed`]: it is broken. [`Error::Refused`]: a newer release wrote it.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let shown = path.display();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Usage(format!(
                    "there is no backup in {}, as it has no {NAME}; `cli backup list` shows those that there are",
                    folder.display()
                )));
            }
            Err(error) => return Err(failed(&format!("reading {shown}"), &error)),
        };
        let broken =
            |why: &str| Error::Failed(format!("{shown} is broken: {why}; use another backup"));
        let version: serde_json::Value =
            serde_json::from_slice(&text).map_err(|_| broken("it is no JSON"))?;
        let version = version.get("format").and_then(serde_json::Value::as_u64);
        match version {
            Some(version) if version > u64::from(FORMAT) => {
                return Err(Error::Refused(format!(
                    "a newer release wrote {shown} (format {version}): use that one"
                )));
            }
            Some(_) => {}
            None => return Err(broken("it says no format")),
        }
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|_| broken("it is no backup's manifest"))?;
        match manifest.files.keys().find(|name| !digest::is_inside(name)) {
            Some(_) => Err(broken("it names a file outside of its folder")),
            None => Ok(manifest),
        }
    }
}

/// A backup's folder while it is made: removed again, unless it is completed.
#[derive(Debug)]
pub(super) struct Partial {
    folder: PathBuf,
    complete: PathBuf,
    is_kept: bool,
}

impl Partial {
    /// Makes `<to>/<id>.partial`, and `to` where it is not there; nobody else may read either.
    pub(super) fn make(to: &Path, id: &str) -> Result<Self> {
        let make = || -> std::io::Result<Self> {
            let mut builder = std::fs::DirBuilder::new();
            builder.mode(0o700).recursive(true).create(to)?;
            let to = to.canonicalize()?;
            let partial = Self {
                folder: to.join(format!("{id}{PARTIAL}")),
                complete: to.join(id),
                is_kept: false,
            };
            if partial.complete.exists() {
                return Err(std::io::ErrorKind::AlreadyExists.into());
            }
            builder.recursive(false).create(&partial.folder)?;
            Ok(partial)
        };
        make().map_err(|error| failed(&format!("making a folder in {}", to.display()), &error))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it will be.
    pub(super) fn complete(&self) -> &Path {
        &self.complete
    }

    /// Nobody else may read the files; all of them are on disk, and so is the manifest; then it gets its name.
    pub(super) fn finish(mut self, manifest: &Manifest) -> Result<()> {
        let finish = || -> std::io::Result<()> {
            let mut folders = BTreeSet::from([self.folder.clone()]);
            for name in manifest.files.keys() {
                let path = self.folder.join(name);
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
                File::open(&path)?.sync_all()?;
                if let Some(parent) = path.parent() {
                    folders.insert(parent.to_owned());
                }
            }
            let path = self.folder.join(NAME);
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(serde_json::to_string_pretty(manifest)?.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            for folder in folders {
                std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
                File::open(folder)?.sync_all()?;
            }
            std::fs::rename(&self.folder, &self.complete)?;
            match self.complete.parent() {
                Some(parent) => File::open(parent)?.sync_all(),
                None => Ok(()),
            }
        };
        finish().map_err(|error| failed("writing the backup", &error))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is called partial, and nobody takes it for a backup.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
