//! `cli journal verify`.

use std::path::{Path, PathBuf};

use worker::audit;
use worker::error::Error;
use worker::heads::Heads;

use crate::args::Global;
use crate::output;
use crate::render;
use crate::stop::Result;

/// Verify the whole journal: refold it and check every hash, transition, projection and row's provenance.
///
/// Example: `cli journal verify`
///
/// Changes data: no.
///
/// Safe to repeat: yes, also while a worker runs.
///
/// Exit code 3 where anything is off; the findings name the first bad event of each stream. Exit code 4 where a newer
/// release wrote events: that one can verify them.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Also check that nothing is missing of what `cli journal head` once wrote to this file.
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
}

/// Verifies the journal.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let kept = args.head.as_deref().map(kept).transpose()?;
    let database = global.journal_alone().await?;
    let report = audit::audit(&database, kept.as_ref()).await?;
    if global.json {
        output::json(&report)?;
    } else {
        output::result(&render::journal::verified(&report))?;
    }
    report.into_result()?;
    Ok(())
}

/// The heads that a file holds.
fn kept(file: &Path) -> std::result::Result<Heads, Error> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::Usage(format!(
            "cannot read {}: {error}; --head names what `cli journal head` wrote",
            file.display()
        ))
    })?;
    Heads::parse(&text).map_err(|error| Error::Usage(format!("{}: {error}", file.display())))
}
