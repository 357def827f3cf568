//! `cli journal`.

mod events;
mod export;
mod head;
mod row;
mod show;
mod verify;

use clap::Subcommand;

use crate::args::Global;
use crate::stop::Result;

/// Show, verify or export the journal, print its head, or tell who wrote a row.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Show(show::Args),
    Row(row::Args),
    Verify(verify::Args),
    Head(head::Args),
    Export(export::Args),
}

/// Runs a command.
pub(crate) async fn run(global: &Global, command: Command) -> Result {
    match command {
        Command::Show(args) => show::run(global, args).await,
        Command::Row(args) => row::run(global, args).await,
        Command::Verify(args) => verify::run(global, args).await,
        Command::Head(args) => head::run(global, args).await,
        Command::Export(args) => export::run(global, args).await,
    }
}
