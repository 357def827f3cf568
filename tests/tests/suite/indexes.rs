//! The secondary indexes of destinations that `worker run --migrate` makes: absent while rows are written, and there, valid and
//! named as ever, before a unit is complete, whatever comes between.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use sea_orm::DatabaseTransaction;
use tests::cluster;
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::process::{Invocation, Running};
use tests::scenario::Scenario;
use tests::server::{Server, on};

const BATCH: [&str; 2] = ["--batch-rows", "20"];

const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

/// A build waits for every snapshot that is older; nothing else of a run does.
const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1";

/// The names of the indexes that are left out: all that are neither a key's nor lead with a column that refers.
const LEFT_OUT: [&str; 8] = [
    "AgentFeedback_agentType_createdAt_idx",
    "AgentFeedback_taskId_idx",
    "IntelligenceEvent_entityType_entityId_idx",
    "IntelligenceEvent_severity_createdAt_idx",
    "IntelligenceEvent_tenantId_eventType_createdAt_idx",
    "KPIHistory_period_department_idx",
    "KPIHistory_tenantId_metricName_createdAt_idx",
    "PromptPerformance_variantId_idx",
];

/// Every index of the database that is valid, with its definition.
async fn indexes(database: &Database) -> Result<BTreeMap<String, String>> {
    let sql = "SELECT x.indexname || ' ' || x.indexdef FROM pg_indexes x
        JOIN pg_class c ON c.relname = x.indexname AND c.relnamespace = 'public'::regnamespace
        JOIN pg_index i ON i.indexrelid = c.oid AND i.indisvalid AND i.indisready WHERE x.schemaname = 'public'";
    let shown = database.texts(sql).await?;
    let split = |line: &String| {
        let (name, made) = line.split_once(' ').unwrap_or((line.as_str(), ""));
        (name.to_owned(), made.to_owned())
    };
    Ok(shown.iter().map(split).collect())
}

/// Those of the left out that are there, valid or not.
async fn there(database: &Database) -> Result<Vec<String>> {
    let names = LEFT_OUT.map(|name| format!("'{name}'")).join(", ");
    database
        .texts(&format!(
            "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind = 'i' AND relname IN ({names}) ORDER BY 1"
        ))
        .await
}

/// What `cli schema up` makes.
async fn usual() -> Result<BTreeMap<String, String>> {
    let profile = Profile::busy(Backend::Postgres, 901);
    let usual = indexes(&Scenario::load_with_schema(&profile).await?.database).await?;
    ensure!(LEFT_OUT.iter().all(|name| usual.contains_key(*name)));
    Ok(usual)
}

/// Index by index: all there and nothing besides, each noted once, and before its unit was complete.
async fn expect_built(scenario: &Scenario) -> Result<()> {
    let database = &scenario.database;
    let (usual, found) = (usual().await?, indexes(database).await?);
    ensure!(found == usual, "{found:#?}\ninstead of {usual:#?}");
    let left = "SELECT CAST(count(*) AS BIGINT) FROM pg_index WHERE NOT indisvalid";
    ensure!(database.value::<i64>(left).await? == 0, "one is not valid");
    let sql = "SELECT CAST(payload AS json) ->> 'index' FROM backstitch_journal WHERE kind = 'IndexBuilt' ORDER BY 1";
    let noted = database.texts(sql).await?;
    ensure!(noted == LEFT_OUT, "noted: {noted:?}");
    let late = "SELECT CAST(count(*) AS BIGINT) FROM backstitch_journal b JOIN backstitch_journal c
        ON c.run = b.run AND c.stream = 'run' AND c.unit = b.unit AND c.kind = 'UnitCompleted' AND c.seq < b.seq
        WHERE b.kind = 'IndexBuilt'";
    ensure!(
        database.value::<i64>(late).await? == 0,
        "complete too early"
    );
    scenario.cli(&["schema", "verify"])?.expect(0).await?;
    scenario.verify_journal().await
}

/// The run with small batches.
fn run(scenario: &Scenario) -> Result<Invocation> {
    Ok(scenario.run()?.args(BATCH))
}

