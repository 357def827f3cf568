//! The history of a row.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::database::{Backend, Database};
use tests::scenario::Scenario;

use super::{feedback, json};
use crate::deep::{load, plain_feedback};
use crate::tamper::{ROWS, unlocked};

on_both!(
    a_row_tells_its_history,
    batches_of_before_are_searched,
    a_million_batches_are_not_read,
);

const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];
const REPAIR: [&str; 4] = ["repair", "--yes", "--reason", "a test"];

/// Migrated in small batches, with one row that is told from all others.
async fn migrated(backend: Backend, seed: u64) -> Result<Scenario> {
    let scenario = load(backend, seed).await?;
    plain_feedback(&scenario).await?;
    let mark = "UPDATE \"UserFeedback\" SET \"comment\" = 'a secret' WHERE \"id\" = 'plain-4'";
    ensure!(scenario.database.execute(mark).await? == 1);
    let small = ["--batch-rows", "3"];
    scenario.run()?.args(small).expect(0).await?;
    Ok(scenario)
}

/// The batches of which the packed keys hold this one, found by their bytes.
async fn batches(database: &Database, key: &str) -> Result<Vec<String>> {
    let holds = match database.backend {
        Backend::Sqlite => format!("instr(hex(keys), hex('{key}')) > 0"),
        Backend::Postgres => {
            format!("position(encode('{key}', 'hex') in encode(keys, 'hex')) > 0")
        }
    };
    let sql = format!(
        "SELECT run || ' ' || stream || ' ' || seq FROM {ROWS} WHERE {holds} ORDER BY run, stream, seq"
    );
    database.texts(&sql).await
}

fn told(wrote: &Value) -> String {
    let text = |name: &str| wrote[name].as_str().unwrap_or_default().to_owned();
    format!("{} {} {}", text("run"), text("stream"), wrote["seq"])
}

async fn a_row_tells_its_history(backend: Backend) -> Result<()> {
    let scenario = migrated(backend, 1_101).await?;
    let database = &scenario.database;
    let key = feedback(&scenario, "a secret").await?;
    let row = ["journal", "row", "AgentFeedback", &key];
    let history = json(&scenario, &row).await?;
    ensure!(history["standing"] == "as_written", "{history:#}");
    ensure!(
        history["wrote"].as_array().map(Vec::len) == Some(1),
        "{history:#}"
    );
    let wrote = &history["wrote"][0];
    ensure!(
        vec![told(wrote)] == batches(database, &key).await?,
        "{wrote:#}"
    );
    ensure!(wrote["source"]["row"]["key"] == "plain-4", "{wrote:#}");
    ensure!(
        wrote["deed"] == "inserted" && wrote["unit"] == "agent_feedback",
        "{wrote:#}"
    );
    let started: String = database
        .value("SELECT payload FROM backstitch_journal WHERE kind = 'WorkerStarted'")
        .await?;
    let started: Value = serde_json::from_str(&started)?;
    ensure!(
        wrote["program"]["release"] == started["release"],
        "{wrote:#}"
    );
    ensure!(
        wrote["program"]["process"] == started["process"],
        "{wrote:#}"
    );
    ensure!(history.get("values").is_none(), "{history:#}");

    // The source changes, a repair rewrites the row, the application edits it, a rollback leaves it.
    let mend = "UPDATE \"UserFeedback\" SET \"comment\" = 'mended' WHERE \"id\" = 'plain-4'";
    database.execute(mend).await?;
    scenario.cli(&REPAIR)?.expect(0).await?;
    let history = json(&scenario, &row).await?;
    ensure!(history["standing"] == "as_written", "{history:#}");
    let repaired = &history["wrote"][1];
    ensure!(
        repaired["purpose"] == "repair" && repaired["deed"] == "overwrote",
        "{repaired:#}"
    );
    ensure!(
        repaired["source"]["row"]["key"] == "plain-4",
        "{repaired:#}"
    );
    let shown = scenario.cli(&row)?.expect(0).await?;
    shown.expect_named(&[
        "(a repair) overwrote columns of it",
        "before: ",
        "comment",
        "--values",
    ])?;
    ensure!(!shown.output().contains("a secret"), "{shown}");
    let values = [&row[..], &["--values"]].concat();
    let shown = scenario.cli(&values)?.expect(0).await?;
    shown.expect_named(&[
        "before: comment = \"a secret\"",
        "now: comment = \"mended\"",
    ])?;

    let edit =
        format!("UPDATE \"AgentFeedback\" SET \"comment\" = 'edited' WHERE \"id\" = '{key}'");
    database.execute(&edit).await?;
    let history = json(&scenario, &row).await?;
    ensure!(history["standing"] == "edited", "{history:#}");
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    let history = json(&scenario, &row).await?;
    let fate = &history["wrote"][1]["undone"]["fate"]["kept"]["why"];
    ensure!(
        fate.as_str().is_some_and(|why| why.contains("edited")),
        "{history:#}"
    );
    ensure!(history["standing"] == "edited" && history["wrote"][0]["undone"].is_null());

    // What is taken back and what is gone are told apart where the event does.
    let other = feedback_of(database, &key).await?;
    let undone = [
        "--run",
        history["wrote"][0]["run"].as_str().context("a run")?,
    ];
    scenario
        .cli(&[&ROLLBACK[..], &undone].concat())?
        .expect(0)
        .await?;
    let history = json(&scenario, &["journal", "row", "agentfeedback", &other]).await?;
    ensure!(history["standing"] == "taken_back", "{history:#}");
    ensure!(
        history["wrote"][0]["undone"]["fate"] == "removed",
        "{history:#}"
    );

    let own = format!(
        "INSERT INTO \"AgentFeedback\" SELECT 'own', \"agentType\", \"taskId\", \"feedbackType\", \"rating\", \"comment\", \
         \"actionTaken\", \"createdAt\", \"createdBy\" FROM \"AgentFeedback\" WHERE \"id\" = '{key}'"
    );
    database.execute(&own).await?;
    for (key, words) in [
        (
            "own",
            "the application's own: no run ever wrote a row of this key",
        ),
        (
            "nobody",
            "does not stand, and no run ever wrote a row of this key",
        ),
    ] {
        let shown = scenario.cli(&["journal", "row", "AgentFeedback", key])?;
        shown.expect(0).await?.expect_named(&[words])?;
    }
    let unknown = scenario
        .cli(&["journal", "row", "Nothing", "k"])?
        .expect(2)
        .await?;
    unknown.expect_named(&["AgentFeedback", "KPIHistory"])?;
    scenario.verify_journal().await
}

