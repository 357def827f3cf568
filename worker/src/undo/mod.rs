//! The loop in reverse, over provenance: removes what the journal says was written, where it still stands as it was
//! written, batch by batch, each undone together with the event that says so. Works from what the run pinned, so it
//! needs no unit, and no plan that still knows them.

mod batch;
mod preview;

use self::batch::undo_batch;
pub use self::preview::{check_database, check_unblocked, kept, preview, units};

use std::sync::Arc;

use serde::Serialize;

use crate::backend::Database;
use crate::control::{Settings, Steering};
use crate::core::event::Event;
use crate::core::plan::UnitPin;
use crate::core::state::{RunState, RunStatus};
use crate::decisions::Decisions;
use crate::error::{Error, Result};
use crate::journal;
use crate::pace::{Pace, Work};
use crate::projection;
use crate::retry::Retry;
use crate::runs;
use crate::shutdown::Shutdown;
use crate::standing::references;

/// Into how many statements the removal of a batch is cut at most. A batch is undone whole, with its event, so where one
/// statement takes too long (others may refer to its rows without an index), several must do.
const MOST_PIECES: usize = 4_096;

/// What an undo will do, or did, to one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnitUndo {
    /// The unit.
    pub unit: String,
    /// Its destination.
    pub table: String,
    /// Rows to be removed, or put back to their value before.
    pub removed: i64,
    /// Rows left alone.
    pub kept: i64,
    /// Rows that are not there any more.
    pub gone: i64,
}

/// How an undo ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There was nothing to undo.
    Nothing,
    /// All is undone; what was done to each unit.
    Completed(Vec<UnitUndo>),
    /// The process was asked to stop.
    Interrupted,
}

/// What is to be undone, and on whose word.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The run.
    pub run: &'a str,
    /// Its units; empty: all.
    pub units: &'a [String],
    /// Why, for the journal.
    pub reason: &'a str,
    /// Who undoes it.
    pub worker: &'a str,
    /// What to do about a run that began in another database.
    pub elsewhere: Elsewhere,
}

/// What to do about a run that began in another database than this one: a restored or copied one, or the wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Refuse.
    Refuse,
    /// Undo it here, and say so in the journal.
    Adopt,
}

/// Undoes units of a run, or goes on with an undo that was interrupted. `progress` is told of each batch: rows removed
/// and rows kept.
///
/// # Errors
/// The database's, after bounded retries; provenance that was changed. [`Error::Refused`]: the run belongs to another
/// database.
pub async fn undo(
    database: &Database,
    order: &Order<'_>,
    pace: &Pace,
    shutdown: &Shutdown,
    mut progress: impl FnMut(i64, i64),
) -> Result<Ending> {
    let Order { run, worker, .. } = *order;
    journal::check_format(database.connection()).await?;
    let (state, _) = runs::load(database.connection(), run).await?;
    let identity = check_database(database, run, &state, order.elsewhere).await?;
    check_unblocked(database, run, &units(run, &state, order.units)?).await?;
    projection::reconcile(database, run, &state).await?;
    let state = start(database, order, &identity, shutdown).await?;
    // What the journal says is being undone, whoever began it.
    let units = state.undoing.clone();
    if units.is_empty() {
        return Ok(Ending::Nothing);
    }
    let steering = steer(database, order, &state, pace, shutdown).await?;
    for name in &units {
        let pin = pin(&state, name)?;
        let references = references(database, pin).await?;
        let partitions = projection::load(database.connection(), run).await?;
        for row in partitions.iter().rev().filter(|row| row.unit == *name) {
            let mut retry = Retry::default();
            let mut pieces = 1;
            loop {
                if shutdown.is_requested() {
                    return Ok(Ending::Interrupted);
                }
                if let Err(error) = steering.hold(pace, shutdown).await {
                    retry.pause(error, shutdown).await?;
                    continue;
                }
                if shutdown.is_requested() {
                    return Ok(Ending::Interrupted);
                }
                let undone =
                    undo_batch(database, run, pin, &references, &row.stream, worker, pieces);
                let turn = pace.turn(Work::Write, shutdown).await;
                // A turn may take its time.
                if steering.is_paused() {
                    continue;
                }
                let undone = undone.await;
                drop(turn);
                match undone {
                    Ok(Some((removed, kept))) => {
                        retry = Retry::default();
                        let rows = u64::try_from(removed + kept).unwrap_or(0);
                        pace.wrote(rows, shutdown).await;
                        progress(removed, kept);
                    }
                    Ok(None) => break,
                    // A commit of unknown outcome, too: the partition's row tells which batch is next.
                    Err(error) => {
                        if error.is_timeout() {
                            pieces = (2 * pieces).min(MOST_PIECES);
                        }
                        retry.pause(error, shutdown).await?;
                    }
                }
            }
        }
    }
    let totals = totals(database, run, &state, &units).await?;
    check_accounted(database, run, &units).await?;
    let completed = Event::UndoCompleted {
        units: units.clone(),
        removed: totals.iter().map(|unit| unit.removed).sum(),
        kept: totals.iter().map(|unit| unit.kept).sum(),
        gone: totals.iter().map(|unit| unit.gone).sum(),
    };
    let decide = |state: &RunState| {
        let is_due = state.status == RunStatus::Undoing && state.undoing == units;
        Ok(is_due.then(|| vec![completed.clone()]))
    };
    runs::append(database, run, worker, decide).await?;
    Ok(Ending::Completed(totals))
}

