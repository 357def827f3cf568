//! Where a run stands, in numbers: what progress bars, `cli status` and `cli runs` show.

mod following;
mod holds;
mod left;
mod steered;

use sea_orm::ConnectionTrait;
use serde::Serialize;

use crate::core::event::{Event, Purpose};
use crate::core::state::{RunState, UnitStatus};
use crate::error::Result;
use crate::journal::{Entry, Filter};
use crate::projection::{self, Row};
use crate::{journal, runs};

pub use self::following::Following;
pub use self::holds::{Hold, Holds, last};
pub use self::left::left;
pub use self::steered::Steered;

/// Starts of workers that are looked at; a run has a few.
const MOST_STARTS: u64 = 1_000;

/// Batches that a rate is told from.
const RECENT: u64 = 100;

/// A run's standing.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its id.
    pub run: String,
    /// `running`, `completed`, `rolling back`, `partly rolled back` or `rolled back`.
    pub state: &'static str,
    /// The instant that it stands for, milliseconds since 1970.
    pub as_of: i64,
    /// How many days before it began the sources are taken from.
    pub window_days: u32,
    /// How far it has caught up, where it is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub following: Option<Following>,
    /// What operators wish of it, where they wish for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steered: Option<Steered>,
    /// The run that it repairs, where it brings nothing of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<String>,
    /// What it is for.
    pub purpose: Purpose,
    /// When it started, milliseconds since 1970.
    pub started_at: i64,
    /// When its last event was appended, milliseconds since 1970.
    pub last_at: i64,
    /// Worker processes that began and did not end in order: at work, or killed.
    pub workers: usize,
    /// The database's clock now.
    pub now: i64,
    /// Its units, in the plan's order.
    pub units: Vec<Unit>,
}

/// A unit's standing.
#[derive(Clone, Debug, Serialize)]
pub struct Unit {
    /// Its name.
    pub unit: String,
    /// `pending`, `running`, `stopped`, `completed` or `rolled back`.
    pub state: &'static str,
    /// The pass it is in; from 2 it catches up.
    pub pass: i32,
    /// Source rows expected.
    pub expected: i64,
    /// Source rows read.
    pub read: i64,
    /// Rows written.
    pub written: i64,
    /// Rows that needed nothing, or had it already.
    pub skipped: i64,
    /// Bad rows set aside.
    pub quarantined: i64,
    /// Rows that an undo removed or put back.
    pub removed: i64,
    /// Rows that an undo left alone.
    pub kept: i64,
    /// Once it is complete: how often rows were brought up to date, as their source had changed.
    pub refreshed: i64,
    /// Once it is complete: rows whose source has changed, left alone as the application changed them since.
    pub changed: i64,
    /// How much of it is done, 0 to 100.
    pub percent: f64,
    /// The pass that it is in: source rows expected.
    pub pass_expected: i64,
    /// The pass that it is in: source rows read.
    pub pass_read: i64,
    /// Source rows a second, from its first batch to its last; where a worker began in between, from there on. None
    /// before there are two batches.
    pub rows_per_second: Option<f64>,
    /// Seconds until it is done at that rate.
    pub seconds_left: Option<f64>,
}

/// Where a run stands.
///
/// # Errors
/// There is no such run; the database's.
pub async fn load(connection: &impl ConnectionTrait, run: &str) -> Result<Run> {
    let (state, _) = runs::load(connection, run).await?;
    let partitions = projection::load(connection, run).await?;
    let now = journal::now(connection).await?;
    let started_at = journal::at(connection, run, crate::core::replay::RUN_STREAM, 1)
        .await?
        .map_or(0, |entry| entry.at);
    let newest = journal::select(connection, &of_run(run, None), 1, true).await?;
    let last_at = newest.last().map_or(started_at, |entry| entry.at);
    let starts = of_run(run, Some("WorkerStarted"));
    let begun = journal::select(connection, &starts, MOST_STARTS, true).await?;
    let ended = journal::count(connection, &of_run(run, Some("WorkerStopped"))).await?;
    let workers = begun
        .len()
        .saturating_sub(usize::try_from(ended).unwrap_or(usize::MAX));
    let mut units = Vec::new();
    for pin in &state.started.units {
        let unit = unit(&state, &pin.name, &partitions);
        units.push(since_last_start(connection, run, &begun, &partitions, unit).await?);
    }
    let following = following::load(connection, run, &state, &partitions, now).await?;
    let steered = steered::load(connection, run, &state).await?;
    Ok(Run {
        run: run.to_owned(),
        state: state.status.word(),
        as_of: state.as_of,
        window_days: state.started.window_days,
        following,
        purpose: state.started.purpose(),
        steered,
        repairs: state.started.repairs.map(|repairs| repairs.run),
        started_at,
        last_at: last_at.max(started_at),
        workers,
        now,
        units,
    })
}

