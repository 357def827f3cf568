//! `cli smoke`.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::builder::NonEmptyStringValueParser;
use rustix::process::{Pid, Signal, kill_process_group};
use worker::core::event::Event;
use worker::error::Error;
use worker::shutdown::Shutdown;
use worker::signals::Call;
use worker::smoke::{self, Order, Output};
use worker::{credentials, runbook, runs};

use crate::args::Global;
use crate::stop::{Result, Stop};
use crate::{output, render, signals};

/// Run a smoke test, and note in the journal how it ended.
///
/// Example: `cli smoke --environment staging -- npm run test:e2e -- --grep "Phase 5"`
///
/// Changes data: no, it appends to the journal alone; what the command changes is its own affair.
///
/// Safe to repeat: yes, as far as the command is.
///
/// The command is run without a shell, in the current folder, and what it prints is handed on. Exit code 0 where its
/// own was 0, else 3; 2 where it cannot be started.
///
/// The command with its arguments, its exit code, a digest of all that it printed and the last 4 KiB of that stand in
/// the journal for good: keep secrets out of the arguments, and where the output may hold some, say --no-output.
/// DATABASE_URL and PGPASSWORD are taken out of its environment. With --json, all that it prints is handed on to
/// standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// What is tested.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    environment: String,

    /// Leave DATABASE_URL and PGPASSWORD in its environment.
    #[arg(long)]
    pass_database_url: bool,

    /// Keep nothing of what it prints in the journal but the digest.
    #[arg(long)]
    no_output: bool,

    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The process group of the command while it runs; 0: none does.
static GROUP: AtomicU32 = AtomicU32::new(0);

/// Runs it, and notes how it ended.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = global.connect().await?;
    // Whatever would keep it from being noted is better known before.
    runbook::load(&database).await?;
    let shutdown = Shutdown::default();
    let asked = signals::listen_with(shutdown.clone(), answer)?;
    let order = Order {
        environment: args.environment,
        command: args.command,
        pass_database: args.pass_database_url,
        keep_output: !args.no_output,
        secrets: secrets(global)?,
    };
    credentials::check_command(&order.words(), &order.secrets)?;
    let started = |group| GROUP.store(group, Ordering::SeqCst);
    // With --json, standard output is for the one document.
    let is_document = global.json;
    let running = tokio::task::spawn_blocking(move || {
        let tested = smoke::run(&order, started, |which, bytes| {
            output::pass(is_document || which == Output::Error, bytes);
        });
        GROUP.store(0, Ordering::SeqCst);
        tested
    });
    let passing = pass_on(&shutdown, &asked);
    tokio::pin!(running);
    let tested = tokio::select! {
        tested = &mut running => tested,
        () = passing => running.await,
    };
    let tested = tested.map_err(|error| Stop::System("the smoke test was lost", error.into()))?;
    let event = Event::SmokeTested(tested.event.clone());
    runbook::note(&database, &runs::worker_id("cli"), &[event]).await?;
    if global.json {
        output::json(&tested.event)?;
    }
    if shutdown.is_requested() {
        output::note(&render::smoke::interrupted(&tested));
        return Err(Stop::Ended(asked.exit_code()));
    }
    match (&tested.unstarted, tested.event.exit) {
        (None, Some(0)) => {
            output::note(&render::smoke::passed(&tested.event));
            Ok(())
        }
        (Some(_), _) => Err(Error::Usage(render::smoke::failed(&tested)).into()),
        (None, _) => Err(Error::Failed(render::smoke::failed(&tested)).into()),
    }
}

/// What must not come into the journal.
fn secrets(global: &Global) -> std::result::Result<Vec<String>, Error> {
    let mut secrets = global.address()?.secrets();
    secrets.extend(std::env::var("PGPASSWORD"));
    secrets.retain(|secret| !secret.is_empty());
    Ok(secrets)
}

/// Hands the first signal on to the command and all that it has started, and waits for nothing more.
async fn pass_on(shutdown: &Shutdown, asked: &signals::Asked) {
    shutdown.requested().await;
    let signal = match asked.exit_code() {
        worker::error::exit::TERMINATED => Signal::TERM,
        _ => Signal::INT,
    };
    send(signal);
}

fn send(signal: Signal) {
    let group = i32::try_from(GROUP.load(Ordering::SeqCst)).unwrap_or(0);
    if let Some(group) = Pid::from_raw(group) {
        // It may have ended just now.
        let _ = kill_process_group(group, signal);
    }
}

fn answer(call: Call) {
    match call {
        Call::Stop => {}
        // It was asked to end and does not: how it ended is still noted.
        Call::Overdue(_) => send(Signal::KILL),
        Call::StopNow(code) => {
            send(Signal::KILL);
            output::fail("interrupted twice: the command was killed, and nothing was noted");
            std::process::exit(i32::from(code));
        }
    }
}
