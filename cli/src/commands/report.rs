//! `cli report`.

use std::io::Write;
use std::path::{Path, PathBuf};

use worker::error::Error;
use worker::heads::Heads;
use worker::page;
use worker::picture::{Watch, Which};

use crate::args::{Global, RunArg};
use crate::stop::Result;
use crate::{output, render, select};

/// Write a run's report: one HTML file with everything in it, for a change ticket, or its short form as Markdown.
///
/// Example: `cli report -o report.html`
///
/// Changes data: no.
///
/// Safe to repeat: yes, also while a worker runs; a file that is there already is not overwritten without --force.
///
/// It shows what the live page shows at that moment: units, rows per second, batches, the timeline with its crashes, bad rows,
/// gates and what an undo kept, and the digest of the journal's heads (`cli journal head`). Keys of bad rows are in it, values
/// never are. Without --run, the newest run.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArg,

    /// The new file; the short form is printed without one.
    #[arg(short, long, value_name = "FILE", required_unless_present = "markdown")]
    output: Option<PathBuf>,

    /// The short form, as Markdown.
    #[arg(long)]
    markdown: bool,

    /// Overwrite the file where it is there already.
    #[arg(long, requires = "output")]
    force: bool,
}

/// Writes a run's report.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let path = args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    if let Some(path) = path
        && path.exists()
        && !args.force
    {
        return Err(unwritable(path, "it is there already; --force overwrites it").into());
    }
    let database = global.journal().await?;
    let Some(run) = select::run(&database, args.run.named()).await? else {
        return Err(Error::Usage(format!(
            "there is nothing to report: {}",
            render::status::NOTHING_RUN
        ))
        .into());
    };
    let picture = Watch::new(Which::Run(run)).look_at_all(&database).await?;
    let Some(picture) = picture else {
        return Err(Error::Usage("there is nothing to report".into()).into());
    };
    let digest = Heads::load(database.connection()).await?.digest();
    let text = match args.markdown {
        true => page::markdown::short(&picture, &digest),
        false => page::report(&picture, &digest),
    };
    match path {
        None => output::result(&text),
        Some(path) => {
            write(path, &text, args.force)?;
            output::note(&format!("wrote {}", path.display()));
            Ok(())
        }
    }
}

/// Writes the file as a whole or not at all.
fn write(path: &Path, text: &str, force: bool) -> Result {
    if force {
        // What stands is replaced only by a whole one.
        let beside = path.with_added_extension(format!("{}.partial", std::process::id()));
        let written = create(&beside, text);
        let moved = written.and_then(|()| std::fs::rename(&beside, path));
        return moved.map_err(|error| {
            let _ = std::fs::remove_file(&beside);
            unwritable(path, &error.to_string()).into()
        });
    }
    match create(path, text) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(unwritable(path, "it is there already; --force overwrites it").into())
        }
        Err(error) => Err(unwritable(path, &error.to_string()).into()),
    }
}

fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .inspect_err(|_| {
            // Half a report must not be taken for a whole one.
            let _ = std::fs::remove_file(path);
        })
}

fn unwritable(path: &Path, why: &str) -> Error {
    Error::Usage(format!(
        "cannot write {}: {why}; name a new file in a folder that you may write to",
        path.display()
    ))
}
