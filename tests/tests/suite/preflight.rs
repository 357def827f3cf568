//! A look before anything is done: what is wrong is found and named, what to do stands beside it, and nothing is changed.

use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use tests::cluster::Cluster;
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::json::Json;
use tests::process::{self, Outcome};
use tests::roles::Role;
use tests::scenario::Scenario;
use tests::server::{Server, on};

on_both!(a_backup_is_asked_for);

/// The finding of a check: its verdict, and what was found and advised.
struct Finding {
    verdict: String,
    words: String,
}

fn finding(outcome: &Outcome, id: &str) -> Result<Finding> {
    let document = Json::parse(&outcome.stdout).map_err(anyhow::Error::msg)?;
    let Some(Json::Array(findings)) = document.get("findings") else {
        anyhow::bail!("no findings in {outcome}");
    };
    let text = |finding: &Json, key: &str| match finding.get(key) {
        Some(Json::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let found = findings.iter().find(|finding| text(finding, "id") == id);
    let found = found.with_context(|| format!("no check {id} in {outcome}"))?;
    Ok(Finding {
        verdict: text(found, "verdict"),
        words: text(found, "found") + " " + &text(found, "advice"),
    })
}

fn expect(outcome: &Outcome, id: &str, verdict: &str, words: &[&str]) -> Result<()> {
    let found = finding(outcome, id)?;
    ensure!(
        found.verdict == verdict,
        "{id} is {}: {outcome}",
        found.verdict
    );
    for word in words {
        ensure!(
            found.words.contains(word),
            "{id} lacks {word}: {}",
            found.words
        );
    }
    Ok(())
}

/// A preflight for programs, with more arguments.
async fn look(scenario: &Scenario, more: &[&str]) -> Result<Outcome> {
    let as_of = scenario.profile.as_of.rfc3339();
    let look = scenario.cli(&["preflight", "--json", "--as-of", &as_of])?;
    look.args(more).run().await
}

/// The database's identity, as the contract of the journal has it.
async fn identity(database: &Database) -> Result<String> {
    if let Some(file) = &database.file {
        let of = std::fs::metadata(file)?;
        return Ok(format!("sqlite file {}:{}", of.dev(), of.ino()));
    }
    let sql = "SELECT 'postgres cluster ' || system_identifier || ' database ' || d.oid \
               FROM pg_control_system(), pg_database d WHERE d.datname = current_database()";
    database.value(sql).await
}

/// Notes a backup that began so long ago, behind what the runbook holds.
async fn note_backup(database: &Database, id: &str, of: &str, hours: i64) -> Result<()> {
    let now = match database.backend {
        Backend::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
        Backend::Postgres => "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)",
    };
    let insert = format!(
        "INSERT INTO backstitch_journal (run, stream, seq, kind, version, payload, worker, at, prev, hash) \
         SELECT 'runbook', 'runbook', max(seq) + 1, 'BackupTaken', 3, \
            '{{\"id\":\"{id}\",\"method\":\"custom\",\"place\":\"/b\",\"database\":\"{of}\",\"server\":\"15\",\
            \"bytes\":1,\"digest\":\"\",\"rows\":{{}},\"begun_at\":' || ({now} - {hours} * 3600000) || ',\"millis\":1}}', \
            'test', {now}, 'x', '{id}' FROM backstitch_journal WHERE run = 'runbook'"
    );
    ensure!(database.execute(&insert).await? == 1, "no backup was noted");
    Ok(())
}

async fn a_backup_is_asked_for(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 501)).await?;
    let database = &scenario.database;
    let before = scenario.state().await?;
    let outcome = look(&scenario, &[]).await?.expect(3)?;
    outcome.expect_named(&["error: the migration should not begin yet: backup-age"])?;
    expect(&outcome, "backup-age", "stop", &["no backup", "cli backup"])?;
    for well in [
        "server", "clock", "rights", "source", "schema", "disk", "estimate",
    ] {
        expect(&outcome, well, "ok", &[])?;
    }
    expect(&outcome, "schema", "ok", &["pending", "cli schema up"])?;
    scenario.expect_state(&before).await?;
    ensure!(
        !journal::exists(database).await?,
        "a look has made the journal"
    );

    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let own = identity(database).await?;
    note_backup(database, "of-another", "postgres cluster 1 database 1", 1).await?;
    let outcome = look(&scenario, &[]).await?.expect(3)?;
    expect(
        &outcome,
        "backup-age",
        "stop",
        &["of-another", "another database"],
    )?;
    note_backup(database, "stale", &own, 30).await?;
    let outcome = look(&scenario, &[]).await?.expect(3)?;
    expect(
        &outcome,
        "backup-age",
        "stop",
        &["stale is 1day 6h", "over 1day"],
    )?;
    let outcome = look(&scenario, &["--backup-age", "31h"]).await?.expect(0)?;
    expect(&outcome, "backup-age", "ok", &["stale"])?;
    expect(&outcome, "backup-verified", "warning", &["never read back"])?;
    note_backup(database, "fresh", &own, 1).await?;
    ensure!(journal::events(database, "PreflightChecked", None).await? == 0);
    let outcome = look(&scenario, &["--record"]).await?.expect(0)?;
    expect(&outcome, "backup-age", "ok", &["fresh is 1h"])?;
    ensure!(journal::events(database, "PreflightChecked", None).await? == 1);
    let shown = scenario.cli(&["journal", "show", "--kind", "PreflightChecked"])?;
    shown
        .expect(0)
        .await?
        .expect_named(&["ok", "1 warn (backup-verified)"])?;
    scenario
        .expect_state(&before_with_schema(&scenario).await?)
        .await?;

    // What the plan reads is not as it was made for.
    let drop = match backend {
        Backend::Sqlite => "ALTER TABLE \"Asset\" RENAME COLUMN \"campaignId\" TO \"other\"",
        Backend::Postgres => {
            "ALTER TABLE \"Asset\" RENAME COLUMN \"campaignId\" TO \"other\"; \
                              ALTER TABLE \"UserFeedback\" RENAME TO \"elsewhere\""
        }
    };
    database.execute(drop).await?;
    let outcome = look(&scenario, &[]).await?.expect(3)?;
    expect(
        &outcome,
        "source",
        "stop",
        &["Asset has no column campaignId"],
    )?;
    // A text for people says the same.
    let text = scenario.cli(&["preflight"])?.expect(3).await?;
    text.expect_named(&["❌ source:", "→", "say"])
}

