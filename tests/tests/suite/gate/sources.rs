//! Files of targets that are wrong, databases that lack what is asked of them, and units that are waited for.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tests::cluster::Cluster;
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process::{self, Invocation};
use tests::scenario::Scenario;
use tests::scratch;
use tests::service::Service;

use super::{Ground, closed, sampled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_files_are_refused_with_their_place() -> Result<()> {
    let folder = scratch::folder("slo")?;
    let cli = |arguments: &[&str]| -> Result<Invocation> {
        Ok(process::program("cli", "sqlite:///nowhere/at/all.db")?.args(arguments))
    };
    let file = folder.join("slo.toml");
    let path = file.to_str().context("a path")?;
    let head = "[environment.production]\nfor = \"2h\"\n[[target]]\nname = \"a\"\nsource = \"probe\"\nurl = \"http://127.0.0.1:9/\"\n\
                statistic = \"max\"\n";
    for (text, place) in [
        ("every = 30s".to_owned(), ":1:"),
        (
            format!("{head}below = \"500\""),
            ":8:9: \"500\" has no unit",
        ),
        (
            format!("{head}below = \"5 lightyears\""),
            ":8:9: there is no unit",
        ),
        (
            format!("{head}below = \"1 s\"\nabove_all = 1"),
            ":9:1: unknown field `above_all`",
        ),
        (
            format!(
                "{head}below = \"1 s\"\n{}below = \"1 s\"",
                &head[head.find("[[").context("a target")?..]
            ),
            ":10:8: there is a target \"a\" already",
        ),
        (String::new(), ":1:1: "),
    ] {
        std::fs::write(&file, &text)?;
        for command in ["check", "watch"] {
            let outcome = cli(&["gate", command, "--file", path])?.expect(2).await?;
            outcome.expect_clear_error()?;
            outcome.expect_named(&[&format!("slo.toml{place}")])?;
        }
    }
    std::fs::write(&file, b"every = \"30s\"\n# \xff")?;
    let outcome = cli(&["gate", "check", "--file", path])?.expect(2).await?;
    outcome.expect_named(&["slo.toml:2:3: it is not UTF-8"])?;
    std::fs::remove_file(&file)?;
    let outcome = cli(&["gate", "check", "--file", path])?.expect(2).await?;
    outcome.expect_named(&["cli gate init"])?;

    cli(&["gate", "init", "--file", path])?.expect(0).await?;
    std::fs::write(&file, "mine")?;
    cli(&["gate", "init", "--file", path])?.expect(4).await?;
    ensure!(
        std::fs::read_to_string(&file)? == "mine",
        "it was written over"
    );
    cli(&["gate", "init", "--force", "--file", path])?
        .expect(0)
        .await?;
    written_is_read(&file).await
}

/// What `init` writes is understood; its addresses are examples, and nobody answers there.
async fn written_is_read(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let text = text
        .replace("localhost:9090", "127.0.0.1:9")
        .replace("localhost:3000", "127.0.0.1:9");
    std::fs::write(file, text)?;
    let database = Database::create(Backend::Postgres).await?;
    let path = file.to_str().context("a path")?;
    let check = process::program("cli", &database.url)?.args(["gate", "check", "--file", path]);
    let outcome = check.run().await?;
    // The first of these that it meets ends it: the extension is not there, or nobody answers.
    ensure!(matches!(outcome.code(), Some(2 | 3)), "{outcome}");
    outcome
        .expect_named(&["Prometheus: no connection"])
        .or_else(|_| outcome.expect_named(&["pg_stat_statements"]))
}

/// What cannot become otherwise while it is watched is said at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_lacks_is_said() -> Result<()> {
    let target = "[[target]]\nname = \"queries\"\nsource = \"database\"\nstatistic = \"mean-query-time\"\nbelow = \"1 s\"\n";
    for (backend, word) in [
        (
            Backend::Postgres,
            "this database has no extension pg_stat_statements",
        ),
        (Backend::Sqlite, "SQLite keeps no statistics"),
    ] {
        let ground = Ground::make(backend).await?;
        ground.targets("2s", "1s", target)?;
        for command in ["check", "watch"] {
            let mut invocation = ground.gate(command)?;
            if command == "watch" {
                invocation = invocation.args(["--environment", "staging"]);
            }
            let outcome = invocation.expect(2).await?;
            outcome.expect_clear_error()?;
            outcome.expect_named(&["target queries", word])?;
        }
        ensure!(
            ground.events("GateStarted").await?.is_empty(),
            "it was begun"
        );
    }
    Ok(())
}

