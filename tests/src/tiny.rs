//! A tiny source on PostgreSQL, of which one unit makes few batches: for tests that go through one run step by step.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::{self, Cluster};
use crate::database::{Backend, Database};
use crate::generate::Profile;
use crate::process::{Invocation, Running};
use crate::provenance;
use crate::proxy::{Proxy, Struck, Trip};
use crate::scenario::Scenario;
use crate::standing::Standing;

/// A source that can be copied, with its schema applied, and what a run over it makes of it.
#[derive(Debug)]
pub struct Tiny {
    cluster: &'static Cluster,
    profile: Profile,
    template: String,
    before: Standing,
    after: Standing,
}

impl Tiny {
    /// Makes it, and lets a run go over a copy of it.
    pub async fn prepare() -> Result<Self> {
        let cluster = cluster::shared()?;
        let profile = Profile {
            campaigns: 2,
            tasks: 1,
            agent_tasks: 2,
            deals: 1,
            snapshots: 1,
            feedback: 7,
            log_lines: 1,
            window_days: 90,
            bad: 0.0,
            ..Profile::small(Backend::Postgres, 5)
        };
        let loaded = Scenario::load_with_schema(&profile).await?;
        let mut tiny = Self {
            cluster,
            profile,
            template: loaded.database.name().to_owned(),
            before: Standing::read(&loaded.database).await?,
            after: Standing::default(),
        };
        loaded.database.close().await?;
        let copy = tiny.copy().await?;
        tiny.run(&copy)?.expect(0).await?;
        tiny.after = Standing::read(&copy.database).await?;
        let written = tiny.after.since(&tiny.before).len();
        ensure!(written > 3, "a run over it writes only {written} rows");
        tiny.remove(copy).await?;
        Ok(tiny)
    }

    /// The same with copies over which a run has gone.
    pub async fn after_a_run(&self) -> Result<Self> {
        let copy = self.copy().await?;
        self.run(&copy)?.expect(0).await?;
        let template = copy.database.name().to_owned();
        copy.database.close().await?;
        Ok(Self {
            cluster: self.cluster,
            profile: self.profile.clone(),
            template,
            before: self.before.clone(),
            after: self.after.clone(),
        })
    }

    /// A database with the source in it, and nothing done yet.
    pub async fn copy(&self) -> Result<Scenario> {
        let template = format!("TEMPLATE {}", self.template);
        let database = Database::create_in(self.cluster, &template).await?;
        Ok(Scenario::around(database, &self.profile))
    }

    /// Removes a copy.
    pub async fn remove(&self, copy: Scenario) -> Result<()> {
        copy.database.remove_from(self.cluster).await
    }

    /// A proxy before the server.
    pub async fn proxy(&self) -> Result<Proxy> {
        Proxy::start(self.cluster.address()).await
    }

    /// The command that runs over a copy.
    pub fn run(&self, copy: &Scenario) -> Result<Invocation> {
        Ok(copy.run_without_migrating()?.args([
            // Looked at by the clock, replicas would come at another message each time.
            "--max-replica-lag",
            "off",
            "--unit",
            "agent_feedback",
            "--batch-rows",
            "3",
            "--partitions",
            "1",
            "--workers",
            "1",
        ]))
    }

    /// The same by way of a proxy.
    pub fn run_by(&self, proxy: &Proxy, copy: &Scenario) -> Result<Invocation> {
        Ok(self.by(proxy, copy, self.run(copy)?))
    }

    /// A command on a copy, by way of a proxy.
    #[must_use]
    pub fn by(&self, proxy: &Proxy, copy: &Scenario, command: Invocation) -> Invocation {
        command.at(&self.cluster.url_by(proxy.port(), copy.database.name()))
    }

    /// Starts a command by way of a proxy that is armed; gives what the fault struck, or none where the command ended
    /// before.
    pub async fn start_armed(
        &self,
        proxy: &Proxy,
        trip: Trip,
        command: Invocation,
    ) -> Result<(Running, Option<Struck>)> {
        let mut told = proxy.arm(trip);
        let mut running = command.spawn()?;
        loop {
            if let Ok(struck) = told.try_recv() {
                return Ok((running, Some(struck)));
            }
            if !running.is_alive()? {
                let struck = told.try_recv().ok();
                proxy.disarm();
                return Ok((running, struck));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Fails unless a copy is as a run leaves it that nothing disturbed: every row, and the provenance of each.
    pub async fn check(&self, copy: &Scenario) -> Result<()> {
        let found = Standing::read(&copy.database).await?;
        let difference = self.after.compare(&found);
        ensure!(
            difference.is_nothing(),
            "{difference}\n{}",
            difference.lines.join("\n")
        );
        let entries = provenance::entries(&copy.database).await?;
        provenance::check(&entries, &found.since(&self.before))?;
        copy.verify_journal().await
    }

    /// Fails unless a copy is as it was before the run.
    pub async fn check_untouched(&self, copy: &Scenario) -> Result<()> {
        let difference = self.before.compare(&Standing::read(&copy.database).await?);
        ensure!(difference.is_nothing(), "{difference}");
        let entries = provenance::entries(&copy.database).await?;
        provenance::check(&entries, &BTreeSet::new())?;
        copy.verify_journal().await
    }
}
