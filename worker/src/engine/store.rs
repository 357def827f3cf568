//! What a batch stores: rows, provenance, cursor and event, in a transaction that whoever asked ends: a worker commits it,
//! a rehearsal rolls it back.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use super::withdraw::{Back, withdraw};
use crate::backend::Transaction;
use crate::bare;
use crate::chain::Head;
use crate::core::event::{BatchCommitted, Event, Kept};
use crate::core::plan::{UnitPin, Write};
use crate::core::state::Gate;
use crate::error::Result;
use crate::journal::{self, Stream};
use crate::projection::{self, Row as Partition};
use crate::provenance::{self, Packed, Written};
use crate::unit::{Item, Page, Row};
use crate::write::{self, Present};

/// The reason for a skip: the destination has the row.
pub(crate) const PRESENT: &str = "already there";
/// The reason for a skip in a catch-up pass: the source of a row has changed, and the application has changed the row.
pub(crate) const CHANGED: &str = "changed by the application since";
/// The reason for a skip in the first pass: the next one tries again.
pub(super) const SWALLOWED: &str = "neither written nor there";
/// Why a row is bad that the table swallows again.
const NOT_KEPT: &str = "the table does not keep the row: a trigger or a rule of its own";
/// The reason for a skip: an earlier row of the batch has the same identity.
const DUPLICATE: &str = "reported twice";
/// The reason for a skip: a row that was to be taken back.
const GONE: &str = "not there any more";

/// The reason for a skip in a catch-up pass: the row was set aside before.
const QUARANTINED: &str = "quarantined before";

/// How a batch's rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// As if the destination held none of them, which is the quickest: one that it holds fails the batch.
    AllNew,
    /// What it holds is left; one that the database refuses fails the batch.
    Missing,
    /// What it holds is left; one that the database refuses is bad. Looking for these costs a savepoint.
    SettingAside,
}

/// Where a batch belongs.
pub(crate) struct Place<'a> {
    /// The run.
    pub(crate) run: &'a str,
    /// Who stores it.
    pub(crate) worker: &'a str,
    /// The unit.
    pub(crate) pin: &'a UnitPin,
    /// Whether triggers of the destination fire after a statement.
    pub(crate) is_followed: bool,
    /// What it takes to take its rows back, of a unit that does.
    pub(crate) back: Option<&'a Back>,
}

/// A batch that is stored, and not committed yet.
pub(crate) struct Stored {
    /// The head of its partition's stream.
    pub(crate) head: Head,
    /// Its event.
    pub(crate) batch: BatchCommitted,
    /// The rows that it wrote.
    pub(crate) written: Vec<Written>,
    /// Bad rows: their keys in the source, and what is wrong with them.
    pub(crate) bad: Vec<(String, String)>,
}

