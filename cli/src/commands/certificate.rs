//! `cli certificate`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use worker::certificate::{self, Certificate};
use worker::error::Error;
use worker::{runs, units};

use crate::args::Global;
use crate::stop::{self, Result};
use crate::{output, render};

/// Issue the certificate of a complete, validated migration: a JSON file, and readable text beside it.
///
/// Example: `cli certificate -o phase5.json`
///
/// Changes data: no, it appends to the journal alone: an event that holds the certificate's digest.
///
/// Safe to repeat: yes, a file that is there already is never overwritten.
///
/// It holds the plan's fingerprint, as_of, counts and digests of what was written and of what stands, quarantine,
/// gates, sign-offs, and where the journal stood. It refuses (exit 4) before the run is complete and validated, and
/// where the journal does not verify (exit 3).
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// The new file; the text goes beside it, as .txt.
    #[arg(short, long, value_name = "FILE", default_value = "certificate.json")]
    output: PathBuf,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a database against a certificate.
    ///
    /// Example: `cli certificate verify phase5.json`
    ///
    /// Changes data: no.
    ///
    /// Safe to repeat: yes.
    ///
    /// Exit code 3 where the file was changed, or the journal, the plan or what was written is not what was certified.
    /// Rows that the application changed since are told, and no error without --exact.
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
struct VerifyArgs {
    /// The certificate.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Exit with 3 also where rows changed since.
    #[arg(long)]
    exact: bool,
}

/// Issues a certificate, or checks the database against one.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    match args.command {
        None => issue(global, &args.output).await,
        Some(Command::Verify(args)) => verify(global, &args).await,
    }
}

async fn issue(global: &Global, path: &Path) -> Result {
    let database = global.writable_journal().await?;
    let text_path = path.with_extension("txt");
    for path in [path, &text_path] {
        if path.exists() {
            return Err(taken(path, "it is there already").into());
        }
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(taken(path, &format!("there is no folder {}", folder.display())).into());
    }
    let plan = Arc::new(units::phase5(Vec::new()));
    let certificate = certificate::issue(&database, &plan, &units::phase5_paper()).await?;
    let text = render::certificate::text(&certificate);
    // Noted first: a file that no journal knows would be taken for a forged one.
    certificate::note(&database, &runs::worker_id("cli"), &certificate).await?;
    write(path, &certificate.text()?)?;
    write(&text_path, &text)?;
    output::note(&format!(
        "wrote {} and {}",
        path.display(),
        text_path.display()
    ));
    match global.json {
        true => output::json(&certificate),
        false => output::result(&text),
    }
}

fn write(path: &Path, text: &str) -> Result {
    let mut file = File::create_new(path).map_err(|error| taken(path, &error.to_string()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            // Half a certificate must not be taken for a whole one.
            let _ = std::fs::remove_file(path);
            stop::unwritten(error)
        })
}

fn taken(path: &Path, why: &str) -> Error {
    Error::Usage(format!(
        "cannot write {}: {why}; name a new file in a folder that you may write to",
        path.display()
    ))
}

async fn verify(global: &Global, args: &VerifyArgs) -> Result {
    let text = std::fs::read_to_string(&args.file).map_err(|error| {
        Error::Usage(format!(
            "cannot read {}: {error}; name a file that `cli certificate` wrote",
            args.file.display()
        ))
    })?;
    let certificate = Certificate::parse(&text)?;
    let database = global.journal().await?;
    let verified = certificate::verify(&database, &certificate).await?;
    match global.json {
        true => output::json(&verified)?,
        false => output::result(&render::certificate::verified(&certificate, &verified))?,
    }
    match (verified.findings.first(), verified.changes.first()) {
        (Some(first), _) => {
            Err(Error::Failed(format!("the database is not what was certified: {first}")).into())
        }
        (None, Some(changed)) if args.exact => Err(Error::Failed(format!(
            "rows of {} changed since they were certified",
            changed.unit
        ))
        .into()),
        _ => Ok(()),
    }
}
