//! Where an export goes: standard output, or a new file that nobody else may read and that is whole or not there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use worker::error::Error;

use crate::output;
use crate::stop::{self, Result, Stop};

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One JSON document a line.
    Ndjson,
    /// RFC 4180, with a header row.
    Csv,
}

/// An export under way.
pub(super) struct Export {
    file: Option<(File, PathBuf)>,
}

impl Export {
    /// To a new file; none: to standard output.
    ///
    /// # Errors
    /// [`Error::Usage`]: the file is there already, or cannot be made.
    pub(super) fn begin(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self { file: None });
        };
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| {
            Error::Usage(format!(
                "cannot write {}: {error}; name a new file in a folder that you may write to",
                path.display()
            ))
        })?;
        Ok(Self {
            file: Some((file, path.to_owned())),
        })
    }

    /// Writes lines.
    pub(super) fn write(&mut self, lines: &str) -> Result {
        match &mut self.file {
            None => output::exactly(lines),
            Some((file, _)) => file.write_all(lines.as_bytes()).map_err(stop::unwritten),
        }
    }

    /// Makes sure that it is on the disk.
    pub(super) fn end(self) -> Result {
        match &self.file {
            None => Ok(()),
            Some((file, _)) => match file.sync_all() {
                Ok(()) => Ok(()),
                Err(error) => Err(self.abandon(stop::unwritten(error))),
            },
        }
    }

    /// Removes what was written: half an export must not be taken for a whole one. Where it cannot be removed, the error
    /// still says so.
    pub(super) fn abandon(self, error: Stop) -> Stop {
        if let Some((_, path)) = self.file {
            let _ = std::fs::remove_file(path);
        }
        error
    }
}
