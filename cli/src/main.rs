//! The operator's program: shows, checks, validates and takes back what the worker did.

mod args;
mod commands;
mod confirm;
mod machine;
mod output;
mod planned;
mod progress;
mod render;
mod select;
mod signals;
mod stop;

use std::process::ExitCode;

use clap::Parser;
use worker::program;

#[tokio::main]
async fn main() -> ExitCode {
    program::begin();
    let args::Cli { global, command } = args::Cli::parse();
    program::speak(global.voice);
    let ended = commands::run(&global, command).await;
    global.close().await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            output::fail(&stop.to_string());
            ExitCode::from(stop.exit_code())
        }
    }
}
