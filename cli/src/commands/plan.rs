//! `cli plan`.

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use worker::core::event::Event;
use worker::error::Error;
use worker::forecast::{self, Order};
use worker::{approval, runbook, runs, schema, units};

use crate::args::Global;
use crate::planned::PlanArgs;
use crate::stop::Result;
use crate::{output, render};

/// Rows of each unit that are shown where nobody says how many.
const ROWS: usize = 1;

/// Show what a run will do: the schema's SQL with its locks, and per unit rows, bytes, and time from a rehearsal.
///
/// Example: `cli plan --rehearse 5`
///
/// Changes data: no, it reads a page from a few places of each source; with --rehearse, batches are written for real,
/// each in a transaction that is rolled back at once, and the numbers are noted in the journal.
///
/// Safe to repeat: yes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    plan: PlanArgs,

    /// Write this many batches of each section, roll each back, and report speed, sizes, bad rows and rows as they would
    /// be written. Needs the schema applied, and the rights of a worker.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rehearse: Option<u32>,

    /// Source rows a batch.
    #[arg(long, value_name = "N", default_value_t = 2_000, requires = "rehearse", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    batch_rows: u32,

    /// Show this many rows of each unit with their values, before and after. They may be personal data: they are printed
    /// here, and kept nowhere. Without it, one row of each with the length of each value.
    #[arg(long, value_name = "N", requires = "rehearse")]
    show_values: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Approve today's plan, by its fingerprint: `worker run --require-approval` refuses any other.
    ///
    /// Example: `cli plan approve --by "Ada Lovelace" --note "looked at the rehearsal on staging"`
    ///
    /// Changes data: no, it appends to the journal alone: who approved it.
    ///
    /// Safe to repeat: yes.
    Approve(ApproveArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct ApproveArgs {
    /// Who approves it.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    by: String,

    /// What they have to say.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Shows, rehearses or approves the plan.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    match (args.command, args.rehearse) {
        (Some(Command::Approve(approve)), _) => approved(global, approve).await,
        (None, Some(batches)) => {
            let order = Order {
                batches,
                batch_rows: args.batch_rows,
                rows: args.show_values.unwrap_or(ROWS),
                has_values: args.show_values.is_some(),
                worker: &runs::worker_id("cli"),
            };
            rehearsed(global, &args.plan, order).await
        }
        (None, None) => planned(global, &args.plan).await,
    }
}

async fn planned(global: &Global, args: &PlanArgs) -> Result {
    let plan = args.plan()?;
    let database = global.look().await?;
    let as_of = args.as_of(&database).await?;
    let runbook = runbook::load(&database).await?;
    let planned = forecast::planned(&database, &plan, &runbook, (as_of, args.window_days)).await?;
    match global.json {
        true => output::json(&planned),
        false => output::result(&render::plan::planned(&planned)),
    }
}

async fn rehearsed(global: &Global, args: &PlanArgs, order: Order<'_>) -> Result {
    let plan = args.plan()?;
    let database = global.connect().await?;
    if let Err(error) = schema::check_applied(&database).await {
        return Err(match error {
            Error::Refused(why) => Error::Refused(format!(
                "{why}; or rehearse on a restored copy, where the schema may be applied ahead of time"
            )),
            error => error,
        }
        .into());
    }
    let as_of = args.as_of(&database).await?;
    let source = schema::source(&database, &plan, as_of, args.window_days).await?;
    let rehearsal = forecast::rehearse(&database, &source, &plan, order, |unit| {
        output::note(&format!("rehearsing {unit}"));
    })
    .await?;
    let event = Event::PlanRehearsed(rehearsal.event.clone());
    runbook::note(&database, order.worker, &[event]).await?;
    match global.json {
        true => output::json(&rehearsal),
        false => output::result(&render::plan::rehearsal(&plan, &rehearsal)),
    }
}

async fn approved(global: &Global, args: ApproveArgs) -> Result {
    let plan = std::sync::Arc::new(units::phase5(Vec::new()));
    let database = global.connect().await?;
    let word = (args.by, args.note);
    let fingerprint = approval::approve(&database, &plan, &runs::worker_id("cli"), word).await?;
    match global.json {
        true => output::json(&render::plan::Approved { plan: &fingerprint }),
        false => output::result(&render::plan::approved(&fingerprint)),
    }
}
