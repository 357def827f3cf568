//! The server dies in the midst of it, as a whole or by one of its processes, and comes back.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::fault::Fault;
use super::phase::Phase;
use crate::random::Random;

/// Crashes the server now and then, until enough crashes have struck or the phase is over.
pub(super) async fn strike(phase: &Phase, mut random: Random) -> Result<()> {
    while phase.left().server_crashes > 0 {
        let pause = random.pick(&[40, 120, 360]);
        let mut pause = u64::try_from(random.between(5, pause))?;
        while pause > 0 {
            if phase.is_over() {
                return Ok(());
            }
            let step = pause.min(5);
            tokio::time::sleep(Duration::from_millis(step)).await;
            pause -= step;
        }
        if random.chance(0.5) {
            crash(phase).await?;
        } else {
            kill_a_backend(phase).await?;
        }
    }
    Ok(())
}

async fn crash(phase: &Phase) -> Result<()> {
    let state = phase.state();
    let ground = phase.ground.clone();
    tokio::task::spawn_blocking(move || {
        ground.cluster()?.crash()?;
        ground.cluster()?.restart()
    })
    .await??;
    phase.struck(Fault::ServerCrash, state);
    Ok(())
}

async fn kill_a_backend(phase: &Phase) -> Result<()> {
    let database = &phase.scenario.database;
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'backstitch' ORDER BY state = 'idle', xact_start DESC NULLS LAST LIMIT 1";
    // None works at the moment, or the server is not back yet from what has struck before.
    let found = database.query(sql).await.unwrap_or_default();
    let Some(row) = found.first() else {
        return Ok(());
    };
    let process: i32 = row.try_get_by_index(0)?;
    let state = phase.state();
    let killed = Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .stderr(Stdio::null())
        .status()?;
    // It may have ended by then.
    if killed.success() {
        phase.struck(Fault::BackendKill, state);
    }
    for _ in 0..2_000 {
        tokio::time::sleep(Duration::from_millis(3)).await;
        if database.query("SELECT 1").await.is_ok() {
            return Ok(());
        }
    }
    ensure!(
        database.query("SELECT 1").await.is_ok(),
        "the server has not come back after a backend was killed"
    );
    Ok(())
}
