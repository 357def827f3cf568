//! Steering a run from elsewhere, through the database alone: every process of it obeys between batches, whatever it does
//! meanwhile, and one that is started later from its start.

mod meanwhile;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::process::{Invocation, Running};
use tests::scenario::Scenario;

on_both!(two_workers_obey, who_is_cancelled_ends);

const POLL: Duration = Duration::from_millis(20);
/// Far beyond the two seconds within which each wish is obeyed: nothing is timed here.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long is looked whether something stands still.
const STILL: Duration = Duration::from_secs(2);

const BY: [&str; 2] = ["--by", "Mia"];
const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

/// A few thousand rows in small batches, slow enough to be steered.
const SLOW: [&str; 6] = ["--batch-rows", "5", "--pace", "100/s", "--partitions", "6"];

struct Steered {
    scenario: Scenario,
}

impl Steered {
    async fn load(backend: Backend, seed: u64) -> Result<Self> {
        let scenario = Scenario::load_with_schema(&Profile::busy(backend, seed)).await?;
        Ok(Self { scenario })
    }

    fn database(&self) -> &Database {
        &self.scenario.database
    }

    fn worker(&self, options: &[&str]) -> Result<Running> {
        self.scenario.run_without_migrating()?.args(options).spawn()
    }

    /// A command that steers, on Mia's word.
    fn steer(&self, words: &[&str]) -> Result<Invocation> {
        let command = self.scenario.cli(&["run"])?;
        Ok(command.args(words).args(BY))
    }

    async fn events(&self, kind: &str) -> Result<i64> {
        journal::events(self.database(), kind, None).await
    }

