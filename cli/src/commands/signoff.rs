//! `cli signoff`.

use worker::core::event::Event;
use worker::heads::Heads;
use worker::runbook::checklist;
use worker::{runbook, runs, units};

use super::checklist::By;
use crate::args::Global;
use crate::stop::Result;
use crate::{output, render};

/// Sign the migration off in a role: DevOps Lead, Database Admin or QA Lead.
///
/// Example: `cli signoff --role "QA Lead" --by Mia --note "smoke tests read"`
///
/// Changes data: no, it appends to the journal alone: an event that holds the digest of the whole journal at that
/// moment, so that it says what was signed.
///
/// Safe to repeat: yes, the newest counts.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// The role, in any case: "QA Lead", qa-lead.
    #[arg(long, value_name = "ROLE")]
    role: String,

    #[command(flatten)]
    by: By,
}

/// Signs off.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let paper = units::phase5_paper();
    let role = paper.role(&args.role)?.to_owned();
    let database = global.writable_journal().await?;
    let head = Heads::load(database.connection()).await?.digest();
    let signed = Event::SignedOff {
        role,
        by: args.by.by,
        note: args.by.note,
        head,
    };
    runbook::note(&database, &runs::worker_id("cli"), &[signed]).await?;
    let checklist = checklist::load(&database, &paper).await?;
    match global.json {
        true => output::json(&checklist.signatures),
        false => output::result(&render::checklist::signatures(&checklist)),
    }
}
