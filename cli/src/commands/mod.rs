//! The commands, one a file: its arguments and one function. They ask the worker library and print what `render`
//! makes of the answer; none knows SQL or a table.

mod backup;
mod certificate;
mod checklist;
mod compat;
mod completions;
mod demo;
mod diff;
mod exported;
mod gate;
mod journal;
mod man;
mod mend;
mod part;
mod phase;
mod plan;
mod preflight;
mod quarantine;
mod redo;
mod repair;
mod report;
mod rollback;
mod run;
mod runs;
mod schema;
mod serve;
mod signoff;
mod smoke;
mod status;
mod validate;
mod why;

use clap::Subcommand;

use crate::args::Global;
use crate::stop::Result;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Preflight(preflight::Args),
    Plan(plan::Args),
    #[command(subcommand)]
    Journal(journal::Command),
    Status(status::Args),
    Why(why::Args),
    Diff(diff::Args),
    Serve(serve::Args),
    Report(report::Args),
    Runs(runs::Args),
    #[command(subcommand)]
    Run(run::Command),
    Validate(validate::Args),
    #[command(subcommand)]
    Backup(backup::Command),
    Repair(repair::Args),
    Rollback(rollback::Args),
    Redo(redo::Args),
    #[command(subcommand)]
    Schema(schema::Command),
    Compat(compat::Args),
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    Checklist(checklist::Args),
    Signoff(signoff::Args),
    Certificate(certificate::Args),
    Phase(phase::Args),
    Demo(demo::Args),
    Gate(gate::Args),
    Smoke(smoke::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs a command.
pub(crate) async fn run(global: &Global, command: Command) -> Result {
    match command {
        Command::Preflight(args) => preflight::run(global, args).await,
        Command::Plan(args) => plan::run(global, args).await,
        Command::Journal(command) => journal::run(global, command).await,
        Command::Status(args) => status::run(global, args).await,
        Command::Why(args) => why::run(global, args).await,
        Command::Diff(args) => diff::run(global, args).await,
        Command::Serve(args) => serve::run(global, args).await,
        Command::Report(args) => report::run(global, args).await,
        Command::Runs(args) => runs::run(global, args).await,
        Command::Run(command) => run::run(global, command).await,
        Command::Validate(args) => validate::run(global, args).await,
        Command::Backup(command) => backup::run(global, command).await,
        Command::Repair(args) => repair::run(global, args).await,
        Command::Rollback(args) => rollback::run(global, args).await,
        Command::Redo(args) => redo::run(global, args).await,
        Command::Schema(command) => schema::run(global, command).await,
        Command::Compat(args) => compat::run(global, args).await,
        Command::Quarantine(command) => quarantine::run(global, command).await,
        Command::Checklist(args) => checklist::run(global, args).await,
        Command::Signoff(args) => signoff::run(global, args).await,
        Command::Certificate(args) => certificate::run(global, args).await,
        Command::Phase(args) => phase::run(global, args).await,
        Command::Demo(args) => demo::run(global, args).await,
        Command::Gate(args) => gate::run(global, args).await,
        Command::Smoke(args) => smoke::run(global, args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
