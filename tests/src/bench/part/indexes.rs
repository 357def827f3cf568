//! Secondary indexes after the backfill, the builds counted in, against the same run with the indexes before.

use anyhow::Result;

use super::super::Bench;
use super::super::ground::{Template, expect_indexes};
use super::super::results::{Figure, Measure, Section, Target};
use super::super::size::Size;
use super::super::statistics::ratios;
use super::super::timed::Work;

const BEFORE: &str = "worker run --migrate --indexes before";
const AFTER: &str = "worker run --migrate --indexes after";

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    if !bench.has_option("--indexes") {
        section.skip("this build of the worker has no --indexes");
        return Ok(());
    }
    for round in 1..=bench.rounds {
        for (contender, order) in [(BEFORE, "before"), (AFTER, "after")] {
            let template = Template::EventsBare(bench.size);
            let database = bench.ground.fresh(template).await?;
            let run = bench.backfill(&database, "intelligence_event")?;
            let work = Work::program(run.args(["--migrate", "--indexes", order]));
            let table = "IntelligenceEvent";
            let sample = bench.time(&database, contender, round, work, table).await?;
            section.samples.push(sample);
            expect_indexes(&database).await?;
            bench.ground.drop(database).await?;
        }
    }
    let least = match bench.size {
        Size::S | Size::M => 1.0,
        Size::L => 1.3,
    };
    section.figures.push(Figure::new(
        "indexes after: rows/s over indexes before, builds counted in",
        Measure::Ratio,
        ratios(
            &section.of(AFTER, |one| one.rate()),
            &section.of(BEFORE, |one| one.rate()),
        ),
        Some(Target::AtLeast(least)),
    ));
    bench.ground.forget(Template::EventsBare(bench.size)).await
}