fn of_run(run: &str, kind: Option<&str>) -> Filter {
    Filter {
        run: Some(run.to_owned()),
        kind: kind.map(Into::into),
        ..Filter::default()
    }
}

/// A unit's rate tells how fast it is now: where a worker began while the unit was under way, nobody may have worked
/// before, so its newest batches since then are looked at alone.
async fn since_last_start(
    connection: &impl ConnectionTrait,
    run: &str,
    begun: &[Entry],
    partitions: &[Row],
    mut unit: Unit,
) -> Result<Unit> {
    let worked = partitions
        .iter()
        .filter(|row| row.unit == unit.unit && row.batches > 0);
    let first = worked.clone().map(|row| row.first_at).min();
    let last = worked.map(|row| row.last_at).max();
    let is_between = |entry: &&Entry| {
        first.is_some_and(|at| at < entry.at) && last.is_some_and(|at| entry.at <= at)
    };
    let Some(start) = begun.iter().rfind(is_between) else {
        return Ok(unit);
    };
    let filter = Filter {
        unit: Some(unit.unit.clone()),
        after: Some(start.position),
        ..of_run(run, Some("BatchCommitted"))
    };
    let batches = journal::select(connection, &filter, RECENT, true).await?;
    let rate = recent_rate(&batches);
    unit.rows_per_second = rate;
    unit.seconds_left = seconds_left(&unit, rate);
    Ok(unit)
}

/// Rows read a second from the first of these batches to the last: the first one's own rows were read before it.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn recent_rate(batches: &[Entry]) -> Option<f64> {
    let (first, later) = batches.split_first()?;
    let seconds = (later.last()?.at - first.at) as f64 / 1_000.0;
    let read: i64 = later
        .iter()
        .filter_map(|entry| match journal::event(entry) {
            Ok(Event::BatchCommitted(batch)) => Some(batch.read),
            _ => None,
        })
        .sum();
    (seconds > 0.0).then(|| read as f64 / seconds)
}

#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
fn seconds_left(unit: &Unit, rate: Option<f64>) -> Option<f64> {
    let left = (unit.pass_expected - unit.pass_read).max(0) as f64;
    rate.filter(|rate| *rate > 0.0 && unit.state == UnitStatus::Running.word())
        .map(|rate| left / rate)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shares and rates for people, of counts far below 2^53"
)]
fn unit(state: &RunState, name: &str, partitions: &[Row]) -> Unit {
    let rows: Vec<_> = partitions.iter().filter(|row| row.unit == name).collect();
    let (status, pass) = state
        .units
        .get(name)
        .map_or((UnitStatus::Pending, 0), |unit| (unit.status, unit.pass));
    let (read, quarantined) = projection::totals(rows.iter().copied());
    let first: Vec<_> = rows.iter().filter(|row| row.pass == 1).collect();
    let sum = |of: fn(&Row) -> i64| rows.iter().map(|row| of(row)).sum::<i64>();
    // A partition that is done was as large as it was; one that is not is at least as large as it is by now.
    let due = |row: &Row| match row.status.as_str() {
        projection::OPEN => row.estimate.max(row.read),
        _ => row.read,
    };
    let expected: i64 = first.iter().map(|row| due(row)).sum();
    let percent = match status {
        UnitStatus::Completed => 100.0,
        UnitStatus::Pending | UnitStatus::Undone => 0.0,
        UnitStatus::Running | UnitStatus::Stopped => {
            let done = first.iter().map(|row| row.read).sum::<i64>();
            (100.0 * done as f64 / expected.max(1) as f64).min(99.9)
        }
    };
    let worked = rows.iter().filter(|row| row.batches > 0);
    let begin = worked.clone().map(|row| row.first_at).min();
    let end = worked.map(|row| row.last_at).max();
    let seconds = begin
        .zip(end)
        .map(|(begin, end)| (end - begin) as f64 / 1_000.0);
    let rate = seconds
        // An undo moves the last activity on, so what it leaves is no rate.
        .filter(|seconds| *seconds > 0.0 && status != UnitStatus::Undone)
        // Of all passes, as the time is.
        .map(|seconds| sum(|row| row.read) as f64 / seconds);
    let this_pass = || rows.iter().filter(|row| row.pass == pass);
    let mut unit = Unit {
        unit: name.to_owned(),
        state: status.word(),
        pass,
        expected,
        read,
        written: sum(|row| row.written),
        skipped: first.iter().map(|row| row.skipped).sum(),
        quarantined,
        removed: sum(|row| row.removed),
        kept: sum(|row| row.kept),
        refreshed: state.units.get(name).map_or(0, |unit| unit.refreshed),
        changed: state.units.get(name).map_or(0, |unit| unit.changed),
        percent,
        pass_expected: this_pass().map(|row| due(row)).sum(),
        pass_read: this_pass().map(|row| row.read).sum(),
        rows_per_second: rate,
        seconds_left: None,
    };
    unit.seconds_left = seconds_left(&unit, rate);
    unit
}
