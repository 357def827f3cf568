//! A rollback removes what the journal says was written, and not one row more.

use anyhow::{Context, Result, ensure};
use tests::application;
use tests::database::Backend;
use tests::dump::{self, DESTINATIONS};
use tests::generate::Profile;
use tests::journal;
use tests::scenario::Scenario;

on_both!(
    amid_the_applications_rows,
    edited_rows_are_kept_and_deleted_rows_stay_away,
    one_unit_only,
    unconfirmed,
    an_unfinished_run,
);

const YES: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

/// A small source with little that is odd about it.
async fn load(backend: Backend, seed: u64) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 60,
        window_days: 90,
        ..Profile::small(backend, seed)
    };
    Scenario::load_with_schema(&profile).await
}

pub(crate) async fn amid_the_applications_rows(backend: Backend) -> Result<()> {
    let scenario = load(backend, 11).await?;
    let at = scenario.profile.as_of;
    application::write_rows(&scenario.database, "!early", at).await?;
    let before = scenario.state().await?;
    scenario
        .run()?
        .args(["--batch-rows", "50"])
        .expect(0)
        .await?;
    let after = scenario.state().await?;
    ensure!(
        after.len() > before.len() + 500,
        "the run wrote only {} rows",
        after.len() - before.len()
    );

    scenario
        .cli(&["rollback", "--dry-run", "--reason", "a look"])?
        .expect(0)
        .await?;
    scenario
        .expect_state(&after)
        .await
        .context("after a dry run")?;

    application::write_rows(&scenario.database, "~late", at).await?;
    scenario.cli(&YES)?.expect(0).await?;
    let late = "DELETE FROM \"{}\" WHERE \"id\" LIKE '~late-%'";
    for table in DESTINATIONS {
        let deleted = scenario
            .database
            .execute(&late.replace("{}", table))
            .await?;
        ensure!(
            deleted == 3,
            "{deleted} of 3 late rows of the application survived in {table}"
        );
    }
    scenario
        .expect_state(&before)
        .await
        .context("after the rollback")?;
    scenario.verify_journal().await?;

    scenario
        .cli(&YES)?
        .expect(0)
        .await?
        .expect_named(&["nothing"])?;
    scenario
        .expect_state(&before)
        .await
        .context("after a second rollback")?;

    scenario
        .run()?
        .args(["--batch-rows", "50"])
        .expect(0)
        .await?;
    scenario
        .expect_state(&after)
        .await
        .context("after running again")?;
    scenario.verify_journal().await
}

pub(crate) async fn edited_rows_are_kept_and_deleted_rows_stay_away(
    backend: Backend,
) -> Result<()> {
    let scenario = load(backend, 12).await?;
    scenario.run()?.expect(0).await?;
    let database = &scenario.database;
    let mut edited = Vec::new();
    for (table, edit) in [
        ("IntelligenceEvent", "\"severity\" = 'critical'"),
        ("PromptPerformance", "\"rewardScore\" = 0.75"),
        ("KPIHistory", "\"metricValue\" = \"metricValue\" + 1"),
        ("AgentFeedback", "\"comment\" = 'edited since'"),
    ] {
        let ids = database
            .texts(&format!(
                "SELECT \"id\" FROM \"{table}\" ORDER BY \"id\" LIMIT 3"
            ))
            .await?;
        ensure!(ids.len() == 3, "{table} has too few rows to edit");
        database
            .execute(&format!(
                "UPDATE \"{table}\" SET {edit} WHERE \"id\" = '{}'",
                ids[0].replace('\'', "''")
            ))
            .await?;
        database
            .execute(&format!(
                "DELETE FROM \"{table}\" WHERE \"id\" = '{}'",
                ids[1].replace('\'', "''")
            ))
            .await?;
        edited.push((table, ids[0].clone()));
    }
    let prompted =
        "SELECT \"id\" FROM \"Campaign\" WHERE \"prompt\" IS NOT NULL ORDER BY \"id\" LIMIT 1";
    let prompted = database
        .texts(prompted)
        .await?
        .pop()
        .context("no campaign has a prompt")?;
    let quoted = prompted.replace('\'', "''");
    let edit =
        format!("UPDATE \"Campaign\" SET \"prompt\" = 'edited since' WHERE \"id\" = '{quoted}'");
    ensure!(
        database.execute(&edit).await? == 1,
        "the prompt of {prompted} could not be edited"
    );

    let outcome = scenario.cli(&YES)?.expect(0).await?;
    for (table, id) in &edited {
        let left = database
            .texts(&format!("SELECT \"id\" FROM \"{table}\""))
            .await?;
        ensure!(
            left == [id.clone()],
            "{table} should hold the edited row alone, not {} rows",
            left.len()
        );
        outcome.expect_named(&[id])?;
    }
    let left = database
        .texts("SELECT \"prompt\" FROM \"Campaign\" WHERE \"prompt\" IS NOT NULL")
        .await?;
    ensure!(
        left == ["edited since"],
        "the edited prompt alone should be left, not {left:?}"
    );
    outcome.expect_named(&[prompted.trim()])?;
    scenario.verify_journal().await
}

pub(crate) async fn one_unit_only(backend: Backend) -> Result<()> {
    let scenario = load(backend, 13).await?;
    scenario.run()?.expect(0).await?;
    let after = scenario.state().await?;
    scenario
        .cli(&[&YES[..], &["--unit", "agent_feedback"]].concat())?
        .expect(0)
        .await?;
    let undone = scenario.state().await?;
    for table in dump::SOURCES.into_iter().chain(DESTINATIONS) {
        if table == "AgentFeedback" {
            ensure!(undone.table(table).is_empty(), "{table} still holds rows");
        } else {
            ensure!(
                undone.table(table) == after.table(table),
                "{table} was changed too"
            );
        }
    }
    scenario.verify_journal().await?;
    scenario.run()?.expect(0).await?;
    scenario
        .expect_state(&after)
        .await
        .context("after running again")?;
    scenario.verify_journal().await
}

pub(crate) async fn unconfirmed(backend: Backend) -> Result<()> {
    let scenario = load(backend, 14).await?;
    scenario.run()?.expect(0).await?;
    let (state, events) = (
        scenario.state().await?,
        scenario.database.count("backstitch_journal").await?,
    );
    scenario
        .cli(&["rollback", "--reason", "a test"])?
        .expect(4)
        .await?
        .expect_named(&["--yes"])?;
    scenario.expect_state(&state).await?;
    ensure!(
        scenario.database.count("backstitch_journal").await? == events,
        "the journal has grown"
    );
    scenario
        .cli(&["rollback", "--yes"])?
        .expect(2)
        .await?
        .expect_named(&["--reason"])?;
    scenario.expect_state(&state).await
}

/// A run that was killed can be taken back too, and then it is not continued but begun anew.
pub(crate) async fn an_unfinished_run(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, 15)).await?;
    let before = scenario.state().await?;
    let run = || Ok::<_, anyhow::Error>(scenario.run()?.args(["--batch-rows", "40"]));
    let running = run()?.spawn()?;
    while journal::events(
        &scenario.database,
        "BatchCommitted",
        Some("intelligence_event"),
    )
    .await?
        < 5
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    ensure!(
        running.kill().await?.was_killed(),
        "the run ended before it could be killed"
    );
    scenario.cli(&YES)?.expect(0).await?;
    scenario.expect_state(&before).await?;
    let expected = scenario.expected().await?;
    run()?.expect(0).await?;
    expected.check(&scenario.database).await?;
    scenario.verify_journal().await
}
