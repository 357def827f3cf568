//! `cli quarantine export`.

use std::path::{Path, PathBuf};

use worker::backend::Database;
use worker::journal::{self, Filter};

use super::values;
use super::which::Which;
use crate::args::Global;
use crate::commands::exported::{Export, Format};
use crate::output;
use crate::render::quarantine::{self as render, Row};
use crate::stop::Result;

/// Events in a page.
const PAGE: u64 = 1_000;

/// Export the rows that were set aside, oldest first, as NDJSON or CSV: for whoever is to mend them.
///
/// Example: `cli quarantine export --unit agent_feedback -o bad.ndjson`
///
/// Changes data: no.
///
/// Safe to repeat: yes, a file that is there already is never overwritten.
///
/// Without --run, of the newest run; with --all, of every run. A file of values is for nobody else to read: it is made so.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// How rows are written.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Ndjson)]
    format: Format,

    /// With what the source row holds now, in the columns that the unit reads: perhaps personal data.
    #[arg(long)]
    values: bool,

    /// Write to this new file rather than to standard output, which `-` names as well.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Exports them.
pub(super) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal().await?;
    let filter = args.which.filter(&database).await?;
    let path = args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    let mut export = Export::begin(path)?;
    let rows = match rows(&database, filter, &args, &mut export).await {
        Ok(rows) => rows,
        Err(error) => return Err(export.abandon(error)),
    };
    export.end()?;
    if let Some(path) = path {
        output::note(&render::exported(rows, &path.to_string_lossy()));
    }
    Ok(())
}

/// Writes them, page by page; gives how many there are.
async fn rows(
    database: &Database,
    mut filter: Filter,
    args: &Args,
    export: &mut Export,
) -> Result<usize> {
    let plan = crate::commands::validate::plan(database).await?;
    if args.format == Format::Csv {
        export.write(&render::csv_header(args.values))?;
    }
    let mut count = 0;
    loop {
        let entries = journal::select(database.connection(), &filter, PAGE, false).await?;
        let Some(last) = entries.last() else {
            return Ok(count);
        };
        filter.after = Some(last.position);
        let mut rows: Vec<_> = entries.iter().map(Row::of).collect();
        if args.values {
            values::add(database, &plan, &mut rows).await?;
        }
        count += rows.len();
        export.write(&match args.format {
            Format::Csv => render::csv(&rows, args.values),
            Format::Ndjson => render::ndjson(&rows),
        })?;
        if output::is_closed() {
            return Ok(count);
        }
    }
}
