//! What an undo concerns, whether it may begin, what it would do, and which rows it left alone. Changes nothing.

use std::collections::HashSet;

use sea_orm::ConnectionTrait;

use super::{Elsewhere, UnitUndo, count, pin};
use crate::backend::Database;
use crate::core::event::{Event, Kept};
use crate::core::state::{RunState, RunStatus, UnitStatus};
use crate::error::{Doing, Error, Result};
use crate::standing::{examine, examine_undo, newest_batches, references};
use crate::write::Lock;
use crate::{journal, projection, runs};

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

/// Refuses to undo in a copy of the database what was written in another one, unless somebody gives their word for it:
/// the copy's rows may be somebody else's test, or the wrong database was named. Gives this database's identity.
///
/// # Errors
/// [`Error::Refused`], naming both.
pub async fn check_database(
    database: &Database,
    run: &str,
    state: &RunState,
    elsewhere: Elsewhere,
) -> Result<String> {
    let identity = database.identity().await?;
    if state.database == identity || elsewhere == Elsewhere::Adopt {
        return Ok(identity);
    }
    Err(Error::Refused(format!(
        "run {run} belongs to another database ({}) than this one ({identity}): is this a restored or copied one? If \
         the run shall be rolled back here, say --adopt-database",
        state.database
    )))
}

/// Refuses an undo while another run is unfinished, which would write again what the undo removes; and of a unit into
/// which a newer run has written: the same row has the same key and digest in both, so it would be taken for ours.
///
/// # Errors
/// [`Error::Refused`], naming the other run.
pub async fn check_unblocked(database: &Database, run: &str, units: &[String]) -> Result<()> {
    let connection = database.connection();
    let all = journal::runs(connection).await?;
    let (state, _) = runs::load(connection, run).await?;
    let origins: Vec<_> = units
        .iter()
        .map(|unit| state.started.origin(unit))
        .collect();
    for newer in all.iter().skip_while(|other| *other != run).skip(1) {
        let (state, _) = runs::load(connection, newer).await?;
        let partitions = projection::load(connection, newer).await?;
        let mut standing = partitions
            .iter()
            .filter(|row| {
                let origin = state.started.origin(&row.unit);
                row.written > 0 && origins.contains(&origin)
            })
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
                state.started.origin(&row.unit)
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
        // What newer batches brought up to date and will have put back.
        let mut back = HashSet::new();
        for row in partitions.iter().rev().filter(|row| row.unit == *name) {
            preview.removed += row.removed;
            preview.kept += row.kept;
            preview.gone += row.gone;
            let mut below = row.undone_to;
            loop {
                let transaction = database.begin_read().await.doing("reading provenance")?;
                let place = (run, row.stream.as_str());
                let batches = newest_batches(&transaction, place, pin, below).await?;
                let Some((oldest, written)) = batches else {
                    transaction.rollback().await.doing("reading provenance")?;
                    break;
                };
                let how = &pin.destination.write;
                let (refreshed, written): (Vec<_>, Vec<_>) =
                    written.into_iter().partition(|row| row.is_refreshed(how));
                let (refreshed, found) = (
                    examine(&transaction, pin, &[], (&refreshed, &back), Lock::None).await?,
                    examine_undo(
                        &transaction,
                        pin,
                        &references,
                        (&written, &back),
                        Lock::None,
                    )
                    .await?,
                );
                transaction.rollback().await.doing("reading provenance")?;
                preview.removed += count(found.ours.len());
                preview.kept += count(found.kept.len());
                preview.gone += found.gone;
                let room = examples.saturating_sub(kept.len());
                let some = found.kept.into_iter().take(room);
                kept.extend(some.map(|row| (name.clone(), row)));
                back.extend(refreshed.ours.into_iter().map(|row| row.key.clone()));
                below = Some(oldest);
            }
        }
        previews.push(preview);
    }
    Ok((previews, kept))
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