/// How long statements take is counted by the database, of what happens while it is watched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_times_are_the_databases_own() -> Result<()> {
    let cluster = Cluster::start()?;
    cluster.preload("pg_stat_statements")?;
    let database = Database::create_in(&cluster, "").await?;
    database
        .execute(
            "CREATE SCHEMA \"its own\"; CREATE EXTENSION pg_stat_statements SCHEMA \"its own\"",
        )
        .await?;
    let ground = Ground {
        database,
        service: Service::start()?,
        file: scratch::folder("slo")?.join("slo.toml"),
    };
    let target = |limit: &str| {
        format!(
            "[[target]]\nname = \"queries\"\nsource = \"database\"\nstatistic = \"mean-query-time\"\nbelow = \"{limit}\"\n"
        )
    };
    ground.targets("6s", "2s", &target("10 s"))?;
    ground.gate("check")?.expect(0).await?;
    ground.targets("6s", "2s", &target("20 ms"))?;
    let mut running = ground.watch()?.spawn()?;
    sampled(&ground, &mut running).await?;
    ground.database.execute("SELECT pg_sleep(2.5)").await?;
    let outcome = running.wait().await?;
    closed(&ground, outcome, &["queries"], &["samples missed < 20 ms"]).await?;

    // Counters that began anew in the midst are no answer.
    ground.targets("6s", "2s", &target("10 s"))?;
    let mut running = ground.watch()?.spawn()?;
    sampled(&ground, &mut running).await?;
    cluster.crash()?;
    cluster.restart()?;
    let outcome = running.wait().await?.expect(3)?;
    outcome.expect_named(&["queries unknown"])?;
    let unwatched = ground.database.another().await?;
    let open = "SELECT COUNT(*) FROM backstitch_journal WHERE kind = 'GateJudged' AND payload LIKE '%\"open\":false%'";
    ensure!(
        unwatched.value::<i64>(open).await? == 2,
        "it is not noted as closed"
    );
    Ok(())
}

/// The next migration waits for a unit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_is_waited_for() -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(Backend::Sqlite, 611)).await?;
    let gate = |arguments: &[&str]| {
        scenario.cli(&[&["gate", "--unit", "campaign_prompt"], arguments].concat())
    };
    gate(&[])?
        .expect(3)
        .await?
        .expect_named(&["no run stands"])?;
    let unknown = scenario
        .cli(&["gate", "--unit", "nobody"])?
        .expect(2)
        .await?;
    unknown.expect_named(&["no unit", "campaign_prompt"])?;
    let waiting = gate(&["--wait", "3m"])?.spawn()?;
    scenario
        .run()?
        .args(["--unit", "campaign_prompt"])
        .expect(0)
        .await?;
    waiting
        .wait()
        .await?
        .expect(0)?
        .expect_named(&["complete in run"])?;
    let both = scenario.cli(&["gate", "--unit", "campaign_prompt", "--unit", "kpi_history"])?;
    both.expect(3)
        .await?
        .expect_named(&["kpi_history", "pending"])?;
    gate(&["--validated"])?
        .expect(3)
        .await?
        .expect_named(&["no validation", "on record"])?;
    scenario
        .cli(&["rollback", "--yes", "--reason", "a test"])?
        .expect(0)
        .await?;
    gate(&["--json"])?.expect(3).await?;
    Ok(())
}
