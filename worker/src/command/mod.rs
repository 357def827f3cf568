//! `worker run`: from the command line to the library and back.

mod announce;
pub(crate) mod args;
mod logs;
mod opening;
mod progress;
mod service;

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use serde::Serialize;

use self::announce::{announce, tell_of_another_instant};
use self::args::RunArgs;
use self::opening::open;
use self::progress::Progress;
use self::service::Service;
use worker::backend::{Access, Database, Dialect};
use worker::core::event::Input;
use worker::demo::{self, DemoError};
use worker::engine::{self, Ending, Opened, Options, Sizing};
use worker::error::{Error, exit};
use worker::live::Live;
use worker::picture::Which;
use worker::program::shipped::{self, Shell};
use worker::retry::Retry;
use worker::shutdown::Shutdown;
use worker::signals::{self, Call};
use worker::{
    approval, control, inputs, pace, program, report, runs, status, time, units, validate,
};

/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(2);

/// What an interrupted run says last.
const SAVED: &str = "interrupted: progress saved; run the same command to go on";

/// What `--json` prints.
#[derive(Serialize)]
struct Outcome {
    ending: &'static str,
    resumed: bool,
    #[serde(flatten)]
    run: status::Run,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<validate::Report>,
}

pub(crate) async fn run(mut args: RunArgs) -> anyhow::Result<u8> {
    let mut seen = HashSet::new();
    args.units.retain(|unit| seen.insert(unit.clone()));
    // All that the command line may have wrong, before anything is made or changed.
    engine::check_units(&Arc::new(units::phase5(Vec::new())), &args.units)?;
    let named = pin(&args)?;
    let database = connect(&args).await?;
    let ended = run_on(&database, &args, &named).await;
    // What cannot be closed is closed by the end of the process.
    let _ = tokio::time::timeout(CLOSING, database.close()).await;
    ended
}

async fn run_on(database: &Database, args: &RunArgs, named: &[Input]) -> anyhow::Result<u8> {
    let options = options(args, database.dialect());
    args.indexes(database.dialect())?;
    // Before anything is made or changed.
    if args.require_approval {
        approved(database).await?;
    }
    pace::check(database, &options.limits).await?;
    let live = listen(database, args).await?;
    let ended = work_on(database, args, named, options, live.as_ref()).await;
    if let Some(live) = live {
        live.stop().await;
    }
    ended
}

/// Begins to show the run, where it is to be shown.
async fn listen(database: &Database, args: &RunArgs) -> Result<Option<Live>, Error> {
    let Some(options) = args.live() else {
        return Ok(None);
    };
    let live = Live::start(database, &options, None).await?;
    note(&format!("live page: http://{}/", live.address()));
    Ok(Some(live))
}

async fn work_on(
    database: &Database,
    args: &RunArgs,
    named: &[Input],
    mut options: Options,
    live: Option<&Live>,
) -> anyhow::Result<u8> {
    if args.demo {
        let made = make_demo(database).await?;
        options.as_of.get_or_insert(made);
    }
    let shutdown = Shutdown::default();
    let signal = signals::listen(shutdown.clone(), answer)?;
    let worker = runs::worker_id("w");
    let (plan, opened) = match open(database, args, named, &options, &worker, &shutdown).await {
        Err(error) if error.is_transient() && shutdown.is_requested() => {
            note("interrupted before anything was begun");
            return Ok(signal.exit_code());
        }
        opened => opened?,
    };
    program::about(&opened.run);
    if let Some(live) = live {
        live.choose(Which::Run(opened.run.clone()));
        live.watch(&shutdown);
    }
    announce(&plan, &opened, args);
    tell_of_another_instant(database, &opened, args).await?;

    let service = Service::start(database, &opened.run, &worker, &shutdown);
    let progress = Progress::start(database.clone(), opened.run.clone(), &worker);
    let ending = engine::work(database, &plan, &opened, &options, &worker, &shutdown).await;
    progress.stop().await;
    service.stop().await;
    let ending = ending?;
    if ending == Ending::Interrupted {
        return interrupted(database, args, &opened, &signal).await;
    }

    let run = status::load(database.connection(), &opened.run).await?;
    let validation = match (&ending, args.demo) {
        (Ending::Completed, true) => Some(validate::validate(database, &plan).await?),
        _ => None,
    };
    let has_failed = validation
        .as_ref()
        .is_some_and(validate::Report::has_errors);
    let outcome = Outcome {
        ending: match ending {
            Ending::Completed => "completed",
            Ending::UnitsLeft(_) => "units left",
            Ending::Interrupted => "interrupted",
        },
        resumed: opened.resumed,
        run,
        validation,
    };
    if let Some(lines) = logs::summary(database, &opened.run, &plan).await? {
        note(&lines);
    }
    show(args, &outcome, &ending)?;
    Ok(if has_failed { exit::FAILED } else { exit::DONE })
}

/// Asks for the plan's approval, patiently.
async fn approved(database: &Database) -> Result<(), Error> {
    let plan = Arc::new(units::phase5(Vec::new()));
    let mut retry = Retry::default();
    loop {
        match approval::check(database, &plan).await {
            Err(error) => retry.pause(error, &Shutdown::default()).await?,
            Ok(()) => return Ok(()),
        }
    }
}

async fn connect(args: &RunArgs) -> Result<Database, Error> {
    // Somebody may set other workers later.
    Database::connect(&args.database_url()?, control::CONNECTIONS, Access::Write).await
}

