//! Following: the run stays open once its units have caught up, and in rounds their sources are looked at as of a later
//! instant. Where a look finds nothing, nothing is journaled but now and then that it did; where it finds something, the
//! run's instant moves on and the units make a catch-up pass like any other.
//!
//! Rounds need no leader: what binds is in the journal alone. A process that loses the race for a round forgets what it
//! found, and its next look finds what is left.

mod look;
mod open;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Context, refresh};
use crate::core::event::Event;
use crate::core::plan::Definition;
use crate::core::state::RunState;
use crate::error::Result;
use crate::journal;
use crate::projection::{self, Row};
use crate::runs;
use crate::silence::answered;

pub(super) use self::open::open;

/// How often a process that waits for the next round looks at the run: a rollback may have begun, or a cut-over.
const GLANCE: Duration = Duration::from_secs(1);
/// How long to wait where the run has moved on since it was looked at.
const STALE: Duration = Duration::from_millis(100);
/// How often the journal is told that there is still nothing to write.
const TELL: Duration = Duration::from_secs(60);
/// A look reads all sources, so it takes at most this part of the time: one in eleven.
const REST: u32 = 10;
/// Rows that are remembered as looked for in vain.
const MOST_VAIN: usize = 100_000;

/// How a process follows the run.
pub(super) struct Follow {
    every: Duration,
    /// Whoever holds it waits for the next round, and looks.
    round: tokio::sync::Mutex<Round>,
    due: Mutex<Due>,
}

/// Units that have caught up.
pub(super) struct Caught {
    /// The instant that the run stands for, milliseconds since 1970.
    as_of: i64,
    /// The last pass of each, and what it found.
    pub(super) units: BTreeMap<String, (i32, i64)>,
}

/// The passes of a round.
#[derive(Clone, Default)]
struct Due {
    /// The instant that they are as of.
    as_of: i64,
    units: BTreeMap<String, i32>,
}

/// What is known between rounds.
#[derive(Default)]
struct Round {
    /// Not to look before.
    next: Option<Instant>,
    /// How long the last look took.
    took: Duration,
    /// When the journal was told last that there is nothing to write.
    told: Option<Instant>,
    /// What the passes that are under way are for: rows by unit.
    asked: look::Found,
    /// Rows that a pass was to write, and did not: the table does not take them, or they were written by then.
    vain: look::Vain,
}

impl Follow {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            round: tokio::sync::Mutex::default(),
            due: Mutex::default(),
        }
    }

    /// Whether a pass of the unit is to be planned in this round, and now: behind those of the units that it depends on.
    pub(super) fn is_due(&self, state: &RunState, unit: &Definition, partitions: &[Row]) -> bool {
        let due = self.due();
        let is_planned = |name: &str| {
            let pass = state.units.get(name).map_or(0, |unit| unit.pass);
            due.units.get(name).is_none_or(|due| *due <= pass)
        };
        let is_open = |name: &String| {
            let is_open = |row: &Row| row.unit == *name && row.status == projection::OPEN;
            !is_planned(name) || partitions.iter().any(is_open)
        };
        due.as_of == state.as_of && !is_planned(&unit.name) && !unit.depends_on.iter().any(is_open)
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait after a look, or after the passes that came of it.
    fn pause(&self, took: Duration) -> Duration {
        self.every.max(took * REST)
    }
}

impl Caught {
    pub(super) fn new(as_of: i64) -> Self {
        Self {
            as_of,
            units: BTreeMap::new(),
        }
    }
}

/// Waits for the next round, and looks whether there is something to write; begins the passes where there is.
///
/// # Errors
/// The database's. [`crate::error::Error::Refused`]: a rollback has begun.
pub(super) async fn watch(context: &Arc<Context>, caught: Caught) -> Result<()> {
    let Some(follow) = &context.follow else {
        return Ok(());
    };
    let Ok(mut round) = follow.round.try_lock() else {
        context.shutdown.sleep(GLANCE).await;
        return Ok(());
    };
    if !round.settle(context, follow, &caught).await? {
        context.shutdown.sleep(STALE).await;
        return Ok(());
    }
    if let Some(left) = round.left() {
        context.shutdown.sleep(left.min(GLANCE)).await;
        return Ok(());
    }
    let to = answered(tokio::spawn(now(context.clone()))).await?;
    // A clock that was put back: it will come.
    if to <= caught.as_of {
        context.shutdown.sleep(GLANCE).await;
        return Ok(());
    }
    let Some(look::Looked { found, took }) = look::look(context, &caught, to, &round.vain).await?
    else {
        return Ok(());
    };
    round.took = took;
    if found.is_empty() {
        round.next = Some(Instant::now() + follow.pause(round.took));
        if round.told.is_none_or(|told| told.elapsed() >= TELL) {
            let units = caught.units.into_keys().collect();
            let event = Event::CaughtUp { units, as_of: to };
            context.decisions.note(event, &context.shutdown).await?;
            round.told = Some(Instant::now());
        }
        return Ok(());
    }
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    tracing::debug!("there is something to write for {}", names.join(", "));
    let due = with_dependencies(context, &found, &caught);
    let advanced = tokio::spawn(advance(context.clone(), caught.as_of, to));
    if answered(advanced).await? {
        round.asked = found;
        *follow.due() = Due {
            as_of: to,
            units: due,
        };
    } else {
        round.next = Some(Instant::now() + follow.pause(round.took));
    }
    Ok(())
}

