//! A replica that is too far behind holds runs and rollbacks, and they go on by themselves once it has come up.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::cluster::Cluster;
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::process::Running;
use tests::roles::{self, Role};
use tests::scenario::Scenario;

/// The replica's name.
const NAME: &str = "late";

/// Further behind than this, it holds the work.
const LIMIT: [&str; 2] = ["--max-replica-lag", "3s"];

const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

/// A server, a source in it, and a replica that replays nothing for now.
struct Late {
    scenario: Scenario,
    replica: Database,
    _servers: [Cluster; 2],
}

impl Late {
    async fn prepare(seed: u64) -> Result<Self> {
        let server = Cluster::start()?;
        let database = Database::create_in(&server, "TEMPLATE template0").await?;
        let profile = Profile::busy(Backend::Postgres, seed);
        let scenario = Scenario::load_into(database, &profile).await?;
        let standby = server.replica(NAME)?;
        let late = Self {
            scenario,
            replica: Database::open(&standby.url("postgres")).await?,
            _servers: [server, standby],
        };
        late.stop().await?;
        Ok(late)
    }

    /// Lets the replica stand still, and makes sure that it lacks something.
    async fn stop(&self) -> Result<()> {
        self.replica.query("SELECT pg_wal_replay_pause()").await?;
        while self
            .replica
            .value::<String>("SELECT pg_get_wal_replay_pause_state()")
            .await?
            != "paused"
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let write = "UPDATE \"Campaign\" SET \"name\" = \"name\"";
        ensure!(self.scenario.database.execute(write).await? > 0);
        Ok(())
    }

    async fn go_on(&self) -> Result<()> {
        self.replica.query("SELECT pg_wal_replay_resume()").await?;
        Ok(())
    }

    async fn events(&self, kind: &str) -> Result<i64> {
        journal::events(&self.scenario.database, kind, None).await
    }

    /// Stops a program in the midst of its batches until the replica is late. It has looked at the replica by then, as it
    /// does before its first batch, and looks again after that.
    async fn late_amid(&self, running: &mut Running, batches: &str) -> Result<()> {
        let before = self.events(batches).await?;
        while self.events(batches).await? == before {
            ensure!(running.is_alive()?, "it ended before its first batch");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        running.signal("STOP")?;
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        running.signal("CONT")
    }

    /// Waits until a program holds, and looks whether it does nothing any more.
    async fn expect_hold(&self, running: &mut Running, batches: &str, holds: i64) -> Result<()> {
        while self.events("HoldStarted").await? < holds {
            ensure!(running.is_alive()?, "it ended without a hold");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The batch that another of its tasks has in hand ends.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = self.events(batches).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let after = self.events(batches).await?;
        ensure!(before == after, "{} batches during a hold", after - before);
        ensure!(running.is_alive()?, "it ended during a hold");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_runs_and_rollbacks() -> Result<()> {
    let late = Late::prepare(801).await?;
    let scenario = &late.scenario;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let before = scenario.state().await?;
    let run = || {
        let run = scenario.run_without_migrating()?;
        Ok::<_, anyhow::Error>(run.args(["--batch-rows", "5"]))
    };

    let mut running = run()?.args(LIMIT).spawn()?;
    late.late_amid(&mut running, "BatchCommitted").await?;
    late.expect_hold(&mut running, "BatchCommitted", 1).await?;
    late.go_on().await?;
    let ended = running.wait().await?.expect(0)?;
    ended.expect_named(&["holding", NAME, "--ignore-replica", "the hold is over"])?;
    ensure!(late.events("HoldEnded").await? == late.events("HoldStarted").await?);
    scenario
        .expected()
        .await?
        .check_rows(&scenario.database)
        .await?;
    scenario.verify_journal().await?;

    // A rollback holds as well, and hears a signal meanwhile; one that may leave its replica behind does not hold.
    late.stop().await?;
    let holds = late.events("HoldStarted").await?;
    let mut running = scenario.cli(&ROLLBACK)?.args(LIMIT).spawn()?;
    late.late_amid(&mut running, "BatchUndone").await?;
    late.expect_hold(&mut running, "BatchUndone", holds + 1)
        .await?;
    running.signal("TERM")?;
    running.wait().await?.expect(143)?;
    let mut running = scenario
        .cli(&ROLLBACK)?
        .args(LIMIT)
        .args(["--ignore-replica", NAME])
        .spawn()?;
    late.late_amid(&mut running, "BatchUndone").await?;
    running.wait().await?.expect(0)?;
    ensure!(late.events("HoldStarted").await? == holds + 1);
    ensure!(late.events("HoldEnded").await? == holds + 1);
    let shown = scenario.cli(&["journal", "show", "--kind", "HoldStarted"])?;
    shown.expect(0).await?.expect_named(&[NAME, "at most 3s"])?;
    scenario.expect_state(&before).await?;
    scenario.verify_journal().await
}

/// Who may not see how late a replica is goes on, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_may_not_be_seen_is_told() -> Result<()> {
    let late = Late::prepare(802).await?;
    let database = &late.scenario.database;
    roles::establish(database).await?;
    let run = late.scenario.run_without_migrating()?;
    let run = run.at(&Role::Worker.url(&database.url)).args(LIMIT);
    let ended = run.expect(0).await?;
    ended.expect_named(&["1 replica", "pg_read_all_stats"])?;
    ensure!(late.events("HoldStarted").await? == 0);
    late.scenario.verify_journal().await
}
