//! Much of something: rows in a batch, rows that are not due, tasks in one campaign, bytes in one value, events in the
//! journal. None of it takes more memory than a batch of it does.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::journal;
use tests::process::Invocation;
use tests::scenario::Scenario;

use crate::values::{AT, campaign, empty, expect_sound};

on_both!(
    more_values_than_a_statement_binds,
    rows_far_apart,
    a_hundred_thousand_tasks_in_one_campaign,
    memory_does_not_grow_with_the_source,
    a_value_of_a_hundred_mebibytes,
);

/// In KiB.
const MIB: u64 = 1 << 10;

/// Feedback with these numbers, from 1; `rating` and `at` are SQL of `n`.
async fn feedback(scenario: &Scenario, rows: u32, rating: &str, at: &str) -> Result<()> {
    let sql = format!(
        "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < {rows}) \
         INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \"createdBy\") \
         SELECT 'f' || (1000000 + n), 'Copy', 't', 'human', {rating}, {at}, 'u' FROM many"
    );
    let inserted = scenario.database.execute(&sql).await?;
    ensure!(inserted == u64::from(rows), "{inserted} rows were inserted");
    Ok(())
}

/// An instant within the window, as SQL.
fn now(backend: Backend) -> String {
    match backend {
        Backend::Sqlite => format!("'{AT}'"),
        Backend::Postgres => format!("CAST('{AT}' AS TIMESTAMP)"),
    }
}

/// SQLite binds 32,766 values in a statement, PostgreSQL 65,535: rows, events of bad rows, and keys to remove.
async fn more_values_than_a_statement_binds(backend: Backend) -> Result<()> {
    let scenario = empty(backend).await?;
    let rating = "CASE WHEN n % 4 = 0 THEN 9 ELSE 3 END";
    feedback(&scenario, 40_000, rating, &now(backend)).await?;
    let large = ["--batch-rows", "50000", "--partitions", "1"];
    scenario.run()?.args(large).expect(0).await?;
    let written = scenario.database.count("AgentFeedback").await?;
    ensure!(written == 30_000, "{written} rows were written");
    let aside = journal::events(&scenario.database, "RowQuarantined", None).await?;
    ensure!(aside == 10_000, "{aside} rows were set aside");
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await?;
    let rollback = ["rollback", "--yes", "--reason", "a test"];
    scenario.cli(&rollback)?.expect(0).await?;
    let left = scenario.database.count("AgentFeedback").await?;
    ensure!(left == 0, "{left} rows are left");
    scenario.verify_journal().await
}

/// Pages of which no row is due end nothing.
async fn rows_far_apart(backend: Backend) -> Result<()> {
    let scenario = empty(backend).await?;
    let long_ago = now(backend).replace("2025", "2020");
    let at = format!(
        "CASE WHEN n IN (1, 250, 500) THEN {} ELSE {long_ago} END",
        now(backend)
    );
    feedback(&scenario, 500, "3", &at).await?;
    let small = ["--batch-rows", "7", "--partitions", "3"];
    scenario.run()?.args(small).expect(0).await?;
    let written = scenario.database.count("AgentFeedback").await?;
    ensure!(written == 3, "{written} rows of 3 were written");
    let empty = "SELECT COUNT(*) FROM backstitch_journal WHERE kind = 'BatchCommitted' AND payload LIKE '%\"written\":0}' \
                 AND unit = 'agent_feedback' AND stream LIKE 'agent_feedback/1.%'";
    let empty: i64 = scenario.database.value(empty).await?;
    ensure!(empty > 60, "only {empty} batches were empty");
    expect_sound(&scenario).await
}

async fn a_hundred_thousand_tasks_in_one_campaign(backend: Backend) -> Result<()> {
    let scenario = empty(backend).await?;
    let mut metadata = String::from("{\"agentTasks\":[");
    for number in 0..100_000 {
        let comma = if number == 0 { "" } else { "," };
        write!(
            metadata,
            "{comma}{{\"agentId\":\"a{number}\",\"completedAt\":\"2025-11-01T00:00:00Z\",\"success\":true}}"
        )?;
    }
    metadata.push_str("]}");
    campaign(&scenario, "'c1'", "'t1'", &metadata).await?;
    let peak = peak(scenario.run()?.args(["--batch-rows", "10000"])).await?;
    // SQLite parses the campaign's 7 MB in the worker itself, on each of its connections, whose threads keep what they
    // have freed.
    let most = match backend {
        Backend::Sqlite => 640 * MIB,
        Backend::Postgres => 160 * MIB,
    };
    ensure!(peak < most, "the run took {peak} KiB");
    let events = scenario.database.count("IntelligenceEvent").await?;
    ensure!(events == 100_000, "{events} events");
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await
}

