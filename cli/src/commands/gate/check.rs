//! `cli gate check`.

use std::time::Duration;

use worker::error::Error;
use worker::gate::Sources;

use super::sources::{self, FileArg};
use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// How long a sample may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the database's counters are watched: PostgreSQL's sessions tell what they did once a second.
const COUNTING: Duration = Duration::from_secs(3);

/// Measure every target once, now.
///
/// Example: `cli gate check --file slo.toml`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
///
/// Exit code 3 where a target is missed or cannot be measured. What the database counts is watched for three seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,
}

/// Measures once.
pub(super) async fn run(global: &Global, args: &Args) -> Result {
    let slo = args.file.load()?;
    let database = match Sources::need_database(&slo) {
        true => Some(global.look().await?),
        false => None,
    };
    let mut sources = sources::open(&slo, slo.every, database.as_ref())?;
    match sources.begin(PATIENCE).await {
        // A server that does not answer is shown beside what the others say.
        Ok(()) | Err(Error::Transient(_)) => {}
        Err(error) => return Err(error.into()),
    }
    if database.is_some() {
        tokio::time::sleep(COUNTING).await;
    }
    let sample = sources.sample(1, PATIENCE).await;
    match global.json {
        true => output::json(&render::gate::checked(&slo.targets, &sample))?,
        false => output::result(&render::gate::table(&slo.targets, &sample))?,
    }
    match render::gate::missed(&slo.targets, &sample) {
        Some(missed) => Err(Error::Failed(missed).into()),
        None => Ok(()),
    }
}
