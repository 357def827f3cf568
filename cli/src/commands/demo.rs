//! `cli demo`.

use chrono::{DateTime, Utc};
use worker::demo::{self, DemoError, Size};
use worker::error::Error;
use worker::time;

use crate::args::Global;
use crate::progress::Progress;
use crate::stop::Result;
use crate::{output, render};

/// The library's default present, as one writes it.
const AS_OF: &str = "2025-11-04T00:00:00Z";

/// Make a source database of made-up data to try Backstitch on, of any size.
///
/// Example: `cli demo --campaigns 2500 --tasks 500000 --seed 7`
///
/// Changes data: yes, of an empty database: it makes the application's tables and fills them.
///
/// Safe to repeat: yes, a demo that was cut off is made anew, one that is complete is left alone, and tables that were
/// not made here are never touched.
///
/// The same numbers give the same rows.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Campaigns, up to 10 million; publish jobs, deals and the rest grow with them.
    #[arg(long, value_name = "N", default_value_t = Size::default().campaigns, value_parser = clap::value_parser!(u64).range(1..=Size::MOST_CAMPAIGNS))]
    campaigns: u64,

    /// Agent executions, over all campaigns: up to a thousand million, and ten million a campaign; 0 makes none.
    #[arg(long, value_name = "T", default_value_t = Size::default().tasks, value_parser = clap::value_parser!(u64).range(0..=Size::MOST_TASKS))]
    tasks: u64,

    /// Another seed gives other rows, in the same proportions.
    #[arg(long, value_name = "S", default_value_t = Size::default().seed)]
    seed: u64,

    /// The demo's present: nothing in it is later. An instant, or a date for its 00:00 UTC.
    #[arg(long, value_name = "TIME", default_value = AS_OF, value_parser = time::named)]
    as_of: DateTime<Utc>,
}

/// Makes a demo.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    if args.tasks / args.campaigns > Size::MOST_TASKS_PER_CAMPAIGN {
        return Err(Error::Usage(format!(
            "--tasks {} are too many for {} campaigns: a campaign has room for {}",
            args.tasks,
            args.campaigns,
            Size::MOST_TASKS_PER_CAMPAIGN
        ))
        .into());
    }
    let database = global.connect_or_create().await?;
    let size = Size {
        campaigns: args.campaigns,
        tasks: args.tasks,
        seed: args.seed,
        as_of: args.as_of,
    };
    let total = i64::try_from(size.tasks).unwrap_or(i64::MAX);
    let mut progress = Progress::start("agent executions made", total);
    let made = demo::create(database.connection(), &size, |tasks| {
        progress.reach(i64::try_from(tasks).unwrap_or(i64::MAX));
    })
    .await;
    progress.finish();
    let outcome = made.map_err(error)?;
    match global.json {
        true => output::json(&render::demo::document(&size, &outcome)),
        false => output::result(&render::demo::text(
            &size,
            &outcome,
            global.names_database(),
        )),
    }
}

fn error(error: DemoError) -> Error {
    match error {
        DemoError::Database(source) => Error::Database {
            doing: "making the demo".into(),
            source,
        },
        DemoError::Overtaken => Error::Transient(error.to_string()),
        DemoError::Occupied | DemoError::Different(_) => Error::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_present_is_the_librarys() {
        assert_eq!(time::named(AS_OF), Ok(Size::default().as_of));
    }
}
