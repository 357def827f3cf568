//! What the journal says of one row of a destination: every batch that wrote it, over all runs, what became of each since,
//! and what stands now. Only reads.

mod about;
mod origin;
mod row;

use std::collections::BTreeMap;

use crate::backend::{Connection, Database};
use crate::core::event::{BatchUndone, Event, Input};
use crate::core::plan::{Destination, UnitPin, Write};
use crate::core::replay::{RUN_STREAM, WORKER_STREAM};
use crate::core::state::RunState;
use crate::engine::Plan;
use crate::error::{Doing, Error, Result};
use crate::journal::{self, Entry, Filter};
use crate::provenance::{self, Place, Written};
use crate::runs;
use crate::standing::{Batch, batches_from};
use crate::write::{self, Lock};

pub use self::about::{events, is_about};
pub use self::row::{
    Deed, Fate, Found, Program, RowHistory, SetAside, Standing, Undone, Value, Wrote,
};

/// Makes a plan of the files that its units read.
pub type Planner = fn(Vec<Input>) -> Plan;

/// A run, as far as it concerns the row.
struct Known {
    state: RunState,
    /// Of a repair: the run that it repairs.
    repaired: Option<RunState>,
}

/// The history of a row, by its table and its key. `planner` makes the plan as of today, through which the source is read
/// once more.
///
/// # Errors
/// [`Error::Usage`]: no unit of any run or of the plan writes into this table. [`Error::Damaged`]: provenance that was
/// changed. The database's.
pub async fn of(
    database: &Database,
    planner: Planner,
    table: &str,
    key: &str,
) -> Result<RowHistory> {
    let connection = database.connection();
    let starts = starts(connection).await?;
    let plan = planner(Vec::new());
    let destinations = starts
        .iter()
        .flat_map(|(_, pins)| pins.iter().map(|pin| &pin.destination))
        .chain(plan.iter().map(|unit| &unit.definition().destination));
    let destination = named(destinations, table)?.clone();
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let mut wrote = Vec::new();
    for place in provenance::holding(connection, &destination.table, key).await? {
        let run = &place.0;
        if !known.contains_key(run) {
            known.insert(run.clone(), load(connection, run).await?);
        }
        let found = written(database, planner, &known[run], &place, key).await?;
        wrote.extend(found);
    }
    wrote.sort_by_key(|(position, ..)| *position);
    let newest = wrote
        .iter()
        .rfind(|(_, wrote, ..)| wrote.holds())
        .or(wrote.last());
    let (standing, values) = match newest {
        Some((_, wrote, row, pin)) => {
            let stands = standing(database, pin, wrote, row).await?;
            (stands, values(connection, &pin.destination, key).await?)
        }
        None => {
            let present = write::present(connection, &destination, &[key]).await?;
            let standing = match present.is_empty() {
                true => Standing::Absent,
                false => Standing::Foreign,
            };
            (standing, values(connection, &destination, key).await?)
        }
    };
    let wrote: Vec<Wrote> = wrote.into_iter().map(|(_, wrote, ..)| wrote).collect();
    let mut sources: Vec<&str> = wrote
        .iter()
        .filter_map(|wrote| wrote.source.key())
        .collect();
    sources.sort_unstable();
    sources.dedup();
    let mut set_aside = Vec::new();
    for (run, pins) in &starts {
        for pin in pins
            .iter()
            .filter(|pin| pin.destination.table == destination.table)
        {
            for source in &sources {
                set_aside.extend(aside(connection, run, &pin.name, source).await?);
            }
        }
    }
    Ok(RowHistory {
        table: destination.table,
        key: key.to_owned(),
        standing,
        values,
        wrote,
        set_aside,
    })
}

/// The units of all runs, oldest first.
pub(crate) async fn starts(connection: &Connection) -> Result<Vec<(String, Vec<UnitPin>)>> {
    let mut starts = Vec::new();
    for run in journal::runs(connection).await? {
        let first = journal::at(connection, &run, RUN_STREAM, 1).await?;
        if let Some(Event::RunStarted(started)) = first.as_ref().map(journal::event).transpose()? {
            starts.push((run, started.units));
        }
    }
    Ok(starts)
}

/// The destination of a name, in any case where only one is called so.
fn named<'a>(
    destinations: impl Iterator<Item = &'a Destination>,
    table: &str,
) -> Result<&'a Destination> {
    let mut tables: BTreeMap<&str, &Destination> = BTreeMap::new();
    for destination in destinations {
        tables.insert(&destination.table, destination);
    }
    if let Some(destination) = tables.get(table) {
        return Ok(destination);
    }
    let mut alike = tables
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(table));
    match (alike.next(), alike.next()) {
        (Some((_, destination)), None) => Ok(destination),
        _ => Err(Error::Usage(format!(
            "no unit writes into a table {table:?}; the destinations are {}",
            tables.into_keys().collect::<Vec<_>>().join(", ")
        ))),
    }
}

