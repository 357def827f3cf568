//! `cli schema verify`.

use std::sync::Arc;

use worker::core::event::Event;
use worker::error::Error;
use worker::{runbook, runs, schema, units};

use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// Compare the live schema with the expected one: columns, keys, indexes, the journal's triggers, and the columns of
/// the sources that units read. Each difference is told with what to do; what the application has besides is a note.
///
/// Example: `cli schema verify --record`
///
/// Changes data: no; with --record it notes the outcome in the journal.
///
/// Safe to repeat: yes.
///
/// Exit code 3 where something differs.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Note the outcome in the journal, as evidence.
    #[arg(long)]
    record: bool,
}

/// Compares them.
pub(super) async fn run(global: &Global, args: Args) -> Result {
    let database = match args.record {
        true => global.connect().await?,
        false => global.look().await?,
    };
    let plan = Arc::new(units::phase5(Vec::new()));
    let verification = schema::verify(&database, &plan).await?;
    if args.record {
        let differences = verification.differences.iter();
        let event = Event::SchemaVerified {
            differences: differences.map(ToString::to_string).collect(),
        };
        runbook::note(&database, &runs::worker_id("cli"), &[event]).await?;
    }
    match global.json {
        true => output::json(&verification)?,
        false => output::result(&render::schema::verification(&verification))?,
    }
    match render::schema::differs("the live schema", &verification.differences) {
        Some(differs) => Err(Error::Failed(differs).into()),
        None => Ok(()),
    }
}
