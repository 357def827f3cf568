//! Wishes that reach a process that holds, waits, follows or takes a run back, and other numbers of workers.

use std::time::Instant;

use anyhow::{Result, ensure};
use tests::database::{Backend, Database};

use super::{PATIENCE, POLL, ROLLBACK, SLOW, Steered};

on_both!(
    it_is_obeyed_within_other_holds,
    workers_come_and_go,
    a_rollback_is_steered_for_itself,
    a_run_that_is_followed_is_paused,
);

async fn it_is_obeyed_within_other_holds(backend: Backend) -> Result<()> {
    let steered = Steered::load(backend, 1_003).await?;
    let database = steered.database();
    database
        .execute("CREATE TABLE operator_hold (held INTEGER)")
        .await?;
    database
        .execute("INSERT INTO operator_hold VALUES (1)")
        .await?;
    let query = ["--hold-when", "SELECT held FROM operator_hold"];
    let mut running = steered.worker(&query)?;
    steered
        .wait_for(&mut [&mut running], "HoldStarted", 1)
        .await?;
    steered.steer(&["pause"])?.expect(0).await?;
    // The first hold is over, and the pause is not.
    database
        .execute("UPDATE operator_hold SET held = 0")
        .await?;
    steered
        .wait_for(&mut [&mut running], "HoldStarted", 2)
        .await?;
    steered
        .expect_still(&mut [&mut running], "BatchCommitted")
        .await?;
    ensure!(
        steered.events("BatchCommitted").await? == 0,
        "a batch before the pause"
    );
    running.signal("TERM")?;
    running.wait().await?.expect(143)?;

    // Paused from its start, and then cancelled.
    let mut running = steered.worker(&[])?;
    steered
        .wait_for(&mut [&mut running], "HoldStarted", 3)
        .await?;
    steered.steer(&["cancel"])?.expect(0).await?;
    running.wait().await?.expect(4)?;

    // Outside of its hours.
    steered.steer(&["resume"])?.expect(0).await?;
    let hours = outside_its_hours(database).await?;
    let mut running = steered.worker(&["--window", &hours])?;
    steered
        .wait_for(&mut [&mut running], "HoldStarted", 4)
        .await?;
    steered.steer(&["cancel"])?.expect(0).await?;
    running.wait().await?.expect(4)?;
    ensure!(steered.events("HoldStarted").await? == steered.events("HoldEnded").await?);
    ensure!(
        steered.events("BatchCommitted").await? == 0,
        "a batch during a hold"
    );

    // While it waits for the rows that it may read: at one a second it would take an hour.
    steered.steer(&["resume"])?.expect(0).await?;
    let mut running = steered.worker(&["--pace", "1/s"])?;
    steered
        .wait_for(&mut [&mut running], "BatchCommitted", 1)
        .await?;
    steered.steer(&["set", "pace=off"])?.expect(0).await?;
    running.wait().await?.expect(0)?;
    steered.expect_result().await
}

/// Two hours of the day that are not now, by the database's clock.
async fn outside_its_hours(database: &Database) -> Result<String> {
    let hour = match database.backend {
        Backend::Postgres => {
            "SELECT CAST(extract(hour FROM clock_timestamp() AT TIME ZONE 'UTC') AS BIGINT)"
        }
        Backend::Sqlite => "SELECT CAST(strftime('%H', 'now') AS INTEGER)",
    };
    let hour: i64 = database.value(hour).await?;
    Ok(format!(
        "{:02}:00-{:02}:00",
        (hour + 6) % 24,
        (hour + 8) % 24
    ))
}

