//! `cli serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use worker::live::{self, Live};
use worker::picture::Which;
use worker::shutdown::Shutdown;

use crate::args::{Global, RunArg};
use crate::stop::{Result, Stop};
use crate::{output, select, signals};

/// Show a run as a live page, read from the journal alone: no worker is needed, nor disturbed.
///
/// Example: `cli serve --addr 127.0.0.1:9464`
///
/// Changes data: no.
///
/// Safe to repeat: yes, also while a worker runs.
///
/// Ends with Ctrl-C. Beside the page at / there are /metrics for Prometheus, /livez and /readyz. Without --run it shows the
/// newest run, whichever that is at the time.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArg,

    /// Where to listen; port 0 takes one that is free. Others than this machine see it only with --status-token-file.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    addr: SocketAddr,

    /// A file with the token that whoever looks must bring, as its only line: as a bearer token, or, in a browser, as the
    /// password of any user. Give it the mode 600.
    #[arg(long, value_name = "PATH")]
    status_token_file: Option<PathBuf>,

    /// A name, beside the address, by which the page may be called; may be repeated.
    #[arg(long, value_name = "NAME")]
    status_host: Vec<String>,
}

/// Shows a run until it is told to stop.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal().await?;
    let which = match args.run.named() {
        None => Which::Newest,
        named => match select::run(&database, named).await? {
            Some(run) => Which::Run(run),
            None => Which::Newest,
        },
    };
    let options = live::Options {
        address: args.addr,
        token_file: args.status_token_file,
        names: args.status_host,
    };
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let live = Live::start(&database, &options, Some(which)).await?;
    output::note(&format!("live page: http://{}/", live.address()));
    shutdown.requested().await;
    live.stop().await;
    Err(Stop::Ended(asked.exit_code()))
}
