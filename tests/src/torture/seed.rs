//! One seed: a source, an undisturbed run and rollback of it, and as many disturbed ones as it takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::Options;
use super::application;
use super::fault::Wanted;
use super::ground::Ground;
use super::instants::Usual;
use super::ledger::{Finished, Ledger};
use super::phase::{self, Course, Ending, Job, Phase, Settings};
use super::reference::{self, Reference};
use crate::database::Backend;
use crate::generate::Profile;
use crate::process::Invocation;
use crate::provenance;
use crate::random::Random;
use crate::scenario::Scenario;
use crate::standing::{Difference, Key, Standing};

/// Runs and rollbacks after which a seed gives up, because faults do not strike.
const PHASES: usize = 80;

/// The campaigns of a small source.
const LEAST_CAMPAIGNS: usize = 20;
const MOST_CAMPAIGNS: usize = 45;

/// What a seed works with.
struct Trial<'a> {
    ground: &'a Arc<Ground>,
    ledger: &'a Arc<Ledger>,
    scenario: Arc<Scenario>,
    settings: Settings,
    reference: Reference,
    random: Random,
    workers: usize,
}

/// Lets a seed bear its share of the faults.
pub(super) async fn endure(
    ground: &Arc<Ground>,
    options: &Options,
    seed: u64,
    share: Wanted,
    ledger: &Arc<Ledger>,
) -> Result<()> {
    let mut random = Random::new(seed ^ 0x7027);
    let profile = profile(options.backend, seed, &mut random);
    let settings = Settings {
        // Each page reads the whole text of a large value, and a whole source has thousands of rows: in small pages either
        // would take minutes, for each of many runs.
        batch_rows: match profile.large || profile.campaigns > MOST_CAMPAIGNS {
            true => 100,
            false => random.pick(&[5, 12, 30]),
        },
        partitions: random.pick(&[1, 2, 4]),
        tasks: random.pick(&[1, 2]),
    };
    let template = ground.template(&profile).await?;
    let undisturbed = ground.copy(&template).await?;
    let known = reference::refer(ground, &undisturbed, settings).await?;
    ground.remove(undisturbed.database).await?;

    let mut trial = Trial {
        ground,
        ledger,
        scenario: Arc::new(ground.copy(&template).await?),
        settings,
        reference: known,
        random,
        workers: options.workers,
    };
    trial.endure(share).await?;
    let scenario = Arc::into_inner(trial.scenario).context("nobody else has the database")?;
    ground.remove(scenario.database).await?;
    ground.forget(template).await
}

/// A source full of odd values, every fifth with large ones. Most are small, so that there can be many seeds and many
/// interruptions of each; a few are not.
fn profile(backend: Backend, seed: u64, random: &mut Random) -> Profile {
    let odd = Profile {
        bad: random.pick(&[0.0, 0.02, 0.08]),
        ..Profile::odd(backend, seed)
    };
    if random.chance(0.03) {
        return odd;
    }
    Profile {
        window_days: random.pick(&[1, 2, 5, 10]),
        campaigns: random.index(MOST_CAMPAIGNS - LEAST_CAMPAIGNS) + LEAST_CAMPAIGNS,
        tasks: 5,
        agent_tasks: 40,
        deals: 25,
        snapshots: 40,
        feedback: 30,
        log_lines: 30,
        ..odd
    }
}

