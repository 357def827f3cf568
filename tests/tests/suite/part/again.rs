//! What one version of the program wrote, beside what another did: taken back, and written again.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::dump::{self, Dump};
use tests::scenario::Scenario;
use tests::{journal, provenance};

use super::{OTHER, WORD, cli, rollback, told, until_done};
use crate::deep::{load, plain_feedback};

on_both!(
    values_brought_up_to_date_are_put_back,
    a_wrong_version_s_rows_are_written_again,
    a_killed_redo_goes_on,
    all_that_was_taken_back_is_written_again,
);

/// A second release brought rows up to date that a first had written: without it, those of the first stand again.
async fn values_brought_up_to_date_are_put_back(backend: Backend) -> Result<()> {
    let scenario = load(backend, 544).await?;
    let database = &scenario.database;
    let before_the_second = [
        "batch kpi_history 2.0 first: claimed",
        "batch kpi_history 2.0 only: claimed",
        "event UnitCompleted kpi_history: decided",
    ];
    let run = scenario.run()?.args(["--batch-rows", "20"]);
    let run = run.env("BACKSTITCH_FAULT", told(&before_the_second)?);
    ensure!(run.run().await?.was_killed());
    let first = dump::keyed(database, "KPIHistory").await?;
    database
        .execute("UPDATE \"Deal\" SET \"acv\" = \"acv\" + 1000")
        .await?;
    scenario.run()?.expect(0).await?;
    let second = scenario.state().await?;
    let refreshed = dump::keyed(database, "KPIHistory").await?;
    ensure!(first.keys().eq(refreshed.keys()) && first != refreshed);

    let part = ["--unit", "kpi_history", "--written-by", "0.1.0"];
    rollback(&scenario, &part).await?;
    let reverted = dump::keyed(database, "KPIHistory").await?;
    ensure!(reverted == first, "what the first release wrote stands not");
    rollback(&scenario, &[]).await?;
    scenario.expect_state(&second).await?;
    let redo = [&["redo"][..], &part, &WORD].concat();
    cli(&scenario, &redo)?.expect(0).await?;
    scenario.expect_state(&second).await?;
    let again = journal::events(database, "BatchCommitted", Some("kpi_history.again")).await?;
    ensure!(again > 0);
    rollback(&scenario, &[]).await?;
    scenario.expect_state(&second).await?;
    // The first release's rows, once the second's are out of the way.
    rollback(&scenario, &part).await?;
    rollback(&scenario, &["--unit", "kpi_history", "--written-by", OTHER]).await?;
    ensure!(dump::keyed(database, "KPIHistory").await?.is_empty());
    scenario.verify_journal().await
}

/// Feedback that a wrong release wrote in part, and the right one to the end; and what should stand.
async fn half_wrong(backend: Backend, seed: u64) -> Result<(Scenario, Dump)> {
    let scenario = load(backend, seed).await?;
    plain_feedback(&scenario).await?;
    let mend = "UPDATE \"UserFeedback\" SET \"comment\" = 'mended' WHERE \"id\" LIKE 'plain-%'";
    let reference = load(backend, seed).await?;
    plain_feedback(&reference).await?;
    reference.database.execute(mend).await?;
    reference.run()?.expect(0).await?;
    // One partition, so that the first release is killed amid the rows.
    let run = scenario.run()?;
    let run = run.args(["--batch-rows", "5", "--partitions", "1"]);
    let point = "batch agent_feedback 1.0 middle: committed";
    let outcome = run.env("BACKSTITCH_FAULT", told(&[point])?).run().await?;
    ensure!(outcome.was_killed(), "{outcome}");
    let run = scenario.run()?;
    let run = run.args(["--batch-rows", "5", "--partitions", "1"]);
    run.expect(0).await?;
    scenario.database.execute(mend).await?;
    let expected = dump::of(&reference.database, &["AgentFeedback"]).await?;
    Ok((scenario, expected))
}

