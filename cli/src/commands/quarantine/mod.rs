//! `cli quarantine`.

mod export;
mod list;
mod replay;
mod show;
mod values;
mod which;

use clap::Subcommand;

use crate::args::Global;
use crate::stop::Result;

/// Show the rows that were set aside, and try them again.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Export(export::Args),
    Replay(replay::Args),
}

/// Runs a command.
pub(crate) async fn run(global: &Global, command: Command) -> Result {
    match command {
        Command::List(args) => list::run(global, args).await,
        Command::Show(args) => show::run(global, args).await,
        Command::Export(args) => export::run(global, args).await,
        Command::Replay(args) => replay::run(global, args).await,
    }
}
