//! A run or a rollback, under faults: what its programs share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::application;
use super::crash;
use super::fault::{Fault, Wanted};
use super::ground::Ground;
use super::instants::Usual;
use super::ledger::Ledger;
use super::life;
use crate::database::Backend;
use crate::process::Running;
use crate::proxy::{Proxy, State};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::standing::Key;

/// What is being done while faults strike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// `worker run`, by several processes.
    Run,
    /// `cli rollback` of a run.
    Rollback(String),
}

/// How `worker run` is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) batch_rows: u32,
    pub(super) partitions: u32,
    pub(super) tasks: u32,
}

/// What all programs of a phase share.
pub(super) struct Phase {
    pub(super) job: Job,
    pub(super) ground: Arc<Ground>,
    pub(super) scenario: Arc<Scenario>,
    pub(super) settings: Settings,
    pub(super) usual: Usual,
    pub(super) ledger: Arc<Ledger>,
    left: Mutex<Wanted>,
    proxies: Mutex<Vec<Arc<Proxy>>>,
    /// Programs that have not ended for good.
    living: AtomicUsize,
    is_stopped: AtomicBool,
    /// How many events say that a job of this kind was finished, before this one.
    finished_before: i64,
}

/// How a phase is to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// The faults that strike at most.
    pub(super) faults: Wanted,
    /// How many programs there are at a time.
    pub(super) programs: usize,
    /// What they do once no fault is left.
    pub(super) ending: Ending,
}

/// What programs do once no fault is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// They run to their end.
    ByThemselves,
    /// They are killed, all of them.
    Killed,
}

impl Phase {
    pub(super) async fn new(
        job: Job,
        ground: &Arc<Ground>,
        scenario: &Arc<Scenario>,
        settings: Settings,
        usual: Usual,
        ledger: &Arc<Ledger>,
    ) -> Result<Self> {
        let mut phase = Self {
            job,
            ground: ground.clone(),
            scenario: scenario.clone(),
            settings,
            usual,
            ledger: ledger.clone(),
            left: Mutex::default(),
            proxies: Mutex::default(),
            living: AtomicUsize::new(0),
            is_stopped: AtomicBool::new(false),
            finished_before: 0,
        };
        phase.finished_before = phase.finished().await?;
        Ok(phase)
    }

    /// Lets the programs run, and faults strike, until the job is done or no fault is left. Gives the rows that the
    /// application has edited meanwhile.
    pub(super) async fn endure(
        self: Arc<Self>,
        course: Course,
        random: &mut Random,
    ) -> Result<Vec<Key>> {
        *self.left() = course.faults;
        self.living.store(course.programs, Ordering::SeqCst);
        let mut tasks = JoinSet::new();
        for _ in 0..course.programs {
            let (phase, random) = (self.clone(), Random::new(random.bits()));
            let proxy = phase.ground.proxy().await?.map(Arc::new);
            lock(&self.proxies).extend(proxy.clone());
            tasks.spawn(async move {
                let lived = life::live(&phase, proxy, course.ending, random).await;
                phase.living.fetch_sub(1, Ordering::SeqCst);
                lived.map(|()| Vec::new())
            });
        }
        let (phase, fate) = (self.clone(), Random::new(random.bits()));
        tasks.spawn(async move { crash::strike(&phase, fate).await.map(|()| Vec::new()) });
        let (phase, fate) = (self.clone(), Random::new(random.bits()));
        tasks.spawn(async move { application::edit(&phase, fate).await });

        let mut edited = Vec::new();
        let mut failure = None;
        while let Some(ended) = tasks.join_next().await {
            match ended.context("a task of the torture panicked").flatten() {
                Ok(keys) => edited.extend(keys),
                Err(error) => {
                    self.is_stopped.store(true, Ordering::SeqCst);
                    failure.get_or_insert(error);
                }
            }
        }
        lock(&self.proxies).clear();
        match failure {
            Some(error) => Err(error),
            None => {
                self.sessions_gone().await?;
                Ok(edited)
            }
        }
    }