/// Learns what is wished of the rollback: it is steered for itself.
async fn steer(
    database: &Database,
    Order { run, worker, .. }: &Order<'_>,
    state: &RunState,
    pace: &Pace,
    shutdown: &Shutdown,
) -> Result<Steering> {
    let own = Settings {
        pace: pace.speed(),
        ..Settings::default()
    };
    let dial = pace.dial();
    let decisions = Arc::new(Decisions::new(database, run, worker));
    let stream = state.control().unwrap_or_default();
    let obey = move |settings: Settings| dial.set(settings.pace);
    let steering = Steering::begin(&decisions, stream, own, shutdown, obey).await?;
    steering.follow();
    Ok(steering)
}

/// Journals the undo and fences the run, and that it is undone in another database than it began in; of what is
/// journaled already, nothing.
async fn start(
    database: &Database,
    order: &Order<'_>,
    identity: &str,
    shutdown: &Shutdown,
) -> Result<RunState> {
    let Order { run, worker, .. } = *order;
    let mut retry = Retry::default();
    loop {
        // Decided on the state under the lock: another rollback may have begun, or a worker planned another unit.
        let started = runs::append_exclusively(database, run, worker, |state| {
            let due = units(run, state, order.units)?;
            if due.is_empty() {
                return Ok(None);
            }
            let mut events = Vec::new();
            if state.database != *identity {
                events.push(Event::DatabaseAdopted {
                    from: state.database.clone(),
                    to: identity.to_owned(),
                });
            }
            if state.status != RunStatus::Undoing {
                events.push(Event::UndoStarted {
                    units: due,
                    reason: order.reason.to_owned(),
                });
            }
            Ok((!events.is_empty()).then_some(events))
        });
        match started.await {
            Ok((state, _)) => return Ok(state),
            // A batch that is being committed holds its partition for a moment.
            Err(error) => retry.pause(error, shutdown).await?,
        }
    }
}

/// Refuses to call an undo complete where batches were written of which the provenance is not there any more.
async fn check_accounted(database: &Database, run: &str, units: &[String]) -> Result<()> {
    let partitions = projection::load(database.connection(), run).await?;
    let mut concerned = partitions.iter().filter(|row| units.contains(&row.unit));
    match concerned.find(|row| row.removed + row.kept + row.gone != row.written) {
        None => Ok(()),
        Some(row) => Err(Error::Damaged(format!(
            "partition {} of run {run} wrote {} rows, and the provenance of only {} was found; these are undone, the \
             others stand",
            row.stream,
            row.written,
            row.removed + row.kept + row.gone
        ))),
    }
}

fn pin<'a>(state: &'a RunState, name: &str) -> Result<&'a UnitPin> {
    let mut pins = state.started.units.iter();
    pins.find(|pin| pin.name == name)
        .ok_or_else(|| Error::Damaged(format!("the run does not know unit {name}")))
}

async fn totals(
    database: &Database,
    run: &str,
    state: &RunState,
    units: &[String],
) -> Result<Vec<UnitUndo>> {
    let partitions = projection::load(database.connection(), run).await?;
    let mut totals = Vec::new();
    for name in units {
        let rows = partitions.iter().filter(|row| row.unit == *name);
        let start = UnitUndo {
            unit: name.clone(),
            table: pin(state, name)?.destination.table.clone(),
            ..UnitUndo::default()
        };
        totals.push(rows.fold(start, |total, row| UnitUndo {
            removed: total.removed + row.removed,
            kept: total.kept + row.kept,
            gone: total.gone + row.gone,
            ..total
        }));
    }
    Ok(totals)
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
