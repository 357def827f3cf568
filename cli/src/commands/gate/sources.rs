//! What `check` and `watch` both begin with: the file, and what its targets are measured with.

use std::path::PathBuf;
use std::time::Duration;

use worker::backend::Database;
use worker::error::Error;
use worker::gate::{Slo, Sources, slo};

/// Names the file of targets.
#[derive(Debug, clap::Args)]
pub(super) struct FileArg {
    /// The file of targets.
    #[arg(long, value_name = "PATH", default_value = slo::FILE)]
    file: PathBuf,
}

impl FileArg {
    /// Reads it.
    pub(super) fn load(&self) -> Result<Slo, Error> {
        Slo::load(&self.file)
    }
}

/// Reads the secrets that the file names, from files and the environment.
pub(super) fn open(
    slo: &Slo,
    every: Duration,
    database: Option<&Database>,
) -> Result<Sources, Error> {
    Sources::open(slo, every, database, |name| std::env::var(name).ok())
}
