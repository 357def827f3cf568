//! Rows that are committed behind the cursor while a unit runs are found before the unit is complete.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::moment::Moment;
use tests::proxy::{Action, Side, Step, Trip, Within};
use tests::scenario::Scenario;
use tests::tiny::Tiny;

on_both!(
    rows_below_the_cursor,
    a_key_that_moves_behind_the_cursor,
    inserts_without_end,
);

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
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, 40 + seed)).await?;
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
        let scenario =
            Scenario::load_with_schema(&Profile::busy(Backend::Postgres, 50 + seed)).await?;
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

/// Feedback that is good, dated so.
fn feedback(id: &str, at: &str) -> String {
    format!(
        "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
         \"createdBy\") VALUES ('{id}', 'Copy', 't', 'human', 3, '{at}', 'late')"
    )
}

/// The source's last row gets a key that the cursor has passed: no page of the first pass holds it.
async fn a_key_that_moves_behind_the_cursor(backend: Backend) -> Result<()> {
    let unit = Some("agent_feedback");
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, 58)).await?;
    let database = &scenario.database;
    // Sorts behind all others.
    let last = feedback("\u{1FAE0}", &scenario.profile.since().stored());
    database.execute(&last).await?;
    let run = scenario.run()?.args(["--unit", "agent_feedback"]);
    let run = run.args(["--batch-rows", "3", "--partitions", "1", "--workers", "1"]);
    // Between two batches there is time for the application, which on SQLite waits for the one lock there is.
    let mut running = run.args(["--pace", "100/s"]).spawn()?;
    while journal::events(database, "BatchCommitted", unit).await? < 8 {
        ensure!(running.is_alive()?, "{}", running.wait().await?);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let moved = "UPDATE \"UserFeedback\" SET \"id\" = '!' WHERE \"createdBy\" = 'late'";
    ensure!(database.execute(moved).await? == 1);
    let batches = journal::events(database, "BatchCommitted", unit).await?;
    ensure!(
        batches < 60,
        "the first pass was over after {batches} batches"
    );
    running.wait().await?.expect(0)?;
    let written = "SELECT COUNT(*) FROM \"AgentFeedback\" WHERE \"createdBy\" = 'late'";
    let written: i64 = database.value(written).await?;
    ensure!(written == 1, "the row was written {written} times");
    scenario.verify_journal().await
}

/// A pass ends at the key that was the last when it was planned, and what is dated after the run's instant is the next
/// run's: somebody who goes on inserting does not keep a run from its end.
async fn inserts_without_end(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, 59)).await?;
    let expected = scenario.expected().await?;
    let later = Moment(scenario.profile.as_of.0 + 1_000).stored();
    let run = scenario.run()?.args(["--batch-rows", "25"]);
    let mut running = run.spawn()?;
    let mut inserted = 0;
    while running.is_alive()? {
        let insert = feedback(&format!("\u{1FAE0}{inserted:08}"), &later);
        scenario.database.execute(&insert).await?;
        inserted += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.wait().await?.expect(0)?;
    ensure!(inserted > 100, "only {inserted} rows were inserted");
    expected.check_rows(&scenario.database).await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await
}

/// A row is written as it was when its page was read, and nothing of it is mixed: what becomes of it after is the
/// application's own affair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_changes_between_read_and_write() -> Result<()> {
    let tiny = Tiny::prepare().await?;
    let copy = tiny.copy().await?;
    let proxy = tiny.proxy().await?;
    let trip = Trip {
        side: Some(Side::Client),
        within: Within::Step(Step::Claiming),
        after: 1,
        action: Action::Hold,
    };
    let command = tiny.run_by(&proxy, &copy)?;
    let (running, struck) = tiny.start_armed(&proxy, trip, command).await?;
    ensure!(struck.is_some(), "no partition was claimed");
    let first = "\"id\" = (SELECT MIN(\"id\") FROM \"UserFeedback\")";
    let was = format!("SELECT \"taskId\" FROM \"UserFeedback\" WHERE {first}");
    let was: String = copy.database.value(&was).await?;
    let change =
        |to: &str| format!("UPDATE \"UserFeedback\" SET \"taskId\" = '{to}' WHERE {first}");
    ensure!(copy.database.execute(&change("changed")).await? == 1);
    proxy.release();
    running.wait().await?.expect(0)?;
    ensure!(copy.database.execute(&change(&was)).await? == 1);
    tiny.check(&copy).await?;
    tiny.remove(copy).await
}