impl Round {
    /// Ends the round whose passes are over, if there was one. False: they are not, as whoever looked at the run did so
    /// before they were planned.
    ///
    /// # Errors
    /// The database's.
    async fn settle(
        &mut self,
        context: &Arc<Context>,
        follow: &Follow,
        caught: &Caught,
    ) -> Result<bool> {
        if self.asked.is_empty() {
            return Ok(true);
        }
        let due = follow.due().clone();
        let is_over = |(unit, pass): (&String, &i32)| {
            let last = caught.units.get(unit);
            last.is_none_or(|(last, _)| last >= pass)
        };
        // Another process may have moved the instant on: then it plans.
        if caught.as_of < due.as_of || (caught.as_of == due.as_of && !due.units.iter().all(is_over))
        {
            return Ok(false);
        }
        let mut in_vain = Vec::new();
        for unit in self.asked.keys() {
            if let Some((pass, 0)) = caught.units.get(unit)
                && due.units.get(unit) == Some(pass)
                && !has_refreshed(context, unit, *pass).await?
            {
                in_vain.push(unit.clone());
            }
        }
        let mut asked = std::mem::take(&mut self.asked);
        for unit in in_vain {
            let rows = asked.remove(&unit).unwrap_or_default();
            self.vain.entry(unit).or_default().extend(rows);
        }
        // They are looked for in vain once more then.
        if self.vain.values().map(HashSet::len).sum::<usize>() > MOST_VAIN {
            self.vain.clear();
        }
        self.next = Some(Instant::now() + follow.pause(self.took));
        Ok(true)
    }

    /// How long it is until the next look; none: it is time.
    fn left(&self) -> Option<Duration> {
        let left = self.next?.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }
}

/// Whether a pass of a unit has brought rows up to date.
async fn has_refreshed(context: &Arc<Context>, unit: &str, pass: i32) -> Result<bool> {
    if !context.unit(unit)?.is_refreshed() {
        return Ok(false);
    }
    let (context, unit) = (context.clone(), unit.to_owned());
    let told = tokio::spawn(async move {
        let partitions = projection::load(context.database.connection(), &context.run).await?;
        let of_pass = |row: &&Row| row.unit == unit && row.pass == pass;
        refresh::told(&context, partitions.iter().filter(of_pass)).await
    });
    Ok(answered(told).await?.0 > 0)
}

async fn now(context: Arc<Context>) -> Result<i64> {
    journal::now(context.database.connection()).await
}

/// Moves the run's instant on. False: another process was first, or the run is followed no more.
async fn advance(context: Arc<Context>, from: i64, to: i64) -> Result<bool> {
    let decide = |state: &RunState| {
        let is_due = state.status.is_open() && state.is_followed() && state.as_of == from;
        Ok(is_due.then(|| vec![Event::AsOfAdvanced { from, to }]))
    };
    let advanced = runs::append(&context.database, &context.run, &context.worker, decide).await?;
    Ok(advanced.1)
}

/// The units for which something was found, and those that they depend on: what was committed between two looks may be
/// for both.
fn with_dependencies(
    context: &Context,
    found: &look::Found,
    caught: &Caught,
) -> BTreeMap<String, i32> {
    let mut due: BTreeSet<&String> = found.keys().collect();
    // A unit stands behind those that it depends on.
    for unit in context.plan.iter().rev() {
        let definition = unit.definition();
        if due.contains(&definition.name) {
            due.extend(&definition.depends_on);
        }
    }
    let next = |name: &String| Some((name.clone(), caught.units.get(name)?.0 + 1));
    due.into_iter().filter_map(next).collect()
}
