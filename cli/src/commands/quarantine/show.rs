//! `cli quarantine show`.

use worker::error::Error;
use worker::journal::{self, Filter};

use super::values;
use crate::args::Global;
use crate::render::quarantine::List;
use crate::stop::Result;
use crate::{output, render, select};

/// Newest times that a key was set aside that are shown.
const MOST: u64 = 1_000;

/// Show what the journal says of one bad row: every time that it was set aside, by which unit and run, and why.
///
/// Example: `cli quarantine show c1/tasks/3`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
///
/// With --json: one document, as of `cli quarantine list`.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// The source row's key, as `cli quarantine list` prints it.
    #[arg(value_name = "KEY")]
    key: String,

    /// Of this unit alone.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,

    /// With what the source row holds now, in the columns that the unit reads: perhaps personal data.
    #[arg(long)]
    values: bool,
}

/// Shows it.
pub(super) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal().await?;
    select::check_unit(&database, args.unit.as_deref()).await?;
    let filter = Filter {
        unit: args.unit,
        kind: Some("RowQuarantined".into()),
        key: Some(journal::short_key(&args.key)),
        ..Filter::default()
    };
    let total = journal::count(database.connection(), &filter).await?;
    if total == 0 {
        return Err(Error::Usage(
            "no row of this key was ever set aside; `cli quarantine list --all` lists all".into(),
        )
        .into());
    }
    let entries = journal::select(database.connection(), &filter, MOST, true).await?;
    let mut list = List::of(None, total, &entries);
    if args.values {
        let plan = crate::commands::validate::plan(&database).await?;
        values::add(&database, &plan, list.rows_mut()).await?;
    }
    match global.json {
        true => output::json(&list),
        false => output::result(&render::quarantine::list(&list)),
    }
}
