//! Where a run stands, in numbers: what progress bars, `cli status` and `cli runs` show.

use sea_orm::ConnectionTrait;
use serde::Serialize;

use crate::core::state::{RunState, UnitStatus};
use crate::error::Result;
use crate::projection::{self, Row};
use crate::{journal, runs};

/// A run's standing.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its id.
    pub run: String,
    /// `running`, `completed`, `rolling back`, `partly rolled back` or `rolled back`.
    pub state: &'static str,
    /// The instant that it stands for, milliseconds since 1970.
    pub as_of: i64,
    /// How many days before it the sources are taken from.
    pub window_days: u32,
    /// When it started, milliseconds since 1970.
    pub started_at: i64,
    /// When it was worked on last, milliseconds since 1970.
    pub last_at: i64,
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
    /// How much of it is done, 0 to 100.
    pub percent: f64,
    /// Source rows a second, from its first batch to its last; none before there are two.
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
    let last_at = partitions.iter().map(|row| row.last_at).max();
    let units = state
        .started
        .units
        .iter()
        .map(|pin| unit(&state, &pin.name, &partitions));
    Ok(Run {
        run: run.to_owned(),
        state: state.status.word(),
        as_of: state.started.as_of,
        window_days: state.started.window_days,
        started_at,
        last_at: last_at.unwrap_or(0).max(started_at),
        now,
        units: units.collect(),
    })
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
    let expected: i64 = first
        .iter()
        .map(|row| match row.status.as_str() {
            projection::OPEN => row.estimate.max(row.read),
            _ => row.read,
        })
        .sum();
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
        .map(|seconds| read as f64 / seconds);
    let left = (expected - read).max(0) as f64;
    Unit {
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
        percent,
        rows_per_second: rate,
        seconds_left: rate
            .filter(|rate| *rate > 0.0 && status == UnitStatus::Running)
            .map(|rate| left / rate),
    }
}
