//! A partition, from its cursor to its end: the next page is read while the last is being written.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::Instrument;

use super::Context;
use super::batch::{self, Outcome};
use super::refresh;
use super::size::{LONG, Resize};
use super::store::{PRESENT, Writing};
use crate::backend;
use crate::core::event::{Cursor, Event};
use crate::core::plan::Write;
use crate::core::state::{RunState, UnitStatus};
use crate::error::{Doing, Error, Result};
use crate::pace::Work;
use crate::projection::{self, Row};
use crate::retry::Retry;
use crate::silence::answered;
use crate::source::Source;
use crate::unit::{Item, Page, Range, Unit};
use crate::{runs, write};

/// How many times as many rows a catch-up pass reads at a time.
pub(super) const CATCH_UP_PAGES: u32 = 3;

/// Why a worker left a partition.
pub(super) enum Left {
    /// Its range is exhausted, or its unit has stopped.
    Done,
    /// Another worker has it, or nobody may.
    Lost,
    /// The worker was asked to leave it.
    Stopping,
}

/// A page, and when it was read.
struct Read {
    page: Page,
    /// The server's life: what a page holds is known for that alone.
    life: Option<String>,
}

/// Drives a partition, as the worker of a place.
///
/// # Errors
/// What retries did not mend.
pub(super) async fn drive(context: &Arc<Context>, place: usize, row: &Row) -> Result<Left> {
    let mut cursor = projection::state(row)?.cursor;
    let mut batch = row.batches;
    let mut wanted = Wanted::now(context, &row.unit);
    let mut retry = Retry::brief();
    let mut writing = first_way(context, row);
    let mut has_refused = false;
    let mut ahead = read(context, row, cursor.clone(), wanted.rows);
    loop {
        tracing::Span::current().record("batch", batch + 1);
        let held = context.hold().await;
        // What was read before a hold is old by now.
        if !matches!(held, Ok(false)) {
            finish(ahead).await;
            if let Err(error) = held {
                retry.pause(error, &context.shutdown).await?;
            }
            if context.is_to_leave(place) {
                return Ok(Left::Stopping);
            }
            ahead = read(context, row, cursor.clone(), wanted.rows);
            continue;
        }
        // How many rows the batch in hand was to have, and how long it took where it had them.
        let in_hand = wanted;
        let mut took = None;
        let step = match joined(row, ahead).await {
            Ok(Read { page, life }) => {
                wanted = Wanted::now(context, &row.unit);
                let is_full = !page.last && !page.is_heavy();
                let next = (!page.last).then(|| read(context, row, page.to.clone(), wanted.rows));
                let to = page.to.clone();
                let read_rows = u64::try_from(page.read).unwrap_or(0);
                let commit = batch::commit(
                    context.clone(),
                    row.stream.clone(),
                    cursor.clone(),
                    (page, life),
                    writing,
                );
                let turn = context.pace.turn(Work::Write, &context.shutdown).await;
                // A turn may take its time.
                let outcome = if context.steering.is_paused() {
                    Ok(Outcome::Held)
                } else {
                    let began = Instant::now();
                    // In a task of its own, so that nothing ever drops it midway.
                    let span = tracing::error_span!("batch", batch = batch + 1, rows = read_rows);
                    let outcome = joined(row, tokio::spawn(commit.instrument(span))).await;
                    let elapsed = began.elapsed();
                    took = (is_full || elapsed > LONG).then_some(elapsed);
                    drop(turn);
                    if matches!(outcome, Ok(Outcome::Committed { .. })) {
                        tracing::debug!(rows = read_rows, "the batch is committed");
                    }
                    context.pace.wrote(read_rows, &context.shutdown).await;
                    outcome
                };
                (outcome, to, next)
            }
            Err(error) => (Err(error), None, None),
        };
        ahead = match step {
            (Ok(Outcome::Committed { quarantined }), to, next) => {
                retry = Retry::brief();
                writing = first_way(context, row);
                has_refused = false;
                cursor = to;
                batch += 1;
                context.schedule.went_well(&row.stream);
                if let Some(took) = took {
                    let resize = context
                        .sizes
                        .took(&row.unit, in_hand.rows, took, in_hand.target);
                    note(context, &row.unit, resize).await;
                }
                let is_stopped = quarantined && is_over_budget(context, &row.unit).await?;
                match next {
                    Some(next) if is_stopped || context.is_to_leave(place) => {
                        finish(next).await;
                        return Ok(if is_stopped {
                            Left::Done
                        } else {
                            Left::Stopping
                        });
                    }
                    Some(next) => next,
                    None => return Ok(Left::Done),
                }
            }
            (Ok(Outcome::Held), _, next) => {
                if let Some(next) = next {
                    finish(next).await;
                }
                read(context, row, cursor.clone(), wanted.rows)
            }
            (Ok(Outcome::Lost), _, next) => {
                if let Some(next) = next {
                    finish(next).await;
                }
                return Ok(Left::Lost);
            }
            (Err(error), _, next) => {
                if let Some(next) = next {
                    finish(next).await;
                }
                if error.is_timeout() {
                    let resize = context.sizes.timed_out(&row.unit, in_hand.rows);
                    note(context, &row.unit, resize).await;
                    wanted = Wanted::now(context, &row.unit);
                }
                let is_refused = error.refuses_row().is_some() && writing != Writing::SettingAside;
                if writing == Writing::AllNew && error.is_unique_violation() {
                    meet(context, &row.unit);
                    writing = Writing::Missing;
                } else if is_refused && (has_refused || !error.is_transient()) {
                    // A row that the next read may mend (its parent was deleted since) is bad where it is refused again.
                    writing = Writing::SettingAside;
                } else {
                    has_refused = is_refused;
                    retry.pause(error, &context.shutdown).await?;
                }
                if context.shutdown.is_requested() {
                    return Ok(Left::Stopping);
                }
                read(context, row, cursor.clone(), wanted.rows)
            }
        };
    }
}

