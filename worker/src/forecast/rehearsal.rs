//! A rehearsal: batches of each unit as a worker would store them, each rolled back at once. What it leaves is dead rows,
//! which vacuum cleans up, and numbers.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use super::sample::scaled;
use super::time::{self, Section, Timed};
use super::told::{Change, Rehearsal, Shown, changes};
use crate::backend::health::{Sizes, sizes};
use crate::backend::{Database, Dialect, Durability, Transaction};
use crate::chain::Head;
use crate::core::event::{Cursor, PartitionPlanned, PlanRehearsed, UnitRehearsed};
use crate::core::plan::UnitPin;
use crate::core::state::{Gate, PartitionState};
use crate::engine::{self, PRESENT, Place, Plan, Stored, Writing};
use crate::error::{Doing, Error, Result};
use crate::projection;
use crate::retry::Retry;
use crate::shutdown::Shutdown;
use crate::source::Source;
use crate::unit::{Item, Page, Parts, Range, Unit};

/// What a rehearsed batch calls its run; nothing of it is ever committed.
const RUN: &str = "rehearsal";
/// Places of a section that batches are taken from in turn.
const PLACES: u32 = 8;
/// Bad rows that are named.
const BAD: usize = 5;

/// What is to be rehearsed.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Batches of each section at most.
    pub batches: u32,
    /// Source rows a batch.
    pub batch_rows: u32,
    /// Rows of each unit that are shown.
    pub rows: usize,
    /// Whether they are shown with their values, which may be personal data.
    pub has_values: bool,
    /// Who rehearses.
    pub worker: &'a str,
}

/// A unit while it is rehearsed.
struct Rehearsed<'a> {
    database: &'a Database,
    unit: &'a dyn Unit,
    pin: UnitPin,
    is_followed: bool,
    order: Order<'a>,
    /// Hashes of the keys that batches before would have written: they were rolled back, so that the database does not
    /// know them.
    seen: HashSet<u64>,
    grown: Sizes,
    totals: UnitRehearsed,
    shown: Shown,
}

/// Rehearses each unit on the state as it stands: what depends on another unit sees nothing of it. `told` is told of each
/// unit before it begins.
///
/// # Errors
/// The database's, after a few attempts. Nothing is written then, either.
pub async fn rehearse(
    database: &Database,
    source: &Source,
    plan: &Plan,
    order: Order<'_>,
    mut told: impl FnMut(&str),
) -> Result<Rehearsal> {
    let mut rehearsal = Rehearsal {
        event: PlanRehearsed {
            plan: engine::fingerprint(plan),
            batches: order.batches,
            units: std::collections::BTreeMap::new(),
        },
        shown: Vec::new(),
    };
    for unit in plan.iter() {
        let definition = unit.definition();
        told(&definition.name);
        let mut rehearsed = Rehearsed {
            database,
            unit: unit.as_ref(),
            pin: engine::pin(database, definition).await?,
            is_followed: database.is_followed(&definition.destination.table).await?,
            order,
            seen: HashSet::new(),
            grown: Sizes::default(),
            totals: UnitRehearsed::default(),
            shown: Shown {
                unit: definition.name.clone(),
                bad: Vec::new(),
                rows: Vec::new(),
            },
        };
        rehearsed.all(source).await?;
        let units = &mut rehearsal.event.units;
        units.insert(definition.name.clone(), rehearsed.totals);
        rehearsal.shown.push(rehearsed.shown);
    }
    Ok(rehearsal)
}

