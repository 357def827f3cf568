//! Building the indexes that a unit owes: one after the other, by one process of all, each noted in the run's stream. What
//! a build that was cut off has left is dropped first; what goes on without its client is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Context;
use crate::backend::indexes::{Builder, Turn};
use crate::core::event::{Event, OwedIndex};
use crate::core::state::{RunState, UnitStatus};
use crate::error::{Doing, Error, Result};
use crate::silence::{SILENCE, answered, panicked};
use crate::{fault, report, runs};

/// Between two looks at what is under way.
const LOOK: Duration = Duration::from_secs(1);

/// The same once somebody has asked to stop: the process has four seconds.
const STOPPING: Duration = Duration::from_millis(200);

/// Between two lines that tell how far a build is.
const LINE: Duration = Duration::from_secs(10);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The unit owes none any more, or its run is over.
    Done,
    /// Another process is at it.
    Elsewhere,
    /// Somebody asked to stop.
    Stopping,
    /// Somebody wants the work to hold.
    Paused,
}

/// Builds what a unit owes.
///
/// # Errors
/// The database's; [`Error::Usage`]: the role's own limit ends each build.
pub(super) async fn build(context: &Arc<Context>, unit: &str) -> Result<Left> {
    let doing = "looking whether another process builds indexes";
    let database = context.database.clone();
    let taking = tokio::spawn(async move { Turn::take(&database).await.doing(doing) });
    let Some(turn) = answered(taking).await? else {
        return Ok(Left::Elsewhere);
    };
    let built = build_all(context, unit).await;
    let given_back = tokio::spawn(async move { turn.give_back().await.doing(doing) });
    let given_back = answered(given_back).await;
    let left = built?;
    given_back?;
    Ok(left)
}

async fn build_all(context: &Arc<Context>, unit: &str) -> Result<Left> {
    // Another process may have built some, or all, before it was our turn.
    let (state, _) = runs::load(context.database.connection(), &context.run).await?;
    let owed: Vec<_> = state.owed(unit).cloned().collect();
    let of = state.started.indexes.iter();
    let of = of.filter(|owed| owed.unit == unit).count();
    let first = of - owed.len() + 1;
    for (place, owed) in owed.iter().enumerate() {
        // One that is under way goes on to its end during a pause; the next waits, and nobody's turn meanwhile.
        if context.steering.is_paused() {
            return Ok(Left::Paused);
        }
        tracing::warn!("building index {} ({} of {of})", owed.name, first + place);
        let began = Instant::now();
        let Some(has_worked) = make(context, owed).await? else {
            return Ok(Left::Stopping);
        };
        let millis = match has_worked {
            true => u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            false => 0,
        };
        note(context, owed, millis).await?;
        match has_worked {
            true => tracing::warn!(
                "index {} is built, in {}",
                owed.name,
                report::duration(began.elapsed().as_secs_f64())
            ),
            false => tracing::warn!("index {} is there already", owed.name),
        }
    }
    Ok(Left::Done)
}

/// Sees to it that an index stands and is valid; false: it did already. None: somebody asked to stop.
async fn make(context: &Arc<Context>, owed: &OwedIndex) -> Result<Option<bool>> {
    let (table, name) = (owed.table.as_str(), owed.name.as_str());
    let mut has_worked = false;
    let mut lines = Lines::default();
    while !context.shutdown.is_requested() {
        let standing = context.database.index(table, name).await;
        let standing = standing.doing(format!("looking how index {name} stands"))?;
        if standing.is_busy {
            has_worked = true;
            lines
                .tell(
                    context,
                    table,
                    &format!("waiting for a build on {table} that goes on without us"),
                )
                .await;
            context.shutdown.sleep(LOOK).await;
            continue;
        }
        let (what, sql) = match (standing.quoted, standing.is_valid) {
            (Some(_), true) => return Ok(Some(has_worked)),
            (Some(quoted), false) => (
                format!("dropping what a build of index {name} that was cut off has left"),
                format!("DROP INDEX CONCURRENTLY {quoted}"),
            ),
            (None, _) => (format!("building index {name}"), owed.sql.clone()),
        };
        has_worked = true;
        fault::point(|| format!("index {name}: before {}", &sql[..sql.len().min(6)]));
        if !run(context, owed, &what, &sql).await? {
            return Ok(None);
        }
        fault::point(|| format!("index {name}: after {}", &sql[..sql.len().min(6)]));
    }
    Ok(None)
}

