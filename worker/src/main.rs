//! The worker: runs the plan, or goes on with it.

mod command;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use command::args::{Cli, Command};
use worker::{credentials, error::exit};

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