/// A row of the feedback table that is another's neighbour.
async fn feedback_of(database: &Database, key: &str) -> Result<String> {
    let sql = format!(
        "SELECT MIN(\"id\") FROM \"AgentFeedback\" WHERE \"id\" <> '{key}' AND \"comment\" = 'first'"
    );
    database.value(&sql).await
}

/// A release before wrote no ends: its batches are found all the same, and ends that lead astray are found by a verification.
async fn batches_of_before_are_searched(backend: Backend) -> Result<()> {
    let scenario = migrated(backend, 1_103).await?;
    let database = &scenario.database;
    let key = feedback(&scenario, "a secret").await?;
    let row = ["journal", "row", "AgentFeedback", &key];
    let by_index = json(&scenario, &row).await?;
    let ends = "SELECT COUNT(*) FROM backstitch_journal_rows WHERE least IS NULL OR greatest IS NULL OR shared IS NULL";
    ensure!(database.value::<i64>(ends).await? == 0);

    let one =
        format!("{ROWS} SET least = 'zzzz', greatest = 'zzzz' WHERE table_name = 'AgentFeedback'");
    unlocked(database, &[&format!("UPDATE {one}")]).await?;
    let verified = scenario.cli(&["journal", "verify"])?.expect(3).await?;
    verified.expect_named(&[
        "agent_feedback/1.0.0",
        "first or last key",
        "would not be found",
    ])?;
    let half = format!(
        "UPDATE {ROWS} SET least = 'a', greatest = NULL WHERE table_name = 'AgentFeedback'"
    );
    unlocked(database, &[&half]).await?;
    scenario.cli(&["journal", "verify"])?.expect(3).await?;

    let none = format!("UPDATE {ROWS} SET shared = NULL, least = NULL, greatest = NULL");
    unlocked(database, &[&none]).await?;
    ensure!(json(&scenario, &row).await? == by_index);
    scenario.verify_journal().await?;

    // Before the change is applied the journal is read as ever, and what needs it says so.
    let index = "DROP INDEX backstitch_journal_rows_table_shared_idx".to_owned();
    let column = |name| format!("ALTER TABLE {ROWS} DROP COLUMN {name}");
    let columns = ["shared", "least", "greatest"].map(column);
    for change in [index].iter().chain(&columns) {
        database.execute(change).await?;
    }
    let applied = "DELETE FROM backstitch_migrations WHERE version LIKE '%_000003_%'";
    ensure!(database.execute(applied).await? == 1);
    scenario.verify_journal().await?;
    scenario.cli(&["why"])?.expect(0).await?;
    for asked in [
        &row[..],
        &["journal", "show", "--key", &key],
        &["rollback", "--yes", "--reason", "a test"],
    ] {
        let refused = scenario.cli(asked)?.expect(4).await?;
        refused.expect_named(&["m20251105_000003_row_lookup", "cli schema up"])?;
    }
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    scenario.cli(&["schema", "verify"])?.expect(0).await?;
    ensure!(json(&scenario, &row).await? == by_index);
    scenario.verify_journal().await
}

