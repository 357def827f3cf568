//! A part of what a run wrote, taken back (`cli rollback`) or written again as well (`cli redo`).

use worker::core::event::{Purpose, Repairs, Scope};
use worker::core::state::{RunState, RunStatus};
use worker::error::Error;
use worker::repair::{self, Task};
use worker::{journal, runs, validate};

use super::mend::{Mending, Word, named_once};
use crate::args::{Global, RunArg};
use crate::render::part::{self as render, Part};
use crate::select::Since;
use crate::stop::Result;
use crate::{output, select};

/// Kept rows that are named before anything is done.
const EXAMPLES: usize = 20;

/// Which part: rows that meet every condition that is given.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which rows")]
pub(super) struct Which {
    /// Rows of this unit alone; may be repeated.
    #[arg(long = "unit", value_name = "UNIT")]
    units: Vec<String>,

    /// Rows of this tenant alone.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,

    /// Rows whose key in the destination is not below this one; keys compare byte by byte.
    #[arg(long, value_name = "KEY")]
    from_key: Option<String>,

    /// Rows whose key in the destination is not above this one.
    #[arg(long, value_name = "KEY")]
    to_key: Option<String>,

    /// Rows of this batch alone, its stream and seq: agent_feedback/1.0.0/12; may be repeated.
    #[arg(long = "batch", value_name = "STREAM/SEQ")]
    batches: Vec<String>,

    /// Rows that this worker wrote; may be repeated.
    #[arg(long = "worker", value_name = "WORKER")]
    workers: Vec<String>,

    /// Rows written since then: an instant, a date, or so long ago (2h).
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,

    /// Rows written before then.
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    until: Option<Since>,

    /// Rows that this version of the program wrote; `cli journal show --kind WorkerStarted` tells versions.
    #[arg(long, value_name = "VERSION")]
    written_by: Option<String>,
}

impl Which {
    /// The units that were named.
    pub(super) fn units(&self) -> Vec<String> {
        named_once(self.units.clone())
    }

    /// The scope, given the database's clock.
    fn scope(self, now: i64) -> Scope {
        Scope {
            units: named_once(self.units),
            tenant: self.tenant,
            from_key: self.from_key,
            to_key: self.to_key,
            batches: named_once(self.batches),
            workers: named_once(self.workers),
            since: self.since.map(|since| since.instant(now)),
            until: self.until.map(|until| until.instant(now)),
            written_by: self.written_by,
        }
    }

    /// Whether more was named than units.
    pub(super) fn is_part(&self) -> bool {
        let is_named = [&self.tenant, &self.from_key, &self.to_key, &self.written_by];
        is_named.iter().any(|named| named.is_some())
            || !self.batches.is_empty()
            || !self.workers.is_empty()
            || self.since.is_some()
            || self.until.is_some()
    }
}

/// Takes back a part of a run, and for a redo writes it again.
pub(super) async fn run(
    global: &Global,
    purpose: Purpose,
    run: &RunArg,
    which: Which,
    word: Word,
) -> Result {
    let mending = Mending::begin(global, &word).await?;
    let now = journal::now(mending.database.connection()).await?;
    let scope = which.scope(now);
    let ended = match repair::under_way(&mending.database, purpose).await? {
        Some((open, repairs, _)) => go_on(&mending, purpose, (open, repairs), scope, word).await,
        None => begin(&mending, purpose, run, scope, word).await,
    };
    mending.show(ended, render::text)
}

/// Shows what would be done, asks, and does it; none: somebody asked to stop.
async fn begin(
    mending: &Mending,
    purpose: Purpose,
    run: &RunArg,
    scope: Scope,
    word: Word,
) -> Result<Option<Part>> {
    if purpose == Purpose::Redo && scope == Scope::default() {
        return Err(Error::Usage(
            "say what is to be written again: --written-by VERSION, --unit UNIT, or another condition".into(),
        )
        .into());
    }
    let database = &mending.database;
    let found = match run.named() {
        None => validate::standing(database).await?,
        Some(_) => match select::run(database, run.named()).await? {
            None => None,
            Some(run) => {
                let (state, _) = runs::load(database.connection(), &run).await?;
                Some((run, state))
            }
        },
    };
    let Some((run, state)) = found else {
        return Ok(Some(Part::nothing(purpose)));
    };
    if state.status == RunStatus::RolledBack {
        return Err(
            Error::Refused(format!("run {run} is rolled back: nothing of it is left")).into(),
        );
    }
    let base = (run.as_str(), &state);
    let preview = repair::preview_undo(database, &mending.plan, base, &scope, EXAMPLES).await?;
    let planned = Part::planned(purpose, &run, preview);
    if word.dry_run || planned.is_nothing() {
        return Ok(Some(planned));
    }
    let question = match purpose {
        Purpose::Redo => "Take these back, and write them again?",
        _ => "Take these back?",
    };
    let text = render::text(&planned);
    mending.confirm(&word, &text, question).await?;
    work(mending, purpose, base, scope, word).await
}

/// Goes on with what is under way.
async fn go_on(
    mending: &Mending,
    purpose: Purpose,
    (open, repairs): (String, Repairs),
    scope: Scope,
    word: Word,
) -> Result<Option<Part>> {
    let own = repairs.takes_back.unwrap_or_default();
    // So long ago is another instant each time.
    let named = Scope {
        since: own.since,
        until: own.until,
        ..scope.clone()
    };
    if scope != Scope::default() && named != own {
        return Err(Error::Refused(format!(
            "run {open} of `{}` is open, and is for other rows: finish that first, with the same conditions",
            purpose.command()
        ))
        .into());
    }
    let of = &repairs.run;
    let (state, _) = runs::load(mending.database.connection(), of).await?;
    let base = (of.as_str(), &state);
    if word.dry_run {
        let database = &mending.database;
        let preview = repair::preview_undo(database, &mending.plan, base, &own, EXAMPLES).await?;
        return Ok(Some(Part::planned(purpose, of, preview)));
    }
    output::note(&format!("going on with run {open}, for a part of run {of}"));
    work(mending, purpose, base, own, word).await
}

/// Does it; none: somebody asked to stop.
async fn work(
    mending: &Mending,
    purpose: Purpose,
    base: (&str, &RunState),
    scope: Scope,
    word: Word,
) -> Result<Option<Part>> {
    let task = match purpose {
        Purpose::Redo => Task::Redo(scope),
        _ => Task::Undo(scope),
    };
    let done = mending.work(base, task, word).await?;
    Ok(done.map(|done| Part::done(purpose, base.0, &done)))
}
