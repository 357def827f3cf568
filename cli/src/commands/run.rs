//! `cli run`.

use std::collections::BTreeMap;

use clap::Subcommand;
use worker::control::{self, Order};
use worker::core::event::{Setting, Word};
use worker::error::Error;
use worker::runs;

use super::checklist::By;
use crate::args::{Global, RunArg};
use crate::render::control::Steering;
use crate::stop::Result;
use crate::{output, render, select};

/// Steer a run from anywhere: pause, resume, cancel, set.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pause a run, or the rollback of one: every process at it holds within 2 s, between batches.
    ///
    /// Example: `cli run pause --by Mia --note "the shop is slow"`
    ///
    /// Changes data: no, it appends to the journal alone: an event that every worker and rollback of the run obeys, on
    /// whatever host.
    ///
    /// Safe to repeat: yes, a run that is paused stays so.
    ///
    /// One that is started later holds from its start. An index that is being built is built to its end. Without
    /// --run, the newest run, or the one whose rollback is under way.
    #[command(after_help = worker::error::EXIT_CODES)]
    Pause(Args),
    /// Resume a run that is paused, or allow one to go on that was cancelled.
    ///
    /// Example: `cli run resume --by Mia`
    ///
    /// Changes data: no, it appends to the journal alone.
    ///
    /// Safe to repeat: yes, a run that goes on stays so.
    ///
    /// Processes that hold go on within 2 s; after a cancel they have ended, and `worker run` goes on. Without --run,
    /// the newest run, or the one whose rollback is under way.
    #[command(after_help = worker::error::EXIT_CODES)]
    Resume(Args),
    /// Cancel a run: every worker ends in order within 2 s, and none goes on with it before it is resumed.
    ///
    /// Example: `cli run cancel --by Mia --note "wrong instant"`
    ///
    /// Changes data: no, it appends to the journal alone; what was committed stays, and `cli rollback` takes it back.
    ///
    /// Safe to repeat: yes, a run that is cancelled stays so.
    ///
    /// The workers end with exit code 4. Without --run, the newest run.
    #[command(after_help = worker::error::EXIT_CODES)]
    Cancel(Args),
    /// Set how a run is worked on, while it is: batch-target, batch-rows, pace, workers.
    ///
    /// Example: `cli run set pace=2000/s workers=4 --by Mia`
    ///
    /// Changes data: no, it appends to the journal alone: an event that every process of the run obeys within 2 s,
    /// whatever its command line says.
    ///
    /// Safe to repeat: yes, what is set stays so.
    ///
    /// One that is started later obeys from its start; until it is set again, or to default: `cli run set pace=default
    /// --by Mia`. Of a rollback only the pace can be set. Without --run, the newest run, or the one whose rollback is
    /// under way.
    #[command(after_help = worker::error::EXIT_CODES)]
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArg,

    #[command(flatten)]
    by: By,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// batch-target=500ms, batch-rows=500..10000, pace=2000/s (or auto, off), workers=4 (of each process); or
    /// default for what each process's command line says.
    #[arg(value_name = "SETTING=VALUE", required = true, value_parser = control::parse)]
    settings: Vec<(Setting, Option<String>)>,

    #[command(flatten)]
    args: Args,
}

/// Steers a run.
pub(crate) async fn run(global: &Global, command: Command) -> Result {
    let (args, order) = match command {
        Command::Pause(args) => (args.run, Order::Pause(word(args.by))),
        Command::Resume(args) => (args.run, Order::Resume(word(args.by))),
        Command::Cancel(args) => (args.run, Order::Cancel(word(args.by))),
        Command::Set(SetArgs { settings, args }) => {
            let order = Order::Set(distinct(settings)?, word(args.by));
            (args.run, order)
        }
    };
    let database = global.writable_journal().await?;
    // A rollback that is under way may be of an older run.
    let unfinished = match args.named() {
        Some(_) => None,
        None => runs::unfinished(database.connection()).await?,
    };
    let run = match unfinished {
        Some((run, _)) => Some(run),
        None => select::run(&database, args.named()).await?,
    };
    let Some(run) = run else {
        return Err(Error::Refused(render::status::NOTHING_RUN.to_owned()).into());
    };
    let given = control::give(&database, &run, &runs::worker_id("cli"), &order).await?;
    let steering = Steering::of(run, &given);
    match (global.json, &order) {
        (true, _) => output::json(&steering),
        (false, Order::Set(..)) => output::result(&render::control::set(&steering)),
        (false, Order::Pause(_) | Order::Resume(_) | Order::Cancel(_)) => {
            output::result(&render::control::ordered(&steering))
        }
    }
}

fn word(By { by, note }: By) -> Word {
    Word { by, note }
}

/// Each setting once.
fn distinct(
    settings: Vec<(Setting, Option<String>)>,
) -> std::result::Result<BTreeMap<Setting, Option<String>>, Error> {
    let mut distinct = BTreeMap::new();
    for (setting, value) in settings {
        if distinct.insert(setting, value).is_some() {
            return Err(Error::Usage(format!(
                "{} is named twice: name it once",
                setting.name()
            )));
        }
    }
    Ok(distinct)
}
