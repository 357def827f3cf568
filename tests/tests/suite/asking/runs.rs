//! Why a run stands still or was slow, and what differs between two.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tests::database::Backend;
use tests::generate::Profile;
use tests::scenario::Scenario;
use tests::{journal, process};

use super::json;
use crate::deep::{load, plain_feedback};

on_both!(
    why_names_what_keeps_a_run,
    why_tells_what_a_run_waits_for,
    runs_are_compared_to_the_row,
);

const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];
const SLOW: [&str; 6] = ["--batch-rows", "5", "--pace", "100/s", "--partitions", "6"];

/// The causes of a list, each with the milliseconds.
fn causes(found: &Value) -> Vec<(String, i64)> {
    let found = found.as_array().cloned().unwrap_or_default();
    let cause = |found: &Value| {
        let name = found["cause"].as_str().unwrap_or_default().to_owned();
        (name, found["millis"].as_i64().unwrap_or(-1))
    };
    found.iter().map(cause).collect()
}

async fn wait_for(scenario: &Scenario, kind: &str, count: i64) -> Result<()> {
    let began = Instant::now();
    while journal::events(&scenario.database, kind, None).await? < count {
        if began.elapsed() > Duration::from_secs(90) {
            bail!("fewer than {count} {kind}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn why_names_what_keeps_a_run(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, 1_121)).await?;
    let before = scenario.cli(&["why"])?.expect(0).await?;
    before.expect_named(&[
        "no run has begun",
        "nobody has approved the plan",
        "cli plan approve",
    ])?;

    let worker = scenario.run_without_migrating()?.args(SLOW).spawn()?;
    wait_for(&scenario, "BatchCommitted", 3).await?;
    let pause = ["run", "pause", "--by", "Mia", "--note", "the shop is slow"];
    scenario.cli(&pause)?.expect(0).await?;
    wait_for(&scenario, "HoldStarted", 1).await?;
    let why = json(&scenario, &["why"]).await?;
    let doing = causes(&why["doing"]);
    ensure!(
        doing[0].0 == "paused" && doing.iter().any(|(cause, _)| cause == "holding"),
        "{why:#}"
    );
    ensure!(
        why["doing"][0]["by"] == "Mia" && why["doing"][0]["note"] == "the shop is slow",
        "{why:#}"
    );
    let text = scenario.cli(&["why"])?.expect(0).await?;
    text.expect_named(&[
        "it has been paused for",
        "by Mia: the shop is slow",
        "→ cli run resume",
    ])?;
    scenario
        .cli(&["run", "resume", "--by", "Mia"])?
        .expect(0)
        .await?;
    wait_for(&scenario, "HoldEnded", 1).await?;
    let held: String = scenario
        .database
        .value("SELECT payload FROM backstitch_journal WHERE kind = 'HoldEnded'")
        .await?;
    let held: Value = serde_json::from_str(&held)?;
    let slow = json(&scenario, &["why"]).await?;
    let hold = causes(&slow["between"]["causes"]);
    let hold = hold
        .iter()
        .find(|(cause, _)| cause == "held")
        .context("a hold")?;
    let wanted = held["millis"].as_i64().context("how long")?;
    // Of the two events themselves, between which the process measured.
    ensure!(
        (hold.1 - wanted).abs() < 1_000,
        "{hold:?} rather than {wanted}: {slow:#}"
    );

    // Killed: on PostgreSQL the server knows that nobody is there, on SQLite the silence tells by and by.
    worker.kill().await?;
    if backend == Backend::Postgres {
        let began = Instant::now();
        loop {
            let why = json(&scenario, &["why"]).await?;
            if causes(&why["doing"])[0].0 == "nobody_works" {
                ensure!(why["doing"][0]["reason"].is_null(), "{why:#}");
                break;
            }
            ensure!(began.elapsed() < Duration::from_secs(90), "{why:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    scenario
        .run_without_migrating()?
        .args(["--pace", "off"])
        .expect(0)
        .await?;
    let why = json(&scenario, &["why"]).await?;
    ensure!(causes(&why["doing"])[0].0 == "over", "{why:#}");
    let lost = causes(&why["between"]["causes"]);
    let lost = lost
        .iter()
        .find(|(cause, _)| cause == "nobody")
        .context("a gap")?;
    ensure!(lost.1 >= 3_000, "{why:#}");
    let named = scenario.cli(&["why"])?.expect(0).await?;
    named.expect_named(&["without any worker, once: 1 worker was killed or crashed"])?;

    // Of a time after all of this, nothing of it.
    let started = why["between"]["to"].as_i64().context("an end")?;
    let late = super::export::instant(&scenario, started - 1).await?;
    let late = json(&scenario, &["why", "--since", &late]).await?;
    ensure!(causes(&late["between"]["causes"]).is_empty(), "{late:#}");
    scenario
        .cli(&["why", "--since", "1h", "--until", "2h"])?
        .expect(2)
        .await?;

    // Rolled back halfway, and nobody goes on.
    scenario
        .cli(&["run", "cancel", "--by", "Mia"])?
        .run()
        .await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    let over = json(&scenario, &["why"]).await?;
    ensure!(
        over["state"] == "rolled back" && causes(&over["doing"])[0].0 == "over",
        "{over:#}"
    );
    Ok(())
}

/// A unit over its budget, and those that wait for it; a cancelled run; on PostgreSQL a lock.
async fn why_tells_what_a_run_waits_for(backend: Backend) -> Result<()> {
    let profile = Profile {
        bad: 0.5,
        ..Profile::busy(backend, 1_123)
    };
    let scenario = Scenario::load_with_schema(&profile).await?;
    let at = scenario.profile.as_of.rfc3339();
    let run = process::worker(&scenario.database)?;
    let run = run.args(["run", "--as-of", &at, "--max-bad", "0.01%"]);
    run.expect(3).await?;
    let why = json(&scenario, &["why"]).await?;
    let doing = causes(&why["doing"]);
    let has = |name: &str| doing.iter().any(|(cause, _)| cause == name);
    ensure!(has("nobody_works") && has("too_many_bad"), "{why:#}");
    let text = scenario.cli(&["why"])?.expect(0).await?;
    text.expect_named(&[
        "was stopped",
        "were bad",
        "cli quarantine list --unit",
        "ended in order",
    ])?;

    scenario
        .cli(&["run", "cancel", "--by", "Mia", "--note", "wrong"])?
        .expect(0)
        .await?;
    let why = json(&scenario, &["why"]).await?;
    ensure!(causes(&why["doing"])[0].0 == "cancelled", "{why:#}");
    let by: Vec<_> = ["by", "note"]
        .iter()
        .map(|name| why["doing"][0][name].clone())
        .collect();
    ensure!(by == ["Mia", "wrong"], "{why:#}");
    Ok(())
}

async fn runs_are_compared_to_the_row(backend: Backend) -> Result<()> {
    let scenario = load(backend, 1_125).await?;
    plain_feedback(&scenario).await?;
    let database = &scenario.database;
    let at = scenario.profile.as_of.stored();
    let sick = |id: &str, rating: i32| {
        format!(
            "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
             \"createdBy\") VALUES ('{id}', 'Copy', 't', 'human', {rating}, '{at}', 'u')"
        )
    };
    database.execute(&sick("sick-1", 9)).await?;
    scenario.run()?.expect(0).await?;
    let first = database.count("AgentFeedback").await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    // One row is another, one is gone, two are new, one is bad and was none, one was bad and is none.
    for change in [
        "UPDATE \"UserFeedback\" SET \"comment\" = 'another' WHERE \"id\" = 'plain-2'".to_owned(),
        "DELETE FROM \"UserFeedback\" WHERE \"id\" = 'plain-3'".to_owned(),
        sick("new-1", 3),
        sick("new-2", 3),
        "UPDATE \"UserFeedback\" SET \"rating\" = 9 WHERE \"id\" = 'plain-5'".to_owned(),
        "UPDATE \"UserFeedback\" SET \"rating\" = 3 WHERE \"id\" = 'sick-1'".to_owned(),
    ] {
        ensure!(database.execute(&change).await? == 1, "{change}");
    }
    scenario
        .run()?
        .args(["--batch-rows", "4"])
        .expect(0)
        .await?;
    let runs = "SELECT run FROM backstitch_journal WHERE kind = 'RunStarted' ORDER BY position";
    let runs = database.texts(runs).await?;
    let diff = json(&scenario, &["diff", &runs[0], &runs[1], "--limit", "1"]).await?;
    let rows = &diff["rows"]["AgentFeedback"];
    // Gone and bad now: of the first alone. New, and bad before: of the second.
    ensure!(
        rows["alone"] == serde_json::json!([2, 3]) && rows["other"] == 1,
        "{diff:#}"
    );
    ensure!(rows["same"].as_i64() == Some(first - 3), "{diff:#}");
    let other = super::feedback(&scenario, "another").await?;
    ensure!(rows["examples"] == serde_json::json!([other]), "{diff:#}");
    let aside = &diff["set_aside"];
    let feedback = |key: &str| serde_json::json!([["agent_feedback", key]]);
    ensure!(aside["alone"] == serde_json::json!([1, 1]), "{diff:#}");
    ensure!(
        aside["examples"][0] == feedback("sick-1") && aside["examples"][1] == feedback("plain-5")
    );
    for (table, rows) in diff["rows"].as_object().context("tables")? {
        if table != "AgentFeedback" {
            ensure!(
                rows["alone"] == serde_json::json!([0, 0]) && rows["other"] == 0,
                "{table}: {diff:#}"
            );
        }
    }
    let settings = diff["settings"].as_array().context("settings")?;
    ensure!(settings.is_empty(), "{diff:#}");
    let unit = diff["units"].as_array().and_then(|units| {
        units
            .iter()
            .find(|unit| unit["unit"] == "agent_feedback")
            .cloned()
    });
    let unit = unit.context("the unit")?;
    ensure!(
        unit["sides"][0]["written"].as_i64() == Some(first),
        "{unit:#}"
    );
    ensure!(
        unit["sides"][1]["written"].as_i64() == Some(first + 1),
        "{unit:#}"
    );
    let shown = scenario
        .cli(&["diff", &runs[0], &runs[1]])?
        .expect(0)
        .await?;
    shown.expect_named(&[
        "the first alone: agent_feedback sick-1",
        "to others: ",
        "both were started alike",
    ])?;
    scenario
        .cli(&["diff", &runs[0], &runs[0]])?
        .expect(2)
        .await?;
    scenario
        .cli(&["diff", &runs[0], "nothing"])?
        .expect(2)
        .await?;
    Ok(())
}
