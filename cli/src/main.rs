//! The operator's program: shows, checks, validates and takes back what the worker did.

mod args;
mod commands;
mod confirm;
mod output;
mod progress;
mod render;
mod select;
mod signals;
mod stop;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use worker::credentials;

#[tokio::main]
async fn main() -> ExitCode {
    #[cfg(feature = "fault")]
    worker::fault::arm(
        std::env::var("BACKSTITCH_FAULT").ok().as_deref(),
        std::env::var("BACKSTITCH_FAULT_TRACE").ok().as_deref(),
    )
    .expect("files for the crash points");
    // Whoever names a filter wants the whole line; everybody else wants plain words.
    let (filter, is_plain) = match EnvFilter::try_from_default_env() {
        Ok(filter) => (filter, false),
        Err(_) => (EnvFilter::new("worker=warn"), true),
    };
    let quiet = credentials::NEVER_LOGGED
        .iter()
        .flat_map(|target| target.parse());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would panic where standard error cannot be written to.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match is_plain {
        true => log.without_time().with_level(false).init(),
        false => log.init(),
    }
    let args::Cli { global, command } = args::Cli::parse();
    let ended = commands::run(&global, command).await;
    global.close().await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            output::note(&stop.to_string());
            ExitCode::from(stop.exit_code())
        }
    }
}
