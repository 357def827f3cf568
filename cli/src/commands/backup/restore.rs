//! `cli backup restore`.

use worker::backend::Dialect;
use worker::backup::{self, Reading, Restore, Step};
use worker::runs;
use worker::shutdown::Shutdown;

use super::{Folder, Programs, journal};
use crate::args::Global;
use crate::confirm::confirm_name;
use crate::progress::Moving;
use crate::stop::{Result, Stop};
use crate::{output, render, signals};

/// Put the database back from a backup: restored beside it, checked, and only then given its name; the database before
/// is kept under another.
///
/// Example: `cli backup restore app-20261126T091500.123Z --reason "the schema change failed"`
///
/// Changes data: yes, which database stands under the name; nothing is destroyed: what stood is kept as
/// `NAME_before_<time>` (SQLite: `FILE.before-<time>`) until somebody drops it.
///
/// Safe to repeat: yes, whatever fails, and however it is ended, what stood stands, until in one step the restored one
/// does.
///
/// It asks for the database's name to be typed; off a terminal --confirm must give it. It refuses a database that
/// others are connected to, or have open. What was written since the backup is in the database that is kept alone.
///
/// A provider's snapshot is put back by a command behind `--`: `cli backup restore ID --confirm app -- neonctl
/// branches restore main ^self@…`
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// The backup: its id, or the beginning of it, or its folder.
    #[arg(value_name = "BACKUP")]
    backup: String,

    #[command(flatten)]
    folder: Folder,

    /// The name of the database (SQLite: of the file) that is to be replaced; without it, it is asked for.
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,

    /// End the sessions of others at the moment when the name changes hands. PostgreSQL only.
    #[arg(long)]
    disconnect: bool,

    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Tables that pg_restore restores at a time [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,

    /// The database to connect to while others are made and renamed [default: postgres, then template1].
    #[arg(long, value_name = "NAME")]
    maintenance_db: Option<String>,

    #[command(flatten)]
    programs: Programs,

    /// A command that puts a provider's snapshot back.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Puts the database back.
pub(crate) async fn run(global: &Global, args: &Args) -> Result {
    let address = global.address()?;
    let (runbook, _) = journal(global.look().await).await;
    // A connection of ours would be somebody who uses it.
    global.close().await;
    let listed = backup::find(&runbook, &args.folder.to, Some(&args.backup))?;
    let surroundings = args.programs.surroundings();
    let order = Restore {
        listed: &listed,
        address: &address,
        may_disconnect: args.disconnect,
        reason: args.reason.as_deref().unwrap_or_default().trim(),
        command: &args.command,
        reading: Reading {
            jobs: args.jobs,
            maintenance: args.maintenance_db.as_deref(),
            surroundings: &surroundings,
            worker: &runs::worker_id("cli"),
        },
    };
    backup::check_restore(&order).await?;
    let name = address.name()?;
    output::note(&render::backup::about_to(&listed, &address.to_string()));
    confirm_name(&name, args.confirm.as_deref())?;
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let mut progress = Moving::start();
    let mut step = |step: Step| progress.say(&render::backup::step(step));
    let restored = backup::restore(&order, &shutdown, &mut step).await;
    progress.finish();
    let Some(restored) = restored? else {
        return Err(Stop::Abandoned(asked.exit_code()));
    };
    let is_file = address.dialect() == Dialect::Sqlite;
    match global.json {
        true => output::json(&render::backup::restoration(&restored)),
        false => output::result(&render::backup::restored(&restored, is_file)),
    }
}
