//! A worker: picks a partition, drives it until it is done or lost, and looks for the next.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::partition::{self, Left};
use super::planning::{self, Step};
use super::schedule::{Held, Next};
use crate::core::state::RunStatus;
use crate::error::{Error, Result};
use crate::retry::Retry;
use crate::runs;
use crate::silence::answered;

/// How long to wait where every open partition is another worker's.
const IDLE: Duration = Duration::from_millis(100);

pub(super) async fn work(context: Arc<Context>) -> Result<()> {
    let mut retry = Retry::default();
    while !context.shutdown.is_requested() {
        match step(&context).await {
            Ok(true) => retry = Retry::default(),
            Ok(false) => return Ok(()),
            Err(error) => retry.pause(error, &context.shutdown).await?,
        }
    }
    Ok(())
}

/// One look at the run and what follows from it; false: nothing is left for this process.
async fn step(context: &Arc<Context>) -> Result<bool> {
    match answered(tokio::spawn(look(context.clone()))).await? {
        Step::Look => Ok(true),
        Step::Finished => Ok(false),
        Step::Work(open) => match context.schedule.next(open) {
            Next::Take(held) => {
                drive(context, &held).await;
                Ok(true)
            }
            Next::Wait => {
                context.shutdown.sleep(IDLE).await;
                Ok(true)
            }
            Next::Nothing => Ok(false),
        },
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

async fn drive(context: &Arc<Context>, held: &Held<'_>) {
    let (schedule, stream) = (&context.schedule, &held.row.stream);
    match partition::drive(context, &held.row).await {
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
