//! `cli backup list`.

use worker::backup;

use super::{Folder, journal};
use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// List the backups that the journal knows, and those in the folder, whether it knows them or not.
///
/// Example: `cli backup list --to /var/backups/app`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
///
/// Where the database cannot be reached, the folder alone is looked at.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    folder: Folder,
}

/// Lists the backups.
pub(crate) async fn run(global: &Global, args: &Args) -> Result {
    let (runbook, _) = journal(global.look().await).await;
    let listed = backup::list(&runbook, &args.folder.to);
    match global.json {
        true => output::json(&render::backup::documents(&listed)),
        false => output::result(&render::backup::list(&listed)),
    }
}
