//! Timing one thing: how long it took, what it cost whom.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::ground::Ground;
use super::processor::{self, Used};
use super::results::Sample;
use super::statistics::number;
use crate::database::Database;
use crate::process::Invocation;

/// What is timed.
#[derive(Debug)]
pub(crate) enum Work {
    /// Statements, each in a session of its own, side by side.
    Statements(Vec<String>),
    /// Programs, side by side, each of which must end well.
    Programs(Vec<Invocation>),
}

impl Work {
    /// One statement.
    #[must_use]
    pub(crate) fn statement(sql: &str) -> Self {
        Self::Statements(vec![sql.to_owned()])
    }

    /// One program.
    #[must_use]
    pub(crate) fn program(invocation: Invocation) -> Self {
        Self::Programs(vec![invocation])
    }
}

/// What the programs cost by themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Seconds of CPU.
    pub(crate) cpu: f64,
    /// The most memory that one of them held, in KiB.
    pub(crate) peak: Option<u64>,
}

/// Does the work on a database and tells what it took; the rows are the caller's to count.
pub(crate) async fn time(
    ground: &Ground,
    database: &Database,
    contender: &str,
    round: u32,
    work: Work,
) -> Result<Sample> {
    let postmaster = ground.cluster.process()?;
    let mut sessions = Vec::new();
    if let Work::Statements(statements) = &work {
        for statement in statements {
            sessions.push((database.another().await?, statement.clone()));
        }
    }
    let wal = ground.wal().await?;
    let before = Used::now(postmaster)?;
    let began = Instant::now();
    let cost = match work {
        Work::Statements(_) => {
            execute(sessions).await?;
            Cost::default()
        }
        Work::Programs(programs) => run(programs).await.context(contender.to_owned())?,
    };
    let seconds = began.elapsed().as_secs_f64();
    // The server counts what a session used when it has seen its end.
    tokio::time::sleep(Duration::from_millis(60)).await;
    let used = Used::now(postmaster)?.since(before);
    Ok(Sample {
        contender: contender.to_owned(),
        round,
        rows: 0,
        seconds,
        batches: batches(database).await?,
        program_cpu: cost.cpu,
        session_cpu: used.sessions,
        server_cpu: used.server,
        other_cpu: (used.machine - used.sessions - used.server - used.own - cost.cpu).max(0.0),
        wal: ground.wal().await? - wal,
        peak: cost.peak,
    })
}

async fn execute(sessions: Vec<(Database, String)>) -> Result<()> {
    let mut running = JoinSet::new();
    for (session, statement) in sessions {
        running.spawn(async move {
            session.execute(&statement).await?;
            session.close().await
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

/// Runs programs side by side to their good end.
pub(crate) async fn run(programs: Vec<Invocation>) -> Result<Cost> {
    let mut running = Vec::new();
    for program in programs {
        running.push(program.spawn()?);
    }
    let mut watched = JoinSet::new();
    for mut program in running {
        watched.spawn(async move {
            let id = program.id();
            let mut cost = Cost::default();
            while program.is_alive()? {
                cost.cpu = processor::of(id).unwrap_or(0.0).max(cost.cpu);
                cost.peak = processor::peak(id).or(cost.peak);
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            program.wait().await?.expect(0)?;
            Ok::<_, anyhow::Error>(cost)
        });
    }
    let mut all = Cost::default();
    while let Some(ended) = watched.join_next().await {
        let cost = ended??;
        all.cpu += cost.cpu;
        all.peak = all.peak.max(cost.peak);
    }
    Ok(all)
}

/// Seconds from the first to the last batch, by the database's clock; none without a journal.
async fn batches(database: &Database) -> Result<Option<f64>> {
    if !database.has_table("backstitch_journal").await? {
        return Ok(None);
    }
    let sql = "SELECT COALESCE(MAX(at) - MIN(at), 0) FROM backstitch_journal WHERE kind = 'BatchCommitted'";
    let millis: i64 = database.value(sql).await?;
    Ok((millis > 0).then(|| number(millis) / 1000.0))
}
