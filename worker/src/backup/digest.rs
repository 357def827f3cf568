//! SHA-256 of a backup's files: of each, and of all together.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Step, failed, manifest};
use crate::error::{Error, Result};
use crate::shutdown::Shutdown;

/// How often a file that is read is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A file, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hashed {
    /// Its size.
    pub(super) bytes: u64,
    /// SHA-256 of it, in hexadecimal.
    pub(super) sha256: String,
}

/// Files by their path in the backup's folder, with `/` between its parts.
pub(super) type Files = BTreeMap<String, Hashed>;

/// The names and sizes of a backup's files, but for its manifest.
///
/// # Errors
/// The operating system's.
pub(super) fn list(folder: &Path) -> std::io::Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![(folder.to_owned(), String::new())];
    while let Some((path, prefix)) = waiting.pop() {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                waiting.push((entry.path(), format!("{name}/")));
            } else if name != manifest::NAME {
                found.insert(name, entry.metadata()?.len());
            }
        }
    }
    Ok(found)
}

/// Reads all of a backup's files; none: somebody asked to stop.
///
/// # Errors
/// The operating system's.
pub(super) async fn read(
    folder: &Path,
    names: &BTreeMap<String, u64>,
    shutdown: &Shutdown,
    step: &mut super::Watch<'_>,
) -> Result<Option<Files>> {
    let done = Arc::new(AtomicU64::new(0));
    let total = names.values().sum();
    let reading = {
        let (folder, names) = (folder.to_owned(), names.clone());
        let (done, shutdown) = (Arc::clone(&done), shutdown.clone());
        tokio::task::spawn_blocking(move || -> std::io::Result<Option<Files>> {
            let mut files = Files::new();
            for name in names.into_keys() {
                match hash(&folder.join(&name), &done, &shutdown)? {
                    Some(hashed) => files.insert(name, hashed),
                    None => return Ok(None),
                };
            }
            Ok(Some(files))
        })
    };
    while !reading.is_finished() {
        step(Step::Read {
            bytes: done.load(Ordering::Relaxed),
            of: total,
        });
        tokio::time::sleep(LOOK).await;
    }
    match reading.await {
        Ok(files) => files.map_err(|error| failed("reading the backup's files", &error)),
        Err(_) => Err(Error::Unexpected(
            "reading the backup's files: it panicked".into(),
        )),
    }
}

fn hash(path: &Path, done: &AtomicU64, shutdown: &Shutdown) -> std::io::Result<Option<Hashed>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut page = vec![0; 1 << 20];
    loop {
        if shutdown.is_requested() {
            return Ok(None);
        }
        let read = file.read(&mut page)?;
        if read == 0 {
            break;
        }
        hasher.update(&page[..read]);
        bytes += read as u64;
        done.fetch_add(read as u64, Ordering::Relaxed);
    }
    let sha256 = hex(&hasher.finalize());
    Ok(Some(Hashed { bytes, sha256 }))
}

/// SHA-256 over a line for each file, as `sha256sum` prints it.
#[must_use]
pub(super) fn of(files: &Files) -> String {
    let mut hasher = Sha256::new();
    for (name, hashed) in files {
        hasher.update(format!("{}  {name}\n", hashed.sha256));
    }
    hex(&hasher.finalize())
}

/// Whether a name stays within the folder.
pub(super) fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_is_told() {
        for (name, inside) in [
            ("dump/toc.dat", true),
            ("../x", false),
            ("/etc/passwd", false),
            ("a/../../x", false),
            ("", false),
        ] {
            assert_eq!(is_inside(name), inside, "{name}");
        }
    }

    /// As `sha256sum` has it.
    #[tokio::test]
    async fn files_are_hashed() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a"), "abc").expect("written");
        std::fs::write(folder.path().join(manifest::NAME), "{}").expect("written");
        let names = list(folder.path()).expect("listed");
        let shutdown = Shutdown::default();
        let files = read(folder.path(), &names, &shutdown, &mut |_| {}).await;
        let files = files.expect("read").expect("not interrupted");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(files.len(), 1);
        assert_eq!(files["a"].sha256, abc);
        // printf '%s  a\n' $abc | sha256sum
        assert_eq!(of(&files).len(), 64);
    }
}
