//! A batch: claim, write, provenance, cursor and event in one transaction, the journal's insert last.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Context;
use crate::backend::Durability;
use crate::chain::Head;
use crate::core::event::{BatchCommitted, Cursor, Event};
use crate::core::state::Gate;
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::journal::{self, Stream};
use crate::provenance::{self, Packed};
use crate::retry::Retry;
use crate::unit::{Item, Page, Row};
use crate::{projection, write};

/// The reason for a skip: the destination has the row.
pub(super) const PRESENT: &str = "already there";
/// The reason for a skip in the first pass: the next one tries again.
const SWALLOWED: &str = "neither written nor there";
/// Why a row is bad that the table swallows again.
const NOT_KEPT: &str = "the table does not keep the row: a trigger or a rule of its own";
/// The reason for a skip: an earlier row of the batch has the same identity.
const DUPLICATE: &str = "reported twice";
/// The reason for a skip in a catch-up pass: the row was set aside before.
const QUARANTINED: &str = "quarantined before";

/// How a batch ended.
pub(super) enum Outcome {
    /// It is committed.
    Committed {
        /// Whether bad rows were among it.
        quarantined: bool,
    },
    /// Another worker has the partition, or has moved its cursor: what was read is thrown away.
    Lost,
}

/// What to do about rows that the database refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusals {
    /// The batch fails: the rule, as looking for them costs a savepoint.
    Fail,
    /// Each is bad, the others are written.
    SetAside,
}

/// Commits a page that was read at `from`.
///
/// # Errors
/// The database's; a batch that erred is not committed.
pub(super) async fn commit(
    context: Arc<Context>,
    stream: String,
    from: Option<Cursor>,
    page: Page,
    refusals: Refusals,
) -> Result<Outcome> {
    let transaction = context
        .database
        .begin(Durability::Relaxed)
        .await
        .doing("beginning a batch")?;
    let claimed = projection::claim(&transaction, &context.run, &stream).await?;
    let Some(row) =
        claimed.filter(|row| projection::state(row).is_ok_and(|state| state.cursor == from))
    else {
        transaction.rollback().await.doing("ending a batch")?;
        return Ok(Outcome::Lost);
    };
    let place = match (&from, page.last) {
        (None, true) => "only",
        (None, false) => "first",
        (Some(_), true) => "last",
        (Some(_), false) => "middle",
    };
    let point = |step: &str| {
        fault::point(|| {
            let (unit, pass, section) = (&row.unit, row.pass, row.section);
            format!("batch {unit} {pass}.{section} {place}: {step}")
        });
    };
    point("claimed");
    let mut state = projection::state(&row)?;
    let at = journal::now(&transaction).await?;
    let pin = context
        .started
        .units
        .iter()
        .find(|pin| pin.name == row.unit);
    let pin =
        pin.ok_or_else(|| Error::Damaged(format!("the run does not know unit {}", row.unit)))?;

    let mut sorted = Sorted::new(page.items, page.skipped);
    let written = match refusals {
        Refusals::Fail => {
            write::write(&transaction, &pin.destination, &pin.image, &sorted.rows).await?
        }
        Refusals::SetAside => {
            let (destination, image) = (&pin.destination, &pin.image);
            let (written, refused) =
                write::write_isolating(&transaction, destination, image, &sorted.rows).await?;
            sorted.refuse(refused);
            written
        }
    };
    point("written");
    let is_followed = context.followed.contains(&row.unit);
    let taken = write::taken(&transaction, pin, &sorted.rows, written, is_followed).await?;
    let written = taken.written;
    sorted.swallow(&taken.swallowed, row.pass);
    if row.pass >= 2 && !sorted.bad.is_empty() {
        let keys: Vec<_> = sorted.bad.iter().map(|(key, _)| key.as_str()).collect();
        let known = journal::quarantined(&transaction, &context.run, &row.unit, &keys).await?;
        sorted.drop_known(&known);
    }
    let missed = sorted.rows.len() - written.len();
    sorted.skip(PRESENT, count(missed));

    let packed = match written.is_empty() {
        true => None,
        false => Some(Packed::pack(&written)?),
    };
    let mut events: Vec<_> = sorted
        .bad
        .iter()
        .map(|(key, reason)| Event::RowQuarantined {
            unit: row.unit.clone(),
            key: key.clone(),
            reason: reason.clone(),
        })
        .collect();
    let (written, bad) = (count(written.len()), count(events.len()));
    events.push(Event::BatchCommitted(BatchCommitted {
        unit: row.unit.clone(),
        from,
        to: page.to,
        last: page.last,
        read: page.read,
        written,
        skipped: sorted.skipped,
        quarantined: bad,
        provenance: packed.as_ref().map(Packed::digest),
    }));
    for event in &events {
        state.apply(event)?;
    }
    let head = Head {
        seq: row.seq,
        hash: row.head.clone(),
    };
    let appender = Stream {
        run: &context.run,
        stream: &stream,
        worker: &context.worker,
    };
    let chained = journal::chain(appender, &head, at, &events)?;
    let head = chained.head.clone();
    if let Some(packed) = packed {
        let key = (context.run.as_str(), stream.as_str(), head.seq);
        provenance::store(&transaction, key, &pin.destination.table, packed).await?;
    }
    point("provenance stored");
    let updated = projection::row(
        &context.run,
        &state,
        Gate::Open,
        &head,
        projection::times(&row, at),
    );
    projection::update(&transaction, updated).await?;
    point("cursor moved");
    journal::append(&transaction, chained).await?;
    point("event appended");

    let quarantined = bad > 0;
    let committed = transaction.commit().await.doing("committing a batch");
    point("committed");
    match committed {
        Ok(()) => Ok(Outcome::Committed { quarantined }),
        Err(error) => match settle(&context, &stream, &head).await? {
            true => Ok(Outcome::Committed { quarantined }),
            false => Err(error),
        },
    }
}

