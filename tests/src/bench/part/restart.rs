//! From the start of a worker to its first new batch, after a `kill -9` midway, and with a long journal.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::super::Bench;
use super::super::ground::Template;
use super::super::results::{Figure, Measure, Section, Target};
use crate::database::Database;
use crate::process::{Invocation, Running};

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let mut midway = Vec::new();
    for _ in 0..bench.rounds {
        let database = bench.ground.fresh(Template::Events(bench.size)).await?;
        let run = || bench.backfill(&database, "intelligence_event");
        let half = i64::from(bench.size.events() / 2);
        let written = r#"SELECT COALESCE(SUM(rows), 0) FROM backstitch_journal_rows"#;
        kill_beyond(&database, run()?, written, half).await?;
        midway.push(first_batch(&database, run()?).await?);
        bench.ground.drop(database).await?;
    }
    bench.tell(&format!(
        "killed midway, first new batch after {midway:.2?} s"
    ));
    section.figures.push(Figure::new(
        "killed midway: from the start to the first new batch",
        Measure::Seconds,
        midway,
        Some(Target::AtMost(1.0)),
    ));
    long_journal(bench, section).await
}

/// Each bad row is an event. One database for all rounds: each is killed after its first new batches.
async fn long_journal(bench: &Bench, section: &mut Section) -> Result<()> {
    let template = Template::Bad(bench.size);
    let database = bench.ground.fresh(template).await?;
    let run = || {
        let run = bench.backfill(&database, "agent_feedback")?;
        // One partition, so that the good rows come last.
        Ok::<_, anyhow::Error>(run.args(["--max-bad", "100%", "--partitions", "1"]))
    };
    let events = i64::from(bench.size.journal());
    let newest = "SELECT COALESCE(MAX(position), 0) FROM backstitch_journal";
    kill_beyond(&database, run()?, newest, events * 99 / 100).await?;
    let at: i64 = database
        .value("SELECT COUNT(*) FROM backstitch_journal")
        .await?;
    bench.ground.settle().await?;
    let first = first_batch(&database, run()?).await?;
    bench.tell(&format!("{at} events, first new batch after {first:.2} s"));
    section.figures.push(Figure::new(
        &format!("a journal of {at} events: from the start to the first new batch"),
        Measure::Seconds,
        vec![first],
        Some(Target::AtMost(1.0)),
    ));
    bench.ground.drop(database).await?;
    bench.ground.forget(template).await
}

/// Runs until a number is reached, and kills it there.
async fn kill_beyond(
    database: &Database,
    run: Invocation,
    number: &str,
    beyond: i64,
) -> Result<()> {
    let mut running = run.spawn()?;
    while database.value::<i64>(number).await? < beyond {
        if !running.is_alive()? {
            bail!(
                "it ended before it was to be killed: {}",
                running.wait().await?
            );
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ensure!(
        running.kill().await?.was_killed(),
        "the run ended before it was killed"
    );
    // The killed worker's sessions end by themselves; what they held is not to be waited for.
    let own = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
               AND state <> 'idle'";
    let deadline = Instant::now() + Duration::from_secs(30);
    while database.value::<i64>(own).await? > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Seconds from the start of the process to its first new batch, as another session sees it; then kills it.
async fn first_batch(database: &Database, run: Invocation) -> Result<f64> {
    let last: i64 = database
        .value("SELECT COALESCE(MAX(position), 0) FROM backstitch_journal")
        .await?;
    let new = format!(
        "SELECT COUNT(*) FROM backstitch_journal WHERE position > {last} AND kind = 'BatchCommitted'"
    );
    let began = Instant::now();
    let mut running: Running = run.spawn()?;
    while database.value::<i64>(&new).await? == 0 {
        if !running.is_alive()? {
            bail!("it ended without a batch: {}", running.wait().await?);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    running.kill().await?;
    Ok(seconds)
}
