//! `cli man`.

use std::path::PathBuf;

use clap::CommandFactory;
use worker::program::shipped;

use crate::args::Cli;
use crate::output;
use crate::stop::{Result, Stop};

/// Print the manual page, or write those of all commands into a folder.
///
/// Example: `cli man --to man1`
///
/// Changes data: no, it writes files.
///
/// Safe to repeat: yes, pages of before are replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// The folder, such as /usr/local/share/man/man1; it is made where it is not there.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

/// Prints or writes them.
pub(crate) fn run(args: &Args) -> Result {
    let failed = |error| Stop::System("the manual pages cannot be written", error);
    let pages = shipped::pages(Cli::command()).map_err(failed)?;
    match &args.to {
        Some(folder) => {
            shipped::write(&pages, folder).map_err(failed)?;
            let (count, folder) = (pages.len(), folder.display());
            output::note(&format!("{count} pages are in {folder}"));
            Ok(())
        }
        None => pages
            .first()
            .map_or(Ok(()), |page| output::bytes(&page.text)),
    }
}
