//! `cli checklist`.

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use worker::core::event::Event;
use worker::error::Error;
use worker::runbook::checklist::{self, Checklist, Proof};
use worker::{runbook, runs, units};

use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// Show the migration's checklist: each item with the event that proves it, or the person who vouches for it.
///
/// Example: `cli checklist`
///
/// Changes data: no.
///
/// Safe to repeat: yes.
///
/// What the journal can prove is ticked by itself, and open again where the proof no longer holds, as after a
/// rollback; for the rest somebody gives a name: `cli checklist tick notify --by Ada`. Exit code 0, complete or not.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Print it as Markdown, for a change ticket.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Vouch for an item by name.
    ///
    /// Example: `cli checklist tick notify --by Ada --note "mail of 3 November"`
    ///
    /// Changes data: no, it appends to the journal alone.
    ///
    /// Safe to repeat: yes, the newest counts.
    Tick(TickArgs),
    /// Take back that an item is done, where somebody vouched for it.
    ///
    /// Example: `cli checklist reopen notify --by Ada --note "the window moved"`
    ///
    /// Changes data: no, it appends to the journal alone.
    ///
    /// Safe to repeat: yes, an item that is open stays so.
    Reopen(ReopenArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
struct TickArgs {
    #[command(flatten)]
    word: Word,

    /// Vouch for what the journal could prove and does not, such as a backup that somebody took by other means; needs a note.
    #[arg(long, requires = "note")]
    unproven: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
struct ReopenArgs {
    #[command(flatten)]
    word: Word,
}

#[derive(Debug, clap::Args)]
struct Word {
    /// The item, as the checklist names it.
    #[arg(value_name = "ITEM")]
    item: String,

    #[command(flatten)]
    by: By,
}

/// Who says so.
#[derive(Debug, clap::Args)]
pub(crate) struct By {
    /// Who says so.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) by: String,

    /// What they have to say; kept in the journal for good.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) note: Option<String>,
}

/// Shows the checklist, or ticks an item of it.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    match args.command {
        None => show(global, args.markdown).await,
        Some(Command::Tick(args)) => tick(global, args).await,
        Some(Command::Reopen(args)) => reopen(global, args.word).await,
    }
}

async fn show(global: &Global, markdown: bool) -> Result {
    let database = global.look().await?;
    let checklist = checklist::load(&database, &units::phase5_paper()).await?;
    match (global.json, markdown) {
        (true, _) => output::json(&checklist),
        (false, true) => output::result(&render::checklist::markdown(&checklist)),
        (false, false) => output::result(&render::checklist::text(&checklist)),
    }
}

async fn tick(global: &Global, TickArgs { word, unproven }: TickArgs) -> Result {
    let paper = units::phase5_paper();
    let item = paper.item(&word.item)?;
    if item.proof != Proof::Person && !unproven {
        return Err(Error::Refused(format!(
            "the journal proves {}: `{}` does it and ticks it; where it was done by other means, say --unproven and why \
             with --note",
            item.id, item.command
        ))
        .into());
    }
    let ticked = Event::ItemTicked {
        item: item.id.to_owned(),
        by: word.by.by,
        note: word.by.note,
    };
    note(global, ticked).await
}

async fn reopen(global: &Global, word: Word) -> Result {
    let item = units::phase5_paper().item(&word.item)?;
    let database = global.connect().await?;
    if runbook::load(&database)
        .await?
        .state
        .ticked
        .contains(item.id)
    {
        let reopened = Event::ItemReopened {
            item: item.id.to_owned(),
            by: word.by.by,
            note: word.by.note,
        };
        runbook::note(&database, &runs::worker_id("cli"), &[reopened]).await?;
    } else {
        output::note(&format!(
            "nobody vouched for {}, so there is nothing to take back; where an event ticks it, it is open again once that no \
             longer holds",
            item.id
        ));
    }
    shown(
        global,
        &checklist::load(&database, &units::phase5_paper()).await?,
    )
}

async fn note(global: &Global, event: Event) -> Result {
    let database = global.connect().await?;
    runbook::note(&database, &runs::worker_id("cli"), &[event]).await?;
    match checklist::load(&database, &units::phase5_paper()).await {
        Ok(checklist) => shown(global, &checklist),
        Err(error) => Err(Error::Transient(format!(
            "it is noted; the checklist could not be shown: {error}"
        ))
        .into()),
    }
}

/// What is left after a word was taken.
fn shown(global: &Global, checklist: &Checklist) -> Result {
    match global.json {
        true => output::json(checklist),
        false => output::result(&render::checklist::left(checklist)),
    }
}