/// Stores a page that was read at the cursor of its partition, which the transaction holds. `point` is told of each step.
///
/// # Errors
/// The database's; the transaction must be rolled back then.
pub(crate) async fn store(
    transaction: &Transaction,
    place: &Place<'_>,
    row: &Partition,
    page: Page,
    writing: Writing,
    point: &(impl Fn(&str) + Sync),
) -> Result<Stored> {
    let begun = Instant::now();
    let mut state = projection::state(row)?;
    let at = journal::now(transaction).await?;
    let pin = place.pin;
    let from = state.cursor.clone();

    let mut sorted = Sorted::new(page.items, page.skipped);
    let (destination, image) = (&pin.destination, &pin.image);
    let written = match writing {
        _ if let Some(back) = place.back => {
            let taken = withdraw(transaction, pin, back, &sorted.rows).await?;
            sorted.rows.clear();
            sorted.skip(GONE, taken.gone);
            sorted.leave(taken.kept);
            taken.written
        }
        Writing::AllNew | Writing::Missing => {
            let present = match writing {
                Writing::AllNew => Present::Fails,
                _ => Present::Stays,
            };
            write::write(transaction, destination, image, &sorted.rows, present).await?
        }
        Writing::SettingAside => {
            let (written, refused) =
                write::write_isolating(transaction, destination, image, &sorted.rows).await?;
            sorted.refuse(refused);
            written
        }
    };
    point("written");
    let written = match place.back {
        Some(_) => written,
        None => {
            let rows = &sorted.rows;
            let taken = write::taken(transaction, pin, rows, written, place.is_followed).await?;
            sorted.swallow(&taken.swallowed, row.pass);
            taken.written
        }
    };
    if row.pass >= 2 && !sorted.bad.is_empty() {
        let keys: Vec<_> = sorted.bad.iter().map(|(key, _)| key.as_str()).collect();
        let known = journal::quarantined(transaction, place.run, &row.unit, &keys).await?;
        sorted.drop_known(&known);
    }
    let how = &pin.destination.write;
    let refreshed = written.iter().filter(|row| row.is_refreshed(how)).count();
    let is_stale = |row: &&Row| *how == Write::Insert && row.expects.is_some();
    let stale = sorted.rows.iter().filter(is_stale).count();
    // Somebody was quicker.
    let changed = stale - refreshed;
    let missed = match place.back {
        Some(_) => 0,
        None => sorted.rows.len() - written.len() - changed,
    };
    sorted.skip(CHANGED, count(changed));
    sorted.skip(PRESENT, count(missed));

    let packed = match written.is_empty() {
        true => None,
        false => Some(Packed::pack(bare::kept(&written))?),
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
    let batch = BatchCommitted {
        unit: row.unit.clone(),
        from,
        to: page.to,
        last: page.last,
        read: page.read,
        written: count(written.len() - refreshed),
        refreshed: count(refreshed),
        skipped: sorted.skipped,
        quarantined: count(events.len()),
        provenance: packed.as_ref().map(Packed::digest),
        millis: Some(millis(begun)),
    };
    events.push(Event::BatchCommitted(batch.clone()));
    for event in &events {
        state.apply(event)?;
    }
    let head = Head {
        seq: row.seq,
        hash: row.head.clone(),
    };
    let appender = Stream {
        run: place.run,
        stream: &row.stream,
        worker: place.worker,
    };
    let chained = journal::chain(appender, &head, at, &events)?;
    let stored = chained.head.clone();
    if let Some(packed) = packed.filter(|_| !bare::is_asked_for()) {
        let key = (place.run, row.stream.as_str(), stored.seq);
        provenance::store(transaction, key, &pin.destination.table, packed).await?;
    }
    point("provenance stored");
    let updated = projection::row(
        place.run,
        &state,
        Gate::Open,
        &stored,
        projection::times(row, at),
    );
    projection::update(transaction, updated).await?;
    point("cursor moved");
    journal::append(transaction, chained).await?;
    point("event appended");
    Ok(Stored {
        head: stored,
        batch,
        written,
        bad: sorted.bad,
    })
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
        // The first of a page wins; a statement would not say which it took.
        let mut seen = HashSet::with_capacity(items.len());
        let mut first = Vec::with_capacity(items.len());
        for item in &items {
            first.push(!matches!(item, Item::Row(row) if !seen.insert(row.key.as_str())));
        }
        for (item, is_first) in items.into_iter().zip(first) {
            match item {
                Item::Row(row) if is_first => sorted.rows.push(row),
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

    /// Sets rows aside that are not taken back, with their keys: somebody will ask why they stand.
    fn leave(&mut self, kept: Vec<Kept>) {
        let bad = |row: Kept| (journal::short_key(&row.key), row.why);
        self.bad.extend(kept.into_iter().map(bad));
    }

    fn drop_known(&mut self, known: &[String]) {
        let before = self.bad.len();
        self.bad.retain(|(key, _)| !known.contains(key));
        self.skip(QUARANTINED, count(before - self.bad.len()));
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
