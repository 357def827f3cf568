//! The loop in reverse, over provenance: removes what the journal says was written, where it still stands as it was
//! written, batch by batch, each undone together with the event that says so. Works from what the run pinned, so it
//! needs no unit, and no plan that still knows them.

use sea_orm::ConnectionTrait;
use serde::Serialize;

use crate::backend::{Database, Durability, Reference};
use crate::chain::Head;
use crate::core::event::{BatchUndone, Event, Kept};
use crate::core::plan::{UnitPin, Write};
use crate::core::state::{RunState, RunStatus, UnitStatus};
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::journal::{self, Stream};
use crate::projection;
use crate::retry::Retry;
use crate::runs;
use crate::shutdown::Shutdown;
use crate::standing::{examine, newest_batch, references};
use crate::write::{self, Lock};

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

/// The units that an undo of this run concerns, in the order in which they are undone: the reverse of the plan's.
///
/// # Errors
/// [`Error::Usage`]: an unknown unit. [`Error::Refused`]: an undo of other units is under way.
pub fn units(run: &str, state: &RunState, named: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = named.iter().find(|name| !state.units.contains_key(*name)) {
        let pins = state.started.units.iter();
        let names: Vec<_> = pins.map(|pin| pin.name.as_str()).collect();
        return Err(Error::Usage(format!(
            "run {run} has no unit {unknown}; its units are {}",
            names.join(", ")
        )));
    }
    if state.status == RunStatus::Undoing {
        let is_same = named.is_empty()
            || (named.len() == state.undoing.len()
                && named.iter().all(|name| state.undoing.contains(name)));
        return match is_same {
            true => Ok(state.undoing.clone()),
            false => Err(Error::Refused(format!(
                "run {run} is being rolled back already, units {}: finish that first, with the same units or none \
                 named",
                state.undoing.join(", ")
            ))),
        };
    }
    let is_due = |name: &str| {
        let status = state.units.get(name).map(|unit| unit.status);
        !matches!(
            status,
            None | Some(UnitStatus::Undone | UnitStatus::Pending)
        ) && (named.is_empty() || named.iter().any(|chosen| chosen == name))
    };
    let pins = state.started.units.iter().rev();
    Ok(pins
        .map(|pin| pin.name.clone())
        .filter(|name| is_due(name))
        .collect())
}

/// Refuses an undo while another run is unfinished, which would write again what the undo removes; and of a unit into
/// which a newer run has written: the same row has the same key and digest in both, so it would be taken for ours.
///
/// # Errors
/// [`Error::Refused`], naming the other run.
pub async fn check_unblocked(database: &Database, run: &str, units: &[String]) -> Result<()> {
    let connection = database.connection();
    let runs = journal::runs(connection).await?;
    for newer in runs.iter().skip_while(|other| *other != run).skip(1) {
        let (state, _) = runs::load(connection, newer).await?;
        let partitions = projection::load(connection, newer).await?;
        let mut standing = partitions
            .iter()
            .filter(|row| row.written > 0 && units.contains(&row.unit))
            .filter(|row| {
                state
                    .units
                    .get(&row.unit)
                    .is_some_and(|unit| unit.status != UnitStatus::Undone)
            });
        if let Some(row) = standing.next() {
            return Err(Error::Refused(format!(
                "the newer run {newer} has written into {} as well: roll that one back first, `cli rollback --run \
                 {newer}`",
                row.unit
            )));
        }
    }
    match runs::unfinished(database.connection()).await? {
        Some((other, state)) if other != run => Err(runs::blocked(&other, &state)),
        _ => Ok(()),
    }
}

/// What an undo of these units would do now; changes nothing. Gives at most `examples` of the rows that would be kept.
///
/// # Errors
/// The database's; provenance that was changed.
pub async fn preview(
    database: &Database,
    run: &str,
    state: &RunState,
    units: &[String],
    examples: usize,
) -> Result<(Vec<UnitUndo>, Vec<(String, Kept)>)> {
    let mut previews = Vec::new();
    let mut kept = Vec::new();
    let partitions = projection::load(database.connection(), run).await?;
    for name in units {
        let pin = pin(state, name)?;
        let references = references(database, pin).await?;
        let mut preview = UnitUndo {
            unit: name.clone(),
            table: pin.destination.table.clone(),
            ..UnitUndo::default()
        };
        for row in partitions.iter().filter(|row| row.unit == *name) {
            preview.removed += row.removed;
            preview.kept += row.kept;
            preview.gone += row.gone;
            let mut below = row.undone_to;
            loop {
                let transaction = database.begin_read().await.doing("reading provenance")?;
                let batch = newest_batch(&transaction, run, &row.stream, below).await?;
                let Some((seq, written)) = batch else {
                    transaction.rollback().await.doing("reading provenance")?;
                    break;
                };
                let found = examine(&transaction, pin, &references, &written, Lock::None).await?;
                transaction.rollback().await.doing("reading provenance")?;
                preview.removed += count(found.ours.len());
                preview.kept += count(found.kept.len());
                preview.gone += found.gone;
                let room = examples.saturating_sub(kept.len());
                let some = found.kept.into_iter().take(room);
                kept.extend(some.map(|row| (name.clone(), row)));
                below = Some(seq);
            }
        }
        previews.push(preview);
    }
    Ok((previews, kept))
}

