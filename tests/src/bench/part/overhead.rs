//! What journal and provenance cost: the same runs with them left out, by a switch that no release has.

use anyhow::Result;

use super::super::Bench;
use super::super::ground::Template;
use super::super::results::{Figure, Measure, Sample, Section, Target};
use super::super::statistics::ratios;
use super::super::timed::Work;
use crate::process;

/// The program with the switch, beside the others.
const PROGRAM: &str = "worker-bench";

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    if process::program(PROGRAM, "").is_err() {
        section.skip("this build has no worker with the switch that leaves provenance out");
        return Ok(());
    }
    let units = [
        ("intelligence_event", Template::Events(bench.size), 1.05),
        ("campaign_prompt", Template::Others(bench.size), 1.15),
    ];
    for (unit, template, most) in units {
        let table = match unit {
            "campaign_prompt" => "Campaign",
            _ => "IntelligenceEvent",
        };
        let (with, without) = (format!("{unit} with provenance"), format!("{unit} without"));
        for round in 1..=bench.rounds {
            for contender in [&without, &with] {
                let database = bench.ground.fresh(template).await?;
                let mut run = process::program(PROGRAM, &database.url)?.args([
                    "run",
                    "--as-of",
                    super::super::sql::AS_OF,
                    "--unit",
                    unit,
                ]);
                if *contender == without {
                    run = run.env("BACKSTITCH_BENCH_WITHOUT", "provenance");
                }
                let work = Work::program(run);
                let sample = bench.time(&database, contender, round, work, table).await?;
                section.samples.push(sample);
                bench.ground.drop(database).await?;
            }
        }
        section.figures.push(Figure::new(
            &format!("{unit}: time with provenance over time without"),
            Measure::Ratio,
            ratios(
                &section.of(&with, |one| one.seconds),
                &section.of(&without, |one| one.seconds),
            ),
            Some(Target::AtMost(most)),
        ));
        section.figures.push(Figure::new(
            &format!("{unit}: seconds of CPU with provenance over those without"),
            Measure::Ratio,
            ratios(
                &section.of(&with, Sample::cpu),
                &section.of(&without, Sample::cpu),
            ),
            None,
        ));
    }
    Ok(())
}
