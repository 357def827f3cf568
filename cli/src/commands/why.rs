//! `cli why`.

use worker::error::Error;
use worker::{approval, engine, journal, runbook, schema, units, why};

use crate::args::{Global, RunArg};
use crate::select::Since;
use crate::stop::Result;
use crate::{output, render, select};

/// Say why a run stands still, or was slow: what it does now or waits for, and what took its time.
///
/// Example: `cli why`, or `cli why --since 2h --until 1h`
///
/// Changes data: no.
///
/// Safe to repeat: yes, also while a worker runs.
///
/// The worst comes first, each with what to do: cancelled, paused and by whom, holding for a signal, nobody at work, too
/// many bad rows, waiting for a lock or another unit, a rollback that is not finished. Then, of the whole run or between
/// two times: holds, times without any worker, a slower pace, smaller batches, indexes, and the rate against the run's
/// median. All from the journal's events; on PostgreSQL also who holds a lock and whether any of our sessions is there.
/// With --json: one document.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArg,

    /// From then on: an instant (2025-11-04T00:00:00Z), a date (its 00:00 UTC), or a duration before the database's
    /// clock (2h) [default: the run's start].
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,

    /// Up to then [default: the run's end, or now].
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    until: Option<Since>,
}

/// Says why.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let database = global.journal_alone().await?;
    let Some(run) = select::run(&database, args.run.named()).await? else {
        // What keeps a run from beginning.
        let plan = std::sync::Arc::new(units::phase5(Vec::new()));
        let changes = schema::status(&database).await?;
        let pending = changes.iter().filter(|change| !change.is_applied).count();
        let runbook = runbook::load(&database).await?;
        let approved = approval::of(&runbook, &engine::fingerprint(&plan));
        return match global.json {
            true => output::json(&render::why::unbegun_document(pending, approved.as_ref())),
            false => output::result(&render::why::unbegun(pending, approved.as_ref())),
        };
    };
    let now = journal::now(database.connection()).await?;
    let instant = |named: Option<Since>| named.map(|named| named.instant(now));
    let (since, until) = (instant(args.since), instant(args.until));
    if since
        .zip(until)
        .is_some_and(|(since, until)| until <= since)
    {
        return Err(Error::Usage("--until must be later than --since".into()).into());
    }
    let report = why::ask(&database, &run, since, until).await?;
    match global.json {
        true => output::json(&report),
        false => output::result(&render::why::report(&report)),
    }
}