/// Waits until a build waits for the transaction that holds a snapshot; gives the oid of the index.
async fn under_build(database: &Database, running: &mut Running) -> Result<i64> {
    loop {
        let sql = "SELECT CAST(index_relid AS BIGINT) FROM pg_stat_progress_create_index
            WHERE datname = current_database() AND phase = 'waiting for old snapshots'";
        let rows = database.query(sql).await?;
        if let Some(row) = rows.first() {
            return Ok(row.try_get_by_index(0)?);
        }
        ensure!(running.is_alive()?, "it ended before it built anything");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn end(held: DatabaseTransaction) -> Result<()> {
    Ok(held.rollback().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_once_the_rows_are_written() -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 902)).await?;
    let database = &scenario.database;
    let mut running = run(&scenario)?.spawn()?;
    while !journal::exists(database).await?
        || journal::events(database, "BatchCommitted", None).await? == 0
    {
        ensure!(running.is_alive()?, "it ended before its first batch");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.signal("STOP")?;
    ensure!(there(database).await?.is_empty(), "there is one already");
    let verified = scenario.cli(&["schema", "verify"])?.expect(0).await?;
    verified.expect_named(&LEFT_OUT)?;
    verified.expect_named(&["was left out when the table was made"])?;
    running.signal("CONT")?;
    let ended = running.wait().await?.expect(0)?;
    ended.expect_named(&["building index KPIHistory_period_department_idx (2 of 2)"])?;
    expect_built(&scenario).await?;
    scenario.expected().await?.check_rows(database).await?;
    let shown = scenario.cli(&["journal", "show", "--kind", "IndexesDeferred"])?;
    shown.expect(0).await?.expect_named(&LEFT_OUT)?;

    // Once a unit is complete, one that is missing is damage.
    database
        .execute("DROP INDEX \"AgentFeedback_taskId_idx\"")
        .await?;
    let verified = scenario.cli(&["schema", "verify"])?.expect(3).await?;
    verified.expect_named(&["AgentFeedback_taskId_idx", "CREATE INDEX CONCURRENTLY"])?;

    // What a run has built stays when its rows are taken back, and is nobody's to build again.
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    ensure!(there(database).await?.len() == LEFT_OUT.len() - 1);
    run(&scenario)?.expect(0).await?;
    let built = journal::events(database, "IndexBuilt", None).await?;
    ensure!(built == 8, "{built}");
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    let down = ["schema", "down", "--yes", "--discard-journal"];
    scenario.cli(&down)?.expect(0).await?;
    Ok(())
}

/// Killed, its server process ended or left to itself, and asked to stop: whoever goes on ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_is_cut_off() -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 903)).await?;
    let database = &scenario.database;
    let held = database.hold(SNAPSHOT).await?;
    let mut running = run(&scenario)?.spawn()?;
    let first = under_build(database, &mut running).await?;
    running.kill().await?;
    let ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_progress_create_index
        WHERE datname = current_database()";
    database.query(ended).await?;
    let left = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = {first}");
    ensure!(!database.value::<bool>(&left).await?, "it is whole");

    // What it left is not what is built next.
    let mut running = run(&scenario)?.spawn()?;
    let second = under_build(database, &mut running).await?;
    ensure!(second != first, "the leftover is still there");
    running.signal("TERM")?;
    running.wait().await?.expect(143)?;
    let under = "SELECT CAST(count(*) AS BIGINT) FROM pg_stat_progress_create_index
        WHERE datname = current_database()";
    ensure!(database.value::<i64>(under).await? == 0, "it goes on");
    ensure!(there(database).await?.len() == 1);

    // The server process goes on without its client, and is waited for.
    let mut running = run(&scenario)?.spawn()?;
    let third = under_build(database, &mut running).await?;
    ensure!(third != second, "the leftover is still there");
    running.kill().await?;
    let running = run(&scenario)?.spawn()?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    ensure!(
        database.value::<i64>(under).await? == 1,
        "there are two builds, or none"
    );
    end(held).await?;
    running.wait().await?.expect(0)?;
    let kept = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = {third}");
    ensure!(database.value::<bool>(&kept).await?, "it was built again");
    expect_built(&scenario).await
}

/// One of them builds, and the other waits without an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes() -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 904)).await?;
    let database = &scenario.database;
    let held = database.hold(SNAPSHOT).await?;
    let mut one = run(&scenario)?.spawn()?;
    let other = run(&scenario)?.spawn()?;
    under_build(database, &mut one).await?;
    for _ in 0..30 {
        let sql = "SELECT CAST(count(*) AS BIGINT) FROM pg_stat_activity WHERE datname = current_database()
            AND state = 'active' AND query LIKE '%INDEX CONCURRENTLY%' AND pid <> pg_backend_pid()";
        let builds = database.value::<i64>(sql).await?;
        ensure!(builds == 1, "{builds} at once");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    end(held).await?;
    for running in [one, other] {
        let ended = running.wait().await?.expect(0)?;
        // What is put off or has failed is told under this name.
        let told = ended.stderr.contains("building the indexes of");
        ensure!(!told, "{}", ended.stderr);
    }
    expect_built(&scenario).await
}

/// Units that are not chosen keep theirs for a run that chooses them; what somebody has made by hand is taken as it is, and
/// what is not valid is made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_chosen_units_alone() -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 905)).await?;
    let database = &scenario.database;
    let one = ["--unit", "agent_feedback"];
    run(&scenario)?.args(one).expect(0).await?;
    ensure!(there(database).await? == LEFT_OUT[..2]);
    let by_hand = [
        "CREATE INDEX \"KPIHistory_period_department_idx\" ON \"KPIHistory\" (\"period\", \"department\")",
        "CREATE INDEX \"IntelligenceEvent_entityType_entityId_idx\" ON \"IntelligenceEvent\" (\"id\")",
        "UPDATE pg_index SET indisvalid = false \
         WHERE indexrelid = '\"IntelligenceEvent_entityType_entityId_idx\"'::regclass",
    ];
    for sql in by_hand {
        database.execute(sql).await?;
    }
    let ended = scenario
        .run_without_migrating()?
        .args(BATCH)
        .expect(0)
        .await?;
    ended.expect_named(&["index KPIHistory_period_department_idx is there already"])?;
    expect_built(&scenario).await
}