/// How a batch is written at first: in the first pass as if all were new, until one is not. Whoever looks for each row
/// first pays for it.
fn first_way(context: &Context, row: &Row) -> Writing {
    let met = context.met.lock().unwrap_or_else(PoisonError::into_inner);
    match row.pass < 2 && !met.contains(&row.unit) {
        true => Writing::AllNew,
        false => Writing::Missing,
    }
}

/// Takes note that the destination of a unit holds rows that it would write.
fn meet(context: &Context, unit: &str) {
    let mut met = context.met.lock().unwrap_or_else(PoisonError::into_inner);
    met.insert(unit.to_owned());
}

/// How many rows a batch is to have, and within which time.
#[derive(Clone, Copy)]
struct Wanted {
    rows: u32,
    target: Duration,
}

impl Wanted {
    /// What the unit's sizes say, and less where the pace asks for it.
    fn now(context: &Context, unit: &str) -> Self {
        let target = context.pace.batch_target(context.sizes.target());
        Self {
            rows: context.pace.batch_rows(context.sizes.of(unit, target)),
            target,
        }
    }
}

/// Reads and transforms a page in a task of its own.
fn read(
    context: &Arc<Context>,
    row: &Row,
    after: Option<Cursor>,
    limit: u32,
) -> JoinHandle<Result<Read>> {
    let context = context.clone();
    let row = row.clone();
    let reading = async move {
        let _turn = context.pace.turn(Work::Read, &context.shutdown).await;
        let life = backend::life(context.database.connection()).await;
        let life = life.doing("telling the server's life")?;
        let unit = context.unit(&row.unit)?;
        let range = Range {
            lower: row.lower.clone(),
            upper: row.upper.clone(),
            estimate: row.estimate,
        };
        let section = usize::try_from(row.section).unwrap_or(0);
        let source = context.source_of(&row);
        let page = if row.pass < 2 {
            let page = unit.read(&source, section, &range, after.as_ref(), limit);
            page.await?
        } else {
            let asked = Asked {
                section,
                range: &range,
                pass: row.pass,
            };
            catch_up(&context, unit, &source, asked, after.as_ref(), limit).await?
        };
        Ok(Read { page, life })
    };
    tokio::spawn(reading.instrument(tracing::error_span!("read")))
}

/// Which rows a catch-up pass asks for.
pub(super) struct Asked<'a> {
    /// The unit's section.
    pub(super) section: usize,
    /// A range of it.
    pub(super) range: &'a Range,
    /// The pass; of a look, the one that would come of it.
    pub(super) pass: i32,
}

