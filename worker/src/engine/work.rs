//! A worker: picks a partition, drives it until it is done or lost, and looks for the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Context;
use super::partition::{self, Left};
use super::planning::{self, Step};
use crate::core::state::RunStatus;
use crate::error::{Error, Result};
use crate::projection::Row;
use crate::retry::Retry;
use crate::runs;

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
    let (state, _) = runs::load(context.database.connection(), &context.run).await?;
    match state.status {
        RunStatus::Running => {}
        RunStatus::Completed => return Ok(false),
        RunStatus::Undoing | RunStatus::PartlyRolledBack | RunStatus::RolledBack => {
            return Err(Error::Refused(format!(
                "somebody has begun to roll run {} back (it is {}): this worker stops, and what it wrote is in the journal",
                context.run,
                state.status.word()
            )));
        }
    }
    match planning::next(context, &state).await? {
        Step::Look => Ok(true),
        Step::Finished => Ok(false),
        Step::Work(open) => {
            let open: Vec<_> = {
                let failed = lock(&context.failed);
                let has_failed = |row: &Row| failed.contains_key(&row.stream);
                open.into_iter().filter(|row| !has_failed(row)).collect()
            };
            if open.is_empty() {
                return Ok(false);
            }
            match hold(context, open) {
                Some(held) => drive(context, &held).await,
                None => {
                    context.shutdown.sleep(IDLE).await;
                    Ok(true)
                }
            }
        }
    }
}

/// A partition that no other worker of this process is at, until it is dropped.
struct Held<'a> {
    context: &'a Context,
    row: Row,
}

fn hold(context: &Context, open: Vec<Row>) -> Option<Held<'_>> {
    let mut held = lock(&context.held);
    let row = open.into_iter().find(|row| !held.contains(&row.stream))?;
    held.insert(row.stream.clone());
    Some(Held { context, row })
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock(&self.context.held).remove(&self.row.stream);
    }
}

async fn drive(context: &Arc<Context>, held: &Held<'_>) -> Result<bool> {
    match partition::drive(context, &held.row).await {
        Ok(Left::Done | Left::Stopping) => {}
        // Another process is at it, or a rollback has fenced it: the next look at the run tells.
        Ok(Left::Lost) => context.shutdown.sleep(IDLE).await,
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => {
            tracing::error!(stream = held.row.stream, %error, "partition failed");
            lock(&context.failed)
                .entry(held.row.stream.clone())
                .or_insert(error);
        }
    }
    Ok(true)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
