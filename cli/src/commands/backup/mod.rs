//! `cli backup`: taking backups, reading them back, and putting the database back from one.

mod create;
mod list;
mod restore;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;
use worker::backend::Database;
use worker::backup::Surroundings;
use worker::error::Error;
use worker::runbook::{self, Runbook};

use crate::args::Global;
use crate::output;
use crate::stop::Result;

/// Where backups are, where nobody said.
const FOLDER: &str = "backups";

/// Take a backup, list and verify backups, put the database back from one.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    List(list::Args),
    Verify(verify::Args),
    Restore(restore::Args),
}

/// Runs a command.
pub(crate) async fn run(global: &Global, command: Command) -> Result {
    match command {
        Command::Create(args) => create::run(global, &args).await,
        Command::List(args) => list::run(global, &args).await,
        Command::Verify(args) => verify::run(global, &args).await,
        Command::Restore(args) => restore::run(global, &args).await,
    }
}

/// Where backups are.
#[derive(Debug, clap::Args)]
pub(crate) struct Folder {
    /// The folder of backups, one folder each.
    #[arg(long, value_name = "FOLDER", default_value = FOLDER)]
    to: PathBuf,
}

/// Where PostgreSQL's programs are.
#[derive(Debug, clap::Args)]
pub(crate) struct Programs {
    /// The folder of pg_dump and pg_restore; else they are looked for on the PATH, then below /usr/lib/postgresql.
    #[arg(long, value_name = "FOLDER")]
    pg_bin: Option<PathBuf>,
}

impl Programs {
    /// With what the environment says.
    fn surroundings(&self) -> Surroundings {
        Surroundings {
            path: std::env::var_os("PATH"),
            folder: self.pg_bin.clone(),
            has_authority: std::env::var_os("PGSSLROOTCERT").is_some(),
            password: std::env::var("PGPASSWORD").ok(),
        }
    }
}

/// The runbook of a database that may be away, and the database itself where it is not: a backup is of use then above all.
async fn journal(database: std::result::Result<Database, Error>) -> (Runbook, Option<Database>) {
    let loaded = match database {
        Ok(database) => match runbook::load(&database).await {
            Ok(runbook) => Ok((runbook, Some(database))),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    loaded.unwrap_or_else(|error| {
        output::note(&format!("the journal is not looked at: {error}"));
        (Runbook::default(), None)
    })
}