async fn load(connection: &Connection, run: &str) -> Result<Known> {
    let (state, _) = runs::load(connection, run).await?;
    let repaired = match &state.started.repairs {
        Some(repairs) => Some(runs::load(connection, &repairs.run).await?.0),
        None => None,
    };
    Ok(Known { state, repaired })
}

type Deeds = Option<(i64, Wrote, Written, UnitPin)>;

/// What a batch did to the row; none where its packed keys only seemed to hold the key.
async fn written(
    database: &Database,
    planner: Planner,
    known: &Known,
    (run, stream, seq): &Place,
    key: &str,
) -> Result<Deeds> {
    let connection = database.connection();
    let state = &known.state;
    let read = database.begin_read().await.doing("reading provenance")?;
    let batches = batches_from(&read, (run, stream, *seq), 1).await?;
    read.rollback().await.doing("reading provenance")?;
    let gone = || {
        Error::Damaged(format!(
            "batch {seq} in {stream} of run {run} is gone, and its provenance stands"
        ))
    };
    let batch = batches.into_iter().next().filter(|batch| batch.seq == *seq);
    let Batch {
        event: batch, rows, ..
    } = batch.ok_or_else(gone)?;
    let entry = journal::at(connection, run, stream, *seq).await?;
    let entry = entry.ok_or_else(gone)?;
    let pin = state
        .started
        .units
        .iter()
        .find(|pin| pin.name == batch.unit);
    let planned = state.partitions.get(stream);
    let (Some(pin), Some(planned)) = (pin, planned) else {
        return Err(gone());
    };
    let is_refreshed = |row: &&Written| row.is_refreshed(&pin.destination.write);
    let refreshed = rows.iter().filter(is_refreshed).count();
    let Some(row) = rows.into_iter().find(|row| row.key == key) else {
        return Ok(None);
    };
    let was_refreshed = row.is_refreshed(&pin.destination.write);
    let undone = match journal::undo_of(connection, (run, stream), *seq).await? {
        None => None,
        Some((entry, undone)) => Some(Undone {
            seq: entry.seq,
            at: entry.at,
            worker: entry.worker,
            fate: fate(
                &undone,
                key,
                &pin.destination.write,
                was_refreshed.then_some(refreshed),
            ),
        }),
    };
    let how = &pin.destination.write;
    let source = match how.takes_back() {
        true => Found::InRange {
            why: "it goes by the journal".into(),
        },
        false => origin::find(database, planner, known, (pin, planned, &batch), key).await,
    };
    let wrote = Wrote {
        run: run.clone(),
        purpose: state.started.purpose(),
        as_of: state.instant(&pin.name, planned.pass),
        unit: pin.name.clone(),
        version: pin.version,
        stream: stream.clone(),
        seq: *seq,
        at: entry.at,
        program: program(connection, run, &entry.worker).await?,
        worker: entry.worker,
        deed: match (was_refreshed, how) {
            (true, _) => Deed::BroughtUpToDate,
            (false, Write::Insert) => Deed::Inserted,
            (false, Write::Update { .. }) => Deed::Overwrote,
            (false, Write::Remove) => Deed::Removed,
            (false, Write::Restore) => Deed::PutBack,
        },
        before: before(&row, &pin.destination)?,
        from: batch.from,
        to: batch.to,
        source,
        undone,
    };
    Ok(Some((entry.position, wrote, row, pin.clone())))
}

/// What stood before a batch wrote a row, where something did.
fn before(row: &Written, destination: &Destination) -> Result<Option<Vec<Value>>> {
    let Some(before) = &row.before else {
        return Ok(None);
    };
    let value = |(column, text)| Value {
        column,
        text: Some(text),
    };
    if destination.write == Write::Remove {
        let whole = write::whole(row)?;
        return Ok(Some(whole.into_iter().map(value).collect()));
    }
    let names = destination
        .values()
        .iter()
        .map(|column| column.name.clone());
    Ok(Some(names.zip(before.iter().cloned()).map(value).collect()))
}

/// What the undo of a batch did with one of its rows; `refreshed`: how many rows the batch brought up to date, where this
/// is one of them.
fn fate(undone: &BatchUndone, key: &str, write: &Write, refreshed: Option<usize>) -> Fate {
    if let Some(refreshed) = refreshed {
        return match undone.restored {
            0 => Fate::LeftAsItWas,
            restored if usize::try_from(restored) == Ok(refreshed) => Fate::PutBack,
            _ => Fate::PutBackIfUnchanged,
        };
    }
    if let Some(kept) = undone.kept.iter().find(|kept| kept.key == key) {
        return Fate::Kept {
            why: kept.why.clone(),
        };
    }
    match (undone.removed, undone.gone, write) {
        (_, 0, Write::Insert) => Fate::Removed,
        (_, 0, Write::Update { .. } | Write::Remove | Write::Restore) => Fate::PutBack,
        (0, _, _) => Fate::Gone,
        (_, _, Write::Insert) => Fate::RemovedOrGone,
        (_, _, Write::Update { .. } | Write::Remove | Write::Restore) => Fate::PutBackOrGone,
    }
}

