//! `cli journal show`.

use std::collections::BTreeSet;
use std::time::Duration;

use worker::backend::Database;
use worker::blame;
use worker::error::Error;
use worker::journal::{self, Entry, Filter};
use worker::shutdown::Shutdown;

use super::events::EventArgs;
use crate::args::Global;
use crate::render::journal::Lines;
use crate::stop::{Result, Stop};
use crate::{output, signals};

const POLL: Duration = Duration::from_millis(500);
/// Events that one poll takes in.
const PAGE: u64 = 1_000;
/// Positions looked at again with each poll: an event that was appended first may be committed last.
const LOOK_BACK: i64 = 2_000;

/// Show what happened, newest last.
///
/// Example: `cli journal show --unit intelligence_event --since 2h --follow`
///
/// Changes data: no.
///
/// Safe to repeat: yes, also while a worker runs.
///
/// With --follow it ends with exit code 130 on Ctrl-C, 143 on SIGTERM, and 0 where nobody reads on. --key needs the whole
/// schema (`cli schema up`); the other filters need the journal alone.
///
/// An event of a newer format, or of a kind that this release does not know, is shown as it is stored. With --json,
/// one event a line: position, run, stream, seq, kind, version, unit, key, payload, worker, at.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    events: EventArgs,

    /// The newest so many; `cli journal export` gives all.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,

    /// Go on with what is appended from now on, until interrupted.
    #[arg(long, conflicts_with = "until")]
    follow: bool,
}

/// Shows what happened.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = match args.events.key {
        Some(_) => global.journal().await?,
        None => global.journal_alone().await?,
    };
    let filter = args.events.filter(&database).await?;
    let key = args.events.key.as_deref();
    // Asked before the events, so that none is appended unseen between the two.
    let newest = newest(&database).await?;
    let mut lines = Lines::new(global.json);
    let entries = match key {
        None => journal::select(database.connection(), &filter, args.limit, true).await?,
        Some(key) => about(&database, &filter, key, args.limit).await?,
    };
    if entries.is_empty() && !args.follow {
        output::note("no event passes these filters");
    }
    output::result(&lines.next(&entries))?;
    if !args.follow {
        return Ok(());
    }
    let is_cut = entries.len() as u64 == args.limit;
    let following = Following {
        newest,
        floor: entries
            .first()
            .filter(|_| is_cut)
            .map_or(0, |entry| entry.position),
        seen: entries.iter().map(|entry| entry.position).collect(),
    };
    follow(&database, (filter, key), &mut lines, following).await
}

/// The newest events about a key that pass the filter.
async fn about(
    database: &Database,
    filter: &Filter,
    key: &str,
    limit: u64,
) -> std::result::Result<Vec<Entry>, Error> {
    let mut entries = blame::events(database, key).await?;
    entries.retain(|entry| filter.passes(entry));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    entries.drain(..entries.len().saturating_sub(limit));
    Ok(entries)
}

/// Which events were shown.
struct Following {
    /// The journal's last position when it was asked last.
    newest: i64,
    /// What is older was cut off by the limit.
    floor: i64,
    /// The positions shown, as far as they are looked at again.
    seen: BTreeSet<i64>,
}

/// Shows what is appended from here on.
async fn follow(
    database: &Database,
    (mut filter, key): (Filter, Option<&str>),
    lines: &mut Lines,
    mut following: Following,
) -> Result {
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    while !shutdown.is_requested() && !output::is_abandoned() {
        let from = following.newest - LOOK_BACK;
        following.newest = newest(database).await?;
        filter.after = Some(from.max(following.floor));
        loop {
            let mut page = journal::select(database.connection(), &filter, PAGE, false).await?;
            let is_last = (page.len() as u64) < PAGE;
            filter.after = page.last().map(|entry| entry.position).or(filter.after);
            page.retain(|entry| following.seen.insert(entry.position));
            if let Some(key) = key {
                let mut about = Vec::new();
                for entry in page {
                    if blame::is_about(database, &entry, key).await? {
                        about.push(entry);
                    }
                }
                page = about;
            }
            output::result(&lines.next(&page))?;
            if is_last || shutdown.is_requested() || output::is_closed() {
                break;
            }
        }
        following.seen = following.seen.split_off(&(following.newest - LOOK_BACK));
        shutdown.sleep(POLL).await;
    }
    match shutdown.is_requested() {
        true => Err(Stop::Ended(asked.exit_code())),
        false => Ok(()),
    }
}

async fn newest(database: &Database) -> std::result::Result<i64, Error> {
    let all = Filter::default();
    let newest = journal::select(database.connection(), &all, 1, true).await?;
    Ok(newest.last().map_or(0, |entry| entry.position))
}
