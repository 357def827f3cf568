//! How far a run that is followed has caught up with its sources.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use serde::Serialize;

use super::of_run;
use crate::core::event::Event;
use crate::core::state::RunState;
use crate::error::Result;
use crate::journal;
use crate::projection::{self, Row};

/// Words of workers that are looked at: each may follow other units.
const WORDS: u64 = 20;

/// How far a run that is followed has caught up.
#[derive(Clone, Debug, Serialize)]
pub struct Following {
    /// The units that are followed.
    pub units: Vec<String>,
    /// How often their sources are looked at, at most, milliseconds.
    pub every_millis: u64,
    /// What was committed by this instant and dated before it is written, for all of these units; milliseconds since 1970.
    /// None: not all of them have caught up yet.
    pub caught_up_to: Option<i64>,
    /// How far that is behind the database's clock, at most. Where there is nothing to write, the journal is told once
    /// a minute.
    pub behind_millis: Option<i64>,
    /// Rows written in the last round that found any.
    pub written: i64,
}

/// How far a run has caught up; none: it is not followed.
///
/// # Errors
/// The database's.
pub(super) async fn load(
    connection: &impl ConnectionTrait,
    run: &str,
    state: &RunState,
    partitions: &[Row],
    now: i64,
) -> Result<Option<Following>> {
    if !state.is_followed() {
        return Ok(None);
    }
    let mut looked: BTreeMap<String, i64> = BTreeMap::new();
    let words = of_run(run, Some("CaughtUp"));
    for entry in journal::select(connection, &words, WORDS, true).await? {
        if let Event::CaughtUp { units, as_of } = journal::event(&entry)? {
            for unit in units {
                let looked = looked.entry(unit).or_insert(as_of);
                *looked = as_of.max(*looked);
            }
        }
    }
    let reached = |unit: &String| {
        let passed = passed(state, unit, partitions)?;
        Some(
            looked
                .get(unit)
                .map_or(passed, |looked| passed.max(*looked)),
        )
    };
    let reached: Option<Vec<i64>> = state.followed.iter().map(reached).collect();
    let caught_up_to = reached.and_then(|reached| reached.into_iter().min());
    let is_last = |row: &&Row| {
        state.as_of != state.started.as_of && state.instant(&row.unit, row.pass) == state.as_of
    };
    Ok(Some(Following {
        units: state.followed.iter().cloned().collect(),
        every_millis: every_millis(connection, run).await?,
        caught_up_to,
        behind_millis: caught_up_to.map(|to| (now - to).max(0)),
        written: partitions
            .iter()
            .filter(is_last)
            .map(|row| row.written)
            .sum(),
    }))
}

/// How often the sources are looked at, as whoever began to follow last said it.
async fn every_millis(connection: &impl ConnectionTrait, run: &str) -> Result<u64> {
    let begun = of_run(run, Some("FollowStarted"));
    let begun = journal::select(connection, &begun, 1, true).await?;
    match begun.last().map(journal::event).transpose()? {
        Some(Event::FollowStarted { every_millis, .. }) => Ok(every_millis),
        _ => Ok(0),
    }
}

/// The instant of the last pass of a unit that is over; none before its first catch-up pass is.
fn passed(state: &RunState, unit: &str, partitions: &[Row]) -> Option<i64> {
    let unit_state = state.units.get(unit).filter(|unit| unit.is_caught_up)?;
    let is_open = |row: &Row| {
        row.unit == unit && row.pass == unit_state.pass && row.status == projection::OPEN
    };
    let pass = match partitions.iter().any(is_open) {
        true => unit_state.pass - 1,
        false => unit_state.pass,
    };
    unit_state.instant(pass)
}
