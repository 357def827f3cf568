//! What the application's own indexes, triggers, columns and constraints make of our rows.

use anyhow::{Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::scenario::Scenario;

use crate::values::{empty, expect_aside, expect_sound, insert};

on_both!(
    another_unique_index,
    rows_that_stand_already,
    values_that_the_database_changes,
);

/// Batches are written as if nothing of them stood there. Where something does, it stays, nothing is set aside for it, and
/// all else is written.
async fn rows_that_stand_already(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 423)).await?;
    let database = &scenario.database;
    scenario.run()?.expect(0).await?;
    let all = database.count("AgentFeedback").await?;
    let aside = journal::events(database, "RowQuarantined", None).await?;
    let kept = "CREATE TABLE \"Kept\" AS SELECT * FROM \"AgentFeedback\" ORDER BY \"id\" LIMIT 3";
    database.execute(kept).await?;
    let rollback = ["rollback", "--yes", "--reason", "a test"];
    scenario.cli(&rollback)?.expect(0).await?;
    for sql in [
        "UPDATE \"Kept\" SET \"comment\" = 'theirs'",
        "INSERT INTO \"AgentFeedback\" SELECT * FROM \"Kept\"",
    ] {
        database.execute(sql).await?;
    }
    scenario.run()?.expect(0).await?;
    let theirs = "SELECT COUNT(*) FROM \"AgentFeedback\" WHERE \"comment\" = 'theirs'";
    let (theirs, now): (i64, i64) = (
        database.value(theirs).await?,
        database.count("AgentFeedback").await?,
    );
    ensure!((theirs, now) == (3, all), "{theirs} of 3, {now} of {all}");
    let again = journal::events(database, "RowQuarantined", None).await?;
    ensure!(again == 2 * aside, "{aside} rows set aside, then {again}");
    let told = "SELECT COUNT(*) FROM \"backstitch_journal\" WHERE \"kind\" = 'BatchCommitted' \
         AND \"unit\" = 'agent_feedback' AND \"payload\" LIKE '%\"already there\":3%'";
    let told: i64 = database.value(told).await?;
    ensure!(told >= 1, "no batch tells that they were there");
    scenario.cli(&rollback)?.expect(0).await?;
    let left = database.count("AgentFeedback").await?;
    ensure!(left == 3, "{left} rows are left instead of theirs");
    scenario.verify_journal().await
}

/// A row that another index than the primary key's refuses is no row that is there already.
async fn another_unique_index(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 421)).await?;
    let expected = scenario.expected().await?;
    let database = &scenario.database;
    let index = "CREATE UNIQUE INDEX \"theirs\" ON \"AgentFeedback\" (\"feedbackType\")";
    database.execute(index).await?;
    let run = || {
        let run = scenario.run_without_migrating()?;
        Ok::<_, anyhow::Error>(run.args(["--partitions", "1"]))
    };
    let refused = run()?.expect(1).await?;
    refused.expect_named(&["AgentFeedback", "unique"])?;
    let unit = Some("agent_feedback");
    let written = database.count("AgentFeedback").await?
        + journal::events(database, "BatchCommitted", unit).await?
        + journal::events(database, "RowQuarantined", unit).await?;
    ensure!(written == 0, "something of the batch was committed");
    let complete = journal::events(database, "UnitCompleted", None).await?;
    ensure!(complete == 4, "{complete} units are complete");
    database.execute("DROP INDEX \"theirs\"").await?;
    run()?.expect(0).await?;
    expected.check(database).await?;
    scenario.verify_journal().await
}

/// A digest is of what the database returns, so that what triggers, defaults and generated columns made of a row is no
/// edit.
async fn values_that_the_database_changes(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 422)).await?;
    let database = &scenario.database;
    let changes = match backend {
        Backend::Sqlite => [
            "ALTER TABLE \"AgentFeedback\" ADD COLUMN \"made\" TEXT GENERATED ALWAYS AS (\"agentType\" || '!') VIRTUAL",
            "ALTER TABLE \"AgentFeedback\" ADD COLUMN \"told\" TEXT DEFAULT 'by default'",
        ],
        Backend::Postgres => [
            "ALTER TABLE \"AgentFeedback\" \
             ADD COLUMN \"made\" TEXT GENERATED ALWAYS AS (\"agentType\" || '!') STORED, \
             ADD COLUMN \"told\" TIMESTAMP(3) DEFAULT clock_timestamp()",
            "CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             NEW.\"comment\" := 'LOUD ' || COALESCE(NEW.\"comment\", ''); NEW.\"createdAt\" := NEW.\"createdAt\" - interval '1 s'; \
             RETURN NEW; END $$; \
             CREATE TRIGGER louder BEFORE INSERT ON \"AgentFeedback\" FOR EACH ROW EXECUTE FUNCTION louder()",
        ],
    };
    for change in changes {
        database.execute(change).await?;
    }
    let before = scenario.state().await?;
    scenario.run()?.expect(0).await?;
    let changed = match backend {
        Backend::Sqlite => "\"made\" = \"agentType\" || '!' AND \"told\" = 'by default'",
        Backend::Postgres => "\"made\" = \"agentType\" || '!' AND \"comment\" LIKE 'LOUD %'",
    };
    let changed = format!("SELECT COUNT(*) FROM \"AgentFeedback\" WHERE {changed}");
    let (changed, all): (i64, i64) = (
        database.value(&changed).await?,
        database.count("AgentFeedback").await?,
    );
    ensure!(changed > 10 && changed == all, "{changed} of {all} changed");
    scenario.cli(&["validate"])?.expect(0).await?;
    // That our own rows are not what their source gives may be the trigger's doing: told, and no error.
    let (found, outcome) = crate::deep::validate(&scenario, &[], 0).await?;
    let altered = crate::deep::sum(&found, "altered");
    let by_trigger = if backend == Backend::Postgres { all } else { 0 };
    ensure!(altered == by_trigger, "{altered} of {all}: {outcome}");
    let rollback = ["rollback", "--yes", "--reason", "a test"];
    scenario.cli(&rollback)?.expect(0).await?;
    scenario.expect_state(&before).await?;
    scenario.verify_journal().await
}

/// A constraint that is deferred lets the row in and fails the COMMIT: the batch has failed, the row is found and set
/// aside, and the others are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_constraint() -> Result<()> {
    let scenario = empty(Backend::Postgres).await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    for sql in [
        "CREATE TABLE \"Known\" (\"name\" TEXT PRIMARY KEY)",
        "INSERT INTO \"Known\" VALUES ('a'), ('c')",
        "ALTER TABLE \"AgentFeedback\" ADD CONSTRAINT \"known\" FOREIGN KEY (\"createdBy\") \
         REFERENCES \"Known\" (\"name\") DEFERRABLE INITIALLY DEFERRED",
    ] {
        scenario.database.execute(sql).await?;
    }
    for by in ["a", "b", "c"] {
        let values = format!("'f{by}', 'Copy', 't', 'human', 3, NULL, NULL, AT, '{by}'");
        insert(&scenario, &[("UserFeedback", &values)]).await?;
    }
    scenario
        .run()?
        .args(["--partitions", "1"])
        .expect(0)
        .await?;
    expect_aside(&scenario, &["agent_feedback fb"]).await?;
    let written = scenario.database.count("AgentFeedback").await?;
    ensure!(written == 2, "{written} rows instead of 2");
    expect_sound(&scenario).await
}
