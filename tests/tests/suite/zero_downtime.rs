//! A live application beside a migration: it is never held up, nothing of it is lost or doubled, and what is computed from
//! rows that it goes on changing is brought up to date.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::live::{Application, FIGURES, LATER};
use tests::scenario::Scenario;
use tests::{journal, scratch};

on_both!(a_row_that_the_application_changed_is_kept);

/// Holds a unit before it plans a pass beyond the one that it may: as if planning met a lock each time.
const GATE: &str = "CREATE TABLE gate (unit TEXT PRIMARY KEY, pass INTEGER NOT NULL); \
    CREATE FUNCTION gated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF EXISTS (SELECT 1 FROM gate WHERE unit = NEW.unit AND (NEW.payload::jsonb ->> 'pass')::int > pass) THEN \
            RAISE EXCEPTION 'held by the test' USING ERRCODE = '55P03'; \
        END IF; RETURN NEW; END $$; \
    CREATE TRIGGER gated BEFORE INSERT ON backstitch_journal FOR EACH ROW WHEN (NEW.kind = 'PartitionPlanned') \
        EXECUTE FUNCTION gated(); \
    INSERT INTO gate VALUES ('campaign_prompt', 1), ('intelligence_event', 1), ('agent_feedback', 1), \
        ('kpi_history', 1), ('prompt_performance', 1)";

