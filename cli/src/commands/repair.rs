//! `cli repair`.

use worker::core::event::{Purpose, Repairs};
use worker::core::state::RunState;
use worker::engine;
use worker::repair::{self, Task};
use worker::validate::deep::Options;
use worker::{runs, validate};

use super::mend::{Mending, Word, check_same_units, named_once};
use crate::args::Global;
use crate::output;
use crate::render::repair::{self as render, Repair};
use crate::stop::Result;

/// Rows of each kind and unit that are named before anything is done.
const EXAMPLES: usize = 5;

/// Rewrite what a run wrote wrong, and write what is missing: each row as its source gives it now.
///
/// Example: `cli repair --unit kpi_history --reason "deals were corrected"`
///
/// Changes data: yes, rows that stand as we wrote them and are not what their source gives, and rows that nobody
/// wrote; what the application edited, deleted or wrote itself is left alone.
///
/// Safe to repeat: yes, after an interruption the same command goes on.
///
/// It is a run of its own, journaled batch by batch, and `cli rollback` takes it back. `cli validate --deep` shows
/// what it would find.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Repair this unit alone; may be repeated.
    #[arg(long = "unit", value_name = "UNIT")]
    units: Vec<String>,

    #[command(flatten)]
    word: Word,
}

/// Repairs the newest run that stands.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let Args { units, word } = args;
    let units = named_once(units);
    let mending = Mending::begin(global, &word).await?;
    engine::check_units(&mending.plan, &units)?;
    let ended = match repair::under_way(&mending.database, Purpose::Repair).await? {
        Some(open) => go_on(&mending, open, units, word).await,
        None => begin(&mending, units, word).await,
    };
    mending.show(ended, render::text)
}

/// Looks for what is to be repaired, asks, and repairs it; none: somebody asked to stop.
async fn begin(mending: &Mending, units: Vec<String>, word: Word) -> Result<Option<Repair>> {
    let Some((run, state)) = validate::standing(&mending.database).await? else {
        return Ok(Some(Repair::nothing(None)));
    };
    let options = Options {
        examples: EXAMPLES,
        pace: None,
        restart: false,
    };
    let Mending {
        database,
        plan,
        shutdown,
        ..
    } = mending;
    let mut progress = None;
    let tell = |told| super::validate::show(&mut progress, told);
    let base = (run.as_str(), &state);
    let found = repair::preview(database, plan, base, &units, options, shutdown, tell).await;
    if let Some(progress) = progress {
        progress.finish();
    }
    let Some(found) = found? else {
        return Ok(None);
    };
    let planned = Repair::planned(&run, found);
    if word.dry_run {
        return Ok(Some(planned));
    }
    if planned.rows() == 0 {
        return Ok(Some(Repair::nothing(Some(planned))));
    }
    let text = render::text(&planned);
    mending.confirm(&word, &text, "Repair this?").await?;
    mend(mending, base, units, word).await
}

/// Goes on with a repair that is under way.
async fn go_on(
    mending: &Mending,
    (open, repairs, units): (String, Repairs, Vec<String>),
    named: Vec<String>,
    word: Word,
) -> Result<Option<Repair>> {
    check_same_units(Purpose::Repair, &open, &units, &named)?;
    if word.dry_run {
        return begin(mending, units, word).await;
    }
    let of = &repairs.run;
    output::note(&format!("going on with repair {open} of run {of}"));
    let (state, _) = runs::load(mending.database.connection(), of).await?;
    mend(mending, (of, &state), units, word).await
}

/// Repairs; none: somebody asked to stop.
async fn mend(
    mending: &Mending,
    base: (&str, &RunState),
    units: Vec<String>,
    word: Word,
) -> Result<Option<Repair>> {
    let done = mending.work(base, Task::Repair(units), word).await?;
    Ok(done.map(|done| Repair::done(base.0, &done)))
}
