//! The worker: runs the plan, or goes on with it.

mod command;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use command::args::{Cli, Command};
use worker::{error::exit, program};

#[tokio::main]
async fn main() -> ExitCode {
    program::begin();
    let Command::Run(args) = Cli::parse().command;
    let code = match command::run(args).await {
        Ok(code) => code,
        Err(error) => {
            let code = error
                .downcast_ref::<worker::error::Error>()
                .map_or(exit::UNEXPECTED, worker::error::Error::exit_code);
            let _ = writeln!(anstream::stderr(), "error: {error}");
            code
        }
    };
    ExitCode::from(code)
}
