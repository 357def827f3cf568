//! What the foreground notices of a run, of one at full speed, and of one statement: each in a database of its own, beside
//! the quiet before and after it.

use std::time::Duration;

use anyhow::{Context, Result};

use super::super::Bench;
use super::super::foreground::{Foreground, RATE, now, within};
use super::super::ground::Template;
use super::super::results::{Figure, Measure, Section, Series, Target};
use super::super::size::Size;
use super::super::sql::instead;
use super::super::statistics::{percentile, ratios};
use super::super::timed::Work;
use super::super::watch::Watch;
use super::throughput::{STATEMENT, WORKER};
use crate::database::Database;

const ALONE: &str = "worker run at full speed, no foreground";
const OFF: &str = "worker run --pace off";

/// The percentiles that are shown.
const SHARES: [f64; 7] = [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.999];

/// How long a wait for a lock of ours may be, in milliseconds.
const LONGEST_WAIT: f64 = 100.0;

/// What was seen of a contender, by round.
#[derive(Default)]
struct Seen {
    p95: Vec<f64>,
    p99: Vec<f64>,
    longest: Vec<f64>,
    waits: Vec<f64>,
    quiet: Vec<f64>,
    busy: Vec<f64>,
}

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let has_pace = bench.has_option("--pace");
    let mut contenders = vec![WORKER];
    match has_pace {
        true => contenders.push(OFF),
        false => section.skip(
            "a run at full speed beside a default one: this build of the worker has no --pace",
        ),
    }
    contenders.push(STATEMENT);
    let mut seen: Vec<Seen> = contenders.iter().map(|_| Seen::default()).collect();
    for round in 1..=bench.rounds {
        alone(bench, section, round, has_pace).await?;
        for (contender, seen) in contenders.iter().zip(&mut seen) {
            let database = bench.ground.fresh(Template::Events(bench.size)).await?;
            disturb(bench, section, contender, round, &database, seen).await?;
            bench.ground.drop(database).await?;
        }
    }
    let full = section.of(ALONE, |one| one.rate());
    for (contender, seen) in contenders.iter().zip(&seen) {
        let target = |target| (*contender == WORKER).then_some(target);
        let mut add = |name: &str, measure, values: &[f64], target| {
            let name = format!("{contender}: {name}");
            let figure = Figure::new(&name, measure, values.to_vec(), target);
            section.figures.push(figure);
        };
        let ratio = Measure::Ratio;
        add(
            "p95 over its own without",
            ratio,
            &seen.p95,
            target(Target::AtMost(1.10)),
        );
        add(
            "p99 over its own without",
            ratio,
            &seen.p99,
            target(Target::AtMost(1.25)),
        );
        let millis = Measure::Milliseconds;
        add("longest foreground statement", millis, &seen.longest, None);
        let most = target(Target::AtMost(LONGEST_WAIT));
        add("longest wait for a lock of ours", millis, &seen.waits, most);
    }
    for contender in contenders.iter().filter(|one| **one != STATEMENT) {
        let target = (*contender == WORKER).then_some(Target::AtLeast(0.5));
        let own = section.of(contender, |one| one.rate());
        let name = format!("{contender}: its rate over that at full speed without a foreground");
        let figure = Figure::new(&name, Measure::Ratio, ratios(&own, &full), target);
        section.figures.push(figure);
    }
    let quiet: Vec<f64> = seen.iter().flat_map(|seen| seen.quiet.clone()).collect();
    show(section, "nothing", &quiet);
    for (contender, seen) in contenders.iter().zip(&seen) {
        show(section, contender, &seen.busy);
    }
    section.notes.push(format!(
        "Foreground: pgbench, 4 clients, {RATE} transactions a second in all, a read and an update of one campaign each; \
         latency from when a transaction was due, its queueing included."
    ));
    Ok(())
}

/// The rate without a foreground.
async fn alone(bench: &Bench, section: &mut Section, round: u32, has_pace: bool) -> Result<()> {
    let database = bench.ground.fresh(Template::Events(bench.size)).await?;
    let run = bench.backfill(&database, "intelligence_event")?;
    let run = match has_pace {
        true => run.args(["--pace", "off"]),
        false => run,
    };
    let work = Work::program(run);
    let sample = bench.time(&database, ALONE, round, work, "IntelligenceEvent");
    section.samples.push(sample.await?);
    bench.ground.drop(database).await
}

