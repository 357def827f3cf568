//! The application as it goes on beside a migration: over several connections it inserts and updates what the run reads, and
//! takes the time of each statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;

use crate::database::Database;
use crate::moment::{DAY, Moment};
use crate::scenario::Scenario;

/// Connections of the application.
const WRITERS: usize = 4;

/// How long a statement of the application may wait for a lock: PostgreSQL itself makes a longer wait an error.
const LOCK_TIMEOUT: &str = "1s";

/// What the application changes that the run must see: all sources.
pub const ALL: u8 = 0;
/// The figures of jobs and deals alone.
pub const FIGURES: u8 = 1;
/// Nothing: what it writes is dated after the run's instant.
pub const LATER: u8 = 2;
/// It stops.
const STOP: u8 = 3;

/// A live application.
#[derive(Debug)]
pub struct Application {
    mode: Arc<AtomicU8>,
    /// Statements that changed what the run must see.
    done: Arc<AtomicUsize>,
    /// In which mode each writer began its last statement.
    seen: Arc<[AtomicU8; WRITERS]>,
    writers: Vec<JoinHandle<Result<(usize, Duration)>>>,
}

impl Application {
    /// Begins to write, over several connections.
    pub async fn start(scenario: &Scenario) -> Result<Self> {
        let mode = Arc::new(AtomicU8::new(ALL));
        let done = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new([ALL; WRITERS].map(AtomicU8::new));
        let mut writers = Vec::new();
        for number in 0..WRITERS {
            let writer = Writer {
                database: scenario.database.another().await?,
                number,
                since: scenario.profile.since(),
                as_of: scenario.profile.as_of,
            };
            let (mode, done, seen) = (mode.clone(), done.clone(), seen.clone());
            writers.push(tokio::spawn(async move {
                writer.write(&mode, &done, &seen[number]).await
            }));
        }
        Ok(Self {
            mode,
            done,
            seen,
            writers,
        })
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits for so many more statements that change what the run must see.
    pub async fn goes_on(&self, statements: usize) -> Result<()> {
        let until = self.done() + statements;
        while self.done() < until {
            ensure!(
                !self.writers.iter().any(JoinHandle::is_finished),
                "a writer has ended"
            );
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Ok(())
    }

    /// Changes what is written, and waits until no writer is at anything else.
    pub async fn turn_to(&self, mode: u8) -> Result<()> {
        self.mode.store(mode, Ordering::SeqCst);
        for seen in self.seen.iter() {
            while seen.load(Ordering::SeqCst) != mode {
                ensure!(
                    !self.writers.iter().any(JoinHandle::is_finished),
                    "a writer has ended"
                );
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
        Ok(())
    }

    /// Stops it; gives the number of its statements and the longest time that one took. Fails where one failed.
    pub async fn stop(self) -> Result<(usize, Duration)> {
        self.mode.store(STOP, Ordering::SeqCst);
        let (mut statements, mut longest) = (0, Duration::ZERO);
        for writer in self.writers {
            let (count, slowest) = writer.await?.context("a statement of the application")?;
            statements += count;
            longest = longest.max(slowest);
        }
        Ok((statements, longest))
    }
}

/// One connection of the application.
#[derive(Debug)]
struct Writer {
    database: Database,
    number: usize,
    since: Moment,
    as_of: Moment,
}

impl Writer {
    async fn write(
        self,
        mode: &AtomicU8,
        done: &AtomicUsize,
        seen: &AtomicU8,
    ) -> Result<(usize, Duration)> {
        let (mut turn, mut longest) = (0, Duration::ZERO);
        loop {
            let now = mode.load(Ordering::SeqCst);
            seen.store(now, Ordering::SeqCst);
            if now == STOP {
                return Ok((turn, longest));
            }
            let sql = self.statement(turn, now);
            let sql = format!("BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; {sql}; COMMIT");
            let began = Instant::now();
            self.database.execute(&sql).await?;
            longest = longest.max(began.elapsed());
            turn += 1;
            if now != LATER {
                done.fetch_add(1, Ordering::SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }

    /// The next thing that the application does.
    fn statement(&self, turn: usize, mode: u8) -> String {
        let tag = format!("{turn}-{}", self.number);
        // Ids that sort before all others, among them, and behind.
        let place = ["!", "Campaign-1", "c0", "~"][turn % 4];
        match (mode, turn % 5) {
            (ALL, 0) => campaign(
                &format!("{place}{tag}"),
                Moment(self.as_of.0 - DAY / 3),
                "NULL",
            ),
            (ALL, 1) => format!(
                "INSERT INTO \"AgentTask\" (\"id\", \"campaignId\", \"agentId\", \"agentType\", \"status\", \"model\", \
                 \"createdAt\", \"completedAt\") SELECT '{place}{tag}', c.\"id\", 'live{tag}', 'live', 'done', 'm', '{at}', \
                 '{at}' FROM \"Campaign\" c ORDER BY c.\"id\" LIMIT 1",
                at = Moment(self.as_of.0 - DAY / 4).stored()
            ),
            (ALL, 2) => format!(
                "UPDATE \"Campaign\" SET \"status\" = 'live', \"updatedAt\" = CURRENT_TIMESTAMP WHERE \"id\" = \
                 (SELECT \"id\" FROM \"Campaign\" ORDER BY md5(\"id\" || '{tag}') LIMIT 1)"
            ),
            (ALL | FIGURES, 3) => format!(
                "INSERT INTO \"Deal\" (\"id\", \"tenantId\", \"kind\", \"stage\", \"acv\", \"openedAt\", \"closedAt\") \
                 VALUES ('{place}{tag}', 'acme', 'new', 'ClosedWon', 1200, '{at}', '{at}')",
                at = Moment(self.as_of.0 - DAY / 2).stored()
            ),
            (ALL | FIGURES, _) => format!(
                "UPDATE \"PublishJob\" SET \"impressions\" = \"impressions\" + 7, \"clicks\" = \"clicks\" + 1 WHERE \"id\" \
                 = (SELECT j.\"id\" FROM \"PublishJob\" j JOIN \"Asset\" a ON a.\"id\" = j.\"assetId\" JOIN \"Campaign\" c \
                 ON c.\"id\" = a.\"campaignId\" WHERE j.\"impressions\" BETWEEN 0 AND 1000000 AND j.\"clicks\" BETWEEN 0 \
                 AND 1000000 AND c.\"createdAt\" BETWEEN '{since}' AND '{as_of}' ORDER BY md5(j.\"id\" || '{tag}') \
                 LIMIT 1)",
                since = self.since.stored(),
                as_of = self.as_of.stored()
            ),
            // The next release: it records the prompt itself.
            (_, 0 | 1) => campaign(
                &format!("{place}{tag}"),
                Moment(self.as_of.0 + DAY),
                "'written by the application'",
            ),
            (_, _) => format!(
                "UPDATE \"Campaign\" SET \"name\" = 'live', \"updatedAt\" = CURRENT_TIMESTAMP WHERE \"id\" = \
                 (SELECT \"id\" FROM \"Campaign\" ORDER BY md5(\"id\" || '{tag}') LIMIT 1)"
            ),
        }
    }
}

/// A campaign with a prompt (or one in its metadata), a task and a job that was seen.
fn campaign(id: &str, at: Moment, prompt: &str) -> String {
    let (column, value) = match prompt {
        "NULL" => ("", String::new()),
        prompt => (", \"prompt\"", format!(", {prompt}")),
    };
    let at = at.stored();
    format!(
        "INSERT INTO \"Campaign\" (\"id\", \"tenantId\", \"name\", \"metadata\", \"createdAt\", \"updatedAt\"{column}) \
         VALUES ('{id}', 'acme', 'live', '{{\"prompt\": \"of {id}\", \"agentTasks\": [{{\"agentId\": \"live\", \
         \"completedAt\": \"{done}\", \"success\": true}}]}}', '{at}', '{at}'{value}); \
         INSERT INTO \"Asset\" (\"id\", \"campaignId\", \"type\", \"createdAt\") VALUES ('{id}', '{id}', 'post', '{at}'); \
         INSERT INTO \"PublishJob\" (\"id\", \"assetId\", \"platform\", \"impressions\", \"clicks\", \"conversions\", \
         \"postedAt\", \"createdAt\") VALUES ('{id}', '{id}', 'web', 100, 10, 1, '{at}', '{at}')",
        done = at.replace(' ', "T") + "Z"
    )
}
