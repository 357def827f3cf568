//! `cli quarantine replay`.

use std::collections::BTreeMap;

use worker::core::event::{Purpose, Repairs};
use worker::core::state::RunState;
use worker::engine;
use worker::repair::{self, Task};
use worker::{runs, validate};

use super::super::mend::{Mending, Word, check_same_units, named_once};
use crate::args::Global;
use crate::output;
use crate::render::replay::{self as render, Replay};
use crate::stop::Result;

/// Try the rows again that the newest run set aside, once their source or their unit is mended.
///
/// Example: `cli quarantine replay --unit agent_feedback --reason "ratings were corrected"`
///
/// Changes data: yes, it writes each row of the quarantine that is bad no more, once, and sets the others aside again.
///
/// Safe to repeat: yes, after an interruption the same command goes on, and what is written already is left alone.
///
/// It is a run of its own, journaled batch by batch, and `cli rollback` takes it back. It reads the whole source of
/// each unit that set rows aside. A sum that a mended row belongs to is brought up to date by `cli repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Rows of this unit alone; may be repeated.
    #[arg(long = "unit", value_name = "UNIT")]
    units: Vec<String>,

    #[command(flatten)]
    word: Word,
}

/// Replays the quarantine of the newest run that stands.
pub(super) async fn run(global: &Global, args: Args) -> Result {
    let Args { units, word } = args;
    let units = named_once(units);
    let mending = Mending::begin(global, &word).await?;
    engine::check_units(&mending.plan, &units)?;
    let ended = match repair::under_way(&mending.database, Purpose::Replay).await? {
        Some(open) => go_on(&mending, open, &units, word).await,
        None => begin(&mending, &units, word).await,
    };
    mending.show(ended, render::text)
}

/// Says what is in quarantine, asks, and tries it again; none: somebody asked to stop.
async fn begin(mending: &Mending, units: &[String], word: Word) -> Result<Option<Replay>> {
    let Some((run, state)) = validate::standing(&mending.database).await? else {
        return Ok(Some(Replay::planned(None, BTreeMap::new())));
    };
    let base = (run.as_str(), &state);
    let set_aside = repair::set_aside(&mending.database, &mending.plan, base, units).await?;
    let planned = Replay::planned(Some(&run), set_aside.clone());
    if word.dry_run || set_aside.is_empty() {
        return Ok(Some(planned));
    }
    let text = render::text(&planned);
    mending.confirm(&word, &text, "Try these again?").await?;
    replay(mending, base, set_aside, word).await
}

/// Goes on with a replay that is under way.
async fn go_on(
    mending: &Mending,
    (open, repairs, units): (String, Repairs, Vec<String>),
    named: &[String],
    word: Word,
) -> Result<Option<Replay>> {
    check_same_units(Purpose::Replay, &open, &units, named)?;
    let of = &repairs.run;
    let (state, _) = runs::load(mending.database.connection(), of).await?;
    let base = (of.as_str(), &state);
    let set_aside = repair::set_aside(&mending.database, &mending.plan, base, &units).await?;
    if word.dry_run {
        return Ok(Some(Replay::planned(Some(of), set_aside)));
    }
    output::note(&format!("going on with replay {open} of run {of}"));
    replay(mending, base, set_aside, word).await
}

/// Tries these again; none: somebody asked to stop.
async fn replay(
    mending: &Mending,
    base: (&str, &RunState),
    set_aside: BTreeMap<String, i64>,
    word: Word,
) -> Result<Option<Replay>> {
    let task = Task::Replay(set_aside.keys().cloned().collect());
    let done = mending.work(base, task, word).await?;
    Ok(done.map(|done| Replay::done(base.0, &set_aside, &done)))
}
