//! `cli journal export`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use worker::backend::Database;
use worker::core::replay::RUN_STREAM;
use worker::error::Error;
use worker::journal;

use crate::args::{Global, RunArg};
use crate::stop::{self, Result};
use crate::{output, render, select};

/// Events in a page.
const PAGE: u64 = 1_000;

/// Export the journal as NDJSON: one event a line with all its columns.
///
/// Example: `cli journal export -o journal.ndjson`
///
/// Changes nothing in the database. Safe to repeat; a file that is there already is never overwritten.
///
/// Stream by stream and by seq within it, each run's own stream first, so the hash chains can be checked line by line.
/// The payload is a string: the exact text that was hashed.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArg,

    /// Write to this new file rather than to standard output, which `-` names as well.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Exports the journal.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal_alone().await?;
    let run = select::named_run(&database, args.run.named()).await?;
    let Some(path) = args.output.filter(|path| path != Path::new("-")) else {
        export(&database, run.as_deref(), output::result).await?;
        return Ok(());
    };
    let mut file = create(&path)?;
    let mut events = export(&database, run.as_deref(), |lines| {
        file.write_all(lines.as_bytes()).map_err(stop::unwritten)
    })
    .await;
    if events.is_ok()
        && let Err(error) = file.sync_all()
    {
        events = Err(stop::unwritten(error));
    }
    match events {
        Ok(events) => {
            output::note(&render::journal::exported(events, &path.to_string_lossy()));
            Ok(())
        }
        Err(error) => {
            // Half an export must not be taken for a whole one; where it cannot be removed, the error still says so.
            let _ = std::fs::remove_file(&path);
            Err(error)
        }
    }
}

fn create(path: &Path) -> std::result::Result<File, Error> {
    File::create_new(path).map_err(|error| {
        Error::Usage(format!(
            "cannot write {}: {error}; name a new file in a folder that you may write to",
            path.display()
        ))
    })
}

/// Hands on pages of lines; gives how many events they held. A stream's events never change, so that what is appended
/// meanwhile makes an export longer, never inconsistent.
async fn export(
    database: &Database,
    run: Option<&str>,
    mut write: impl FnMut(&str) -> Result,
) -> Result<u64> {
    let mut streams = journal::streams(database.connection()).await?;
    streams.retain(|(of, _)| run.is_none_or(|run| run == of));
    // Runs' ids ascend with time.
    streams.sort_by_key(|(run, stream)| (run.clone(), stream != RUN_STREAM, stream.clone()));
    let mut events = 0;
    for (run, stream) in streams {
        let mut seq = 0;
        loop {
            let page =
                journal::stream_after(database.connection(), &run, &stream, seq, PAGE).await?;
            events += page.len() as u64;
            seq = page.last().map_or(seq, |entry| entry.seq);
            write(&render::journal::export(&page))?;
            if (page.len() as u64) < PAGE || output::is_closed() {
                break;
            }
        }
    }
    Ok(events)
}
