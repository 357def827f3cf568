//! Files that units read: pinned by size and digest when a run starts, checked when it goes on.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::core::event::Input;
use crate::error::{Error, Result};

/// The first bytes of gzip.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Pins files.
///
/// # Errors
/// [`Error::Usage`]: one cannot be read.
pub fn pin(paths: &[impl AsRef<Path>]) -> Result<Vec<Input>> {
    paths.iter().map(|path| pin_one(path.as_ref())).collect()
}

/// Each content once, as it was named first; and for each file that was left out, the one that it repeats.
#[must_use]
pub fn distinct(inputs: Vec<Input>) -> (Vec<Input>, Vec<(Input, Input)>) {
    let mut distinct: Vec<Input> = Vec::new();
    let mut repeated = Vec::new();
    for input in inputs {
        match distinct.iter().find(|first| first.digest == input.digest) {
            Some(first) => repeated.push((input, first.clone())),
            None => distinct.push(input),
        }
    }
    (distinct, repeated)
}

fn pin_one(path: &Path) -> Result<Input> {
    let failed = |error: std::io::Error| {
        Error::Usage(format!(
            "cannot read {}: {error}; check the path, its rights and that it is whole",
            path.display()
        ))
    };
    let absolute = path.canonicalize().map_err(failed)?;
    // A pipe can be read once, and perhaps never ends.
    if !absolute.metadata().map_err(failed)?.is_file() {
        return Err(Error::Usage(format!(
            "{} is no regular file: a run reads it again after a crash, so save it as one first",
            path.display()
        )));
    }
    let mut hasher = blake3::Hasher::new();
    let file = File::open(&absolute).map_err(failed)?;
    hasher.update_reader(file).map_err(failed)?;
    // Read through once as it will be read: a file that breaks off in its middle must not become part of a run.
    std::io::copy(&mut open(&absolute).map_err(failed)?, &mut std::io::sink()).map_err(failed)?;
    Ok(Input {
        path: absolute.to_string_lossy().into_owned(),
        bytes: hasher.count(),
        digest: hasher.finalize().to_hex().to_string(),
    })
}

/// Opens a file, unpacked where it is gzip: told by its first bytes, or by its name.
///
/// # Errors
/// The operating system's.
pub fn open(path: &Path) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut plain = BufReader::new(File::open(path)?);
    // A file that is called gzip and is none is broken, not plain.
    let is_named = path.extension().is_some_and(|end| end == "gz");
    let is_gzip = is_named || plain.fill_buf()?.starts_with(GZIP);
    Ok(match is_gzip {
        true => Box::new(BufReader::new(MultiGzDecoder::new(plain))),
        false => Box::new(plain),
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