/// Whether a commit that erred took place after all: its event tells.
///
/// # Errors
/// [`Error::Transient`] where nobody can tell now; the next start can.
async fn settle(context: &Context, stream: &str, head: &Head) -> Result<bool> {
    let mut retry = Retry::default();
    loop {
        let connection = context.database.connection();
        match journal::at(connection, &context.run, stream, head.seq).await {
            Ok(entry) => return Ok(entry.is_some_and(|entry| entry.hash == head.hash)),
            Err(error) => {
                if retry.pause(error, &context.shutdown).await.is_err() {
                    return Err(Error::Transient(format!(
                        "the outcome of the last batch of partition {stream} is unknown, as the connection was lost \
                         while it was being committed; run the same command to go on: it looks the batch up first"
                    )));
                }
            }
        }
    }
}

/// A page's items, by what becomes of them.
struct Sorted {
    rows: Vec<Row>,
    skipped: BTreeMap<String, i64>,
    bad: Vec<(String, String)>,
}

impl Sorted {
    fn new(items: Vec<Item>, skipped: BTreeMap<&'static str, i64>) -> Self {
        let mut sorted = Self {
            rows: Vec::with_capacity(items.len()),
            skipped: BTreeMap::new(),
            bad: Vec::new(),
        };
        for (reason, rows) in skipped {
            sorted.skip(reason, rows);
        }
        let mut seen = HashSet::with_capacity(items.len());
        for item in items {
            match item {
                // The first of a page wins; a statement would not say which it took.
                Item::Row(row) if seen.insert(row.key.clone()) => sorted.rows.push(row),
                Item::Row(_) => sorted.skip(DUPLICATE, 1),
                Item::Skip(reason) => sorted.skip(reason, 1),
                Item::Bad { key, reason } => sorted.bad.push((journal::short_key(&key), reason)),
            }
        }
        sorted
    }

    fn skip(&mut self, reason: &str, rows: i64) {
        if rows > 0 {
            *self.skipped.entry(reason.to_owned()).or_default() += rows;
        }
    }

    /// Moves the rows that the database refused to the bad ones. Its message may hold values, so only its code is kept.
    fn refuse(&mut self, refused: Vec<(Row, String)>) {
        let keys: HashSet<_> = refused.iter().map(|(row, _)| row.key.clone()).collect();
        self.rows.retain(|row| !keys.contains(&row.key));
        for (row, code) in refused {
            let reason = format!("the database refuses the row ({code})");
            self.bad.push((journal::short_key(&row.source), reason));
        }
    }

    /// Rows that the table neither took nor has: somebody may have deleted one at that very moment, so the next pass tries
    /// again before it is a bad one.
    fn swallow(&mut self, swallowed: &HashSet<String>, pass: i32) {
        let (gone, rows) = std::mem::take(&mut self.rows)
            .into_iter()
            .partition(|row| swallowed.contains(&row.key));
        self.rows = rows;
        match pass {
            ..2 => self.skip(SWALLOWED, count(gone.len())),
            _ => self.bad.extend(
                gone.into_iter()
                    .map(|row| (journal::short_key(&row.source), NOT_KEPT.to_owned())),
            ),
        }
    }

    fn drop_known(&mut self, known: &[String]) {
        let before = self.bad.len();
        self.bad.retain(|(key, _)| !known.contains(key));
        self.skip(QUARANTINED, count(before - self.bad.len()));
    }
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
