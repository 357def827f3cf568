//! `cli schema prisma`.

use std::path::PathBuf;
use std::sync::Arc;

use worker::error::Error;
use worker::schema::prisma;
use worker::units;

use crate::args::Global;
use crate::render::schema::Models;
use crate::stop::Result;
use crate::{output, render};

/// Print Prisma's models of the schema, and how Prisma leaves the journal's tables alone; or compare the models of an
/// application's schema file with them.
///
/// Example: `cli schema prisma --check prisma/schema.prisma`
///
/// Changes data: no, and it asks no database.
///
/// Safe to repeat: yes.
///
/// Exit code 3 where a model of the file differs.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// The application's schema file; may be named several times where there are several.
    #[arg(long, value_name = "FILE")]
    check: Vec<PathBuf>,
}

/// Prints or compares them.
pub(super) fn run(global: &Global, args: &Args) -> Result {
    let plan = Arc::new(units::phase5(Vec::new()));
    let hints = units::prisma();
    if args.check.is_empty() {
        let models = prisma::print(&plan, &hints)?;
        return match global.json {
            true => output::json(&Models { models: &models }),
            false => output::result(&models),
        };
    }
    let mut text = String::new();
    for file in &args.check {
        let read = std::fs::read_to_string(file).map_err(|error| {
            Error::Usage(format!(
                "cannot read {}: {error}; check the path",
                file.display()
            ))
        });
        text.push_str(&read?);
        text.push('\n');
    }
    let differences = prisma::check(&plan, &hints, &text)?;
    match global.json {
        true => output::json(&differences)?,
        false => output::result(&render::schema::models(&differences))?,
    }
    match render::schema::differs("the schema file", &differences) {
        Some(differs) => Err(Error::Failed(differs).into()),
        None => Ok(()),
    }
}
