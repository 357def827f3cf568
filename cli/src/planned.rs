//! What the commands about a run that is still to come take: the options that `worker run` will be given.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use worker::backend::Database;
use worker::engine::{self, DEFAULT_WINDOW_DAYS, Plan};
use worker::error::Error;
use worker::{inputs, journal, time, units};

/// What `worker run` will be given.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The instant that the run will stand for, never after the database's clock: 2025-11-04T00:00:00Z, or 2025-11-04
    /// for its 00:00 UTC [default: the database's clock].
    #[arg(long, value_name = "TIME", value_parser = time::named)]
    as_of: Option<DateTime<Utc>>,

    /// How many days before --as-of the sources will be taken from.
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_WINDOW_DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) window_days: u32,

    /// A log file with agent executions that the run will be given (NDJSON, or .gz of it); may be repeated.
    #[arg(long = "agent-logs", value_name = "PATH")]
    agent_logs: Vec<PathBuf>,
}

impl PlanArgs {
    /// The plan, with its files.
    ///
    /// # Errors
    /// [`Error::Usage`]: a file cannot be read.
    pub(crate) fn plan(&self) -> Result<Plan, Error> {
        let (named, _) = inputs::distinct(inputs::pin(&self.agent_logs)?);
        Ok(Arc::new(units::phase5(named)))
    }

    /// The instant, milliseconds since 1970.
    ///
    /// # Errors
    /// [`Error::Usage`]: it lies in the future. The database's.
    pub(crate) async fn as_of(&self, database: &Database) -> Result<i64, Error> {
        match self.as_of.map(|as_of| as_of.timestamp_millis()) {
            Some(as_of) => {
                engine::check_as_of(database, Some(as_of)).await?;
                Ok(as_of)
            }
            None => journal::now(database.connection()).await,
        }
    }
}