/// Waits until a pass of a unit has come to its end.
async fn pass_ends(database: &Database, unit: &str, pass: i32) -> Result<()> {
    // The sections of a pass are planned together.
    let sql = format!(
        "SELECT COALESCE(bool_and(status = 'done'), FALSE) FROM backstitch_partition \
         WHERE pass = {pass} AND unit = '{unit}'"
    );
    while !database.value::<bool>(&sql).await? {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A worker for one unit; whoever runs it starts it again where what it met may pass.
async fn work_on(scenario: &Scenario, unit: &str) -> Result<()> {
    loop {
        let invocation = scenario.run_without_migrating()?;
        let outcome = invocation
            .args(["--unit", unit, "--batch-rows", "100", "--partitions", "1"])
            .run()
            .await?;
        if outcome.code() != Some(TRANSIENT) {
            outcome.expect(0)?;
            return Ok(());
        }
    }
}

/// The exit code after an error that may pass.
const TRANSIENT: i32 = 5;

/// The units that copy rows.
const COPIES: [&str; 3] = ["campaign_prompt", "intelligence_event", "agent_feedback"];
/// The units that sum rows up.
const SUMS: [&str; 2] = ["kpi_history", "prompt_performance"];

/// Leads units and application through the passes: each is under way while the application changes what it reads, and the
/// last one is not.
async fn lead(application: &Application, database: &Database) -> Result<()> {
    for unit in COPIES {
        pass_ends(database, unit, 1).await?;
    }
    application.goes_on(80).await?;
    application.turn_to(FIGURES).await?;
    let copies = "unit IN ('campaign_prompt', 'intelligence_event', 'agent_feedback')";
    let open = format!("UPDATE gate SET pass = 99 WHERE {copies}");
    database.execute(&open).await?;
    for unit in SUMS {
        pass_ends(database, unit, 1).await?;
    }
    application.goes_on(80).await?;
    database
        .execute("UPDATE gate SET pass = 2 WHERE pass = 1")
        .await?;
    for unit in SUMS {
        pass_ends(database, unit, 2).await?;
    }
    application.goes_on(40).await?;
    application.turn_to(LATER).await?;
    database.execute("UPDATE gate SET pass = 99").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_application_is_never_held_up() -> Result<()> {
    let profile = Profile {
        bad: 0.0,
        snapshots: 0,
        ..Profile::busy(Backend::Postgres, 611)
    };
    let scenario = Scenario::load(&profile).await?;
    let database = &scenario.database;
    let application = Application::start(&scenario).await?;
    application.goes_on(40).await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    database.execute(GATE).await?;
    tokio::try_join!(
        lead(&application, database),
        work_on(&scenario, "intelligence_event"),
        work_on(&scenario, "agent_feedback"),
        work_on(&scenario, "kpi_history"),
        async {
            work_on(&scenario, "campaign_prompt").await?;
            work_on(&scenario, "prompt_performance").await
        },
    )?;
    scenario.cli(&["validate"])?.expect(0).await?;

    let (statements, longest) = application.stop().await?;
    #[expect(clippy::print_stdout, reason = "a figure for people, and no assertion")]
    {
        println!("{statements} statements of the application, the longest took {longest:?}");
    }
    // The oracle on the sources as they are now: none is missing, none stands twice, every sum is right.
    scenario.expected().await?.check_rows(database).await?;
    for unit in SUMS {
        let refreshed = told(&scenario, unit, "refreshed").await?;
        ensure!(refreshed > 0, "{unit} brought nothing up to date");
        let changed = told(&scenario, unit, "changed").await?;
        ensure!(changed == 0, "{unit} left {changed} rows alone");
    }
    ensure!(
        journal::events(database, "RunCompleted", None).await? == 1,
        "the run is not complete"
    );
    database
        .execute("DROP TRIGGER gated ON backstitch_journal; DROP FUNCTION gated; DROP TABLE gate")
        .await?;
    scenario.verify_journal().await?;
    scenario.cli(&["validate", "--deep"])?.expect(0).await?;
    Ok(())
}

/// A number of a unit's closing balance.
async fn told(scenario: &Scenario, unit: &str, name: &str) -> Result<i64> {
    let payload: String = scenario
        .database
        .value(&format!(
            "SELECT payload FROM backstitch_journal WHERE kind = 'UnitCompleted' AND unit = '{unit}'"
        ))
        .await?;
    let after = payload.split(&format!("\"{name}\":")).nth(1);
    let digits = after.map(|text| {
        text.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    });
    digits.map_or(Ok(0), |digits| Ok(digits.parse()?))
}

/// Runs until the catch-up pass of the sums begins, and dies there. There is one only where a source changes after the first
/// pass was planned.
async fn up_to_the_catch_up(scenario: &Scenario) -> Result<()> {
    up_to(scenario, 1).await?;
    let touch = "UPDATE \"PublishJob\" SET \"clicks\" = \"clicks\"";
    scenario.database.execute(touch).await?;
    up_to(scenario, 2).await
}

/// Runs until this pass of the sums begins, and dies there.
async fn up_to(scenario: &Scenario, pass: i32) -> Result<()> {
    let list = scratch::folder("refresh")?.join("list");
    let points = ["first", "only"]
        .map(|place| format!("batch prompt_performance {pass}.0 {place}: claimed"));
    std::fs::write(&list, points.join("\n"))?;
    let invocation = scenario
        .run()?
        .args(["--workers", "1", "--partitions", "1"]);
    let outcome = invocation.env("BACKSTITCH_FAULT", &list).run().await?;
    ensure!(outcome.was_killed(), "pass {pass} did not begin: {outcome}");
    Ok(())
}

/// The campaigns of two of our rows in the order of their keys, and of a third one.
async fn campaigns(database: &Database) -> Result<[String; 3]> {
    let sql = "SELECT \"campaignId\" FROM \"PromptPerformance\" GROUP BY \"campaignId\" HAVING COUNT(*) = 1 AND \
        MAX(\"impressions\") < 1000000 ORDER BY \"campaignId\" LIMIT 3";
    let found = database.texts(sql).await?;
    found
        .try_into()
        .map_err(|_| anyhow::anyhow!("too few rows to edit"))
}

async fn sum(database: &Database, campaign: &str) -> Result<i64> {
    let campaign = campaign.replace('\'', "''");
    let sql = format!(
        "SELECT CAST(\"impressions\" AS BIGINT) FROM \"PromptPerformance\" WHERE \"campaignId\" = '{campaign}'"
    );
    database.value(&sql).await
}

async fn change(database: &Database, campaign: &str, set: &str) -> Result<()> {
    let campaign = campaign.replace('\'', "''");
    let sql = format!(
        "UPDATE \"PublishJob\" SET {set} WHERE \"assetId\" IN (SELECT \"id\" FROM \"Asset\" WHERE \"campaignId\" = \
         '{campaign}') AND \"impressions\" > 0"
    );
    ensure!(database.execute(&sql).await? > 0, "{campaign} has no jobs");
    Ok(())
}

/// One row that the application edited before its source changed, one that it did not, and one whose source is gone; then
/// a rollback, which puts everything back but for the edited one.
async fn a_row_that_the_application_changed_is_kept(backend: Backend) -> Result<()> {
    let profile = Profile {
        bad: 0.0,
        ..Profile::busy(backend, 612)
    };
    let scenario = Scenario::load_with_schema(&profile).await?;
    let database = &scenario.database;
    tests::application::write_rows(database, "!app", profile.as_of).await?;
    let before = scenario.state().await?;
    up_to_the_catch_up(&scenario).await?;
    let [edited, ours, gone] = campaigns(database).await?;
    let sums = (sum(database, &edited).await?, sum(database, &gone).await?);
    let quoted = edited.replace('\'', "''");
    let edit = format!(
        "UPDATE \"PromptPerformance\" SET \"rewardScore\" = 0.75 WHERE \"campaignId\" = '{quoted}'"
    );
    ensure!(database.execute(&edit).await? == 1, "one row is edited");
    for campaign in [&edited, &ours] {
        change(database, campaign, "\"impressions\" = \"impressions\" + 7").await?;
    }
    change(database, &gone, "\"impressions\" = 0").await?;
    let due = sum(database, &ours).await?;

    let outcome = scenario.run()?.expect(0).await?;
    outcome.expect_named(&["left 1 rows alone"])?;
    ensure!(
        sum(database, &edited).await? == sums.0,
        "an edited row was overwritten"
    );
    ensure!(
        sum(database, &ours).await? > due,
        "a stale row was not brought up to date"
    );
    ensure!(
        sum(database, &gone).await? == sums.1,
        "a row was deleted or emptied"
    );
    let unit = "prompt_performance";
    ensure!(
        told(&scenario, unit, "refreshed").await? == 1,
        "one row is brought up to date"
    );
    ensure!(
        told(&scenario, unit, "changed").await? == 1,
        "one row is reported"
    );
    scenario.verify_journal().await?;
    let status = scenario.cli(&["status"])?.expect(0).await?;
    let words =
        "prompt_performance: brought 1 up to date, left 1 alone that the application changed since";
    status.expect_named(&[words])?;
    let shown = scenario.cli(&["journal", "show", "--kind", "BatchCommitted"])?;
    shown
        .expect(0)
        .await?
        .expect_named(&["brought 1 up to date", "1 changed by the application since"])?;
    let id: String = database
        .value(&format!(
            "SELECT \"id\" FROM \"PromptPerformance\" WHERE \"campaignId\" = '{quoted}'"
        ))
        .await?;
    // The edited row is the only one that is not as the journal says: what was brought up to date is told once.
    let validation = scenario.cli(&["validate", "--json"])?.expect(3).await?;
    validation.expect_named(&[&format!("PromptPerformance {id}")])?;
    let looked = scenario.cli(&["rollback", "--dry-run", "--reason", "a look"])?;
    let looked = looked.expect(0).await?.output();

    // Back to the sources of before: what the run wrote goes, and nothing else.
    let kept = scenario
        .cli(&["rollback", "--yes", "--reason", "test"])?
        .expect(0)
        .await?;
    for output in [&looked, &kept.output()] {
        ensure!(output.contains(&id), "the kept row is not named:\n{output}");
    }
    let journal = scenario
        .cli(&["journal", "show", "--kind", "UndoCompleted"])?
        .expect(0)
        .await?;
    journal.expect_named(&["kept 1"])?;
    ensure!(
        journal::events(database, "UndoCompleted", None).await? == 1,
        "it is undone once"
    );
    let left = database
        .execute(&format!(
            "DELETE FROM \"PromptPerformance\" WHERE \"id\" = '{id}'"
        ))
        .await?;
    ensure!(left == 1, "the edited row was taken away");
    for table in tests::dump::DESTINATIONS {
        ensure!(
            scenario.state().await?.table(table) == before.table(table),
            "{table} is not as it was before the run"
        );
    }
    ensure!(
        scenario.campaigns().await?.len() == before.table("Campaign").len(),
        "campaigns are lost"
    );
    scenario.verify_journal().await
}