/// Through a pooler, a limit of the role's or the database's holds: who cannot go on says why. A direct connection takes it off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler() -> Result<()> {
    let pooled = on(Server::Pooled, Database::create(Backend::Postgres)).await?;
    let scenario = Scenario::load_into(pooled, &Profile::busy(Backend::Postgres, 906)).await?;
    let database = &scenario.database;
    let direct = Database::open(&cluster::shared()?.url(database.name())).await?;
    let limit = format!(
        "ALTER DATABASE {} SET statement_timeout = '2s'",
        database.name()
    );
    direct.execute(&limit).await?;
    let held = direct.hold(SNAPSHOT).await?;
    // Sessions from before the limit end when they have been idle for two seconds.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    let ended = run(&scenario)?.expect(2).await?;
    ended.expect_named(&[
        "statement_timeout = 2s",
        "pooler",
        "ALTER ROLE",
        "CREATE INDEX CONCURRENTLY",
    ])?;
    // Whatever else could be done is done.
    let written = journal::events(&direct, "UnitCompleted", None).await?;
    ensure!(written >= 1, "nothing else went on");
    let mut running = run(&scenario)?.at(&direct.url).spawn()?;
    under_build(&direct, &mut running).await?;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    end(held).await?;
    running.wait().await?.expect(0)?;
    expect_built(&scenario).await?;

    let pooled = on(Server::Pooled, Database::create(Backend::Postgres)).await?;
    let scenario = Scenario::load_into(pooled, &Profile::busy(Backend::Postgres, 907)).await?;
    run(&scenario)?.expect(0).await?;
    expect_built(&scenario).await
}

/// Built with the table where that is asked for, where the table was there, and on SQLite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_table() -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 908)).await?;
    let database = &scenario.database;
    let before = ["--indexes", "before"];
    let wrong = scenario.run_without_migrating()?.args(before);
    wrong.expect(2).await?.expect_clear_error()?;
    ensure!(!journal::exists(database).await?, "something was made");
    run(&scenario)?.args(before).expect(0).await?;
    ensure!(indexes(database).await? == usual().await?);
    for kind in ["IndexesDeferred", "IndexBuilt"] {
        ensure!(journal::events(database, kind, None).await? == 0, "{kind}");
    }

    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 909)).await?;
    let database = &scenario.database;
    let table = "CREATE TABLE \"AgentFeedback\" (\"id\" TEXT PRIMARY KEY, \"agentType\" TEXT NOT NULL,
        \"taskId\" TEXT NOT NULL, \"feedbackType\" TEXT NOT NULL, \"rating\" INTEGER, \"comment\" TEXT,
        \"actionTaken\" TEXT, \"createdAt\" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, \"createdBy\" TEXT NOT NULL)";
    database.execute(table).await?;
    run(&scenario)?
        .args(["--unit", "campaign_prompt"])
        .expect(0)
        .await?;
    ensure!(
        there(database).await? == LEFT_OUT[..2],
        "{:?}",
        there(database).await?
    );
    run(&scenario)?.expect(0).await?;
    ensure!(indexes(database).await? == usual().await?);

    let scenario = Scenario::load(&Profile::busy(Backend::Sqlite, 910)).await?;
    let after = run(&scenario)?.args(["--indexes", "after"]);
    after.expect(2).await?.expect_clear_error()?;
    run(&scenario)?
        .args(["--unit", "campaign_prompt"])
        .expect(0)
        .await?;
    let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name LIKE '%\\_idx' ESCAPE '\\' \
         AND tbl_name IN ('AgentFeedback', 'IntelligenceEvent', 'KPIHistory', 'PromptPerformance')";
    ensure!(scenario.database.value::<i64>(sql).await? == 9);
    Ok(())
}
