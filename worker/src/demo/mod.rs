//! A demo source database: Phase 4.5 as its application would have left it, of any size.
//!
//! The same [`Size`] gives the same rows on SQLite and on PostgreSQL, to the byte, whatever the batches: every row is a pure
//! function of the seed and its number. Rows are made and written in a stream, so memory does not grow with the size.
//! Everything in it is invented. A few rows are faulty on purpose, each in another way, and no unit meets more than five.
//!
//! It never touches tables that it did not make: a marker table, created together with them, says which those are.

mod campaigns;
mod filling;
mod insert;
mod marker;
mod metadata;
mod publishing;
mod random;
mod sales;
mod tables;
mod tasks;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use crate::backend::Connection;

use filling::{Filling, Stretch};
use marker::Found;

/// What a generated database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Campaigns; all else but agent executions grows with them.
    pub campaigns: u64,
    /// Distinct agent executions that ended, over all campaigns. Where there are none, there are none that run either.
    pub tasks: u64,
    /// Another seed gives other rows, in the same proportions.
    pub seed: u64,
    /// The instant that is the demo's present: nothing in it is later, but for one faulty row.
    pub as_of: DateTime<Utc>,
}

impl Size {
    /// Campaigns of the largest demo.
    pub const MOST_CAMPAIGNS: u64 = 10_000_000;
    /// Agent executions of the largest demo.
    pub const MOST_TASKS: u64 = 1_000_000_000;
    /// Agent executions that fit a campaign: no two of one end in the same millisecond, and none after `as_of`.
    pub const MOST_TASKS_PER_CAMPAIGN: u64 = 10_000_000;
}

impl Default for Size {
    /// The volumes of the migration plan, on the day that it was written.
    fn default() -> Self {
        const NOVEMBER_4TH_2025: i64 = 1_762_214_400;
        let as_of = DateTime::from_timestamp(NOVEMBER_4TH_2025, 0).unwrap_or_default();
        Self {
            campaigns: 500,
            tasks: 50_000,
            seed: 5,
            as_of,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            campaigns,
            tasks,
            seed,
            as_of,
        } = self;
        write!(
            f,
            "{campaigns} campaigns, {tasks} tasks, seed {seed}, as of {}",
            as_of.format("%Y-%m-%dT%H:%M:%S%.fZ")
        )
    }
}

/// Rows written, per table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Rows of `Campaign`.
    pub campaigns: u64,
    /// Rows of `Asset`.
    pub assets: u64,
    /// Rows of `PublishJob`.
    pub publish_jobs: u64,
    /// Rows of `AgentTask`. Most executions are in the campaigns' metadata instead, and some in both.
    pub agent_tasks: u64,
    /// Rows of `Deal`.
    pub deals: u64,
    /// Rows of `KpiSnapshot`.
    pub kpi_snapshots: u64,
    /// Rows of `UserFeedback`.
    pub user_feedback: u64,
}

/// How [`create`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The demo was made, all of it now.
    Created(Counts),
    /// The very same demo was there before, complete; nothing was written.
    AlreadyThere(Size),
}

/// Why there is no demo. In each case, nothing that is not the demo's own was touched.
#[derive(Debug)]
pub enum DemoError {
    /// The database holds source tables that were not made here.
    Occupied,
    /// The database holds a complete demo of another size.
    Different(Size),
    /// Another process began to make this demo anew meanwhile, and has taken over.
    Overtaken,
    /// The database failed. What was written so far is thrown away by the next attempt.
    Database(DbErr),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occupied => f.write_str(
                "the database holds source tables of its own, such as Campaign, and a demo would mix with them; name an \
                 empty database",
            ),
            Self::Different(size) => {
                write!(f, "the database holds another demo ({size}); ask for that one, or name an empty database")
            }
            Self::Overtaken => f.write_str(
                "another process began to make this demo anew and has taken over; wait for it, then run the command again",
            ),
            Self::Database(error) => write!(f, "the demo was not made: {error}"),
        }
    }
}

impl std::error::Error for DemoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Occupied | Self::Different(_) | Self::Overtaken => None,
            Self::Database(error) => Some(error),
        }
    }
}

impl From<DbErr> for DemoError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Makes the demo of this size in an empty database.
///
/// Rows are committed on the way, so that no transaction grows with the size. A demo that was cut off is emptied and made
/// from its beginning by the next call; one that is complete is left alone. `progress` hears how many tasks are made.
pub async fn create(
    db: &Connection,
    size: &Size,
    progress: impl FnMut(u64),
) -> Result<Outcome, DemoError> {
    create_in(db, size, Batches::default(), progress).await
}

/// How much is written at a time. The contents do not depend on it.
#[derive(Debug, Clone, Copy)]
struct Batches {
    /// Rows in a statement.
    rows: usize,
    /// Agent executions and campaigns in a transaction, and what hangs on them.
    commit_after: u64,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            rows: 500,
            commit_after: 10_000,
        }
    }
}

async fn create_in(
    db: &Connection,
    size: &Size,
    batches: Batches,
    mut progress: impl FnMut(u64),
) -> Result<Outcome, DemoError> {
    let attempt = match marker::prepare(db, size).await? {
        Found::Complete(there) => return Ok(Outcome::AlreadyThere(there)),
        Found::Empty(attempt) => attempt,
    };
    let mut filling = Filling::new(size, attempt, batches.rows);
    loop {
        let tx = attempt.begin(db).await?;
        match filling.write_stretch(&tx, batches.commit_after).await {
            Ok(stretch) => {
                tx.commit().await?;
                progress(filling.tasks());
                if stretch == Stretch::Last {
                    return Ok(Outcome::Created(filling.counts()));
                }
            }
            Err(error) => {
                // The first error tells why; a rollback that fails too, on a connection that is gone, adds nothing.
                let _ = tx.rollback().await;
                return Err(error.into());
            }
        }
    }
}
