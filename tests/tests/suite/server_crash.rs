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
    let start = |_| scenario.run()?.args(["--batch-rows", "20"]).spawn();
    let mut workers = (0..2).map(start).collect::<Result<Vec<Running>>>()?;
    while journal::events(&scenario.database, "BatchCommitted", None).await? < 10 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let busiest = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'backstitch' ORDER BY state = 'idle', xact_start DESC NULLS LAST LIMIT 1";
    let process: i32 = scenario.database.value(busiest).await?;
    for worker in &mut workers {
        ensure!(worker.is_alive()?, "a worker has ended before the kill");
    }
    let process = process.to_string();
    let killed = Command::new("kill").args(["-KILL", &process]).status()?;
    ensure!(killed.success(), "the process had ended");
    for worker in workers {
        let ended = worker.wait().await?.expect(0)?;
        ended.expect_named(&["trying again"])?;
    }
    // The harness's own connections were cut as well.
    let scenario = Scenario {
        database: scenario.database.another().await?,
        ..scenario
    };
    expected.check(&scenario.database).await?;
    scenario.verify_journal().await
}
