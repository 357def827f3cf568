//! Files that units read: pinned by size and digest when a run starts, checked when it goes on.

use std::fs::File;
use std::path::Path;

use crate::core::event::Input;
use crate::error::{Error, Result};

/// Pins files.
///
/// # Errors
/// [`Error::Usage`]: one cannot be read.
pub fn pin(paths: &[impl AsRef<Path>]) -> Result<Vec<Input>> {
    paths.iter().map(|path| pin_one(path.as_ref())).collect()
}

fn pin_one(path: &Path) -> Result<Input> {
    let failed = |error: std::io::Error| {
        Error::Usage(format!(
            "cannot read {}: {error}; check the path and its rights",
            path.display()
        ))
    };
    let absolute = path.canonicalize().map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    let file = File::open(&absolute).map_err(failed)?;
    hasher.update_reader(file).map_err(failed)?;
    Ok(Input {
        path: absolute.to_string_lossy().into_owned(),
        bytes: hasher.count(),
        digest: hasher.finalize().to_hex().to_string(),
    })
}

/// Checks that the files of an open run are what they were, and that the caller names no others (or none).
///
/// # Errors
/// [`Error::Usage`]: one cannot be read. [`Error::Refused`]: one has changed, or others are named.
pub fn check(run: &str, pinned: &[Input], named: &[Input]) -> Result<()> {
    if named == pinned {
        return Ok(());
    }
    let paths: Vec<_> = pinned.iter().map(|input| input.path.as_str()).collect();
    let now = pin(&paths)?;
    if let Some((before, _)) = pinned.iter().zip(&now).find(|(before, now)| before != now) {
        return Err(Error::Refused(format!(
            "{} has changed since run {run} began: put the file back as it was, or take the run back with \
             `cli rollback --run {run}`",
            before.path
        )));
    }
    if named.is_empty() {
        return Ok(());
    }
    let which = match paths.is_empty() {
        true => "none".to_owned(),
        false => paths.join(", "),
    };
    Err(Error::Refused(format!(
        "run {run} is open and was started with other input files ({which}): leave the option out to go on with it, \
         or take the run back with `cli rollback --run {run}`"
    )))
}
