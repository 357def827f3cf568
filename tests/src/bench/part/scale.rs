//! Memory and rate as the source grows: the same run at each size.

use anyhow::Result;

use super::super::Bench;
use super::super::ground::Template;
use super::super::results::{Figure, Measure, Section, Series, Target};
use super::super::size::Size;
use super::super::statistics::{median, number, ratios};
use super::super::timed::Work;

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let sizes = bench.size.and_below();
    for round in 1..=bench.rounds {
        for size in &sizes {
            let database = bench.ground.fresh(Template::Events(*size)).await?;
            let work = Work::program(bench.backfill(&database, "intelligence_event")?);
            let table = "IntelligenceEvent";
            let sample = bench
                .time(&database, &contender(*size), round, work, table)
                .await?;
            section.samples.push(sample);
            bench.ground.drop(database).await?;
        }
    }
    for size in &sizes {
        let peaks = section.of(&contender(*size), |one| {
            let peak = i64::try_from(one.peak.unwrap_or_default()).unwrap_or(i64::MAX);
            number(peak) / 1024.0
        });
        section.figures.push(Figure::new(
            &format!("peak memory of worker run at {} events", size.events()),
            Measure::Mebibytes,
            peaks,
            Some(Target::AtMost(64.0)),
        ));
    }
    let least = section.of(&contender(Size::S), |one| one.rate());
    for size in sizes.iter().skip(1) {
        let rates = section.of(&contender(*size), |one| one.rate());
        section.figures.push(Figure::new(
            &format!("rows/s at {} events over those at 50000", size.events()),
            Measure::Ratio,
            ratios(&rates, &least),
            Some(Target::AtLeast(0.8)),
        ));
    }
    let points = sizes.iter().filter_map(|size| {
        let rate = median(&section.of(&contender(*size), |one| one.rate()))?;
        Some((f64::from(size.events()), rate))
    });
    section.series.push(Series {
        name: "rows/s".into(),
        points: points.collect(),
    });
    Ok(())
}

fn contender(size: Size) -> String {
    format!("worker run, {} events", size.events())
}
