//! A worker: picks a partition, drives it until it is done or lost, and looks for the next.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::Context;
use super::follow;
use super::indexes;
use super::partition::{self, Left};
use super::planning::{self, Step};
use super::schedule::{Held, Next};
use crate::core::state::RunStatus;
use crate::error::{Error, Result};
use crate::projection::Row;
use crate::retry::Retry;
use crate::runs;
use crate::silence::answered;

/// How long to wait where every open partition is another worker's.
const IDLE: Duration = Duration::from_millis(100);

/// The same where indexes are being built, which takes longer.
const BUILDING: Duration = Duration::from_secs(1);

/// Why a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing is left for this process.
    Finished,
    /// It was asked to leave.
    Left,
}

/// Works at a place among the workers of the process, until nothing is left, or there are to be fewer places.
pub(super) async fn work(context: Arc<Context>, place: usize) -> Result<Ended> {
    let mut retry = Retry::default();
    while !context.is_to_leave(place) {
        match step(&context, place).await {
            Ok(true) => retry = Retry::default(),
            Ok(false) => return Ok(Ended::Finished),
            Err(error) => retry.pause(error, &context.shutdown).await?,
        }
    }
    Ok(Ended::Left)
}

/// One look at the run and what follows from it; false: nothing is left for this process.
async fn step(context: &Arc<Context>, place: usize) -> Result<bool> {
    // Nothing is planned during a pause either.
    if context.steering.pause(&context.shutdown).await? {
        return Ok(true);
    }
    match answered(tokio::spawn(look(context.clone()))).await? {
        Step::Look => Ok(true),
        Step::Finished => Ok(false),
        Step::Follow(caught) => {
            follow::watch(context, caught).await?;
            Ok(true)
        }
        Step::Work(open) => Ok(take(context, place, open, IDLE).await),
        Step::Build(units, open) => {
            for unit in &units {
                if let Some(_turn) = context.schedule.turn(&name(unit)) {
                    build(context, unit).await;
                    return Ok(true);
                }
            }
            // A sibling or another process builds them, or they have failed: there may be other work.
            if take(context, place, open, BUILDING).await {
                return Ok(true);
            }
            if units
                .iter()
                .all(|unit| context.schedule.has_failed(&name(unit)))
            {
                return Ok(false);
            }
            context.shutdown.sleep(BUILDING).await;
            Ok(true)
        }
    }
}

/// Takes an open partition, or waits for one; false: all that is open has failed.
async fn take(context: &Arc<Context>, place: usize, open: Vec<Row>, pause: Duration) -> bool {
    match context.schedule.next(open) {
        Next::Take(held) => {
            drive(context, place, &held).await;
            true
        }
        Next::Wait => {
            context.shutdown.sleep(pause).await;
            true
        }
        Next::Nothing => false,
    }
}

/// What the indexes of a unit are called among what a process is at.
fn name(unit: &str) -> String {
    format!("building the indexes of {unit}")
}

async fn build(context: &Arc<Context>, unit: &str) {
    let span = tracing::error_span!("indexes", unit);
    build_inside(context, unit).instrument(span).await;
}

async fn build_inside(context: &Arc<Context>, unit: &str) {
    let (schedule, name) = (&context.schedule, name(unit));
    match indexes::build(context, unit).await {
        Ok(indexes::Left::Done | indexes::Left::Stopping | indexes::Left::Paused) => {
            schedule.went_well(&name)
        }
        Ok(indexes::Left::Elsewhere) => schedule.elsewhere(&name),
        Err(error) if error.is_transient() => {
            tracing::warn!("{name} is put off: {error}");
            schedule.postpone(&name, error);
        }
        Err(error) => {
            tracing::error!("{name} failed: {error}");
            schedule.fail(&name, error);
        }
    }
}

/// What is next, as the journal says. In a task of its own, so that nothing drops it midway.
async fn look(context: Arc<Context>) -> Result<Step> {
    let (state, _) = runs::load(context.database.connection(), &context.run).await?;
    match state.status {
        RunStatus::Running => planning::next(&context, &state).await,
        RunStatus::Completed => Ok(Step::Finished),
        RunStatus::Undoing | RunStatus::PartlyRolledBack | RunStatus::RolledBack => {
            Err(Error::Refused(format!(
                "somebody has begun to roll run {} back (it is {}): this worker stops, and what it wrote is in the journal",
                context.run,
                state.status.word()
            )))
        }
    }
}

/// Drives a partition; what is told meanwhile says of which it is told, and at which of its batches.
async fn drive(context: &Arc<Context>, place: usize, held: &Held<'_>) {
    let row = &held.row;
    // An error's level: a span of a lower one would be filtered away with what is of no interest itself.
    let span = tracing::error_span!(
        "partition",
        run = %context.run,
        unit = %row.unit,
        partition = %row.stream,
        batch = tracing::field::Empty,
    );
    drive_inside(context, place, held).instrument(span).await;
}

async fn drive_inside(context: &Arc<Context>, place: usize, held: &Held<'_>) {
    let (schedule, stream) = (&context.schedule, &held.row.stream);
    match partition::drive(context, place, &held.row).await {
        Ok(Left::Done | Left::Stopping) => schedule.went_well(stream),
        // Another process is at it, or it is stopped or fenced: the next look at the run tells.
        Ok(Left::Lost) => schedule.elsewhere(stream),
        Err(error) if error.is_transient() => {
            tracing::warn!("{stream} is put off, others come first: {error}");
            schedule.postpone(stream, error);
        }
        Err(error) => {
            tracing::error!("{stream} failed: {error}");
            schedule.fail(stream, error);
        }
    }
}