/// One contender beside the foreground, between two times of quiet.
async fn disturb(
    bench: &Bench,
    section: &mut Section,
    contender: &str,
    round: u32,
    database: &Database,
    seen: &mut Seen,
) -> Result<()> {
    let backfill = || bench.backfill(database, "intelligence_event");
    let work = match contender {
        STATEMENT => Work::statement(&instead::events(instead::HASHED, "TRUE")),
        OFF => Work::program(backfill()?.args(["--pace", "off"])),
        _ => Work::program(backfill()?),
    };
    let quiet = Duration::from_secs(match bench.size {
        Size::S => 5,
        Size::M | Size::L => 8,
    });
    let foreground = Foreground::start(&bench.ground, database)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = now()?;
    tokio::time::sleep(quiet).await;
    let maintenance = bench.ground.maintenance();
    maintenance
        .query("SELECT pg_stat_statements_reset()")
        .await?;
    let every = Duration::from_millis(25);
    let watch = Watch::begin(maintenance, waits(database.name()), every).await?;
    let from = now()?;
    let sample = bench
        .time(database, contender, round, work, "IntelligenceEvent")
        .await?;
    let to = from + sample.seconds;
    seen.longest
        .push(maintenance.value(&longest(database.name())).await?);
    seen.waits.push(watch.end().await?.greatest());
    section.samples.push(sample);
    // What the run leaves behind is no longer the run.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = now()?;
    tokio::time::sleep(quiet).await;
    let ended = now()?;
    let visits = foreground.end().await?;
    let busy = within(&visits, from, to);
    let mut calm = within(&visits, begun, from);
    calm.extend(within(&visits, again, ended));
    let ratio = |share| -> Result<f64> {
        let of = |values: &[f64]| percentile(values, share).context("the foreground did nothing");
        Ok(of(&busy)? / of(&calm)?)
    };
    seen.p95.push(ratio(0.95)?);
    seen.p99.push(ratio(0.99)?);
    bench.tell(&format!(
        "round {round}: {contender}: p95 {:.2}×, p99 {:.2}×",
        ratio(0.95)?,
        ratio(0.99)?
    ));
    seen.quiet.extend(calm);
    seen.busy.extend(busy);
    Ok(())
}

/// A line of the plot, and the same as a remark.
fn show(section: &mut Section, name: &str, latencies: &[f64]) {
    let points: Vec<(f64, f64)> = SHARES
        .iter()
        .filter_map(|share| Some((*share, percentile(latencies, *share)?)))
        .collect();
    let shown: Vec<String> = points
        .iter()
        .map(|(share, millis)| format!("p{} {millis:.1}", (share * 1000.0).round() / 10.0))
        .collect();
    section.notes.push(format!(
        "Foreground beside {name}, ms: {} ({} transactions)",
        shown.join(", "),
        latencies.len()
    ));
    section.series.push(Series {
        name: name.to_owned(),
        points,
    });
}

/// For how long, in milliseconds, statements of the foreground have run that wait for a lock of another's.
fn waits(database: &str) -> String {
    format!(
        "SELECT 'wait', EXTRACT(EPOCH FROM clock_timestamp() - a.query_start)::double precision * 1000
         FROM pg_stat_activity a
         WHERE a.datname = '{database}' AND a.application_name = 'pgbench' AND a.wait_event_type = 'Lock'
           AND EXISTS (SELECT 1 FROM unnest(pg_blocking_pids(a.pid)) blocker (pid) JOIN pg_stat_activity o USING (pid)
                       WHERE o.application_name <> 'pgbench')"
    )
}

/// The longest statement of the foreground since the last reset, in milliseconds.
fn longest(database: &str) -> String {
    format!(
        "SELECT COALESCE(MAX(s.max_exec_time), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
         WHERE d.datname = '{database}' AND s.calls > 0
           AND (s.query LIKE 'UPDATE \"Campaign\" SET \"updatedAt\"%' OR s.query LIKE 'SELECT \"name\", \"status\"%')"
    )
}
