//! Forward, verified, validated and undone, one after the other in one database.

use anyhow::{Result, ensure};

use super::super::Bench;
use super::super::ground::Template;
use super::super::results::{Figure, Measure, Section, Target};
use super::super::sql::AS_OF;
use super::super::statistics::ratios;
use super::super::timed::{self, Work};
use super::throughput::WORKER;
use crate::process;

const VERIFY: &str = "cli journal verify";
const VALIDATE: &str = "cli validate";
const UNDO: &str = "cli rollback";

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    for round in 1..=bench.rounds {
        let database = bench.ground.fresh(Template::Events(bench.size)).await?;
        let mut rows = 0;
        for contender in [WORKER, VERIFY, VALIDATE, UNDO] {
            let cli = || process::cli(&database);
            let program = match contender {
                VERIFY => cli()?.args(["journal", "verify"]),
                VALIDATE => cli()?.args(["validate"]),
                UNDO => cli()?.args(["rollback", "--yes", "--reason", "benchmark"]),
                _ => bench.backfill(&database, "intelligence_event")?,
            };
            bench.ground.settle().await?;
            let work = Work::program(program);
            let timed = timed::time(&bench.ground, &database, contender, round, work);
            let mut sample = timed.await?;
            sample.batches = sample.batches.filter(|_| contender == WORKER);
            if contender == WORKER {
                rows = database.count("IntelligenceEvent").await?;
            }
            sample.rows = rows;
            bench.tell(&format!(
                "round {round}: {contender}: {:.2} s",
                sample.seconds
            ));
            section.samples.push(sample);
            if contender == WORKER {
                // A validation wants the whole plan; the other units have next to nothing to do.
                let rest = process::worker(&database)?.args(["run", "--as-of", AS_OF]);
                timed::run(vec![rest]).await?;
            }
        }
        let left = database.count("IntelligenceEvent").await?;
        ensure!(left == 0, "{left} rows are left after the rollback");
        bench.ground.drop(database).await?;
    }
    let forward = section.of(WORKER, |one| one.seconds);
    for (contender, least) in [(UNDO, 1.0), (VERIFY, 2.0), (VALIDATE, 2.0)] {
        let own = section.of(contender, |one| one.seconds);
        section.figures.push(Figure::new(
            &format!("{contender}: rows/s over forward"),
            Measure::Ratio,
            ratios(&forward, &own),
            Some(Target::AtLeast(least)),
        ));
    }
    Ok(())
}