/// Runs a statement that may take as long as it takes; false: it was cancelled because somebody asked to stop.
async fn run(context: &Arc<Context>, owed: &OwedIndex, what: &str, sql: &str) -> Result<bool> {
    let database = context.database.clone();
    let connecting = tokio::spawn(async move {
        let connected = Builder::connect(&database).await;
        connected.doing("connecting to build an index")
    });
    let mut builder = answered(connecting).await?;
    let limits =
        [builder.statement_timeout(), builder.lock_timeout()].map(|at| at.map(str::to_owned));
    if limits.iter().any(Option::is_some) {
        tracing::warn!("{what}: {}", bounded(&limits));
    }
    // By this the statement is found again, in whichever session it is.
    let mark = format!("/* backstitch {} */", context.worker);
    let marked = format!("{mark} {sql}");
    let mut task = tokio::spawn(async move {
        let done = builder.run(&marked).await;
        builder.close().await;
        done
    });
    let (mut seen, mut lines) = (Instant::now(), Lines::default());
    let done = loop {
        let is_stopping = context.shutdown.is_requested();
        let pause = if is_stopping { STOPPING } else { LOOK };
        tokio::select! {
            done = &mut task => break done.map_err(|panic| panicked(&panic))?,
            () = context.shutdown.requested(), if !is_stopping => {}
            () = tokio::time::sleep(pause) => {}
        }
        if context.shutdown.is_requested() {
            // What it leaves is dropped by whoever goes on; where it cannot be cancelled, it goes on without us.
            if let Err(error) = context.database.cancel_marked(&mark).await {
                tracing::debug!("not cancelled: {}", crate::backend::describe(&error));
            }
            continue;
        }
        let standing = context.database.index(&owed.table, &owed.name).await;
        if standing.is_ok_and(|standing| standing.is_busy) {
            seen = Instant::now();
        }
        if seen.elapsed() > SILENCE {
            return Err(Error::Transient(format!(
                "{what}: the server has not been at it for {} s and has not answered: the connection is given up",
                SILENCE.as_secs()
            )));
        }
        lines.tell(context, &owed.table, what).await;
    };
    match done {
        Ok(()) => Ok(true),
        Err(_) if context.shutdown.is_requested() => Ok(false),
        Err(source)
            if crate::backend::is_timeout(&source) && limits.iter().any(Option::is_some) =>
        {
            // The same limit would end the next attempt as well.
            Err(Error::Usage(format!(
                "{what}: {}; {}",
                crate::backend::describe(&source),
                remedy(&limits, &owed.sql)
            )))
        }
        Err(source) => match Err(source).doing(what) {
            Err(error) if error.refuses_row().is_some() => Err(does_not_fit(owed, &error)),
            done => done.map(|()| true),
        },
    }
}

/// A row that an index does not hold: with the index in place it would have been set aside as it was written.
fn does_not_fit(owed: &OwedIndex, error: &Error) -> Error {
    Error::Failed(format!(
        "{}. A row of {} has values that this index does not hold. All that was written stays; delete the rows of {1} whose \
         indexed values are that large, then run the same command to go on: they are then set aside as bad",
        error.without_values(),
        owed.table
    ))
}

/// What bounds a statement that is not ours to bound.
fn bounded(limits: &[Option<String>; 2]) -> String {
    let names = ["statement_timeout", "lock_timeout"].iter().zip(limits);
    let set: Vec<_> = names
        .filter_map(|(name, limit)| limit.as_ref().map(|limit| format!("{name} = {limit}")))
        .collect();
    format!(
        "the role's own {} holds, because the pooler takes no settings for a statement outside of a transaction",
        set.join(" and ")
    )
}

fn remedy(limits: &[Option<String>; 2], sql: &str) -> String {
    format!(
        "{}: name the server itself in the URL rather than the pooler, or take the limit from the role (ALTER ROLE … SET \
         statement_timeout = 0, likewise lock_timeout), or build it by hand ({sql}); then run the same command to go on",
        bounded(limits)
    )
}

/// Notes that an index stands, where the run still asks for it.
async fn note(context: &Context, owed: &OwedIndex, millis: u64) -> Result<()> {
    let built = Event::IndexBuilt {
        unit: owed.unit.clone(),
        index: owed.name.clone(),
        millis,
    };
    let decide = |state: &RunState| {
        let unit = state.units.get(&owed.unit);
        let is_due = state.status.is_open()
            && unit.is_some_and(|unit| unit.status == UnitStatus::Running)
            && state.owed(&owed.unit).any(|due| due.name == owed.name);
        Ok(is_due.then(|| vec![built.clone()]))
    };
    runs::append(&context.database, &context.run, &context.worker, decide).await?;
    Ok(())
}

/// Tells now and then how far a build is.
struct Lines {
    last: Instant,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            last: Instant::now(),
        }
    }
}

impl Lines {
    async fn tell(&mut self, context: &Context, table: &str, what: &str) {
        if self.last.elapsed() < LINE {
            return;
        }
        self.last = Instant::now();
        // A line that cannot be had is left out.
        match context.database.build_progress(table).await {
            Ok(Some(progress)) => tracing::warn!("{what}: {progress}"),
            _ => tracing::warn!("{what}"),
        }
    }
}