/// The state again: what a look may not have changed since the schema is there.
async fn before_with_schema(scenario: &Scenario) -> Result<tests::dump::Dump> {
    let state = scenario.state().await?;
    for table in tests::dump::DESTINATIONS {
        ensure!(state.table(table).is_empty(), "{table} has rows");
    }
    Ok(state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights_come_with_the_grant() -> Result<()> {
    on(Server::Managed, async {
        let scenario = Scenario::load(&Profile::small(Backend::Postgres, 502)).await?;
        let database = &scenario.database;
        let look_as = async |role: Role| {
            let look = process::program("cli", &role.url(&database.url))?;
            look.args(["preflight", "--json"]).run().await
        };
        let outcome = look_as(Role::Worker).await?;
        for well in ["rights", "row-security", "schema-rights"] {
            expect(&outcome, well, "ok", &[])?;
        }
        let outcome = look_as(Role::Viewer).await?;
        let insert = "GRANT INSERT (\"actionTaken\", \"agentType\"";
        let to = "ON \"AgentFeedback\" TO \"backstitch_viewer\"";
        expect(&outcome, "rights", "stop", &[insert, to])?;
        database
            .execute(
                "REVOKE SELECT (acv) ON \"Deal\" FROM backstitch_worker; ALTER TABLE \"Asset\" ENABLE ROW LEVEL SECURITY",
            )
            .await?;
        let outcome = look_as(Role::Worker).await?.expect(3)?;
        let grant = "GRANT SELECT (acv) ON \"Deal\" TO \"backstitch_worker\";";
        expect(&outcome, "rights", "stop", &["SELECT of Deal (acv)", grant])?;
        expect(&outcome, "row-security", "stop", &["Asset", "BYPASSRLS"])?;
        // The grant is all that it takes.
        database.execute(grant).await?;
        expect(&look_as(Role::Worker).await?, "rights", "ok", &[])?;

        let down = ["schema", "down", "--yes", "--discard-journal"];
        scenario.cli(&down)?.expect(0).await?;
        let outcome = look_as(Role::Worker).await?;
        let words = ["GRANT CREATE ON SCHEMA \"public\" TO", "does not own Campaign"];
        expect(&outcome, "schema-rights", "warning", &words)?;
        expect(&look_as(Role::Owner).await?, "schema-rights", "ok", &[])
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_else_goes_on_is_seen() -> Result<()> {
    let server = Cluster::start_for_many_connections()?;
    let database = Database::create_in(&server, "TEMPLATE template0").await?;
    let scenario = Scenario::load_into(database, &Profile::small(Backend::Postgres, 503)).await?;
    let database = &scenario.database;
    let outcome = look(&scenario, &[]).await?;
    for well in [
        "pooler",
        "replication-slots",
        "long-transactions",
        "autovacuum",
        "wraparound",
        "int4-headroom",
    ] {
        expect(&outcome, well, "ok", &[])?;
    }
    expect(&outcome, "pooler", "ok", &["direct"])?;

    let other = database.another().await?;
    let held = other
        .hold("UPDATE \"Campaign\" SET \"name\" = \"name\"")
        .await?;
    let old = ["--transaction-age", "0s"];
    let outcome = look(&scenario, &old).await?;
    expect(
        &outcome,
        "long-transactions",
        "warning",
        &["1 transaction", "with locks", "pg_terminate_backend"],
    )?;
    expect(
        &look(&scenario, &[]).await?,
        "long-transactions",
        "ok",
        &["1 open"],
    )?;
    held.rollback().await?;
    expect(
        &look(&scenario, &old).await?,
        "long-transactions",
        "ok",
        &["0 open"],
    )?;

    database
        .query("SELECT pg_create_physical_replication_slot('abandoned', true)")
        .await?;
    let outcome = look(&scenario, &[]).await?;
    expect(
        &outcome,
        "replication-slots",
        "warning",
        &["abandoned", "pg_drop_replication_slot"],
    )?;
    database
        .execute("ALTER SYSTEM SET max_wal_size = '32MB'")
        .await?;
    database.query("SELECT pg_reload_conf()").await?;
    for number in 0..4 {
        database
            .execute(&format!("CREATE TABLE \"wal{number}\" (x INT)"))
            .await?;
        database.query("SELECT pg_switch_wal()").await?;
    }
    let outcome = look(&scenario, &[]).await?;
    expect(
        &outcome,
        "replication-slots",
        "stop",
        &["abandoned keeps", "MiB"],
    )?;
    database
        .query("SELECT pg_drop_replication_slot('abandoned')")
        .await?;

    database
        .execute(
            "ALTER TABLE \"Deal\" SET (autovacuum_enabled = false); ALTER TABLE \"Deal\" ADD COLUMN n SERIAL; \
             SELECT setval('\"Deal_n_seq\"', 1932735283)",
        )
        .await?;
    let outcome = look(&scenario, &[]).await?;
    expect(&outcome, "autovacuum", "warning", &["Deal"])?;
    expect(
        &outcome,
        "int4-headroom",
        "stop",
        &["Deal_n_seq", "at 90 %", "BIGINT"],
    )
}

/// A library that orders text in another way than when the indexes were built.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_has_changed() -> Result<()> {
    let database = Database::create_with_a_linguistic_order().await?;
    let scenario = Scenario::load_into(database, &Profile::small(Backend::Postgres, 504)).await?;
    expect(
        &look(&scenario, &[]).await?,
        "collation",
        "ok",
        &["ICU, version"],
    )?;
    let changed = "UPDATE pg_database SET datcollversion = '1' WHERE datname = current_database()";
    scenario.database.execute(changed).await?;
    let outcome = look(&scenario, &[]).await?.expect(3)?;
    expect(&outcome, "collation", "stop", &["built with 1", "REINDEX"])
}

/// However the pooler chooses the session for a transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_is_told_from_a_direct_connection() -> Result<()> {
    on(Server::Pooled, async {
        let scenario = Scenario::load(&Profile::small(Backend::Postgres, 505)).await?;
        for _ in 0..5 {
            let outcome = look(&scenario, &[]).await?;
            expect(
                &outcome,
                "pooler",
                "ok",
                &["pooled", "Take backups by the server's own address"],
            )?;
        }
        Ok(())
    })
    .await
}
