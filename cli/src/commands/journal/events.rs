//! Which events a command takes.

use worker::backend::Database;
use worker::journal::{self, Filter};

use crate::args::RunArg;
use crate::select;
use crate::select::Since;
use crate::stop::Result;

/// Filters; an event passes all that are given.
#[derive(Debug, clap::Args)]
pub(super) struct EventArgs {
    #[command(flatten)]
    run: RunArg,

    /// Events of this unit alone.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,

    /// Events of this kind alone, such as BatchCommitted; upper and lower case are the same.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// Events that this worker appended alone: its name, as the events show it.
    #[arg(long, value_name = "WORKER")]
    worker: Option<String>,

    /// Events about this key alone: a source row that was set aside, or a row that a batch wrote, and what a rollback did
    /// with it.
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,

    /// Events since then alone: an instant (2025-11-04T00:00:00Z), a date (its 00:00 UTC), or a duration
    /// before the database's clock (2h).
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,

    /// Events before then alone: an instant, a date, or a duration before the database's clock.
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub(super) until: Option<Since>,
}

impl EventArgs {
    /// The filter of all but the key, which no column tells.
    pub(super) async fn filter(&self, database: &Database) -> Result<Filter> {
        select::check_unit(database, self.unit.as_deref()).await?;
        let mut filter = Filter {
            run: select::named_run(database, self.run.named()).await?,
            unit: self.unit.clone(),
            kind: select::kind(database, self.kind.clone()).await?,
            worker: self.worker.clone(),
            ..Filter::default()
        };
        if self.since.is_some() || self.until.is_some() {
            let now = journal::now(database.connection()).await?;
            filter.since = self.since.map(|since| since.instant(now));
            filter.until = self.until.map(|until| until.instant(now));
        }
        Ok(filter)
    }
}
