//! A batch, taken back: its rows, its partition's cursor and the event that says so, in one transaction.

use std::collections::HashSet;

use super::count;
use crate::backend::{Database, Durability, Reference};
use crate::chain::Head;
use crate::core::event::{BatchUndone, Event};
use crate::core::plan::{UnitPin, Write};
use crate::core::state::Gate;
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::journal::{self, Stream};
use crate::projection;
use crate::provenance::Written;
use crate::standing::{examine, examine_undo, newest_batch};
use crate::write::{self, Lock};

/// Undoes the newest batch of a partition that is not undone, with a statement for each of so many pieces of it; gives
/// the rows removed and kept, or none where no batch is left.
pub(super) async fn undo_batch(
    database: &Database,
    run: &str,
    pin: &UnitPin,
    references: &[Reference],
    stream: &str,
    worker: &str,
    pieces: usize,
) -> Result<Option<(i64, i64)>> {
    let doing = "undoing a batch";
    let transaction = database.begin(Durability::Relaxed).await.doing(doing)?;
    let row = projection::lock(&transaction, run, stream).await?;
    let row = row.ok_or_else(|| Error::Damaged(format!("partition {stream} is missing")))?;
    let batch = newest_batch(&transaction, (run, stream), row.undone_to).await?;
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
    // What was brought up to date is put back here, and removed where it was written.
    let how = &pin.destination.write;
    let (refreshed, written): (Vec<_>, Vec<_>) =
        written.into_iter().partition(|row| row.is_refreshed(how));
    let nothing = HashSet::new();
    let lock = Lock::ForUpdate;
    let stale = examine(&transaction, pin, &[], (&refreshed, &nothing), lock).await?;
    let found = examine_undo(&transaction, pin, references, (&written, &nothing), lock).await?;
    point("examined");
    let mut restored = 0;
    for piece in pieces_of(&stale.ours, pieces) {
        let put_back = write::restore(&transaction, &pin.destination, piece).await?;
        restored += count(put_back.len());
    }
    let mut removed = HashSet::with_capacity(found.ours.len());
    for piece in pieces_of(&found.ours, pieces) {
        let taken_back = match how {
            Write::Insert => {
                let keys: Vec<_> = piece.iter().map(|row| row.key.as_str()).collect();
                write::remove(&transaction, &pin.destination, &keys).await?
            }
            Write::Update { .. } | Write::Restore => {
                write::restore(&transaction, &pin.destination, piece).await?
            }
            Write::Remove => {
                let types = database.types(&pin.destination.table).await?;
                let image = (&*pin.image, &types);
                write::put_back(&transaction, &pin.destination, image, piece).await?
            }
        };
        removed.extend(taken_back);
    }
    point("removed");
    let found = found.after(&removed);
    let removed = count(found.ours.len());
    let kept = count(found.kept.len());
    let undone = Event::BatchUndone(BatchUndone {
        unit: pin.name.clone(),
        batch: seq,
        removed,
        kept: found.kept,
        gone: found.gone,
        restored,
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
        Gate::Fenced,
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

/// Rows in so many pieces at most.
fn pieces_of<'a, 'b>(
    rows: &'b [&'a Written],
    pieces: usize,
) -> std::slice::Chunks<'b, &'a Written> {
    rows.chunks(rows.len().div_ceil(pieces).max(1))
}
