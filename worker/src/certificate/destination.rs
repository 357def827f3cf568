//! What a unit wrote and what of it stands, in one digest each: over keys and the rows' digests, batch by batch in the
//! journal's order, so that nothing is held and nothing is sorted.

use std::collections::HashMap;

use super::Rows;
use crate::backend::Database;
use crate::core::plan::UnitPin;
use crate::error::{Error, Result};
use crate::projection::Row;
use crate::provenance;
use crate::write::{self, Lock};

/// Batches whose provenance is read at once.
const READ_AHEAD: u64 = 8;

/// Digests what the partitions of a unit wrote.
///
/// # Errors
/// The database's; [`Error::Damaged`]: provenance that cannot be read.
pub(super) async fn rows(
    database: &Database,
    run: &str,
    pin: &UnitPin,
    partitions: &[Row],
) -> Result<Rows> {
    let mut rows = Rows::default();
    let (mut written, mut standing) = (blake3::Hasher::new(), blake3::Hasher::new());
    let mut partitions: Vec<_> = partitions
        .iter()
        .filter(|row| row.unit == pin.name)
        .collect();
    partitions.sort_by_key(|row| (row.pass, row.section, row.part));
    let newest = refreshed(database, run, pin, &partitions).await?;
    for partition in partitions {
        let mut next = 0;
        loop {
            let place = (run, partition.stream.as_str(), next);
            let connection = database.connection();
            let batches = provenance::load_from(connection, place, READ_AHEAD).await?;
            let Some(last) = batches.keys().next_back().copied() else {
                break;
            };
            for (seq, (table, packed)) in batches {
                if table != pin.destination.table {
                    return Err(Error::Damaged(format!(
                        "the provenance of {} names the table {table}",
                        partition.stream
                    )));
                }
                let mut batch = packed.unpack()?;
                // Each row counts once, as it was written last.
                let here = (partition.stream.as_str(), seq);
                batch.retain(|row| newest.get(&row.key).is_none_or(|newest| *newest == here));
                let keys: Vec<_> = batch.iter().map(|row| row.key.as_str()).collect();
                let stands =
                    write::digests(connection, &pin.destination, &pin.image, &keys, Lock::None)
                        .await?;
                for row in &batch {
                    rows.written += 1;
                    add(&mut written, &row.key, Some(row.digest));
                    let digest = stands.get(&row.key).copied();
                    add(&mut standing, &row.key, digest);
                    match digest {
                        None => rows.gone += 1,
                        Some(digest) if digest == row.digest => rows.standing += 1,
                        Some(_) => rows.changed += 1,
                    }
                }
            }
            next = last + 1;
        }
    }
    rows.written_digest = written.finalize().to_hex().to_string();
    rows.standing_digest = standing.finalize().to_hex().to_string();
    Ok(rows)
}

/// The rows that batches of catch-up passes brought up to date, with the stream and the seq of the last that did.
async fn refreshed<'a>(
    database: &Database,
    run: &str,
    pin: &UnitPin,
    partitions: &[&'a Row],
) -> Result<HashMap<String, (&'a str, i64)>> {
    let mut newest = HashMap::new();
    for partition in partitions.iter().filter(|row| row.pass > 1) {
        let stream = partition.stream.as_str();
        let mut next = 0;
        loop {
            let place = (run, stream, next);
            let connection = database.connection();
            let batches = provenance::load_from(connection, place, READ_AHEAD).await?;
            let Some(last) = batches.keys().next_back().copied() else {
                break;
            };
            for (seq, (_, packed)) in batches {
                let rows = packed.unpack()?.into_iter();
                let rows = rows.filter(|row| row.is_refreshed(&pin.destination.write));
                newest.extend(rows.map(|row| (row.key, (stream, seq))));
            }
            next = last + 1;
        }
    }
    Ok(newest)
}

/// Adds a row: its key, and its digest where it stands.
fn add(hasher: &mut blake3::Hasher, key: &str, digest: Option<u64>) {
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key.as_bytes());
    match digest {
        Some(digest) => hasher.update(&[1]).update(&digest.to_le_bytes()),
        None => hasher.update(&[0]),
    };
}
