//! Which bad rows are meant: of which run, and of which unit.

use worker::backend::Database;
use worker::journal::Filter;

use crate::args::RunArg;
use crate::select;
use crate::stop::Result;

/// Bad rows of a run, or of every run.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    #[command(flatten)]
    run: RunArg,

    /// Rows of every run.
    #[arg(long, conflicts_with = "run")]
    all: bool,

    /// Rows of this unit alone.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
}

impl Which {
    /// Their events in the journal.
    ///
    /// # Errors
    /// No such run, several, or no such unit.
    pub(super) async fn filter(&self, database: &Database) -> Result<Filter> {
        select::check_unit(database, self.unit.as_deref()).await?;
        Ok(Filter {
            run: match self.all {
                true => None,
                false => select::run(database, self.run.named()).await?,
            },
            unit: self.unit.clone(),
            kind: Some("RowQuarantined".into()),
            ..Filter::default()
        })
    }
}
