//! Events: one statement, two side by side, and the worker with one, two and four workers, and as two and four processes.

use anyhow::{Result, ensure};

use super::super::Bench;
use super::super::ground::Template;
use super::super::results::{Figure, Measure, Section, Series, Target};
use super::super::sql::instead;
use super::super::statistics::{median, number, ratios};
use super::super::timed::Work;
use crate::database::Database;

/// What everything is compared with.
pub(super) const STATEMENT: &str = "INSERT … SELECT, hashed ids";
pub(super) const WORKER: &str = "worker run";
const ORDERED: &str = "INSERT … SELECT, ordered ids";
const HALVES: &str = "two INSERT … SELECT side by side";
const ONE: &str = "worker run --workers 1";
const FOUR: &str = "worker run --workers 4";
const PROCESSES: &str = "two processes of worker run";
const MANY: &str = "four processes of worker run";

const CONTENDERS: [&str; 8] = [
    STATEMENT, ORDERED, HALVES, WORKER, ONE, FOUR, PROCESSES, MANY,
];

/// Those that are timed in every round.
const HEADLINE: [&str; 3] = [STATEMENT, HALVES, WORKER];

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let mut digests = Vec::new();
    for round in 1..=bench.rounds {
        // Those that are only there to be plotted take as long as all others together: a third of the rounds is theirs.
        let is_full = round <= bench.rounds.div_ceil(3);
        let due = CONTENDERS.iter().copied();
        let due = due.filter(|one| is_full || HEADLINE.contains(one));
        for contender in due {
            let database = bench.ground.fresh(Template::Events(bench.size)).await?;
            let work = work(bench, &database, contender)?;
            let sample = bench
                .time(&database, contender, round, work, "IntelligenceEvent")
                .await?;
            section.samples.push(sample);
            if round == 1 {
                digests.push(database.value::<String>(instead::EVENTS_DIGEST).await?);
            }
            bench.ground.drop(database).await?;
        }
    }
    ensure!(
        digests.iter().all(|digest| *digest == digests[0]),
        "the contenders did not write the same: {digests:?}"
    );
    let statement = section.of(STATEMENT, |one| one.rate());
    for contender in &CONTENDERS[1..] {
        let rates = section.of(contender, |one| one.rate());
        let target = (*contender == WORKER).then_some(Target::AtLeast(1.6));
        section.figures.push(Figure::new(
            &format!("{contender}: rows/s over {STATEMENT}"),
            Measure::Ratio,
            ratios(&rates, &statement),
            target,
        ));
    }
    let batches = section.samples.iter().filter(|one| one.contender == WORKER);
    let batches = batches.map(|one| number(one.rows) / one.batches.unwrap_or(one.seconds));
    section.figures.push(Figure::new(
        "worker run, from its first to its last batch alone: rows/s over the same",
        Measure::Ratio,
        ratios(&batches.collect::<Vec<_>>(), &statement),
        None,
    ));
    plot(section, "workers", [ONE, WORKER, FOUR]);
    plot(section, "processes", [WORKER, PROCESSES, MANY]);
    Ok(())
}

/// A line over one, two and four of something.
fn plot(section: &mut Section, name: &str, contenders: [&str; 3]) {
    let points = [1.0, 2.0, 4.0].into_iter().zip(contenders);
    let points = points.filter_map(|(of_them, contender)| {
        let rate = median(&section.of(contender, |one| one.rate()))?;
        Some((of_them, rate))
    });
    let points = points.collect();
    section.series.push(Series {
        name: name.to_owned(),
        points,
    });
}

fn work(bench: &Bench, database: &Database, contender: &str) -> Result<Work> {
    let backfill = || bench.backfill(database, "intelligence_event");
    Ok(match contender {
        STATEMENT => Work::statement(&instead::events(instead::HASHED, "TRUE")),
        ORDERED => Work::statement(&instead::events(instead::ORDERED, "TRUE")),
        HALVES => {
            let halves = instead::halves();
            let halves = halves.map(|half| instead::events(instead::HASHED, &half));
            Work::Statements(halves.to_vec())
        }
        ONE => Work::program(backfill()?.args(["--workers", "1"])),
        FOUR => Work::program(backfill()?.args(["--workers", "4"])),
        PROCESSES => Work::Programs(vec![backfill()?, backfill()?]),
        MANY => Work::Programs(vec![backfill()?, backfill()?, backfill()?, backfill()?]),
        _ => Work::program(backfill()?),
    })
}
