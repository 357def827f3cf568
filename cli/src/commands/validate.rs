//! `cli validate`.

use std::sync::Arc;

use worker::backend::Database;
use worker::core::event::Event;
use worker::engine::Plan;
use worker::error::Error;
use worker::shutdown::Shutdown;
use worker::validate::deep::{self, Ending, Options, Told};
use worker::validate::{self, Report};
use worker::{runbook, runs, units};

use crate::args::Global;
use crate::progress::Progress;
use crate::stop::{Result, Stop};
use crate::{output, render, signals};

/// Validate the destinations: counts, the units' own checks, journaled rows against what stands, sources against
/// destinations; with --deep every row is computed from its source again.
///
/// Example: `cli validate --deep --pace 5000`
///
/// Changes data: no; with --deep or --record, what it came to is noted in the journal.
///
/// Safe to repeat: yes, and with --deep, after an interruption the same command goes on, unless rows were written
/// since.
///
/// Exit code 3 where an error stands; a warning is none.
///
/// With --deep a row counts as wrong where it stands as we wrote it and is not what its source gives now, and as
/// changed where the application edited or deleted it since.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Note in the journal what it came to.
    #[arg(long)]
    record: bool,

    /// Compute every row that the run wrote from its source again, and compare it with what stands.
    #[arg(long)]
    deep: bool,

    /// Name so many rows of each kind and unit.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "deep", value_parser = clap::value_parser!(u16).range(0..=1_000))]
    examples: u16,

    /// Compute at most so many rows a second.
    #[arg(long, value_name = "ROWS/S", requires = "deep", value_parser = clap::value_parser!(u32).range(1..))]
    pace: Option<u32>,

    /// Begin anew, though an earlier one was interrupted.
    #[arg(long, requires = "deep")]
    restart: bool,
}

/// Validates the destinations.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let is_noted = args.deep || args.record;
    let database = match is_noted {
        true => global.writable_journal().await?,
        false => global.journal().await?,
    };
    let plan = plan(&database).await?;
    let worker = runs::worker_id("cli");
    let report = if args.deep {
        deep(&database, &plan, &worker, &args).await?
    } else {
        let report = validate::validate(&database, &plan).await?;
        if args.record {
            let event = Event::Validated(validate::evidence(&report));
            runbook::note(&database, &worker, &[event]).await?;
        }
        report
    };
    if global.json {
        output::json(&report)?;
    } else {
        output::result(&render::validation::report(&report))?;
    }
    match render::validation::errors(&report) {
        Some(errors) => Err(Error::Failed(errors).into()),
        None => Ok(()),
    }
}

async fn deep(database: &Database, plan: &Plan, worker: &str, args: &Args) -> Result<Report> {
    let options = Options {
        examples: usize::from(args.examples),
        pace: args.pace,
        restart: args.restart,
    };
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let mut progress = None;
    let tell = |told| show(&mut progress, told);
    let ended = deep::validate(database, plan, worker, options, &shutdown, tell).await;
    if let Some(progress) = progress {
        progress.finish();
    }
    match ended {
        Ok(Ending::Completed(report)) => Ok(*report),
        Ok(Ending::Interrupted) => Err(Stop::Asked(asked.exit_code())),
        Err(error) if shutdown.is_requested() && error.is_transient() => {
            Err(Stop::Asked(asked.exit_code()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows what a deep validation says on its way.
pub(super) fn show(progress: &mut Option<Progress>, told: Told) {
    match told {
        Told::Begun(words) => output::note(&words),
        Told::Reached { done, total } => progress
            .get_or_insert_with(|| Progress::start("rows looked at", total))
            .reach(done),
    }
}

/// The plan, with the files that the validated run was started with.
pub(super) async fn plan(database: &Database) -> std::result::Result<Plan, Error> {
    let standing = validate::standing(database).await?;
    let inputs = standing.map(|(_, state)| state.started.inputs);
    Ok(Arc::new(units::phase5(inputs.unwrap_or_default())))
}