fn options(args: &RunArgs, dialect: Dialect) -> Options {
    let workers = match (args.workers, dialect) {
        (Some(workers), _) => workers,
        (None, Dialect::Postgres) => 2,
        (None, Dialect::Sqlite) => 1,
    };
    Options {
        workers: usize::from(workers),
        partitions: args.partitions,
        sizing: Sizing {
            rows: args.batch_rows,
            target: args.batch_target,
        },
        units: args.units.clone(),
        as_of: args.as_of.map(|as_of| as_of.timestamp_millis()),
        window_days: args.window_days,
        max_bad: args.max_bad,
        adopt_database: args.adopt_database,
        follow: args.follow.then_some(args.follow_every),
        limits: args.limits.clone(),
    }
}

/// What was committed stays, and what was not is rolled back by the database: nothing is lost by ending at once.
fn answer(call: Call) {
    match call {
        Call::Stop => note("stopping after the batch in hand; once more to stop at once"),
        Call::StopNow(code) | Call::Overdue(code) => {
            program::fail(SAVED);
            std::process::exit(i32::from(code));
        }
    }
}

/// A line for people.
fn note(line: &str) {
    program::note(line);
}

/// Says where an interrupted run stands, where the database still tells.
async fn interrupted(
    database: &Database,
    args: &RunArgs,
    opened: &Opened,
    signal: &signals::Asked,
) -> anyhow::Result<u8> {
    if let Ok(run) = status::load(database.connection(), &opened.run).await {
        let outcome = Outcome {
            ending: "interrupted",
            resumed: opened.resumed,
            run,
            validation: None,
        };
        show(args, &outcome, &Ending::Interrupted)?;
    }
    program::fail(SAVED);
    Ok(signal.exit_code())
}

fn show(args: &RunArgs, outcome: &Outcome, ending: &Ending) -> anyhow::Result<()> {
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(outcome)?),
        false => text(outcome, ending),
    };
    print(text.as_bytes()).map_err(|error| {
        anyhow::anyhow!(
            "cannot write the result: {error}; the run itself is {}, `cli status` shows it",
            outcome.run.state.replace("running", "open")
        )
    })
}

/// Prints a result.
fn print(text: &[u8]) -> std::io::Result<()> {
    let mut out = anstream::stdout();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Whoever listened has had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// `worker completions`.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<u8> {
    print(&shipped::completions(args::Cli::command(), shell))?;
    Ok(exit::DONE)
}

/// `worker man`.
pub(crate) fn man(to: Option<&Path>) -> anyhow::Result<u8> {
    let pages = shipped::pages(args::Cli::command())?;
    match to {
        Some(folder) => {
            shipped::write(&pages, folder)
                .map_err(|error| anyhow::anyhow!("writing to {}: {error}", folder.display()))?;
            note(&format!(
                "{} pages are in {}",
                pages.len(),
                folder.display()
            ));
        }
        None => print(pages.first().map_or(&[], |page| &page.text))?,
    }
    Ok(exit::DONE)
}

/// Makes the demo's source, or finds it made; gives the instant that is its present.
async fn make_demo(database: &Database) -> Result<i64, Error> {
    let size = demo::Size::default();
    let mut is_told = false;
    let made = demo::create(database.connection(), &size, |_| {
        if !std::mem::replace(&mut is_told, true) {
            note(&format!("making a demo source: {size}"));
        }
    });
    match made.await {
        Ok(demo::Outcome::AlreadyThere(size)) => {
            note(&format!("the demo is there already: {size}"));
            Ok(size.as_of.timestamp_millis())
        }
        Ok(demo::Outcome::Created(_)) => Ok(size.as_of.timestamp_millis()),
        Err(DemoError::Database(source)) => Err(Error::Database {
            doing: "making the demo source".into(),
            source,
        }),
        Err(error @ DemoError::Overtaken) => Err(Error::Transient(error.to_string())),
        Err(error) => Err(Error::Refused(error.to_string())),
    }
}

/// Pins the files that were named; the same content counts once.
fn pin(args: &RunArgs) -> Result<Vec<Input>, Error> {
    let (named, repeated) = inputs::distinct(inputs::pin(&args.agent_logs)?);
    for (repeated, first) in repeated {
        note(&format!(
            "{} holds the same as {}: it is read once",
            repeated.path, first.path
        ));
    }
    Ok(named)
}

fn text(outcome: &Outcome, ending: &Ending) -> String {
    let run = &outcome.run;
    let mut text = report::units(run);
    text.push('\n');
    if let Some(validation) = &outcome.validation {
        text.push('\n');
        text.push_str(&report::validation(validation));
        text.push('\n');
    }
    let written: i64 = run.units.iter().map(|unit| unit.written).sum();
    let line = match ending {
        Ending::Completed if written == 0 => format!(
            "run {} is complete: as of {} and {} days back, the source has nothing that is not already there",
            run.run,
            time::show(run.as_of),
            run.window_days
        ),
        Ending::Completed => format!(
            "run {} is complete: {} rows written, each with its entry in the journal",
            run.run,
            report::number(written)
        ),
        Ending::UnitsLeft(left) => format!(
            "run {} stays open, these units are left: {}",
            run.run,
            left.join(", ")
        ),
        Ending::Interrupted if run.following.is_some() => format!(
            "run {} stays open and followed; once the writers are stopped, `worker run` without --follow completes it",
            run.run
        ),
        Ending::Interrupted => format!("run {} stays open", run.run),
    };
    text.push('\n');
    text.push_str(&line);
    text.push('\n');
    text
}
