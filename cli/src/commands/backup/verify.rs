//! `cli backup verify`.

use worker::backup::{self, Reading, Step, Verify};
use worker::error::Error;
use worker::runs;
use worker::shutdown::Shutdown;

use super::{Folder, Programs, journal};
use crate::args::Global;
use crate::progress::Moving;
use crate::stop::{Result, Stop};
use crate::{output, render, signals};

/// Read a backup back: SHA-256 of every file, and what the dump lists; with --full all of its rows, restored into a
/// database that is dropped again.
///
/// Example: `cli backup verify --full`
///
/// Changes data: no, it appends to the journal alone, where it knows the backup; --full makes a database
/// `backstitch_verify_…` on the server, for which the role needs CREATEDB, and drops it again.
///
/// Safe to repeat: yes.
///
/// Exit code 3 where anything is wrong with the backup.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// The backup: its id, or the beginning of it, or its folder; without it, the newest.
    #[arg(value_name = "BACKUP")]
    backup: Option<String>,

    #[command(flatten)]
    folder: Folder,

    /// Restore it into a database of its own, and compare the rows of each table.
    #[arg(long)]
    full: bool,

    /// Tables that pg_restore restores at a time [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,

    /// The database to connect to while another is made [default: postgres, then template1].
    #[arg(long, value_name = "NAME")]
    maintenance_db: Option<String>,

    #[command(flatten)]
    programs: Programs,
}

/// Reads a backup back.
pub(crate) async fn run(global: &Global, args: &Args) -> Result {
    let (runbook, database) = journal(global.connect().await).await;
    let listed = backup::find(&runbook, &args.folder.to, args.backup.as_deref())?;
    let address = match args.full {
        true => Some(global.address()?),
        false => None,
    };
    let surroundings = args.programs.surroundings();
    let order = Verify {
        listed: &listed,
        full: address.as_ref(),
        reading: Reading {
            jobs: args.jobs,
            maintenance: args.maintenance_db.as_deref(),
            surroundings: &surroundings,
            worker: &runs::worker_id("cli"),
        },
    };
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let mut progress = Moving::start();
    let mut step = |step: Step| progress.say(&render::backup::step(step));
    let verified = backup::verify(database.as_ref(), &order, &shutdown, &mut step).await;
    progress.finish();
    let Some(verification) = verified? else {
        return Err(Stop::Abandoned(asked.exit_code()));
    };
    match global.json {
        true => output::json(&render::backup::verification(&verification))?,
        false => output::result(&render::backup::verified(&verification))?,
    }
    match render::backup::problems(&verification) {
        Some(problems) => Err(Error::Failed(problems).into()),
        None => Ok(()),
    }
}