async fn workers_come_and_go(backend: Backend) -> Result<()> {
    let steered = Steered::load(backend, 1_004).await?;
    let mut running = steered.worker(&[&SLOW[..], &["--workers", "1"]].concat())?;
    steered
        .wait_for(&mut [&mut running], "BatchCommitted", 2)
        .await?;
    // A worker is at one partition until that is done: as many are begun and not done as workers are at them.
    let begun = "SELECT COUNT(*) FROM backstitch_partition WHERE status = 'open' AND batches > 0";
    ensure!(
        steered.database().value::<i64>(begun).await? <= 1,
        "there is one worker"
    );
    // Each is slow enough to be seen beside the others, and more than the process had connections for.
    steered.steer(&["set", "workers=12"])?.expect(0).await?;
    let began = Instant::now();
    while steered.database().value::<i64>(begun).await? < 3 {
        ensure!(
            running.is_alive()?,
            "it ended before there were more workers"
        );
        ensure!(began.elapsed() < PATIENCE, "there are no more workers");
        tokio::time::sleep(POLL).await;
    }
    for (settings, count) in [("workers=1", 2), ("workers=default", 2), ("workers=3", 3)] {
        steered.steer(&["set", settings])?.expect(0).await?;
        // That the command line says the same is nothing to take.
        steered
            .wait_for(&mut [&mut running], "SettingsApplied", count)
            .await?;
    }
    let known = steered.events("SettingsChanged").await?;
    steered
        .steer(&["set", "workers=3"])?
        .expect(0)
        .await?
        .expect_named(&["already"])?;
    ensure!(
        steered.events("SettingsChanged").await? == known,
        "it was so already"
    );
    let status = steered.scenario.cli(&["status"])?.expect(0).await?;
    status.expect_named(&["set by hand: workers=3"])?;
    steered
        .steer(&["set", "pace=off", "batch-rows=500", "batch-target=500ms"])?
        .expect(0)
        .await?;
    running.wait().await?.expect(0)?;
    steered.expect_result().await
}

async fn a_rollback_is_steered_for_itself(backend: Backend) -> Result<()> {
    let steered = Steered::load(backend, 1_005).await?;
    let before = steered.scenario.state().await?;
    // What was wished of the run does not bind who takes it back.
    let mut running = steered.worker(&["--batch-rows", "20", "--pace", "400/s"])?;
    steered
        .wait_for(&mut [&mut running], "BatchCommitted", 40)
        .await?;
    steered.steer(&["pause"])?.expect(0).await?;
    steered
        .wait_for(&mut [&mut running], "HoldStarted", 1)
        .await?;
    let rollback = || {
        let rollback = steered.scenario.cli(&ROLLBACK)?;
        rollback.args(["--pace", "40/s"]).spawn()
    };
    let mut undoing = rollback()?;
    steered
        .wait_for(&mut [&mut undoing], "BatchUndone", 2)
        .await?;
    // The worker that held for the pause does not wait for ever.
    running.wait().await?.expect(4)?.expect_named(&["roll"])?;

    let refused = steered.steer(&["cancel"])?.expect(4).await?;
    refused.expect_named(&["being rolled back", "cli run pause"])?;
    let refused = steered.steer(&["set", "workers=2"])?.expect(4).await?;
    refused.expect_named(&["only the pace", "workers"])?;
    steered.steer(&["pause"])?.expect(0).await?;
    steered
        .wait_for(&mut [&mut undoing], "HoldStarted", 2)
        .await?;
    steered
        .expect_still(&mut [&mut undoing], "BatchUndone")
        .await?;
    let status = steered.scenario.cli(&["status"])?.expect(0).await?;
    status.expect_named(&["rolling back, paused for"])?;
    undoing.kill().await?;
    let mut undoing = rollback()?;
    steered
        .wait_for(&mut [&mut undoing], "HoldStarted", 3)
        .await?;
    steered.steer(&["set", "pace=off"])?.expect(0).await?;
    steered
        .wait_for(&mut [&mut undoing], "SettingsApplied", 1)
        .await?;
    steered
        .expect_still(&mut [&mut undoing], "BatchUndone")
        .await?;
    steered.steer(&["resume"])?.expect(0).await?;
    undoing.wait().await?.expect(0)?;
    steered.scenario.expect_state(&before).await?;
    steered.scenario.verify_journal().await
}

async fn a_run_that_is_followed_is_paused(backend: Backend) -> Result<()> {
    let scenario = crate::follow::load(backend, 1_006).await?;
    let steered = Steered { scenario };
    let mut running = steered.worker(&crate::follow::FOLLOW)?;
    steered
        .wait_for(&mut [&mut running], "UnitCaughtUp", 5)
        .await?;
    steered.steer(&["pause"])?.expect(0).await?;
    steered
        .wait_for(&mut [&mut running], "HoldStarted", 1)
        .await?;
    crate::follow::write_sources(steered.database(), "late").await?;
    steered
        .expect_still(&mut [&mut running], "BatchCommitted")
        .await?;
    steered.steer(&["resume"])?.expect(0).await?;
    crate::follow::expect_written(&mut running, steered.database(), "late").await?;
    steered.steer(&["cancel"])?.expect(0).await?;
    running.wait().await?.expect(4)?;
    steered.scenario.verify_journal().await
}
