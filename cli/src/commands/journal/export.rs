//! `cli journal export`.

use std::path::{Path, PathBuf};

use worker::backend::Database;
use worker::blame;
use worker::core::replay::RUN_STREAM;
use worker::journal::{self, Entry, Filter};

use super::super::exported::{Export, Format};
use super::events::EventArgs;
use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// Events in a page.
const PAGE: u64 = 1_000;

/// Export the journal, or a part of it, as NDJSON or CSV: one event a line with all its columns.
///
/// Example: `cli journal export -o journal.ndjson`, or `cli journal export --kind RowQuarantined --format csv`
///
/// Changes data: no.
///
/// Safe to repeat: yes, a file that is there already is never overwritten.
///
/// Stream by stream and by seq within it, each run's own stream first, so the hash chains of a whole export can be checked
/// line by line. The payload is a string: the exact text that was hashed. Fields of CSV are as they are stored too, also
/// where they begin with =, +, - or @: let a spreadsheet import them as text.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    events: EventArgs,

    /// How events are written.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Ndjson)]
    format: Format,

    /// Write to this new file rather than to standard output, which `-` names as well.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Exports the journal.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = match args.events.key {
        Some(_) => global.journal().await?,
        None => global.journal_alone().await?,
    };
    let wanted = Wanted {
        filter: args.events.filter(&database).await?,
        key: args.events.key.as_deref(),
        format: args.format,
    };
    let path = args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    let mut file = Export::begin(path)?;
    let events = match export(&database, &wanted, |lines| file.write(lines)).await {
        Ok(events) => events,
        Err(error) => return Err(file.abandon(error)),
    };
    file.end()?;
    if let Some(path) = path {
        output::note(&render::journal::exported(events, &path.to_string_lossy()));
    }
    Ok(())
}

/// What is exported, and how.
struct Wanted<'a> {
    filter: Filter,
    key: Option<&'a str>,
    format: Format,
}

/// Hands on pages of lines; gives how many events they held. A stream's events never change, so that what is appended
/// meanwhile makes an export longer, never inconsistent.
async fn export(
    database: &Database,
    wanted: &Wanted<'_>,
    mut write: impl FnMut(&str) -> Result,
) -> Result<u64> {
    let lines: fn(&[Entry]) -> String = match wanted.format {
        Format::Ndjson => render::journal::export,
        Format::Csv => {
            write(&render::journal::csv::header())?;
            render::journal::csv::export
        }
    };
    let filter = &wanted.filter;
    // Runs' ids ascend with time.
    let order = |run: &str, stream: &str| (run.to_owned(), stream != RUN_STREAM, stream.to_owned());
    if let Some(key) = wanted.key {
        let mut entries = blame::events(database, key).await?;
        entries.retain(|entry| filter.passes(entry));
        entries.sort_by_key(|entry| (order(&entry.run, &entry.stream), entry.seq));
        write(&lines(&entries))?;
        return Ok(entries.len() as u64);
    }
    let mut streams = journal::streams(database.connection()).await?;
    streams.retain(|(of, _)| filter.run.as_ref().is_none_or(|run| run == of));
    streams.sort_by_key(|(run, stream)| order(run, stream));
    let mut events = 0;
    for (run, stream) in streams {
        let mut seq = 0;
        loop {
            let mut page =
                journal::stream_after(database.connection(), &run, &stream, seq, PAGE).await?;
            let is_last = (page.len() as u64) < PAGE;
            seq = page.last().map_or(seq, |entry| entry.seq);
            page.retain(|entry| filter.passes(entry));
            events += page.len() as u64;
            write(&lines(&page))?;
            if is_last || output::is_closed() {
                break;
            }
        }
    }
    Ok(events)
}
