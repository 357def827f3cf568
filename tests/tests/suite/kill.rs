//! Killed with SIGKILL at any instant and started again, a run and a rollback end as if nothing had happened.

use std::time::Duration;

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
fn enough() -> usize {
    Server::current().share(50)
}

/// A rollback off a terminal.
const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "killed on purpose"];

/// Small batches, so that there are many instants to be killed at.
const BATCH: [&str; 2] = ["--batch-rows", "60"];

/// Databases that are migrated under kills and compared with the same undisturbed one.
const VICTIMS: usize = 4;

/// Runs of one database that are taken back, one after the other.
const ROLLBACKS: usize = 2;

pub(crate) async fn killed_runs(backend: Backend) -> Result<()> {
    let mut killer = Killer::new("BatchCommitted");
    for seed in seeds(40) {
        if killer.is_done() {
            break;
        }
        kill_runs(backend, seed, &mut killer)
            .await
            .with_context(|| format!("BACKSTITCH_SEED={seed}, {killer:?}"))?;
    }
    killer.check()
}

async fn kill_runs(backend: Backend, seed: u64, killer: &mut Killer) -> Result<()> {
    let profile = Profile::busy(backend, seed);
    let reference = Scenario::load(&profile).await?;
    reference.run()?.args(BATCH).expect(0).await?;
    let expected = reference.state().await?;
    let aside = journal::quarantined(&reference.database).await?;
    for _ in 0..VICTIMS {
        if killer.is_done() {
            break;
        }
        let victim = Scenario::load(&profile).await?;
        let command = || Ok(victim.run()?.args(BATCH));
        killer.kill_until_it_ends(&victim, command).await?;
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
    let mut killer = Killer::new("BatchUndone");
    for seed in seeds(60) {
        if killer.is_done() {
            break;
        }
        kill_rollbacks(backend, seed, &mut killer)
            .await
            .with_context(|| format!("BACKSTITCH_SEED={seed}, {killer:?}"))?;
    }
    killer.check()
}

async fn kill_rollbacks(backend: Backend, seed: u64, killer: &mut Killer) -> Result<()> {
    let victim = Scenario::load_with_schema(&Profile::busy(backend, seed)).await?;
    application::write_rows(&victim.database, "!app", victim.profile.as_of).await?;
    let before = victim.state().await?;
    for _ in 0..ROLLBACKS {
        if killer.is_done() {
            break;
        }
        victim.run()?.args(BATCH).expect(0).await?;
        killer
            .kill_until_it_ends(&victim, || victim.cli(&ROLLBACK))
            .await?;
        victim.expect_state(&before).await?;
        victim.verify_journal().await?;
    }
    Ok(())
}

/// Kills a command after a random while.
#[derive(Debug)]
struct Killer {
    random: Random,
    /// The kind of event that tells that the command has got on with its work.
    progress: &'static str,
    /// The longest that it waits: much less after it came too late, a little more after it struck before anything was
    /// done. So each command that comes to its end was killed several times.
    patience: Duration,
    /// Kills that met a living process.
    struck: usize,
    /// Those after which the journal held more than before, and the work was not finished.
    midway: usize,
}

impl Killer {
    fn new(progress: &'static str) -> Self {
        Self {
            random: Random::new(0x4B1D),
            progress,
            patience: Duration::from_secs(1),
            struck: 0,
            midway: 0,
        }
    }

    /// Starts the command again and again, until one comes to its end; undisturbed once enough kills have struck.
    async fn kill_until_it_ends(
        &mut self,
        victim: &Scenario,
        command: impl Fn() -> Result<Invocation>,
    ) -> Result<()> {
        while !self.is_done() {
            let before = self.done(victim).await?;
            let longest = u64::try_from(self.patience.as_micros())?.max(1);
            let pause = Duration::from_micros(self.random.bits() % longest);
            let running = command()?.spawn()?;
            tokio::time::sleep(pause).await;
            let outcome = running.kill().await?;
            if !outcome.was_killed() {
                self.patience = self.patience * 3 / 5;
                outcome.expect(0)?;
                return Ok(());
            }
            self.struck += 1;
            if self.done(victim).await? > before {
                self.midway += 1;
            } else {
                self.patience = self.patience * 5 / 4;
            }
        }
        command()?.expect(0).await?;
        Ok(())
    }

    async fn done(&self, victim: &Scenario) -> Result<i64> {
        if !journal::exists(&victim.database).await? {
            return Ok(0);
        }
        journal::events(&victim.database, self.progress, None).await
    }

    fn has_enough(&self) -> bool {
        self.struck >= enough() && self.midway * 3 >= enough()
    }

    /// Enough of both kinds, or so many in vain that something is wrong.
    fn is_done(&self) -> bool {
        self.has_enough() || self.struck >= 8 * enough()
    }

    /// A kill that met nobody, or only ever met a process that was starting, proves nothing.
    fn check(&self) -> Result<()> {
        ensure!(
            self.has_enough(),
            "{} kills must strike, a third of them between batches: {self:?}",
            enough()
        );
        Ok(())
    }
}
