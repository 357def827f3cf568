//! `cli quarantine replay`.

use std::collections::{BTreeMap, HashSet};

use worker::backend::Database;
use worker::core::event::{Purpose, Repairs};
use worker::engine::{self, Plan};
use worker::error::Error;
use worker::pace::{self, Limits};
use worker::repair::{self, Order};
use worker::shutdown::Shutdown;
use worker::{runs, validate};

use super::super::repair::work;
use crate::args::Global;
use crate::confirm::confirm;
use crate::render::replay::Replay;
use crate::stop::{Result, Stop};
use crate::{output, render, signals};

/// Try the rows again that the newest run set aside, once their source or their unit is mended.
///
/// Example: `cli quarantine replay --unit agent_feedback --reason "ratings were corrected"`
///
/// Changes the destinations: writes each row of the quarantine that is bad no more, once, and sets the others aside again.
/// It is a run of its own, journaled batch by batch, and `cli rollback` takes it back. Reads the whole source of each unit
/// that set rows aside. A sum that a mended row belongs to is brought up to date by `cli repair`. Safe to repeat: after an
/// interruption the same command goes on, and what is written already is left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Rows of this unit alone; may be repeated.
    #[arg(long = "unit", value_name = "UNIT")]
    units: Vec<String>,

    /// Show what would be tried again, and do nothing.
    #[arg(long)]
    dry_run: bool,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// Why, for the journal.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = super::super::rollback::reason)]
    reason: Option<String>,

    #[command(flatten)]
    limits: Limits,

    /// Go on with a replay that began in another database: this one is a restored or copied one.
    #[arg(long)]
    adopt_database: bool,
}

/// Replays the quarantine of the newest run that stands.
pub(super) async fn run(global: &Global, mut args: Args) -> Result {
    let mut seen = HashSet::new();
    args.units.retain(|unit| seen.insert(unit.clone()));
    let database = match args.dry_run {
        true => global.journal().await?,
        false => global.writable_journal().await?,
    };
    let plan = super::super::validate::plan(&database).await?;
    engine::check_units(&plan, &args.units)?;
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let ended = match repair::under_way(&database, Purpose::Replay).await? {
        Some(open) => go_on(&database, &plan, open, args, &shutdown).await,
        None => begin(global, &database, &plan, args, &shutdown).await,
    };
    match ended {
        Ok(Some(replay)) => show(global, &replay),
        Ok(None) => Err(Stop::Asked(asked.exit_code())),
        Err(Stop::Failed(error)) if shutdown.is_requested() && error.is_transient() => {
            Err(Stop::Asked(asked.exit_code()))
        }
        Err(stop) => Err(stop),
    }
}

/// Says what is in quarantine, asks, and tries it again; none: somebody asked to stop.
async fn begin(
    global: &Global,
    database: &Database,
    plan: &Plan,
    args: Args,
    shutdown: &Shutdown,
) -> Result<Option<Replay>> {
    let Some((run, state)) = validate::standing(database).await? else {
        return Ok(Some(Replay::planned(None, BTreeMap::new())));
    };
    let set_aside = repair::set_aside(database, plan, (&run, &state), &args.units).await?;
    let planned = Replay::planned(Some(&run), set_aside.clone());
    if args.dry_run || set_aside.is_empty() {
        return Ok(Some(planned));
    }
    pace::check(database, &args.limits).await?;
    // With --json, standard output is for the one document; the operator still reads what is about to happen.
    match global.json {
        true => output::note(&render::replay::text(&planned)),
        false => output::result(&render::replay::text(&planned))?,
    }
    if !args.yes {
        confirm("Try these again?")?;
    }
    replay(database, plan, &run, set_aside, args, shutdown).await
}

/// Goes on with a replay that is under way.
async fn go_on(
    database: &Database,
    plan: &Plan,
    (open, repairs, units): (String, Repairs, Vec<String>),
    args: Args,
    shutdown: &Shutdown,
) -> Result<Option<Replay>> {
    let is_named = |name: &String| units.contains(name);
    if !(args.units.is_empty()
        || (args.units.len() == units.len() && args.units.iter().all(is_named)))
    {
        return Err(Error::Refused(format!(
            "replay {open} is open, units {}: finish that first, with the same units or none named",
            units.join(", ")
        ))
        .into());
    }
    let of = &repairs.run;
    let (state, _) = runs::load(database.connection(), of).await?;
    let set_aside = repair::set_aside(database, plan, (of, &state), &units).await?;
    if args.dry_run {
        return Ok(Some(Replay::planned(Some(of), set_aside)));
    }
    output::note(&format!("going on with replay {open} of run {of}"));
    replay(database, plan, of, set_aside, args, shutdown).await
}

/// Tries these again; none: somebody asked to stop.
async fn replay(
    database: &Database,
    plan: &Plan,
    run: &str,
    set_aside: BTreeMap<String, i64>,
    args: Args,
    shutdown: &Shutdown,
) -> Result<Option<Replay>> {
    let order = Order {
        set_aside: true,
        units: set_aside.keys().cloned().collect(),
        // The parser asks for a reason, but for a dry run.
        reason: args.reason.unwrap_or_default(),
        adopt_database: args.adopt_database,
        limits: args.limits,
    };
    let done = work(database, plan, run, &order, shutdown).await?;
    Ok(done.map(|done| Replay::done(run, &set_aside, &done)))
}

fn show(global: &Global, replay: &Replay) -> Result {
    match global.json {
        true => output::json(replay),
        false => output::result(&render::replay::text(replay)),
    }
}