/// A page of a catch-up pass as of the source's instant: what is still to be written, and what is bad.
pub(super) async fn catch_up(
    context: &Context,
    unit: &dyn Unit,
    source: &Source,
    asked: Asked<'_>,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let Asked {
        section,
        range,
        pass,
    } = asked;
    // Larger pages, as little is written; and their boundaries are others, so that a row that a unit lost at one is
    // found.
    let limit = limit.saturating_mul(CATCH_UP_PAGES);
    let source = source.catching_up();
    let page = unit.read(&source, section, range, after, limit);
    match unit.is_refreshed() {
        true => refresh::against_standing(context, unit, (pass, section), page.await?).await,
        false => without_present(context, unit.definition(), page.await?).await,
    }
}

/// A catch-up pass looks first, so that it writes only what is missing.
async fn without_present(
    context: &Context,
    definition: &crate::core::plan::Definition,
    mut page: Page,
) -> Result<Page> {
    if definition.destination.write != Write::Insert {
        return Ok(page);
    }
    let keys: Vec<_> = page
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Row(row) => Some(row.key.as_str()),
            Item::Skip(_) | Item::Bad { .. } => None,
        })
        .collect();
    if keys.is_empty() {
        return Ok(page);
    }
    let present = write::present(
        context.database.connection(),
        &definition.destination,
        &keys,
    );
    let present: std::collections::HashSet<_> = present.await?.into_iter().collect();
    for item in &mut page.items {
        if matches!(item, Item::Row(row) if present.contains(&row.key)) {
            *item = Item::Skip(PRESENT);
        }
    }
    Ok(page)
}

/// A read that is not needed any more still runs to its end: a query that is dropped midway leaves its connection in
/// an unknown state.
async fn finish(read: JoinHandle<Result<Read>>) {
    drop(answered(read).await);
}

async fn joined<T>(row: &Row, task: JoinHandle<Result<T>>) -> Result<T> {
    answered(task).await.map_err(|error| match error {
        Error::Panicked(_) => Error::Panicked(format!(
            "unit {} panicked in partition {}; its batch was rolled back, all committed before stays",
            row.unit, row.stream
        )),
        error => error,
    })
}

/// Journals a resize. That it could not be journaled does not hold up the work.
async fn note(context: &Context, unit: &str, resize: Option<Resize>) {
    let Some(Resize { from, to, reason }) = resize else {
        return;
    };
    let resized = Event::BatchResized {
        unit: unit.to_owned(),
        from,
        to,
        reason,
    };
    if let Err(error) = context.decisions.note(resized, &context.shutdown).await {
        tracing::warn!("a resize of the batch is not in the journal: {error}");
    }
}

/// Whether the unit has met too many bad rows; journals the stop where it has.
async fn is_over_budget(context: &Context, unit: &str) -> Result<bool> {
    let partitions = projection::load(context.database.connection(), &context.run).await?;
    let (read, bad) = projection::totals(partitions.iter().filter(|row| row.unit == unit));
    let decide = |state: &RunState| {
        let Some(unit_state) = state.units.get(unit) else {
            return Ok(None);
        };
        let read = read - unit_state.budget_read;
        let quarantined = bad - unit_state.budget_quarantined;
        let allowed = allowed(state.max_bad, read);
        let is_over = quarantined > allowed
            && state.status.is_open()
            && unit_state.status == UnitStatus::Running;
        Ok(is_over.then(|| {
            vec![Event::UnitStopped {
                unit: unit.to_owned(),
                read,
                quarantined,
                allowed,
            }]
        }))
    };
    let appended = runs::append(&context.database, &context.run, &context.worker, decide).await?;
    let is_stopped = |state: &RunState| {
        let unit = state.units.get(unit);
        unit.is_some_and(|unit| unit.status == UnitStatus::Stopped)
    };
    Ok(appended.1 || is_stopped(&appended.0))
}

/// How many bad rows a share allows.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a share of a count, rounded down: the product is below the count, and the 2^53rd row hardly matters"
)]
pub(crate) fn allowed(share: f64, read: i64) -> i64 {
    ((share * read as f64).floor() as i64).max(super::MIN_BAD_ALLOWED)
}
