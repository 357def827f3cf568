//! `cli completions`.

use clap::CommandFactory;
use worker::program::shipped::{self, Shell};

use crate::args::Cli;
use crate::output;
use crate::stop::Result;

/// Print the completions of a shell.
///
/// Example: `cli completions bash > cli.bash`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints them.
pub(crate) fn run(args: &Args) -> Result {
    output::bytes(&shipped::completions(Cli::command(), args.shell))
}
