//! Killed with SIGKILL at any instant and started again, a run and a rollback end as if nothing had happened.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::application;
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::process::Invocation;
use tests::random::Random;
use tests::scenario::Scenario;
use tests::server::Server;

use crate::seeds::seeds;

on_both!(killed_runs, killed_rollbacks);

/// How many kills must strike a living process, for each test and backend.
fn kills() -> usize {
    Server::current().share(50)
}

/// The longest pauses before a kill, in sixteenths of what the command takes undisturbed. Some strike during start-up
/// and replay, some in the midst of batches, few near the end.
const RUN_PAUSES: [u32; 3] = [1, 4, 8];

/// The same for a rollback, which looks at all rows before it begins.
const ROLLBACK_PAUSES: [u32; 3] = [4, 8, 16];

/// A rollback off a terminal.
const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "killed on purpose"];

/// Small batches, so that a run has many instants at which it can be killed.
const BATCH: [&str; 2] = ["--batch-rows", "60"];

/// Smaller ones where a rollback is to be killed, which is quicker than a run.
const BATCH_TO_UNDO: [&str; 2] = ["--batch-rows", "20"];

/// Runs of one database that are taken back, one after the other.
const ROLLBACKS: usize = 3;

/// Databases that are migrated under kills and compared with the same undisturbed one.
const VICTIMS: usize = 4;

pub(crate) async fn killed_runs(backend: Backend) -> Result<()> {
    let mut struck = Struck::default();
    for seed in seeds(40) {
        if struck.is_enough() {
            break;
        }
        kill_runs(backend, seed, &mut struck)
            .await
            .with_context(|| format!("BACKSTITCH_SEED={seed}, {struck:?}"))?;
    }
    struck.check()
}

async fn kill_runs(backend: Backend, seed: u64, struck: &mut Struck) -> Result<()> {
    let profile = Profile::busy(backend, seed);
    let reference = Scenario::load(&profile).await?;
    let began = Instant::now();
    reference.run()?.args(BATCH).expect(0).await?;
    let usual = began.elapsed();
    let expected = reference.state().await?;
    let aside = journal::quarantined(&reference.database).await?;

    let mut random = Random::new(seed ^ 0x4B1D);
    for _ in 0..VICTIMS {
        if struck.is_enough() {
            break;
        }
        let victim = Scenario::load(&profile).await?;
        loop {
            let ended = kill_or_finish(
                victim.run()?.args(BATCH),
                usual,
                &RUN_PAUSES,
                &mut random,
                struck,
            )
            .await?;
            let begun = journal::exists(&victim.database).await?
                && journal::events(&victim.database, "BatchCommitted", None).await? > 0;
            struck.midway += usize::from(!ended && begun);
            if ended {
                break;
            }
        }
        victim.expect_state(&expected).await?;
        ensure!(
            journal::quarantined(&victim.database).await? == aside,
            "other rows were set aside"
        );
        victim.verify_journal().await?;
        victim.cli(&["validate"])?.expect(0).await?;
    }
    Ok(())
}

pub(crate) async fn killed_rollbacks(backend: Backend) -> Result<()> {
    let mut struck = Struck::default();
    let usual = undisturbed_rollback(backend).await?;
    for seed in seeds(60) {
        if struck.is_enough() {
            break;
        }
        kill_rollbacks(backend, seed, usual, &mut struck)
            .await
            .with_context(|| format!("BACKSTITCH_SEED={seed}, {struck:?}"))?;
    }
    struck.check()
}

async fn kill_rollbacks(
    backend: Backend,
    seed: u64,
    usual: Duration,
    struck: &mut Struck,
) -> Result<()> {
    let victim = Scenario::load_with_schema(&Profile::busy(backend, seed)).await?;
    application::write_rows(&victim.database, "!app", victim.profile.as_of).await?;
    let before = victim.state().await?;
    let mut random = Random::new(seed ^ 0x4B2D);
    for _ in 0..ROLLBACKS {
        if struck.is_enough() {
            break;
        }
        victim.run()?.args(BATCH_TO_UNDO).expect(0).await?;
        let undone = journal::events(&victim.database, "BatchUndone", None).await?;
        loop {
            let rollback = victim.cli(&ROLLBACK)?;
            let pauses = &ROLLBACK_PAUSES;
            if kill_or_finish(rollback, usual, pauses, &mut random, struck).await? {
                break;
            }
            let now = journal::events(&victim.database, "BatchUndone", None).await?;
            struck.midway += usize::from(now > undone);
        }
        victim.expect_state(&before).await?;
        victim.verify_journal().await?;
    }
    Ok(())
}

/// How long a rollback takes that nobody kills.
async fn undisturbed_rollback(backend: Backend) -> Result<Duration> {
    let reference = Scenario::load(&Profile::busy(backend, 0)).await?;
    reference.run()?.args(BATCH_TO_UNDO).expect(0).await?;
    let began = Instant::now();
    reference.cli(&ROLLBACK)?.expect(0).await?;
    Ok(began.elapsed())
}

/// Kills after a random while, or lets it end once enough kills have struck. Returns whether it has ended by itself.
async fn kill_or_finish(
    invocation: Invocation,
    usual: Duration,
    pauses: &[u32],
    random: &mut Random,
    struck: &mut Struck,
) -> Result<bool> {
    if struck.is_enough() {
        invocation.expect(0).await?;
        return Ok(true);
    }
    let most = usual * random.pick(pauses) / 16;
    let pause = Duration::from_micros(random.bits() % u64::try_from(most.as_micros())?.max(1));
    let running = invocation.spawn()?;
    tokio::time::sleep(pause).await;
    let outcome = running.kill().await?;
    if outcome.was_killed() {
        struck.kills += 1;
        return Ok(false);
    }
    outcome.expect(0)?;
    Ok(true)
}

#[derive(Debug, Default)]
struct Struck {
    /// Kills that met a living process.
    kills: usize,
    /// Those after which the journal held batches and the work was not finished.
    midway: usize,
}

impl Struck {
    /// Enough of both kinds, or so many in vain that something is wrong.
    fn is_enough(&self) -> bool {
        (self.kills >= kills() && self.midway * 3 >= kills()) || self.kills >= 4 * kills()
    }

    /// A kill that met nobody, or only ever met a process that was starting, proves nothing.
    fn check(&self) -> Result<()> {
        ensure!(
            self.kills >= kills() && self.midway * 3 >= kills(),
            "{} kills must strike, a third of them between batches: {self:?}",
            kills()
        );
        Ok(())
    }
}