/// A look-up goes by the index, and passes over batches that end before the key without reading them.
async fn a_million_batches_are_not_read(backend: Backend) -> Result<()> {
    let scenario = migrated(backend, 1_105).await?;
    let database = &scenario.database;
    let key = feedback(&scenario, "a secret").await?;
    let (numbers, bytes, text) = match backend {
        Backend::Sqlite => (
            "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 100000)",
            "zeroblob(100)",
            "printf('%010d', n)",
        ),
        Backend::Postgres => (
            "WITH many (n) AS (SELECT generate_series(1, 100000))",
            "repeat('k', 100)::bytea",
            "lpad(n::text, 10, '0')",
        ),
    };
    let many = format!(
        "{numbers} INSERT INTO {ROWS} (run, stream, seq, table_name, rows, keys, digests, shared, least, greatest) \
         SELECT 'r', 's', n, 'AgentFeedback', 1, {bytes}, {bytes}, {text}, {text}, {text} || 'z' FROM many"
    );
    database.execute(&many).await?;
    database.execute("ANALYZE").await?;
    let last = "zzzz";
    let (explain, c, first, shared) = match backend {
        Backend::Sqlite => (
            "EXPLAIN QUERY PLAN",
            "BINARY",
            3,
            "IN (SELECT value FROM json_each('[\"\",\"z\",\"zz\",\"zzz\",\"zzzz\"]'))",
        ),
        Backend::Postgres => (
            "EXPLAIN",
            "\"C\"",
            0,
            "= ANY (ARRAY['', 'z', 'zz', 'zzz', 'zzzz'])",
        ),
    };
    // The last of all keys: everything begins before it.
    let sql = format!(
        "{explain} SELECT run FROM {ROWS} WHERE table_name = 'AgentFeedback' AND shared COLLATE {c} {shared} \
         AND least COLLATE {c} <= '{last}' AND greatest COLLATE {c} >= '{last}'"
    );
    let mut plan = String::new();
    for row in database.query(&sql).await? {
        plan.push_str(&row.try_get_by_index::<String>(first)?);
        plan.push('\n');
    }
    let index = "backstitch_journal_rows_table_shared_idx";
    ensure!(plan.contains(index), "{plan}");
    if backend == Backend::Postgres {
        // All its columns bound what is read.
        ensure!(
            plan.contains("Index Cond") && !plan.contains("Filter"),
            "{plan}"
        );
    }
    let before = read(database).await?;
    let row = ["journal", "row", "AgentFeedback", &key];
    let history = json(&scenario, &row).await?;
    ensure!(
        history["wrote"].as_array().map(Vec::len) == Some(1),
        "{history:#}"
    );
    if backend == Backend::Postgres {
        searched(database, before).await?;
    }
    Ok(())
}

/// Waits until the index was searched, and sees to it that little of it was read.
async fn searched(database: &Database, before: [i64; 2]) -> Result<()> {
    let began = Instant::now();
    loop {
        let after = read(database).await?;
        ensure!(after[1] - before[1] < 500, "{before:?} {after:?}");
        // The server counts once a session is over.
        if after[0] > before[0] {
            return Ok(());
        }
        let elapsed = began.elapsed();
        ensure!(elapsed < Duration::from_secs(90), "the index is not used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How often PostgreSQL has searched the index, and how many blocks of the table and its indexes it has looked at: all of
/// either are thousands.
async fn read(database: &Database) -> Result<[i64; 2]> {
    if database.backend == Backend::Sqlite {
        return Ok([0, 0]);
    }
    let searches = "SELECT COALESCE(SUM(idx_scan), 0)::bigint FROM pg_stat_user_indexes \
         WHERE indexrelname = 'backstitch_journal_rows_table_shared_idx'";
    let blocks = "SELECT SUM(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint \
         FROM pg_statio_user_tables WHERE relname = 'backstitch_journal_rows'";
    Ok([
        database.value(searches).await?,
        database.value(blocks).await?,
    ])
}