/// Undoes units of a run, or goes on with an undo that was interrupted. `progress` is told of each batch: rows removed
/// and rows kept.
///
/// # Errors
/// The database's, after bounded retries; provenance that was changed.
pub async fn undo(
    database: &Database,
    run: &str,
    named: &[String],
    reason: &str,
    worker: &str,
    shutdown: &Shutdown,
    mut progress: impl FnMut(i64, i64),
) -> Result<Ending> {
    journal::check_format(database.connection()).await?;
    let (state, _) = runs::load(database.connection(), run).await?;
    let units = units(run, &state, named)?;
    if units.is_empty() {
        return Ok(Ending::Nothing);
    }
    check_unblocked(database, run, &units).await?;
    projection::reconcile(database, run, &state).await?;
    let state = start(database, run, &units, reason, worker, shutdown).await?;
    for name in &units {
        let pin = pin(&state, name)?;
        let references = references(database, pin).await?;
        let partitions = projection::load(database.connection(), run).await?;
        for row in partitions.iter().rev().filter(|row| row.unit == *name) {
            let mut retry = Retry::default();
            loop {
                if shutdown.is_requested() {
                    return Ok(Ending::Interrupted);
                }
                match undo_batch(database, run, pin, &references, &row.stream, worker).await {
                    Ok(Some((removed, kept))) => {
                        retry = Retry::default();
                        progress(removed, kept);
                    }
                    Ok(None) => break,
                    // A commit of unknown outcome, too: the partition's row tells which batch is next.
                    Err(error) => retry.pause(error, shutdown).await?,
                }
            }
        }
    }
    let totals = totals(database, run, &state, &units).await?;
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

/// Rows that undos of this run left alone, in the order in which they were met, with their units.
///
/// # Errors
/// The database's.
pub async fn kept(connection: &impl ConnectionTrait, run: &str) -> Result<Vec<(String, Kept)>> {
    let mut kept = Vec::new();
    let mut filter = journal::Filter {
        run: Some(run.to_owned()),
        kind: Some("BatchUndone".into()),
        ..journal::Filter::default()
    };
    loop {
        let entries = journal::select(connection, &filter, 1_000, false).await?;
        let Some(last) = entries.last() else {
            return Ok(kept);
        };
        filter.after = Some(last.position);
        for entry in &entries {
            if let Event::BatchUndone(undone) = journal::event(entry)? {
                let unit = undone.unit;
                kept.extend(undone.kept.into_iter().map(|row| (unit.clone(), row)));
            }
        }
    }
}

/// Journals the undo and fences its units; nothing where it has started before.
async fn start(
    database: &Database,
    run: &str,
    units: &[String],
    reason: &str,
    worker: &str,
    shutdown: &Shutdown,
) -> Result<RunState> {
    let mut retry = Retry::default();
    loop {
        let started = runs::append_exclusively(database, run, worker, |state| {
            if state.status == RunStatus::Undoing {
                return Ok(None);
            }
            Ok(Some(vec![Event::UndoStarted {
                units: units.to_vec(),
                reason: reason.to_owned(),
            }]))
        });
        match started.await {
            Ok((state, _)) => return Ok(state),
            // A batch that is being committed holds its partition for a moment.
            Err(error) => retry.pause(error, shutdown).await?,
        }
    }
}

/// Undoes the newest batch of a partition that is not undone; gives the rows removed and kept, or none where no batch
/// is left.
async fn undo_batch(
    database: &Database,
    run: &str,
    pin: &UnitPin,
    references: &[Reference],
    stream: &str,
    worker: &str,
) -> Result<Option<(i64, i64)>> {
    let doing = "undoing a batch";
    let transaction = database.begin(Durability::Relaxed).await.doing(doing)?;
    let row = projection::lock(&transaction, run, stream).await?;
    let row = row.ok_or_else(|| Error::Damaged(format!("partition {stream} is missing")))?;
    let batch = newest_batch(&transaction, run, stream, row.undone_to).await?;
    let Some((seq, written)) = batch else {
        transaction.rollback().await.doing(doing)?;
        return Ok(None);
    };
    // Batches are undone from the newest to the oldest, so seq 1 is the last.
    let place = match (row.undone_to, seq) {
        (None, _) => "first",
        (Some(_), 1) => "last",
        (Some(_), _) => "middle",
    };
    let point = |step: &str| {
        fault::point(|| {
            format!(
                "undo {} {}.{} {place}: {step}",
                pin.name, row.pass, row.section
            )
        });
    };
    point("locked");
    let found = examine(&transaction, pin, references, &written, Lock::ForUpdate).await?;
    point("examined");
    if !found.ours.is_empty() {
        match pin.destination.write {
            Write::Insert => {
                let keys: Vec<_> = found.ours.iter().map(|row| row.key.as_str()).collect();
                write::remove(&transaction, &pin.destination, &keys).await?;
            }
            Write::Update { .. } => {
                write::restore(&transaction, &pin.destination, &found.ours).await?;
            }
        }
    }
    point("removed");
    let removed = count(found.ours.len());
    let kept = count(found.kept.len());
    let undone = Event::BatchUndone(BatchUndone {
        unit: pin.name.clone(),
        batch: seq,
        removed,
        kept: found.kept,
        gone: found.gone,
    });
    let mut state = projection::state(&row)?;
    state.apply(&undone)?;
    let head = Head {
        seq: row.seq,
        hash: row.head.clone(),
    };
    let at = journal::now(&transaction).await?;
    let appender = Stream {
        run,
        stream,
        worker,
    };
    let chained = journal::chain(appender, &head, at, &[undone])?;
    let updated = projection::row(
        run,
        &state,
        true,
        &chained.head,
        projection::times(&row, at),
    );
    projection::update(&transaction, updated).await?;
    point("cursor moved");
    journal::append(&transaction, chained).await?;
    point("event appended");
    transaction.commit().await.doing(doing)?;
    point("committed");
    Ok(Some((removed, kept)))
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
