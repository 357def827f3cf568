//! Too many bad rows stop a unit; what is committed stays, and a resume goes on once the cause is mended.

use anyhow::{Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::process;
use tests::scenario::Scenario;

on_both!(
    a_unit_stops_beyond_its_budget,
    ten_bad_rows_are_always_allowed
);

async fn load(backend: Backend, bad_every: u32) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 5,
        bad: 0.0,
        feedback: 0,
        window_days: 90,
        without: Vec::new(),
        log_lines: 0,
        large: false,
        ..Profile::odd(backend, 71)
    };
    let scenario = Scenario::load(&profile).await?;
    let at = profile.since().stored();
    let rows: Vec<String> = (0..200)
        .map(|number| {
            let rating = if number % bad_every == 0 { 9 } else { 3 };
            format!("('f{number:04}', 'Copy', 't', 'human', {rating}, '{at}', 'u')")
        })
        .collect();
    scenario
        .database
        .execute(&format!(
            "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
             \"createdBy\") VALUES {}",
            rows.join(", ")
        ))
        .await?;
    Ok(scenario)
}

fn run(scenario: &Scenario) -> Result<process::Invocation> {
    let invocation =
        process::worker(&scenario.database)?.args(["run", "--migrate", "--batch-rows", "20"]);
    Ok(invocation.args(["--as-of", &scenario.profile.as_of.rfc3339()]))
}

pub(crate) async fn a_unit_stops_beyond_its_budget(backend: Backend) -> Result<()> {
    let scenario = load(backend, 2).await?;
    let outcome = run(&scenario)?.run().await?;
    ensure!(
        outcome.code().is_some_and(|code| code != 0),
        "the run should have stopped: {outcome}"
    );
    outcome.expect_named(&["agent_feedback", "--max-bad"])?;
    let written = scenario.database.count("AgentFeedback").await?;
    ensure!((1..100).contains(&written), "{written} rows are committed");
    scenario.verify_journal().await?;

    scenario
        .database
        .execute("UPDATE \"UserFeedback\" SET \"rating\" = 4 WHERE \"rating\" = 9")
        .await?;
    let expected = scenario.expected().await?;
    run(&scenario)?.expect(0).await?;
    expected.check_rows(&scenario.database).await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await
}

pub(crate) async fn ten_bad_rows_are_always_allowed(backend: Backend) -> Result<()> {
    let scenario = load(backend, 20).await?;
    let expected = scenario.expected().await?;
    run(&scenario)?.expect(0).await?;
    expected.check(&scenario.database).await
}
