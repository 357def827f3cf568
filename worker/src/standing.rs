//! Journaled rows against what stands in the destination: what undo, validation and audit all ask.

use std::collections::{HashMap, HashSet};

use sea_orm::ConnectionTrait;

use crate::backend::{self, Database, Dialect, Reference, quote};
use crate::core::event::{BatchCommitted, Event};
use crate::core::plan::{Destination, UnitPin, Write};
use crate::error::{Doing, Error, Result};
use crate::examined::Examined;
use crate::journal;
use crate::provenance::{self, Packed, Written};
use crate::write::{self, Lock};

/// Batches that are looked at together where nothing is changed: most of the time goes into questions, not into rows.
const TOGETHER: u64 = 8;

/// A partition's newest batch with rows below a seq, and its rows, checked against the batch's event.
pub(crate) async fn newest_batch(
    connection: &impl ConnectionTrait,
    place: (&str, &str),
    below: Option<i64>,
) -> Result<Option<(i64, Vec<Written>)>> {
    newest(connection, place, below, 1).await
}

/// The rows of a few of a partition's newest batches below a seq, and the seq of the oldest of them.
pub(crate) async fn newest_batches(
    connection: &impl ConnectionTrait,
    place: (&str, &str),
    pin: &UnitPin,
    below: Option<i64>,
) -> Result<Option<(i64, Vec<Written>)>> {
    let limit = match pin.destination.write {
        Write::Insert => TOGETHER,
        // These hold values, of any size.
        Write::Update { .. } | Write::Remove | Write::Restore => 1,
    };
    newest(connection, place, below, limit).await
}

async fn newest(
    connection: &impl ConnectionTrait,
    (run, stream): (&str, &str),
    below: Option<i64>,
    limit: u64,
) -> Result<Option<(i64, Vec<Written>)>> {
    let below = below.unwrap_or(i64::MAX);
    let packed = provenance::newest(connection, (run, stream), below, limit).await?;
    let Some((oldest, _)) = packed.last() else {
        return Ok(None);
    };
    let oldest = *oldest;
    let mut written = Vec::new();
    for batch in checked(connection, (run, stream), packed).await? {
        written.extend(batch.rows);
    }
    Ok(Some((oldest, written)))
}

/// A batch with rows: what the journal says of it.
pub(crate) struct Batch {
    /// Its event's seq.
    pub(crate) seq: i64,
    /// Who committed it.
    pub(crate) worker: String,
    /// When, milliseconds since 1970.
    pub(crate) at: i64,
    /// Its event.
    pub(crate) event: BatchCommitted,
    /// Its rows.
    pub(crate) rows: Vec<Written>,
}

/// A partition's newest batch with rows below a seq, checked as [`newest_batch`] does.
pub(crate) async fn newest_told(
    connection: &impl ConnectionTrait,
    place: (&str, &str),
    below: i64,
) -> Result<Option<Batch>> {
    let packed = provenance::newest(connection, place, below, 1).await?;
    Ok(checked(connection, place, packed).await?.pop())
}

/// Up to `limit` of a partition's batches with rows, from a seq on, their rows checked against their events.
pub(crate) async fn batches_from(
    connection: &impl ConnectionTrait,
    (run, stream, seq): (&str, &str, i64),
    limit: u64,
) -> Result<Vec<Batch>> {
    let packed = provenance::load_from(connection, (run, stream, seq), limit).await?;
    let packed = packed.into_iter().map(|(seq, (_, packed))| (seq, packed));
    checked(connection, (run, stream), packed.collect()).await
}

