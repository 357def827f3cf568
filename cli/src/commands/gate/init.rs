//! `cli gate init`.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use worker::error::Error;
use worker::gate::slo;

use crate::args::Global;
use crate::stop::{Result, Stop};
use crate::{output, render};

/// Write a file of targets to begin with: the migration plan's, each explained, with queries to adapt.
///
/// Example: `cli gate init --file slo.toml`
///
/// Changes data: no, it writes the file.
///
/// Safe to repeat: yes, a file that is there already is left alone, with exit code 4, unless --force is given.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(super) struct Args {
    /// The file.
    #[arg(long, value_name = "PATH", default_value = slo::FILE)]
    file: PathBuf,

    /// Write over a file that is there already.
    #[arg(long)]
    force: bool,
}

/// Writes the file.
pub(super) fn run(global: &Global, args: &Args) -> Result {
    let mut options = std::fs::OpenOptions::new();
    match args.force {
        true => options.write(true).create(true).truncate(true),
        false => options.write(true).create_new(true),
    };
    let mut file = match options.open(&args.file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::Refused(format!(
                "{} is there already, and was left alone: name another file with --file, or write over it with --force",
                args.file.display()
            ))
            .into());
        }
        opened => {
            opened.map_err(|error| Stop::System("cannot write the file of targets", error))?
        }
    };
    file.write_all(slo::DEFAULT.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| Stop::System("cannot write the file of targets", error))?;
    match global.json {
        true => output::json(&render::gate::Written {
            file: args.file.display().to_string(),
        }),
        false => output::result(&render::gate::written(&args.file.display().to_string())),
    }
}
