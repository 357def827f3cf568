//! Rows that are committed behind the cursor while a unit runs are found before the unit is complete.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::scenario::Scenario;

on_both!(rows_below_the_cursor);

const UNIT: &str = "intelligence_event";

/// Campaigns of an existing tenant, with a task and nothing else, whose ids sort before and among the others.
fn campaigns(scenario: &Scenario, tag: &str) -> String {
    let at = scenario.profile.since().stored();
    let task =
        "{\"agentId\": \"late\", \"completedAt\": \"2022-06-01T00:00:00Z\", \"success\": true}";
    let rows: Vec<String> = ["!", "0", "Campaign-1", "c0", "~"]
        .iter()
        .map(|id| {
            format!("('{id}{tag}', 'acme', 'late', '{{\"agentTasks\": [{task}]}}', '{at}', '{at}')")
        })
        .collect();
    format!(
        "INSERT INTO \"Campaign\" (\"id\", \"tenantId\", \"name\", \"metadata\", \"createdAt\", \"updatedAt\") VALUES {}",
        rows.join(", ")
    )
}

pub(crate) async fn rows_below_the_cursor(backend: Backend) -> Result<()> {
    for seed in 0..5 {
        if insert_during_the_unit(backend, seed).await? {
            return Ok(());
        }
    }
    bail!("no insert was committed between the unit's first batch and its completion")
}

/// Returns whether the rows were committed while the unit was at work.
async fn insert_during_the_unit(backend: Backend, seed: u64) -> Result<bool> {
    let scenario = Scenario::load(&Profile::busy(backend, 40 + seed)).await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let mut running = scenario
        .run()?
        .args(["--batch-rows", "25", "--partitions", "1"])
        .spawn()?;
    while journal::events(&scenario.database, "BatchCommitted", Some(UNIT)).await? < 8 {
        ensure!(
            running.is_alive()?,
            "the run has ended early: {}",
            running.wait().await?
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    scenario
        .database
        .execute(&campaigns(&scenario, "-late"))
        .await?;
    let in_time = journal::events(&scenario.database, "UnitCompleted", Some(UNIT)).await? == 0;
    running.wait().await?.expect(0)?;
    let expected = scenario.expected().await?;
    if in_time {
        expected
            .check_rows(&scenario.database)
            .await
            .with_context(|| format!("seed {seed}"))?;
        scenario.verify_journal().await?;
        scenario.cli(&["validate"])?.expect(0).await?;
    }
    Ok(in_time)
}

/// A transaction that began before the run and commits in its midst, when the cursor has long passed its keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_older_than_the_run() -> Result<()> {
    for seed in 0..5 {
        let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 50 + seed)).await?;
        scenario.cli(&["schema", "up"])?.expect(0).await?;
        let insert = campaigns(&scenario, "-slow");
        // The transaction stays open in one statement batch until the latch opens.
        let holder = scenario.database.another().await?;
        let writer = scenario.database.another().await?;
        let (held, release) = tokio::sync::oneshot::channel::<()>();
        let waiting = tokio::spawn(async move {
            holder
                .execute("CREATE TABLE latch (open BOOLEAN); INSERT INTO latch VALUES (false)")
                .await?;
            release.await?;
            holder.execute("UPDATE latch SET open = true").await
        });
        while !scenario.database.has_table("latch").await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let writing = tokio::spawn(async move {
            let wait = "DO $$ BEGIN WHILE NOT (SELECT open FROM latch) LOOP PERFORM pg_sleep(0.005); END LOOP; END $$";
            writer
                .execute(&format!("BEGIN; {insert}; {wait}; COMMIT"))
                .await
        });
        let mut running = scenario
            .run()?
            .args(["--batch-rows", "25", "--partitions", "1"])
            .spawn()?;
        while journal::events(&scenario.database, "BatchCommitted", Some(UNIT)).await? < 8 {
            ensure!(
                running.is_alive()?,
                "the run has ended early: {}",
                running.wait().await?
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        held.send(()).ok().context("the latch's holder has ended")?;
        waiting.await??;
        writing.await??;
        let in_time = journal::events(&scenario.database, "UnitCompleted", Some(UNIT)).await? == 0;
        running.wait().await?.expect(0)?;
        if in_time {
            let expected = scenario.expected().await?;
            return expected
                .check_rows(&scenario.database)
                .await
                .with_context(|| format!("seed {seed}"));
        }
    }
    bail!("no transaction was committed between the unit's first batch and its completion")
}
