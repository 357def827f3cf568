//! The worker: runs the plan, or goes on with it.

mod command;

use std::process::ExitCode;

use clap::Parser;

use command::args::{Cli, Command};
use worker::{error::exit, program};

#[tokio::main]
async fn main() -> ExitCode {
    program::begin();
    let Cli { voice, command } = Cli::parse();
    program::speak(voice);
    let ended = match command {
        Command::Run(args) => command::run(*args).await,
        Command::Completions { shell } => command::completions(shell),
        Command::Man { to } => command::man(to.as_deref()),
    };
    let code = match ended {
        Ok(code) => code,
        Err(error) => {
            let code = error
                .downcast_ref::<worker::error::Error>()
                .map_or(exit::UNEXPECTED, worker::error::Error::exit_code);
            program::fail(&format!("error: {error}"));
            code
        }
    };
    program::end();
    ExitCode::from(code)
}
