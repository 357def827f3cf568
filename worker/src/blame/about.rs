//! Which events are about a key: a source row's that was set aside, or a destination row's that was written or taken back.

use std::collections::BTreeSet;

use super::starts;
use crate::backend::Database;
use crate::core::event::Event;
use crate::error::Result;
use crate::journal::{self, Entry, Filter};
use crate::provenance::{self, Place};

/// The events about a key, in the order in which they were appended: where a source row of this key was set aside, and
/// the batches that wrote a row of this key into any destination, with their undoing.
///
/// # Errors
/// The database's; a schema without the columns that a look-up needs.
pub async fn events(database: &Database, key: &str) -> Result<Vec<Entry>> {
    let connection = database.connection();
    let mut entries = Vec::new();
    let mut tables = BTreeSet::new();
    let aside = journal::short_key(key);
    for (run, pins) in starts(connection).await? {
        for pin in pins {
            let filter = Filter {
                run: Some(run.clone()),
                unit: Some(pin.name),
                key: Some(aside.clone()),
                ..Filter::default()
            };
            entries.extend(journal::select(connection, &filter, u64::MAX >> 1, false).await?);
            tables.insert(pin.destination.table);
        }
    }
    for table in tables {
        for (run, stream, seq) in provenance::holding(connection, &table, key).await? {
            let place = (run, stream, seq);
            if !wrote(database, &place, key).await? {
                continue;
            }
            let (run, stream, seq) = &place;
            entries.extend(journal::at(connection, run, stream, *seq).await?);
            let undo = journal::undo_of(connection, (run, stream), *seq).await?;
            entries.extend(undo.map(|(entry, _)| entry));
        }
    }
    entries.sort_by_key(|entry| entry.position);
    entries.dedup_by_key(|entry| entry.position);
    Ok(entries)
}

/// Whether an event is about a key, as [`events`] has it.
///
/// # Errors
/// The database's.
pub async fn is_about(database: &Database, entry: &Entry, key: &str) -> Result<bool> {
    let place = |seq| (entry.run.clone(), entry.stream.clone(), seq);
    match journal::event(entry) {
        Ok(Event::RowQuarantined { key: aside, .. }) => Ok(aside == journal::short_key(key)),
        Ok(Event::BatchCommitted(batch)) if batch.provenance.is_some() => {
            wrote(database, &place(entry.seq), key).await
        }
        Ok(Event::BatchUndone(undone)) => wrote(database, &place(undone.batch), key).await,
        _ => Ok(false),
    }
}

async fn wrote(database: &Database, (run, stream, seq): &Place, key: &str) -> Result<bool> {
    let place = (run.as_str(), stream.as_str(), *seq);
    let found = provenance::load_from(database.connection(), place, 1).await?;
    match found.get(seq) {
        Some((_, packed)) => Ok(packed.unpack()?.iter().any(|row| row.key == key)),
        None => Ok(false),
    }
}