impl Trial<'_> {
    async fn endure(&mut self, share: Wanted) -> Result<()> {
        let left = |ledger: &Ledger| share.without(ledger.struck());
        let mut base = self.reference.before.clone();
        for turn in 0..PHASES {
            let is_first = turn == 0;
            self.disturbed_run(left(self.ledger), &base)
                .await
                .with_context(|| format!("phase {turn}, run"))?;
            if is_first {
                base = self.application_writes().await?;
            }
            self.disturbed_rollbacks(left(self.ledger), &base)
                .await
                .with_context(|| format!("phase {turn}, rollback"))?;
            if left(self.ledger).is_nothing() {
                return Ok(());
            }
        }
        bail!("faults do not strike: {:?} are left", left(self.ledger))
    }

    async fn disturbed_run(&mut self, left: Wanted, base: &Standing) -> Result<()> {
        let programs = match self.ground.backend() {
            Backend::Sqlite => self.random.pick(&[1, 1, self.workers]),
            Backend::Postgres => self.workers,
        };
        self.disturb(Job::Run, self.reference.run, left, programs)
            .await?;
        let database = &self.scenario.database;
        let after = self.reference.after.and(base);
        // Safety: what is there is right, and in the journal, before anything is mended. Without a schema nothing is.
        if database.has_table("IntelligenceEvent").await? {
            self.check_between(base, &after, &BTreeSet::new()).await?;
        }
        // Liveness: once nothing disturbs it any more, one command ends it.
        if !reference::is_complete(database).await? {
            self.ends(phase::run(&self.scenario, self.settings)?)
                .await?;
        }
        self.ledger.finished(Finished::Run);
        let found = Standing::read(database).await?;
        self.note(&after.compare(&found), &found)?;
        provenance::check(&provenance::entries(database).await?, &found.since(base))?;
        let set_aside = reference::quarantine(database).await?;
        ensure!(
            set_aside == self.reference.quarantine,
            "other rows were set aside: {set_aside:?} and not {:?}",
            self.reference.quarantine
        );
        self.scenario.verify_journal().await?;
        self.scenario.cli(&["validate"])?.expect(0).await?;
        Ok(())
    }

    /// Takes back every run that stands, from the newest to the oldest.
    async fn disturbed_rollbacks(&mut self, left: Wanted, base: &Standing) -> Result<()> {
        let scenario = self.scenario.clone();
        let database = &scenario.database;
        let after = self.reference.after.and(base);
        let mut acknowledged = Vec::new();
        for run in reference::standing_runs(database).await? {
            let programs = self.random.pick(&[1, 1, 1, 2]);
            let job = Job::Rollback(run.clone());
            let edited = self.disturb(job, self.reference.rollback, left, programs);
            acknowledged.extend(edited.await?);
            // Safety.
            let edited = application::edits(database, &acknowledged).await?;
            self.check_between(base, &after, &edited).await?;
            // Liveness.
            self.ends(phase::rollback(&scenario, &run)?).await?;
            self.ledger.finished(Finished::Rollback);
        }
        let edited = application::edits(database, &acknowledged).await?;
        let found = Standing::read(database).await?.without(&edited);
        self.note(&base.without(&edited).compare(&found), &found)?;
        application::take_back(database).await?;
        let found = Standing::read(database).await?;
        self.note(&base.compare(&found), &found)?;
        let entries = provenance::entries(database).await?;
        provenance::check(&entries, &BTreeSet::new())?;
        scenario.verify_journal().await
    }

    /// The same command again, and nothing disturbs it: where it does not end the job, somebody would have to step in.
    async fn ends(&self, command: Invocation) -> Result<()> {
        let outcome = command.run().await?;
        if outcome.code() != Some(0) {
            self.ledger.manual_step();
        }
        outcome.expect(0).map(drop)
    }

    /// Lets faults strike; gives the rows that the application has edited meanwhile.
    async fn disturb(
        &mut self,
        job: Job,
        usual: Usual,
        left: Wanted,
        programs: usize,
    ) -> Result<Vec<Key>> {
        // A rollback looks at every row before it begins, so each of its restarts costs more than a run's.
        let scale = match job {
            Job::Run => 3,
            Job::Rollback(_) => 1,
        };
        let random = &mut self.random;
        let mut most = |most: i64| random.between(1, most * scale).unsigned_abs();
        let faults = Wanted {
            kills: most(8),
            server_crashes: most(1),
            cuts: most(8),
        };
        let course = Course {
            faults: left.at_most(faults),
            programs,
            ending: self.random.pick(&[Ending::ByThemselves, Ending::Killed]),
        };
        let phase = Phase::new(
            job,
            self.ground,
            &self.scenario,
            self.settings,
            usual,
            self.ledger,
        );
        let phase = Arc::new(phase.await?);
        phase.endure(course, &mut self.random).await
    }

    /// After faults, and before anything is mended: each row is as it was or as it will be, and each that was written has
    /// its entry. Rows that the application has edited are left out: a rollback may have met them already, or not yet.
    async fn check_between(
        &self,
        base: &Standing,
        after: &Standing,
        edited: &BTreeSet<Key>,
    ) -> Result<()> {
        let database = &self.scenario.database;
        let found = Standing::read(database).await?.without(edited);
        let (base, after) = (base.without(edited), after.without(edited));
        let difference = Standing::compare_between(&base, &after, &found);
        self.note(&difference, &found)?;
        let mut entries = provenance::entries(database).await?;
        entries.retain(|row, _| !edited.contains(row));
        provenance::check(&entries, &found.since(&base))?;
        self.scenario.verify_journal().await
    }

    fn note(&self, difference: &Difference, found: &Standing) -> Result<()> {
        self.ledger.compared(found.len(), difference);
        ensure!(
            difference.is_nothing(),
            "{difference}\n{}",
            difference.lines.join("\n")
        );
        Ok(())
    }

    /// The live application writes into every destination; gives what is there before any further run.
    async fn application_writes(&self) -> Result<Standing> {
        let database = &self.scenario.database;
        let at = self.scenario.profile.as_of;
        let before = Standing::read(database).await?;
        crate::application::write_rows(database, "!app", at).await?;
        crate::application::write_rows(database, "~app", at).await?;
        let written = Standing::read(database).await?;
        let mut base = self.reference.before.clone();
        for (table, key) in written.since(&before) {
            let rows = written.0.get_key_value(table.as_str());
            let (table, rows) = rows.context("a table that was written to")?;
            let text = rows.get(&key).context("a row that was written")?;
            base.0.entry(table).or_default().insert(key, text.clone());
        }
        Ok(base)
    }
}
