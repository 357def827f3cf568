//! `cli backup create`.

use clap::ValueEnum;
use worker::backup::{self, Create, Format, Step};
use worker::runs;
use worker::shutdown::Shutdown;

use super::{Folder, Programs};
use crate::args::Global;
use crate::progress::Moving;
use crate::stop::{Result, Stop};
use crate::{output, render, signals};

/// Take a backup of the whole database while it is in use: pg_dump on PostgreSQL, a consistent copy on SQLite, or a
/// provider's snapshot by a command of yours.
///
/// Example: `cli backup create --to /var/backups/app`
///
/// Changes data: no, it appends to the journal alone, in success and in failure; the backup is a folder of its own
/// below FOLDER.
///
/// Safe to repeat: yes, each is another backup; one that fails leaves nothing behind.
///
/// The folder holds SHA-256 of each file and the rows of each table at the backup's instant. pg_dump needs the server
/// itself, not a transaction pooler before it.
///
/// Behind `--` a command is run instead, without a shell; `{id}` in it is the backup's id, DATABASE_URL is not passed
/// on, and its arguments, its exit and the end of its output are journaled: `cli backup create -- neonctl branches
/// create --name {id}`
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    folder: Folder,

    /// How pg_dump writes: a folder of files, several tables at a time, or one file [default: directory].
    #[arg(long, value_name = "FORMAT")]
    format: Option<Written>,

    /// Tables that pg_dump dumps at a time, each with a connection of its own [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,

    #[command(flatten)]
    programs: Programs,

    /// A command that takes a provider's snapshot.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Written {
    Directory,
    Custom,
}

/// Takes a backup.
pub(crate) async fn run(global: &Global, args: &Args) -> Result {
    let address = global.address()?;
    let database = global.connect().await?;
    let surroundings = args.programs.surroundings();
    let order = Create {
        address: &address,
        to: &args.folder.to,
        format: args.format.map(|format| match format {
            Written::Directory => Format::Directory,
            Written::Custom => Format::Custom,
        }),
        jobs: args.jobs,
        command: &args.command,
        surroundings: &surroundings,
        worker: &runs::worker_id("cli"),
    };
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let mut progress = Moving::start();
    let mut step = |step: Step| progress.say(&render::backup::step(step));
    let taken = backup::create(&database, &order, &shutdown, &mut step).await;
    progress.finish();
    let Some(backup) = taken? else {
        return Err(Stop::Abandoned(asked.exit_code()));
    };
    match global.json {
        true => output::json(&backup),
        false => output::result(&render::backup::taken(&backup)),
    }
}
