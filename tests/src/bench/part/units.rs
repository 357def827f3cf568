//! The other four units, each against the one statement that does the same.

use anyhow::{Result, ensure};

use super::super::Bench;
use super::super::ground::Template;
use super::super::results::{Figure, Measure, Section, Target};
use super::super::sql::{instead, kpi};
use super::super::statistics::ratios;
use super::super::timed::Work;
use crate::database::Database;

/// A unit and its destination.
struct Unit {
    name: &'static str,
    table: &'static str,
    /// What both must have come to, beside the number of rows: two numbers, as SQL.
    sums: &'static str,
}

/// In the order in which they can be run.
const UNITS: [Unit; 4] = [
    Unit {
        name: "campaign_prompt",
        table: "Campaign",
        sums: r#"COUNT("prompt")::double precision, SUM(hashtext("prompt"))::double precision"#,
    },
    Unit {
        name: "prompt_performance",
        table: "PromptPerformance",
        sums: r#"SUM("impressions")::double precision, SUM("ctr" + "cvr")"#,
    },
    Unit {
        name: "kpi_history",
        table: "KPIHistory",
        sums: r#"SUM("metricValue"), COUNT(*) FILTER (WHERE "metadata" = '{"source":"computed"}')::double precision"#,
    },
    Unit {
        name: "agent_feedback",
        table: "AgentFeedback",
        sums: r#"SUM("rating")::double precision, SUM(hashtext("comment"))::double precision"#,
    },
];

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let template = Template::Others(bench.size);
    for round in 1..=bench.rounds {
        let theirs = bench.ground.fresh(template).await?;
        let ours = bench.ground.fresh(template).await?;
        for unit in &UNITS {
            for (database, work) in [
                (&theirs, Work::statement(&statement(unit.name))),
                (&ours, Work::program(bench.backfill(&ours, unit.name)?)),
            ] {
                let contender = match work {
                    Work::Statements(_) => by_statement(unit),
                    Work::Programs(_) => by_worker(unit),
                };
                bench.ground.settle().await?;
                let sample = bench
                    .time(database, &contender, round, work, unit.table)
                    .await?;
                section.samples.push(sample);
            }
            expect_same(unit, &theirs, &ours).await?;
        }
        bench.ground.drop(theirs).await?;
        bench.ground.drop(ours).await?;
    }
    for unit in &UNITS {
        section.figures.push(Figure::new(
            &format!("{}: rows/s over its INSERT … SELECT or UPDATE", unit.name),
            Measure::Ratio,
            ratios(
                &section.of(&by_worker(unit), |one| one.rate()),
                &section.of(&by_statement(unit), |one| one.rate()),
            ),
            Some(Target::AtLeast(1.0)),
        ));
    }
    bench.ground.forget(template).await
}

fn by_statement(unit: &Unit) -> String {
    format!("one statement, {}", unit.name)
}

fn by_worker(unit: &Unit) -> String {
    format!("worker run, {}", unit.name)
}

fn statement(unit: &str) -> String {
    match unit {
        "campaign_prompt" => instead::CAMPAIGN_PROMPT.to_owned(),
        "prompt_performance" => instead::prompt_performance(),
        "kpi_history" => kpi::history(),
        _ => instead::agent_feedback(),
    }
}

/// Who writes less is not faster.
async fn expect_same(unit: &Unit, theirs: &Database, ours: &Database) -> Result<()> {
    let sql = format!("SELECT COUNT(*), {} FROM \"{}\"", unit.sums, unit.table);
    let look = async |database: &Database| -> Result<(i64, f64, f64)> {
        let rows = database.query(&sql).await?;
        let value = |place| -> Result<f64> { Ok(rows[0].try_get_by_index(place)?) };
        Ok((rows[0].try_get_by_index(0)?, value(1)?, value(2)?))
    };
    let (theirs, ours) = (look(theirs).await?, look(ours).await?);
    let is_near = |one: f64, other: f64| (one - other).abs() <= 1e-9 * one.abs().max(1.0);
    ensure!(
        theirs.0 > 0
            && theirs.0 == ours.0
            && is_near(theirs.1, ours.1)
            && is_near(theirs.2, ours.2),
        "{}: the statement and the worker did not write the same: {theirs:?}, {ours:?}",
        unit.name
    );
    Ok(())
}
