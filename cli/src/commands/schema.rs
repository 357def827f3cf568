//! `cli schema`: one idea, and small commands of it.

mod prisma;
mod sql;
mod verify;

use std::sync::Arc;

use clap::Subcommand;
use worker::schema::Indexes;
use worker::{roles, runs, schema, units};

use crate::args::Global;
use crate::confirm::confirm;
use crate::render::schema::Changed;
use crate::stop::Result;
use crate::{output, render};

/// Show, review, apply, verify or take down the schema.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show which schema changes are applied, and which are pending.
    ///
    /// Example: `cli schema status`
    ///
    /// Changes data: no.
    ///
    /// Safe to repeat: yes.
    #[command(after_help = worker::error::EXIT_CODES)]
    Status,
    Sql(sql::Args),
    /// Apply the pending schema changes: the journal's tables, the new tables and columns.
    ///
    /// Example: `cli schema up`
    ///
    /// Changes data: yes, the schema, additively, in one transaction, beside the running application.
    ///
    /// Safe to repeat: yes, where nothing is pending, nothing is done.
    ///
    /// It waits at most 500 ms for a table's lock, tells who is in the way, and tries again for about a minute.
    #[command(after_help = worker::error::EXIT_CODES)]
    Up,
    Verify(verify::Args),
    Prisma(prisma::Args),
    /// Take the schema down again, where neither rows nor journal would be lost.
    ///
    /// Example: `cli schema down --discard-journal`
    ///
    /// Changes data: yes, it drops the new tables and columns, and the journal.
    ///
    /// Safe to repeat: yes, where nothing of it is there, nothing is done.
    ///
    /// Rolling back a release of the application does not need it: the schema is backward compatible.
    Down(DownArgs),
    /// Print SQL for PostgreSQL that makes the roles owner, worker, undo and viewer, each with the least rights.
    ///
    /// Example: `cli schema roles --print | psql app`
    ///
    /// Changes data: no, an administrator reads and executes it, before `cli schema up` and again after it.
    ///
    /// Safe to repeat: yes.
    ///
    /// It holds no password.
    Roles(RolesArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct RolesArgs {
    /// Print it; nothing else can be done with it from here.
    #[arg(long, required = true)]
    print: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct DownArgs {
    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// Give up the journal, too: export it first.
    #[arg(long)]
    discard_journal: bool,
}

/// Runs a command.
pub(crate) async fn run(global: &Global, command: Command) -> Result {
    match command {
        Command::Status => status(global).await,
        Command::Sql(args) => sql::run(global, args).await,
        Command::Up => up(global).await,
        Command::Verify(args) => verify::run(global, args).await,
        Command::Prisma(args) => prisma::run(global, &args),
        Command::Down(args) => down(global, &args).await,
        Command::Roles(RolesArgs { print: _ }) => {
            output::result(&roles::sql(&units::phase5(Vec::new())))
        }
    }
}

async fn status(global: &Global) -> Result {
    let database = global.look().await?;
    let changes = schema::status(&database).await?;
    match global.json {
        true => output::json(&render::schema::document(&changes)),
        false => output::result(&render::schema::status(&changes)),
    }
}

async fn up(global: &Global) -> Result {
    let database = global.connect().await?;
    let plan = Arc::new(units::phase5(Vec::new()));
    schema::check_source(&database, &plan).await?;
    let applied = schema::up(&database, &plan, &runs::worker_id("cli"), Indexes::Before).await?;
    show(global, &Changed::Applied(applied))
}

async fn down(global: &Global, args: &DownArgs) -> Result {
    let database = global.connect().await?;
    let changes = schema::status(&database).await?;
    if changes.iter().all(|change| !change.is_applied) {
        return show(global, &Changed::TakenDown(Vec::new()));
    }
    let plan = Arc::new(units::phase5(Vec::new()));
    schema::check_losses(&database, &plan, args.discard_journal).await?;
    output::note(&render::schema::down(&changes));
    if !args.yes {
        confirm("This drops them.")?;
    }
    let taken_down = schema::down(&database, &plan, args.discard_journal).await?;
    show(global, &Changed::TakenDown(taken_down))
}

fn show(global: &Global, changed: &Changed) -> Result {
    match global.json {
        true => output::json(changed),
        false => output::result(&render::schema::changed(changed)),
    }
}
