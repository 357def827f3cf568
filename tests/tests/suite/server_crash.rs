//! The server itself dies in the midst of a run, and comes back.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::cluster::Cluster;
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::process::Running;
use tests::random::Random;
use tests::scenario::Scenario;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_server_loses_nothing() -> Result<()> {
    let cluster = Cluster::start()?;
    let profile = Profile::busy(Backend::Postgres, 77);
    let scenario = |database| Scenario::load_into(database, &profile);
    let reference = scenario(Database::create_in(&cluster, "TEMPLATE template0").await?).await?;
    reference
        .run()?
        .args(["--batch-rows", "60"])
        .expect(0)
        .await?;
    let expected = reference.state().await?;

    let victim = scenario(Database::create_in(&cluster, "TEMPLATE template0").await?).await?;
    let mut random = Random::new(77);
    let mut crashes = 0;
    loop {
        let mut running = victim.run()?.args(["--batch-rows", "60"]).spawn()?;
        tokio::time::sleep(Duration::from_millis(u64::try_from(
            random.between(100, 900),
        )?))
        .await;
        if crashes < 5 && running.is_alive()? {
            cluster.crash()?;
            crashes += 1;
            cluster.restart()?;
        }
        let outcome = running.wait().await?;
        if outcome.code() == Some(0) {
            break;
        }
        // A worker may wait for the server or give up, but what it says then is "try again".
        outcome.expect(5)?;
    }
    ensure!(
        crashes > 0,
        "the run ended before the server could be crashed"
    );
    // The harness's own connections were cut as well, and are made anew here.
    let victim = Scenario {
        database: victim.database.another().await?,
        ..victim
    };
    victim.expect_state(&expected).await?;
    victim.verify_journal().await
}

/// One of the server's processes is killed: it ends all of them, and starts anew. No worker has to be started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_takes_all_with_it() -> Result<()> {
    let cluster = Cluster::start()?;
    let profile = Profile::busy(Backend::Postgres, 78);
    let database = Database::create_in(&cluster, "TEMPLATE template0").await?;
    let scenario = Scenario::load_into(database, &profile).await?;
    let expected = scenario.expected().await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    // Whatever the workers have done by then, they cannot end before the kill, which ends this lock too.
    let lock = "LOCK TABLE \"KPIHistory\" IN EXCLUSIVE MODE";
    let held = scenario.database.hold(lock).await?;
    let start = |_| scenario.run()?.args(["--batch-rows", "20"]).spawn();
    let workers = (0..2).map(start).collect::<Result<Vec<Running>>>()?;
    while journal::events(&scenario.database, "BatchCommitted", None).await? < 10 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let busy = "SELECT COALESCE(MIN(pid), 0) FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name = 'backstitch' AND state = 'active'";
    let process = loop {
        match scenario.database.value::<i32>(busy).await? {
            0 => tokio::time::sleep(Duration::from_millis(2)).await,
            process => break process.to_string(),
        }
    };
    let killed = Command::new("kill").args(["-KILL", &process]).status()?;
    ensure!(killed.success(), "the process had ended");
    let mut struck = 0;
    for worker in workers {
        let ended = worker.wait().await?.expect(0)?;
        // Not the lock's own "canceling statement due to lock timeout; trying again".
        let is_cut = |line: &str| {
            ["connection", "recovery mode", "starting up"]
                .iter()
                .any(|sign| line.contains(sign))
                && ["trying again", "is put off"]
                    .iter()
                    .any(|what| line.contains(what))
        };
        struck += usize::from(ended.stderr.lines().any(is_cut));
    }
    ensure!(struck > 0, "no worker has seen its connection end");
    // The harness's own connections were cut as well, and the lock went with them.
    ensure!(held.rollback().await.is_err(), "the lock outlived the kill");
    let scenario = Scenario {
        database: scenario.database.another().await?,
        ..scenario
    };
    expected.check(&scenario.database).await?;
    scenario.verify_journal().await
}