/// Batches with their events and their rows, which must be what the events say.
async fn checked(
    connection: &impl ConnectionTrait,
    (run, stream): (&str, &str),
    packed: Vec<(i64, Packed)>,
) -> Result<Vec<Batch>> {
    let seqs = packed.iter().map(|(seq, _)| *seq);
    let events = journal::among(connection, (run, stream), seqs).await?;
    let mut batches = Vec::with_capacity(packed.len());
    for (seq, packed) in packed {
        let entry = events.iter().find(|entry| entry.seq == seq);
        let entry = entry.filter(|entry| journal::hash(entry) == entry.hash);
        match (entry, entry.map(journal::event).transpose()?) {
            (Some(entry), Some(Event::BatchCommitted(batch))) if is_of(&packed, &batch) => {
                batches.push(Batch {
                    seq,
                    worker: entry.worker.clone(),
                    at: entry.at,
                    event: batch,
                    rows: packed.unpack()?,
                });
            }
            _ => {
                return Err(Error::Damaged(format!(
                    "the provenance of batch {seq} in {stream} of run {run} is not what the batch's event says"
                )));
            }
        }
    }
    Ok(batches)
}

/// Whether packed rows are those of a batch.
pub(crate) fn is_of(packed: &Packed, batch: &BatchCommitted) -> bool {
    batch.provenance.as_deref() == Some(&packed.digest())
}

/// Compares a batch's rows with what stands in the destination; those of the keys `back` as if they stood as they were
/// written, where they stand: the undo of newer batches will have put them back.
pub(crate) async fn examine<'a>(
    connection: &impl ConnectionTrait,
    pin: &UnitPin,
    references: &[Reference],
    (written, back): (&'a [Written], &HashSet<String>),
    lock: Lock,
) -> Result<Examined<'a>> {
    let keys: Vec<_> = written.iter().map(|row| row.key.as_str()).collect();
    let mut standing =
        write::digests(connection, &pin.destination, &pin.image, &keys, lock).await?;
    for row in written.iter().filter(|row| back.contains(&row.key)) {
        if let Some(digest) = standing.get_mut(&row.key) {
            *digest = row.digest;
        }
    }
    let mut referred = HashMap::new();
    for reference in references {
        for key in referring(connection, &pin.destination, reference, &keys).await? {
            referred.insert(key, reference.table.as_str());
        }
    }
    Ok(Examined::of(written, &standing, &referred))
}

/// Compares what is to be undone of a batch with what stands: as [`examine`] does, but for rows that the batch removed, which
/// are to stand again.
pub(crate) async fn examine_undo<'a>(
    connection: &impl ConnectionTrait,
    pin: &UnitPin,
    references: &[Reference],
    (written, back): (&'a [Written], &HashSet<String>),
    lock: Lock,
) -> Result<Examined<'a>> {
    if pin.destination.write != Write::Remove {
        return examine(connection, pin, references, (written, back), lock).await;
    }
    let keys: Vec<_> = written.iter().map(|row| row.key.as_str()).collect();
    let standing = write::digests(connection, &pin.destination, &pin.image, &keys, lock).await?;
    Ok(Examined::of_removed(written, &standing))
}

/// The keys of our rows that rows of another table (or others of the same one) refer to, by whatever columns.
async fn referring(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    reference: &Reference,
    keys: &[&str],
) -> Result<Vec<String>> {
    let dialect = Dialect::of(connection);
    let key = quote(&destination.key);
    let matches: Vec<_> = reference
        .columns
        .iter()
        .map(|(from, to)| {
            let to = to.as_ref().unwrap_or(&destination.key);
            format!("c.{} = t.{}", quote(from), quote(to))
        })
        .collect();
    let sql = format!(
        "SELECT t.{key} AS \"key\" FROM {} t WHERE {} AND EXISTS (SELECT 1 FROM {} c WHERE {})",
        quote(&destination.table),
        dialect.is_any(&format!("t.{key}"), "$1"),
        reference.table,
        matches.join(" AND "),
    );
    let rows = backend::all(connection, &sql, [dialect.texts(keys)]).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "key")).collect())
        .doing(format!(
            "looking for rows of {} that refer to ours",
            reference.table
        ))
}

/// Foreign keys onto a unit's destination, which no other table may inherit from; none matter where values alone change.
pub(crate) async fn references(database: &Database, pin: &UnitPin) -> Result<Vec<Reference>> {
    match pin.destination.write {
        Write::Insert | Write::Remove => {
            database.check_without_heirs(&pin.destination.table).await?;
            database.references(&pin.destination.table).await
        }
        Write::Update { .. } | Write::Restore => Ok(Vec::new()),
    }
}