/// The program that a worker is: the first event of its stream says.
async fn program(connection: &Connection, run: &str, worker: &str) -> Result<Option<Program>> {
    let stream = format!("{WORKER_STREAM}{worker}");
    let first = journal::at(connection, run, &stream, 1).await?;
    Ok(match first.as_ref().map(journal::event).transpose()? {
        Some(Event::WorkerStarted {
            release, process, ..
        }) => Some(Program { release, process }),
        _ => None,
    })
}

/// What stands, against what was written last.
async fn standing(
    database: &Database,
    pin: &UnitPin,
    wrote: &Wrote,
    row: &Written,
) -> Result<Standing> {
    let connection = database.connection();
    let keys = [row.key.as_str()];
    let found = write::digests(connection, &pin.destination, &pin.image, &keys, Lock::None).await?;
    let found = found.get(&row.key);
    Ok(match (found, wrote.holds(), &pin.destination.write) {
        (None, true, Write::Remove) => Standing::TakenBack,
        (Some(_), true, Write::Remove) => Standing::Foreign,
        (Some(digest), true, Write::Restore) if *digest == row.digest => Standing::PutBack,
        (None, true, _) => Standing::Deleted,
        (None, false, _) => Standing::TakenBack,
        (Some(digest), _, _) if *digest == row.digest => Standing::AsWritten,
        (Some(_), true, _) => Standing::Edited,
        (Some(_), false, Write::Update { .. } | Write::Restore) => Standing::PutBack,
        (Some(_), false, Write::Insert | Write::Remove) => Standing::Foreign,
    })
}

/// What the columns hold that a unit writes; none where the row does not stand.
async fn values(
    connection: &Connection,
    destination: &Destination,
    key: &str,
) -> Result<Option<Vec<Value>>> {
    let mut shown = write::shown(connection, destination, &[key]).await?;
    let columns = destination.values().iter();
    Ok(shown.remove(key).map(|texts| {
        let value = |(column, text): (&crate::core::plan::Column, Option<String>)| Value {
            column: column.name.clone(),
            text: Some(text),
        };
        columns.zip(texts).map(value).collect()
    }))
}

/// Every time that a run's unit set a source row aside.
async fn aside(
    connection: &Connection,
    run: &str,
    unit: &str,
    source: &str,
) -> Result<Vec<SetAside>> {
    let filter = Filter {
        run: Some(run.to_owned()),
        unit: Some(unit.to_owned()),
        key: Some(journal::short_key(source)),
        ..Filter::default()
    };
    let entries = journal::select(connection, &filter, 100, true).await?;
    let told = |entry: Entry| match journal::event(&entry) {
        Ok(Event::RowQuarantined { unit, reason, .. }) => Some(SetAside {
            run: entry.run,
            unit,
            reason,
            source: source.to_owned(),
            at: entry.at,
        }),
        _ => None,
    };
    Ok(entries.into_iter().filter_map(told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Kept;

    #[test]
    fn what_an_undo_did_with_a_row_follows_from_its_event() {
        let undone = |removed, gone, restored, kept: &[&str]| BatchUndone {
            unit: "u".into(),
            batch: 1,
            removed,
            kept: kept
                .iter()
                .map(|key| Kept {
                    key: (*key).to_owned(),
                    why: "edited".into(),
                })
                .collect(),
            gone,
            restored,
        };
        let insert = Write::Insert;
        let update = Write::Update {
            guard: "TRUE".into(),
        };
        let kept = Fate::Kept {
            why: "edited".into(),
        };
        for (undone, write, refreshed, wanted) in [
            (undone(3, 0, 0, &["b"]), &insert, None, Fate::Removed),
            (undone(3, 0, 0, &["a"]), &insert, None, kept),
            (undone(0, 2, 0, &["b"]), &insert, None, Fate::Gone),
            (undone(1, 2, 0, &[]), &insert, None, Fate::RemovedOrGone),
            (undone(1, 0, 0, &[]), &update, None, Fate::PutBack),
            (undone(1, 1, 0, &[]), &update, None, Fate::PutBackOrGone),
            // A row of the batch that was brought up to date is no matter of what became of the others.
            (undone(0, 3, 2, &["a"]), &insert, Some(2), Fate::PutBack),
            (undone(3, 0, 0, &[]), &insert, Some(2), Fate::LeftAsItWas),
            (
                undone(3, 0, 1, &[]),
                &insert,
                Some(2),
                Fate::PutBackIfUnchanged,
            ),
        ] {
            assert_eq!(fate(&undone, "a", write, refreshed), wanted, "{undone:?}");
        }
    }
}