    /// Starts one of its programs.
    pub(super) fn spawn(&self, proxy: Option<&Proxy>) -> Result<Running> {
        let settings = self.settings;
        let mut invocation = match &self.job {
            Job::Run => run(&self.scenario, settings)?,
            Job::Rollback(run) => rollback(&self.scenario, run)?,
        };
        if let Some(proxy) = proxy {
            let name = self.scenario.database.name();
            invocation = invocation.at(&self.ground.cluster()?.url_by(proxy.port(), name));
        }
        invocation.spawn()
    }

    /// The next fault for a program, or none where no more are to strike.
    pub(super) fn draw(&self, random: &mut Random) -> Option<Fault> {
        let left = *self.left();
        let wanted = left.kills + left.cuts;
        if wanted == 0 || self.is_over() {
            return None;
        }
        let other = wanted / 6 + 1;
        let drawn = random.bits() % (wanted + other);
        Some(if drawn < left.kills {
            Fault::Kill
        } else if drawn < wanted {
            Fault::Cut
        } else if self.ground.backend() == Backend::Sqlite {
            random.pick(&[Fault::Stop, Fault::Terminate])
        } else {
            random.pick(&[
                Fault::Stop,
                Fault::StopAndCut,
                Fault::Terminate,
                Fault::Stall,
                Fault::HalfOpen,
                Fault::Slow,
            ])
        })
    }

    /// Takes note of a fault that has struck.
    pub(super) fn struck(&self, fault: Fault, state: Option<State>) {
        let state = state.map_or("not connected".to_owned(), |state| state.to_string());
        self.struck_at(fault, state);
    }

    pub(super) fn struck_at(&self, fault: Fault, state: String) {
        let mut left = self.left();
        *left = left.without(fault.counts());
        drop(left);
        self.ledger.strike(fault, self.job.word(), state);
    }

    pub(super) fn left(&self) -> MutexGuard<'_, Wanted> {
        lock(&self.left)
    }

    /// Whether a program's task has failed.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// Whether no program lives any more, or one has failed.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopped() || self.living.load(Ordering::SeqCst) == 0
    }

    /// What the connection was at that had come the furthest, of all programs.
    pub(super) fn state(&self) -> Option<State> {
        let proxies = lock(&self.proxies).clone();
        proxies
            .iter()
            .filter_map(|proxy| proxy.open().state())
            .max()
    }

    /// Whether the journal says that the job is done. While the server is down, nobody knows, and so it is not.
    pub(super) async fn is_done(&self) -> bool {
        let finished = self.finished().await;
        finished.is_ok_and(|finished| finished > self.finished_before)
    }

    async fn finished(&self) -> Result<i64> {
        let database = &self.scenario.database;
        if !database.has_table("backstitch_journal").await? {
            return Ok(0);
        }
        let condition = match &self.job {
            Job::Run => "kind = 'RunCompleted'".to_owned(),
            Job::Rollback(run) => format!("kind = 'UndoCompleted' AND run = '{run}'"),
        };
        let sql = format!("SELECT COUNT(*) FROM backstitch_journal WHERE {condition}");
        database.value(&sql).await
    }

    /// Waits until the server has ended the sessions of programs that are gone.
    async fn sessions_gone(&self) -> Result<()> {
        if self.ground.backend() == Backend::Sqlite {
            return Ok(());
        }
        let sql = "SELECT COUNT(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'backstitch'";
        let began = Instant::now();
        loop {
            let sessions: i64 = self.scenario.database.value(sql).await?;
            if sessions == 0 {
                return Ok(());
            }
            ensure!(
                began.elapsed() < Duration::from_secs(60),
                "{sessions} sessions of programs that are gone are still there"
            );
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

impl Job {
    /// Its name in the account.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Rollback(_) => "rollback",
        }
    }
}

/// The command that migrates.
pub(super) fn run(scenario: &Scenario, settings: Settings) -> Result<crate::process::Invocation> {
    Ok(scenario.run()?.args([
        "--batch-rows",
        &settings.batch_rows.to_string(),
        "--partitions",
        &settings.partitions.to_string(),
        "--workers",
        &settings.tasks.to_string(),
    ]))
}

/// The command that takes a run back.
pub(super) fn rollback(scenario: &Scenario, run: &str) -> Result<crate::process::Invocation> {
    scenario.cli(&["rollback", "--run", run, "--yes", "--reason", "torture"])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