    /// Waits until there are so many events of a kind, while all of these run.
    async fn wait_for(&self, running: &mut [&mut Running], kind: &str, count: i64) -> Result<()> {
        let began = Instant::now();
        loop {
            let events = self.events(kind).await?;
            if events >= count {
                return Ok(());
            }
            for running in &mut *running {
                ensure!(running.is_alive()?, "it ended before {count} {kind}");
            }
            if began.elapsed() > PATIENCE {
                bail!("{events} {kind} rather than {count}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sees to it that no batch comes while all of these run.
    async fn expect_still(&self, running: &mut [&mut Running], kind: &str) -> Result<()> {
        // The batch that another task of a process has in hand ends.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = self.events(kind).await?;
        tokio::time::sleep(STILL).await;
        let after = self.events(kind).await?;
        ensure!(before == after, "{} {kind} meanwhile", after - before);
        for running in running {
            ensure!(running.is_alive()?, "it ended meanwhile");
        }
        Ok(())
    }

    async fn expect_result(&self) -> Result<()> {
        let expected = self.scenario.expected().await?;
        expected.check_rows(self.database()).await?;
        self.scenario.verify_journal().await
    }
}

async fn two_workers_obey(backend: Backend) -> Result<()> {
    let steered = Steered::load(backend, 1_001).await?;
    let pause = ["pause", "--note", "the shop is slow"];
    steered
        .steer(&pause)?
        .expect(4)
        .await?
        .expect_clear_error()?;
    let mut one = steered.worker(&SLOW)?;
    let mut other = steered.worker(&SLOW)?;
    steered
        .wait_for(&mut [&mut one, &mut other], "WorkerStarted", 2)
        .await?;
    steered
        .wait_for(&mut [&mut one, &mut other], "BatchCommitted", 4)
        .await?;

    let paused = steered.steer(&pause)?.expect(0).await?;
    paused.expect_named(&["paused, by Mia: the shop is slow", "cli run resume"])?;
    steered
        .wait_for(&mut [&mut one, &mut other], "HoldStarted", 2)
        .await?;
    steered
        .expect_still(&mut [&mut one, &mut other], "BatchCommitted")
        .await?;
    let status = steered.scenario.cli(&["status"])?.expect(0).await?;
    status.expect_named(&["paused for", "by Mia: the shop is slow", "cli run resume"])?;
    let again = steered.steer(&pause)?.expect(0).await?;
    again.expect_named(&["already paused"])?;
    ensure!(steered.events("RunPaused").await? == 1, "it was so already");

    // Other settings are taken during the pause, and change nothing about it.
    let set = ["set", "pace=off", "batch-rows=100"];
    steered
        .steer(&set)?
        .expect(0)
        .await?
        .expect_named(&["pace=off", "batch-rows=100"])?;
    steered
        .wait_for(&mut [&mut one, &mut other], "SettingsApplied", 2)
        .await?;
    // One that is killed comes back into the pause, and with the settings.
    let killed = other.kill().await?;
    ensure!(killed.was_killed());
    let batches = steered.events("BatchCommitted").await?;
    let mut other = steered.worker(&SLOW)?;
    steered
        .wait_for(&mut [&mut one, &mut other], "HoldStarted", 3)
        .await?;
    steered
        .wait_for(&mut [&mut one, &mut other], "SettingsApplied", 3)
        .await?;
    steered
        .expect_still(&mut [&mut one, &mut other], "BatchCommitted")
        .await?;

    ensure!(
        steered.events("BatchCommitted").await? == batches,
        "a batch before it held"
    );
    let resumed = steered
        .steer(&["resume"])?
        .args(["--json"])
        .expect(0)
        .await?;
    resumed.expect_named(&[
        "\"standing\": \"going\"",
        "\"changed\": true",
        "\"pace\": \"off\"",
    ])?;
    for running in [one, other] {
        let ended = running.wait().await?.expect(0)?;
        ended.expect_named(&[
            "is paused, by Mia: the shop is slow",
            "pace is off from here on, as Mia set it; the command line says 100/s",
            "the hold is over",
        ])?;
    }
    ensure!(
        steered.events("HoldEnded").await? == 2,
        "one was killed in its hold"
    );
    // Were the batches still of 5 rows, there would be hundreds more.
    let read = match backend {
        Backend::Postgres => "CAST(payload AS JSONB) ->> 'read'",
        Backend::Sqlite => "payload ->> 'read'",
    };
    let full = format!(
        "SELECT COUNT(*) FROM backstitch_journal WHERE kind = 'BatchCommitted' AND CAST({read} AS BIGINT) = 100"
    );
    let full: i64 = steered.database().value(&full).await?;
    ensure!(full > 0, "no batch of 100 rows, {batches} batches before");
    let shown = steered
        .scenario
        .cli(&["journal", "show", "--limit", "5000"])?;
    let shown = shown.expect(0).await?;
    shown.expect_named(&[
        "holds: the run is paused, by Mia",
        "goes on after",
        "resumed by Mia",
    ])?;
    let over = steered.steer(&["pause"])?.expect(4).await?;
    over.expect_named(&["completed", "nothing to steer", "cli rollback"])?;
    steered.expect_result().await
}

async fn who_is_cancelled_ends(backend: Backend) -> Result<()> {
    let steered = Steered::load(backend, 1_002).await?;
    let before = steered.scenario.state().await?;
    let mut one = steered.worker(&SLOW)?;
    let mut other = steered.worker(&SLOW)?;
    steered
        .wait_for(&mut [&mut one, &mut other], "WorkerStarted", 2)
        .await?;
    steered
        .wait_for(&mut [&mut one, &mut other], "BatchCommitted", 4)
        .await?;
    let cancel = ["cancel", "--note", "wrong instant"];
    steered
        .steer(&cancel)?
        .expect(0)
        .await?
        .expect_named(&["cancelled, by Mia: wrong instant"])?;
    let refused = [
        "cancelled, by Mia: wrong instant",
        "cli run resume",
        "cli rollback",
    ];
    for running in [one, other] {
        running.wait().await?.expect(4)?.expect_named(&refused)?;
    }
    ensure!(
        steered.events("WorkerStopped").await? == 2,
        "they ended in order"
    );
    let batches = steered.events("BatchCommitted").await?;
    let again = steered.worker(&SLOW)?.wait().await?.expect(4)?;
    again.expect_clear_error()?;
    again.expect_named(&refused)?;
    ensure!(
        steered.events("BatchCommitted").await? == batches,
        "it was refused"
    );
    ensure!(
        steered.events("WorkerStarted").await? == 2,
        "it was refused"
    );
    steered
        .steer(&cancel)?
        .expect(0)
        .await?
        .expect_named(&["already cancelled"])?;
    steered
        .steer(&["pause"])?
        .expect(4)
        .await?
        .expect_named(&["cancelled", "cli run resume"])?;
    let status = steered.scenario.cli(&["status"])?.expect(0).await?;
    status.expect_named(&[
        "cancelled",
        "by Mia: wrong instant",
        "cli run resume",
        "cli rollback",
    ])?;

    // Resumed it goes on, and cancelled again it is taken back.
    steered
        .steer(&["resume"])?
        .expect(0)
        .await?
        .expect_named(&["worker run"])?;
    let mut resumed = steered.worker(&SLOW)?;
    steered
        .wait_for(&mut [&mut resumed], "BatchCommitted", batches + 2)
        .await?;
    steered.steer(&cancel)?.expect(0).await?;
    resumed.wait().await?.expect(4)?;
    ensure!(
        steered.events("RunStarted").await? == 1,
        "it is the same run"
    );
    steered.scenario.cli(&ROLLBACK)?.expect(0).await?;
    steered.scenario.expect_state(&before).await?;
    steered
        .steer(&["resume"])?
        .expect(4)
        .await?
        .expect_named(&["rolled back"])?;
    // The next run is another.
    steered.worker(&[])?.wait().await?.expect(0)?;
    steered.expect_result().await
}

/// What cannot be set is told, with what can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused() -> Result<()> {
    let steered = Steered::load(Backend::Sqlite, 1_007).await?;
    let names = ["batch-target", "batch-rows", "pace", "workers"];
    for (settings, words) in [
        (&["colour=red"][..], &names[..]),
        (&["pace=fast"], &["2000/s"]),
        (&["workers=0"], &["1 to 64"]),
        (&["batch-target=2s"], &["10ms", "1s"]),
        (&["batch-rows=9..5"], &["500..10000"]),
        (&["workers"], &["workers=4"]),
        (&["pace=off", "pace=auto"], &["twice"]),
        (&[], &["SETTING=VALUE"]),
    ] {
        let refused = steered.steer(&["set"])?.args(settings);
        refused.expect(2).await?.expect_named(words)?;
    }
    let nobody = steered.scenario.cli(&["run", "pause"])?;
    nobody.expect(2).await?.expect_named(&["--by"])?;
    let unknown = steered.steer(&["pause", "--run", "0199"])?;
    unknown.expect(2).await?.expect_named(&["cli runs"])?;
    Ok(())
}