async fn a_wrong_version_s_rows_are_written_again(backend: Backend) -> Result<()> {
    let (scenario, mended) = half_wrong(backend, 545).await?;
    let database = &scenario.database;
    let before = scenario.state().await?;
    let standing = dump::keyed(database, "AgentFeedback").await?;
    let wrong = "j.stream LIKE 'agent_feedback/%' AND j.worker = (SELECT MIN(w.worker) FROM backstitch_journal w \
                 WHERE w.kind = 'WorkerStarted' AND w.payload LIKE '%0.0.9%')";
    let wrong = provenance::of_batches(database, wrong).await?;
    let wrong: BTreeSet<String> = wrong.into_iter().map(|(_, key)| key).collect();
    ensure!(!wrong.is_empty() && wrong.len() < standing.len());
    let mended: BTreeSet<&String> = mended.table("AgentFeedback").iter().collect();

    let redo = ["redo", "--written-by", OTHER, "--unit", "agent_feedback"];
    let dry = [&redo[..], &["--dry-run"]].concat();
    cli(&scenario, &dry)?.expect(0).await?;
    cli(&scenario, &redo)?
        .args(["--reason", "x"])
        .expect(4)
        .await?;
    scenario.expect_state(&before).await?;
    let command = [&redo[..], &WORD].concat();
    let outcome = cli(&scenario, &command)?.expect(0).await?;
    let rows = wrong.len();
    outcome.expect_named(&[
        &format!("took back {rows} rows"),
        &format!("wrote {rows} rows again"),
    ])?;
    let after = dump::keyed(database, "AgentFeedback").await?;
    ensure!(after.keys().eq(standing.keys()));
    for (key, row) in &after {
        match wrong.contains(key) {
            true => ensure!(mended.contains(row), "{key} is not mended: {row}"),
            false => ensure!(*row == standing[key], "{key} was not to be touched"),
        }
    }
    let again = "j.stream LIKE 'agent_feedback.again/%'";
    let again = provenance::of_batches(database, again).await?;
    ensure!(
        again.len() == rows,
        "{} rows were written again",
        again.len()
    );
    scenario.verify_journal().await?;
    rollback(&scenario, &[]).await?;
    scenario.expect_state(&before).await?;
    scenario.verify_journal().await
}

async fn a_killed_redo_goes_on(backend: Backend) -> Result<()> {
    let (scenario, _) = half_wrong(backend, 546).await?;
    let (undisturbed, _) = half_wrong(backend, 546).await?;
    let redo = [&["redo", "--written-by", OTHER][..], &WORD].concat();
    cli(&undisturbed, &redo)?.expect(0).await?;
    let points = ["agent_feedback.removed", "agent_feedback.again"]
        .into_iter()
        .flat_map(|unit| {
            let steps = ["written", "event appended", "committed"];
            let places = ["first", "only", "last"];
            places.into_iter().flat_map(move |place| {
                steps.map(|step| format!("batch {unit} 1.0 {place}: {step}"))
            })
        });
    let kills = until_done(&scenario, &redo, points.collect()).await?;
    ensure!(kills >= 6, "only {kills} points were met");
    scenario
        .expect_state(&undisturbed.state().await?)
        .await
        .context("the same as undisturbed")?;
    scenario.verify_journal().await
}

/// Of a source that stands still, a redo leaves everything as it was: also what is dated after the run's instant.
async fn all_that_was_taken_back_is_written_again(backend: Backend) -> Result<()> {
    let scenario = load(backend, 548).await?;
    scenario.run()?.expect(0).await?;
    let before = scenario.state().await?;
    let written = "j.stream LIKE 'campaign_prompt/%'";
    let written = provenance::of_batches(&scenario.database, written).await?;
    let redo = [&["redo", "--unit", "campaign_prompt"][..], &WORD].concat();
    let outcome = cli(&scenario, &redo)?.expect(0).await?;
    let rows = written.len();
    outcome.expect_named(&[&format!("took back {rows} rows, wrote {rows} rows again")])?;
    scenario.expect_state(&before).await?;
    scenario.verify_journal().await
}
