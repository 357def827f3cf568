//! `cli repair`.

use std::collections::HashSet;
use std::time::Duration;

use worker::backend::Database;
use worker::core::event::{Purpose, Repairs};
use worker::engine::{self, Ending, Plan};
use worker::error::Error;
use worker::pace::{self, Limits};
use worker::repair::{self, Order};
use worker::shutdown::Shutdown;
use worker::validate::deep::Options;
use worker::{runs, status, validate};

use crate::args::Global;
use crate::confirm::confirm;
use crate::progress::Progress;
use crate::render::repair::Repair;
use crate::stop::{Result, Stop};
use crate::{output, render, signals};

/// Rows of each kind and unit that are named before anything is done.
const EXAMPLES: usize = 5;

/// How often progress is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Rewrite what a run wrote wrong, and write what is missing: each row as its source gives it now.
///
/// Example: `cli repair --unit kpi_history --reason "deals were corrected"`
///
/// Changes the destinations: rows that stand as we wrote them and are not what their source gives, and rows that nobody
/// wrote; what the application edited, deleted or wrote itself is left alone. It is a run of its own, journaled batch by
/// batch, and `cli rollback` takes it back. Safe to repeat: after an interruption the same command goes on. `cli validate
/// --deep` shows what it would find.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Repair this unit alone; may be repeated.
    #[arg(long = "unit", value_name = "UNIT")]
    units: Vec<String>,

    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// Why, for the journal.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = super::rollback::reason)]
    reason: Option<String>,

    #[command(flatten)]
    limits: Limits,

    /// Go on with a repair that began in another database: this one is a restored or copied one.
    #[arg(long)]
    adopt_database: bool,
}

/// Repairs the newest run that stands.
pub(crate) async fn run(global: &Global, mut args: Args) -> Result {
    let mut seen = HashSet::new();
    args.units.retain(|unit| seen.insert(unit.clone()));
    let database = match args.dry_run {
        true => global.journal().await?,
        false => global.journal_of_workers().await?,
    };
    let plan = super::validate::plan(&database).await?;
    engine::check_units(&plan, &args.units)?;
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let ended = match repair::under_way(&database, Purpose::Repair).await? {
        Some(open) => go_on(global, &database, &plan, open, args, &shutdown).await,
        None => begin(global, &database, &plan, args, &shutdown).await,
    };
    match ended {
        Ok(Some(repair)) => show(global, &repair),
        Ok(None) => Err(Stop::Asked(asked.exit_code())),
        Err(Stop::Failed(error)) if shutdown.is_requested() && error.is_transient() => {
            Err(Stop::Asked(asked.exit_code()))
        }
        Err(stop) => Err(stop),
    }
}

/// Looks for what is to be repaired, asks, and repairs it; none: somebody asked to stop.
async fn begin(
    global: &Global,
    database: &Database,
    plan: &Plan,
    args: Args,
    shutdown: &Shutdown,
) -> Result<Option<Repair>> {
    let Some((run, state)) = validate::standing(database).await? else {
        return Ok(Some(Repair::nothing(None)));
    };
    let options = Options {
        examples: EXAMPLES,
        pace: None,
        restart: false,
    };
    let mut progress = None;
    let tell = |told| super::validate::show(&mut progress, told);
    let base = (run.as_str(), &state);
    let found = repair::preview(database, plan, base, &args.units, options, shutdown, tell).await;
    if let Some(progress) = progress {
        progress.finish();
    }
    let Some(found) = found? else {
        return Ok(None);
    };
    let planned = Repair::planned(&run, found);
    if args.dry_run {
        return Ok(Some(planned));
    }
    pace::check(database, &args.limits).await?;
    if planned.rows() == 0 {
        return Ok(Some(Repair::nothing(Some(planned))));
    }
    // With --json, standard output is for the one document; the operator still reads what is about to happen.
    match global.json {
        true => output::note(&render::repair::text(&planned)),
        false => output::result(&render::repair::text(&planned))?,
    }
    if !args.yes {
        confirm("Repair this?")?;
    }
    mend(database, plan, &run, args, shutdown).await
}

/// Goes on with a repair that is under way.
async fn go_on(
    global: &Global,
    database: &Database,
    plan: &Plan,
    (open, repairs, units): (String, Repairs, Vec<String>),
    mut args: Args,
    shutdown: &Shutdown,
) -> Result<Option<Repair>> {
    let is_named = |name: &String| units.contains(name);
    let are_all = args.units.len() == units.len() && args.units.iter().all(is_named);
    if !(args.units.is_empty() || are_all) {
        return Err(Error::Refused(format!(
            "repair {open} is open, units {}: finish that first, with the same units or none named",
            units.join(", ")
        ))
        .into());
    }
    args.units = units;
    if args.dry_run {
        return begin(global, database, plan, args, shutdown).await;
    }
    output::note(&format!(
        "going on with repair {open} of run {}",
        repairs.run
    ));
    mend(database, plan, &repairs.run, args, shutdown).await
}

/// Repairs; none: somebody asked to stop.
async fn mend(
    database: &Database,
    plan: &Plan,
    run: &str,
    args: Args,
    shutdown: &Shutdown,
) -> Result<Option<Repair>> {
    let order = Order {
        set_aside: false,
        units: args.units,
        // The parser asks for a reason, but for a dry run.
        reason: args.reason.unwrap_or_default(),
        adopt_database: args.adopt_database,
        limits: args.limits,
    };
    let done = work(database, plan, run, &order, shutdown).await?;
    Ok(done.map(|done| Repair::done(run, &done)))
}

/// Begins a repair of a run, or goes on with one, to its end; gives what it did. None: somebody asked to stop.
pub(super) async fn work(
    database: &Database,
    plan: &Plan,
    run: &str,
    order: &Order,
    shutdown: &Shutdown,
) -> Result<Option<status::Run>> {
    let (state, _) = runs::load(database.connection(), run).await?;
    let worker = runs::worker_id("cli");
    let repair = repair::open(database, plan, (run, &state), order, &worker).await?;
    let mut progress = Progress::start("source rows read", 0);
    let mut working = Box::pin(repair::work(database, &repair, &worker, shutdown));
    // The work goes on in tasks of its own while this looks at it.
    let ending = loop {
        match tokio::time::timeout(LOOK, &mut working).await {
            Ok(ending) => break ending,
            Err(_) => {
                let run = status::load(database.connection(), repair.run()).await;
                if let Ok(run) = run {
                    let sum = |of: fn(&status::Unit) -> i64| run.units.iter().map(of).sum();
                    progress.reach_of(sum(|unit| unit.read), sum(|unit| unit.expected));
                }
            }
        }
    };
    progress.finish();
    if ending? == Ending::Interrupted {
        return Ok(None);
    }
    let done = status::load(database.connection(), repair.run()).await?;
    Ok(Some(done))
}

fn show(global: &Global, repair: &Repair) -> Result {
    match global.json {
        true => output::json(&repair),
        false => output::result(&render::repair::text(repair)),
    }
}