impl Rehearsed<'_> {
    async fn all(&mut self, source: &Source) -> Result<()> {
        let mut sections = Vec::new();
        let mut rows = 0;
        for section in 0..self.pin_sections() {
            let before = self.totals.clone();
            let done = self.section(source, section).await?;
            let (read, written) = (
                self.totals.read - before.read,
                self.totals.written - before.written,
            );
            rows += scaled(written, done.rows, read.max(1));
            sections.push(done);
        }
        let workers = match self.database.dialect() {
            Dialect::Postgres => 2,
            Dialect::Sqlite => 1,
        };
        let range = time::range(&sections, workers);
        let written = self.totals.written.max(1);
        let all = |bytes: i64| scaled(bytes.max(0), rows, written);
        self.totals = UnitRehearsed {
            source_rows: sections.iter().map(|section| section.rows).sum(),
            rows,
            bytes: all(self.grown.tables),
            wal: self.grown.log.map(all),
            low_millis: range.low,
            likely_millis: range.likely,
            high_millis: range.high,
            ..self.totals.clone()
        };
        Ok(())
    }

    fn pin_sections(&self) -> usize {
        self.unit.definition().sections.len()
    }

    /// Batches from a few places of a section in turn, until there are enough, or nothing is left.
    async fn section(&mut self, source: &Source, section: usize) -> Result<Section> {
        let parts = Parts {
            most: PLACES.min(self.order.batches),
            rows: self.order.batch_rows,
        };
        let ranges = self.unit.split(source, section, parts).await?;
        let mut timed = Section::default();
        let mut open: std::collections::VecDeque<(Range, Option<Cursor>, i64)> =
            ranges.into_iter().map(|range| (range, None, 0)).collect();
        for _ in 0..self.order.batches {
            let Some((range, cursor, read)) = open.pop_front() else {
                break;
            };
            let (page, batch) = self.batch(source, section, &range, cursor).await?;
            timed.batches.push(batch);
            let read = read + page.read;
            match page.last {
                true => timed.rows += read,
                false => open.push_back((range, page.to, read)),
            }
        }
        let left = open
            .iter()
            .map(|(range, _, read)| range.estimate.max(*read));
        timed.rows += left.sum::<i64>();
        Ok(timed)
    }

    /// A batch at a cursor, smaller where it takes too long, as a worker's would be; gives its page without the items.
    async fn batch(
        &mut self,
        source: &Source,
        section: usize,
        range: &Range,
        cursor: Option<Cursor>,
    ) -> Result<(Page, Timed)> {
        let mut limit = self.order.batch_rows;
        let mut writing = Writing::Missing;
        let mut retry = Retry::brief();
        loop {
            let begun = Instant::now();
            let read = self
                .unit
                .read(source, section, range, cursor.as_ref(), limit);
            let mut page = read.await?;
            let reading = begun.elapsed();
            self.skip_seen(&mut page);
            let partition = self.partition(section, range, cursor.clone());
            let rest = Page {
                items: Vec::new(),
                ..page.clone()
            };
            match self.write(partition, page, writing).await {
                Ok(writing) => {
                    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
                    let timed = Timed {
                        rows: rest.read,
                        reading: millis(reading),
                        writing: millis(writing),
                    };
                    let took = u64::try_from((reading + writing).as_millis());
                    self.totals.millis += took.unwrap_or(u64::MAX);
                    return Ok((rest, timed));
                }
                Err(error) if error.refuses_row().is_some() && writing == Writing::Missing => {
                    writing = Writing::SettingAside;
                }
                Err(error) => {
                    if error.is_timeout() && limit > 1 {
                        limit /= 2;
                    }
                    retry.pause(error, &Shutdown::default()).await?;
                }
            }
        }
    }

    /// What a batch before would have written is there by then.
    fn skip_seen(&self, page: &mut Page) {
        for item in &mut page.items {
            if matches!(item, Item::Row(row) if self.seen.contains(&hash(&row.key))) {
                *item = Item::Skip(PRESENT);
            }
        }
    }

    /// A partition that stands at a cursor.
    fn partition(&self, section: usize, range: &Range, cursor: Option<Cursor>) -> projection::Row {
        let planned = PartitionPlanned {
            unit: self.pin.name.clone(),
            pass: 1,
            section: i32::try_from(section).unwrap_or(i32::MAX),
            part: 0,
            lower: range.lower.clone(),
            upper: range.upper.clone(),
            estimate: range.estimate,
        };
        let state = PartitionState {
            cursor,
            ..PartitionState::new(planned)
        };
        projection::row(RUN, &state, Gate::Open, &Head::empty(), (0, 0))
    }

    /// Stores a batch, looks at what came of it, and rolls it back; gives how long storing took.
    async fn write(
        &mut self,
        partition: projection::Row,
        page: Page,
        writing: Writing,
    ) -> Result<Duration> {
        let doing = "rehearsing a batch";
        let transaction = self
            .database
            .begin(Durability::Relaxed)
            .await
            .doing(doing)?;
        let stored = self.store(&transaction, partition, page, writing).await;
        // Whatever came of it. That it cannot be rolled back means that the connection is gone, and the batch with it.
        let rolled_back = transaction.rollback().await.doing(doing);
        let (stored, took, grown, rows) = stored?;
        rolled_back?;
        self.grown.tables += grown.tables;
        self.grown.log = self
            .grown
            .log
            .zip(grown.log)
            .map(|(one, more)| one + more)
            .or(grown.log);
        self.seen
            .extend(stored.written.iter().map(|row| hash(&row.key)));
        self.totals.read += stored.batch.read;
        self.totals.written += stored.batch.written;
        self.totals.bad += stored.batch.quarantined;
        let room = BAD.saturating_sub(self.shown.bad.len());
        self.shown.bad.extend(stored.bad.into_iter().take(room));
        self.shown.rows.extend(rows);
        Ok(took)
    }

    async fn store(
        &self,
        transaction: &Transaction,
        partition: projection::Row,
        page: Page,
        writing: Writing,
    ) -> Result<(Stored, Duration, Sizes, Vec<Change>)> {
        let doing = "measuring a rehearsed batch";
        let tables = [
            self.pin.destination.table.as_str(),
            "backstitch_journal_rows",
            "backstitch_journal",
        ];
        let stream = partition.stream.clone();
        projection::insert(transaction, vec![partition]).await?;
        let before = sizes(transaction, &tables).await.doing(doing)?;
        let begun = Instant::now();
        let claimed = projection::claim(transaction, RUN, &stream).await?;
        let partition = claimed
            .ok_or_else(|| Error::Transient("a rehearsed partition is gone; try again".into()))?;
        let place = Place {
            run: RUN,
            worker: self.order.worker,
            pin: &self.pin,
            is_followed: self.is_followed,
            back: None,
        };
        let stored = engine::store(
            transaction,
            &place,
            &partition,
            page,
            writing,
            &|_: &str| {},
        )
        .await?;
        let took = begun.elapsed();
        let after = sizes(transaction, &tables).await.doing(doing)?;
        let grown = Sizes {
            tables: after.tables - before.tables,
            log: after
                .log
                .zip(before.log)
                .map(|(after, before)| after - before),
        };
        let room = self.order.rows.saturating_sub(self.shown.rows.len());
        let few = &stored.written[..room.min(stored.written.len())];
        let rows = changes(
            transaction,
            &self.pin.destination,
            few,
            self.order.has_values,
        )
        .await?;
        Ok((stored, took, grown, rows))
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
