//! `cli gate`: one idea, and a file for each of its commands.

mod check;
mod init;
mod sources;
mod unit;
mod watch;

use std::time::Duration;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

use crate::args::Global;
use crate::stop::Result;

/// Wait for proof, before a deployment or the next migration: targets that are met, or units that are complete.
///
/// Example: `cli gate --unit kpi_history --validated --wait 30m`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
///
/// With --unit: exit code 0 where each named unit of the newest run that stands is complete, and 3 with the reason
/// where one is not.
#[derive(Debug, clap::Args)]
#[command(
    after_help = worker::error::EXIT_CODES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// A unit that must be complete; may be repeated.
    #[arg(
        long = "unit",
        value_name = "UNIT",
        required = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    units: Vec<String>,

    /// Wait so long for it, and look every few seconds.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,

    /// Ask for a recorded validation without errors since then, too.
    #[arg(long)]
    validated: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Check(check::Args),
    Watch(watch::Args),
}

/// Runs a command.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    match args.command {
        Some(Command::Init(args)) => init::run(global, &args),
        Some(Command::Check(args)) => check::run(global, &args).await,
        Some(Command::Watch(args)) => watch::run(global, &args).await,
        None => {
            let waiting = unit::Waiting {
                units: args.units,
                wait: args.wait,
                validated: args.validated,
            };
            unit::run(global, &waiting).await
        }
    }
}
