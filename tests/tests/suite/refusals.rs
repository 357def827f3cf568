//! What the programs refuse to do (exit code 4), and that refusing changes nothing.

use anyhow::{Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process;
use tests::scenario::Scenario;

use crate::signals::start_and_wait_for_batches;

on_both!(
    a_pending_schema,
    a_demonstration_on_somebodys_campaigns,
    taking_the_schema_down_while_it_holds_something,
    another_instant_than_the_open_runs,
    another_plan_than_the_open_runs,
    a_column_that_goes_while_a_run_is_open,
    the_schema_goes_up_and_down,
);

pub(crate) async fn a_pending_schema(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 81)).await?;
    let before = scenario.state().await?;
    scenario
        .run_without_migrating()?
        .expect(4)
        .await?
        .expect_named(&["--migrate"])?;
    scenario.expect_state(&before).await?;
    ensure!(
        !scenario.database.has_table("IntelligenceEvent").await?,
        "the schema was changed all the same"
    );
    Ok(())
}

pub(crate) async fn a_demonstration_on_somebodys_campaigns(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 81)).await?;
    let before = scenario.state().await?;
    let demo = process::worker(&scenario.database)?.args(["run", "--demo"]);
    demo.expect(4).await?.expect_named(&["Campaign"])?;
    scenario.expect_state(&before).await?;
    ensure!(
        !scenario.database.has_table("IntelligenceEvent").await?,
        "the schema was changed all the same"
    );
    Ok(())
}

pub(crate) async fn taking_the_schema_down_while_it_holds_something(
    backend: Backend,
) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 81)).await?;
    scenario.run()?.expect(0).await?;
    let before = scenario.state().await?;
    let events = scenario.database.count("backstitch_journal").await?;
    let outcome = scenario.cli(&["schema", "down"])?.expect(4).await?;
    outcome.expect_named(&["IntelligenceEvent", "KPIHistory"])?;
    scenario.expect_state(&before).await?;
    ensure!(
        scenario.database.count("backstitch_journal").await? == events,
        "the journal was changed"
    );
    Ok(())
}

/// The open run's instant is fixed; another one on the command line is a contradiction, not a new run.
pub(crate) async fn another_instant_than_the_open_runs(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(backend, 82)).await?;
    let expected = scenario.expected().await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let run = scenario.run()?.args(["--batch-rows", "25"]);
    start_and_wait_for_batches(&scenario, run)
        .await?
        .kill()
        .await?;
    let before = scenario.state().await?;
    let other =
        process::worker(&scenario.database)?.args(["run", "--as-of", "2021-01-01T00:00:00Z"]);
    let outcome = other.run().await?;
    ensure!(
        matches!(outcome.code(), Some(2 | 4)),
        "exit code 2 or 4 was expected of {outcome}"
    );
    outcome.expect_named(&["as"])?;
    scenario.expect_state(&before).await?;
    scenario
        .run()?
        .args(["--batch-rows", "25"])
        .expect(0)
        .await?;
    expected.check(&scenario.database).await
}

pub(crate) async fn the_schema_goes_up_and_down(backend: Backend) -> Result<()> {
    let database = Database::create(backend).await?;
    database.create_source_schema(&[]).await?;
    let cli = |arguments: &[&str]| Ok::<_, anyhow::Error>(process::cli(&database)?.args(arguments));
    cli(&["schema", "status"])?.expect(0).await?;
    cli(&["schema", "up"])?.expect(0).await?;
    cli(&["schema", "up"])?.expect(0).await?;
    ensure!(
        database.has_column("Campaign", "prompt").await?,
        "the column is missing"
    );
    for table in tests::dump::DESTINATIONS {
        ensure!(database.has_table(table).await?, "{table} is missing");
    }
    let index = match backend {
        Backend::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'index' AND name = ",
        Backend::Postgres => "SELECT COUNT(*) FROM pg_indexes WHERE indexname = ",
    };
    for name in [
        "IntelligenceEvent_tenantId_eventType_createdAt_idx",
        "IntelligenceEvent_entityType_entityId_idx",
        "IntelligenceEvent_severity_createdAt_idx",
        "PromptPerformance_campaignId_rewardScore_idx",
        "PromptPerformance_variantId_idx",
        "KPIHistory_tenantId_metricName_createdAt_idx",
        "KPIHistory_period_department_idx",
        "AgentFeedback_agentType_createdAt_idx",
        "AgentFeedback_taskId_idx",
    ] {
        ensure!(
            database.value::<i64>(&format!("{index}'{name}'")).await? == 1,
            "the index {name} is missing"
        );
    }
    Ok(())
}

/// The open run was started by a release whose units were others.
async fn another_plan_than_the_open_runs(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 81)).await?;
    let part = ["--unit", "campaign_prompt"];
    scenario.run()?.args(part).expect(0).await?;
    let before = scenario.state().await?;
    let another = "UPDATE backstitch_journal SET payload = replace(payload, '\"version\":1}', '\"version\":7}') \
                   WHERE kind = 'RunStarted'";
    crate::tamper::unlocked(&scenario.database, &[another]).await?;
    let events = scenario.database.count("backstitch_journal").await?;
    let refused = scenario.run()?.expect(4).await?;
    refused.expect_clear_error()?;
    refused.expect_named(&["plan has changed", "was version 7 and is now 1"])?;
    scenario.expect_state(&before).await?;
    ensure!(
        scenario.database.count("backstitch_journal").await? == events,
        "the journal has grown"
    );
    Ok(())
}

/// Named before anything more is written; put back as it was, the run goes on.
async fn a_column_that_goes_while_a_run_is_open(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 81)).await?;
    let part = ["--unit", "campaign_prompt"];
    scenario.run()?.args(part).expect(0).await?;
    let (before, expected) = (scenario.state().await?, scenario.expected().await?);
    let rename = |from: &str, to: &str| {
        format!("ALTER TABLE \"UserFeedback\" RENAME COLUMN \"{from}\" TO \"{to}\"")
    };
    let database = &scenario.database;
    database.execute(&rename("rating", "stars")).await?;
    let refused = scenario.run()?.expect(2).await?;
    refused.expect_clear_error()?;
    refused.expect_named(&["UserFeedback", "rating"])?;
    // SQLite would take its own picture of the schema for the present one.
    let another = database.another().await?;
    another.execute(&rename("stars", "rating")).await?;
    scenario.expect_state(&before).await?;
    scenario.run()?.expect(0).await?;
    expected.check_rows(database).await?;
    scenario.verify_journal().await
}