/// Ten times the rows, and ten times the events, and yet no more memory.
async fn memory_does_not_grow_with_the_source(backend: Backend) -> Result<()> {
    let mut peaks = Vec::new();
    for rows in [6_000, 60_000] {
        let scenario = empty(backend).await?;
        feedback(&scenario, rows, "3", &now(backend)).await?;
        let run = scenario.run()?.args(["--batch-rows", "100"]);
        let mut of_this = vec![peak(run).await.context("run")?];
        for command in [
            &["journal", "verify"][..],
            &["validate"],
            &["rollback", "--yes", "--reason", "a test"],
        ] {
            let cli = scenario.cli(command)?;
            of_this.push(peak(cli).await.with_context(|| command.join(" "))?);
        }
        peaks.push(of_this);
    }
    let is_bounded = |(few, many): (&u64, &u64)| *many < few + 24 * MIB;
    ensure!(
        peaks[0].iter().zip(&peaks[1]).all(is_bounded),
        "KiB of run, verify, validate and rollback: {peaks:?}"
    );
    Ok(())
}

/// A value that no page could hold is set aside without being read.
async fn a_value_of_a_hundred_mebibytes(backend: Backend) -> Result<()> {
    let scenario = empty(backend).await?;
    feedback(&scenario, 100, "3", &now(backend)).await?;
    let large = match backend {
        Backend::Sqlite => "hex(zeroblob(52428800))",
        Backend::Postgres => "repeat('0', 104857600)",
    };
    let update =
        format!("UPDATE \"UserFeedback\" SET \"comment\" = {large} WHERE \"id\" = 'f1000050'");
    ensure!(scenario.database.execute(&update).await? == 1);
    let peak = peak(scenario.run()?).await?;
    crate::values::expect_aside(&scenario, &["agent_feedback f1000050"]).await?;
    let written = scenario.database.count("AgentFeedback").await?;
    ensure!(written == 99, "{written} rows were written");
    ensure!(peak < 90 * MIB, "the run took {peak} KiB");
    expect_sound(&scenario).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/run --ignored"]
async fn a_million_events_on_sqlite() -> Result<()> {
    a_million_events(Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/run --ignored"]
async fn a_million_events_on_postgres() -> Result<()> {
    a_million_events(Backend::Postgres).await
}

/// A worker that is killed with a million events in the journal goes on at once, and neither it nor whoever verifies the
/// journal holds them in memory. Each bad row is an event.
async fn a_million_events(backend: Backend) -> Result<()> {
    const EVENTS: i64 = 1_000_000;
    let scenario = empty(backend).await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let rating = format!("CASE WHEN n <= {EVENTS} THEN 9 ELSE 3 END");
    feedback(&scenario, 1_020_000, &rating, &now(backend)).await?;
    let run = || {
        let run = scenario.run_without_migrating()?;
        let all = ["--unit", "agent_feedback", "--partitions", "1"];
        Ok::<_, anyhow::Error>(run.args(all))
    };
    let newest = async || -> Result<i64> {
        let newest = "SELECT COALESCE(MAX(position), 0) FROM backstitch_journal";
        scenario.database.value(newest).await
    };
    let mut killed = run()?.spawn()?;
    while newest().await? < EVENTS && killed.is_alive()? {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ensure!(killed.kill().await?.was_killed(), "it ended before");
    let at = newest().await?;
    let batches = format!(
        "SELECT COUNT(*) FROM backstitch_journal WHERE position > {at} AND kind = 'BatchCommitted'"
    );
    let began = Instant::now();
    let going_on = tokio::spawn(peak(run()?));
    while scenario.database.value::<i64>(&batches).await? == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let restarted = began.elapsed();
    let worker = going_on.await??;
    let verifying = peak(scenario.cli(&["journal", "verify"])?).await?;
    let written = scenario.database.count("AgentFeedback").await?;
    ensure!(written == 20_000, "{written} rows were written");
    let figures = format!(
        "{at} events, {backend:?}: first new batch after {restarted:.1?}, the worker took {worker} KiB, verifying {verifying}"
    );
    say(&figures);
    ensure!(worker < 128 * MIB && verifying < 96 * MIB, "{figures}");
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "a test's figures, shown with --nocapture"
)]
fn say(text: &str) {
    println!("{text}");
}

/// Runs to a good end; gives the most memory that the process ever held, in KiB.
async fn peak(invocation: Invocation) -> Result<u64> {
    let mut running = invocation.spawn()?;
    let file = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    while running.is_alive()? {
        // It may have ended since.
        let status = std::fs::read_to_string(&file).unwrap_or_default();
        let held = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let held = held.and_then(|held| held.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = held.unwrap_or(peak);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.wait().await?.expect(0)?;
    ensure!(peak > 0, "it ended before its memory was looked at");
    Ok(peak)
}
