//! `cli preflight`.

use std::time::Duration;

use worker::core::event::Event;
use worker::error::Error;
use worker::preflight::{self, Look};
use worker::{runbook, runs};

use crate::args::Global;
use crate::machine::MACHINE;
use crate::planned::PlanArgs;
use crate::stop::Result;
use crate::{output, render};

/// Look whether the migration may begin: connection, rights, source, room, backup, and what else goes on.
///
/// Example: `cli preflight --backup-age 12h`
///
/// Changes data: no; with --record it notes the verdict in the journal.
///
/// Safe to repeat: yes.
///
/// Exit code 3 where a check says stop; a warning is none.
///
/// Ask as the role that will run: rights are that role's.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// How old the newest backup in the runbook may be.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    backup_age: Duration,

    /// How long a transaction of somebody else may have been open.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    transaction_age: Duration,

    /// Note the verdict in the journal's runbook.
    #[arg(long)]
    record: bool,
}

/// Looks.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let plan = args.plan.plan()?;
    let database = match args.record {
        true => global.connect().await?,
        false => global.look().await?,
    };
    let look = Look {
        as_of: args.plan.as_of(&database).await?,
        window_days: args.plan.window_days,
        backup_age: args.backup_age,
        transaction_age: args.transaction_age,
        machine: MACHINE,
    };
    let report = preflight::check(&database, &plan, &look).await?;
    match global.json {
        true => output::json(&report)?,
        false => output::result(&render::preflight::report(&report))?,
    }
    if args.record {
        let event = Event::PreflightChecked(report.event());
        runbook::note(&database, &runs::worker_id("cli"), &[event]).await?;
    }
    match render::preflight::stops(&report) {
        Some(stops) => Err(Error::Failed(stops).into()),
        None => Ok(()),
    }
}
