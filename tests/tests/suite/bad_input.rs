//! Bad input gets one clear error, the right exit code, and loses nothing.

use std::process::Command;

use anyhow::{Result, ensure};
use tests::cluster;
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process::{self, Invocation, Outcome};
use tests::scenario::Scenario;
use tests::scratch;

on_both!(
    no_campaign_table,
    a_missing_column,
    a_table_of_somebody_else,
    a_journal_of_somebody_else,
    optional_tables_that_are_not_there,
    an_unknown_unit,
    logs_that_cannot_be_read,
    options_out_of_range,
    a_journal_of_a_newer_format,
);

/// Runs it and checks for a short error, one of these exit codes, and all of these words.
async fn fails(invocation: Invocation, codes: &[i32], words: &[&str]) -> Result<Outcome> {
    let outcome = invocation.run().await?;
    ensure!(
        outcome.code().is_some_and(|code| codes.contains(&code)),
        "one of the exit codes {codes:?} was expected of {outcome}"
    );
    outcome.expect_clear_error()?;
    outcome.expect_named(words)?;
    Ok(outcome)
}

fn run(url: &str) -> Result<Invocation> {
    Ok(process::program("worker", url)?.args(["run", "--migrate"]))
}

#[tokio::test]
async fn a_postgresql_database_that_does_not_exist() -> Result<()> {
    fails(run(&cluster::shared()?.url("nowhere"))?, &[2], &["nowhere"]).await?;
    let cli = process::program("cli", &cluster::shared()?.url("nowhere"))?.args(["status"]);
    fails(cli, &[2], &["nowhere"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_password() -> Result<()> {
    let wrong = "wrong-canary-8813";
    let url = cluster::shared()?.url_with_password("postgres", wrong);
    for program in [run(&url)?, process::program("cli", &url)?.args(["status"])] {
        let outcome = fails(program, &[2], &["password"]).await?;
        ensure!(
            !outcome.output().contains(wrong),
            "the password was printed"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there() -> Result<()> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let url = format!("postgres://u:{}@127.0.0.1:{port}/d", cluster::PASSWORD);
    fails(run(&url)?, &[5], &[]).await?;
    Ok(())
}

#[tokio::test]
async fn addresses_that_make_no_sense() -> Result<()> {
    for url in ["mysql://u:secret-canary@h/d", "nonsense", "ftp://h/d"] {
        let outcome = fails(run(url)?, &[2], &[]).await?;
        ensure!(
            !outcome.output().contains("secret-canary"),
            "the password was printed"
        );
    }
    Ok(())
}

#[tokio::test]
async fn sqlite_files_that_cannot_be_opened() -> Result<()> {
    let folder = scratch::folder("files")?;
    let missing = folder.join("missing").join("a.db");
    fails(
        run(&format!("sqlite://{}?mode=rwc", missing.display()))?,
        &[2],
        &[],
    )
    .await?;
    let absent = folder.join("absent.db");
    fails(
        run(&format!("sqlite://{}", absent.display()))?,
        &[2],
        &["absent.db"],
    )
    .await?;
    ensure!(
        !absent.exists(),
        "a database was made where none was asked for"
    );
    let garbage = folder.join("garbage.db");
    std::fs::write(&garbage, "this is no database ".repeat(500))?;
    fails(
        run(&format!("sqlite://{}", garbage.display()))?,
        &[2, 4],
        &[],
    )
    .await?;
    ensure!(
        std::fs::read(&garbage)?.starts_with(b"this is no database"),
        "the file was overwritten"
    );
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_read_only() -> Result<()> {
    let profile = Profile {
        campaigns: 10,
        large: false,
        ..Profile::odd(Backend::Sqlite, 91)
    };
    let scenario = Scenario::load(&profile).await?;
    let before = scenario.state().await?;
    // Root may write into any file, so it is the address that forbids it.
    let url = scenario.database.url.replace("mode=rwc", "mode=ro");
    fails(run(&url)?, &[2, 4], &["read"]).await?;
    scenario.expect_state(&before).await
}

async fn no_campaign_table(backend: Backend) -> Result<()> {
    let database = Database::create(backend).await?;
    fails(run(&database.url)?, &[2, 4], &["Campaign"]).await?;
    ensure!(
        !database.has_table("IntelligenceEvent").await?,
        "the schema was changed all the same"
    );
    Ok(())
}

async fn a_missing_column(backend: Backend) -> Result<()> {
    for (table, column) in [
        ("Campaign", "metadata"),
        ("PublishJob", "clicks"),
        ("Deal", "closedAt"),
    ] {
        let database = Database::create(backend).await?;
        database.create_source_schema(&[]).await?;
        let rename = format!("ALTER TABLE \"{table}\" RENAME COLUMN \"{column}\" TO \"renamed\"");
        database.execute(&rename).await?;
        fails(run(&database.url)?, &[2, 4], &[table, column]).await?;
    }
    Ok(())
}

async fn a_table_of_somebody_else(backend: Backend) -> Result<()> {
    let database = Database::create(backend).await?;
    database.create_source_schema(&[]).await?;
    let theirs = "CREATE TABLE \"KPIHistory\" (\"id\" TEXT PRIMARY KEY)";
    database.execute(theirs).await?;
    fails(run(&database.url)?, &[4], &["KPIHistory", "metricName"]).await?;
    for table in ["IntelligenceEvent", "backstitch_journal"] {
        ensure!(!database.has_table(table).await?, "{table} was made");
    }
    Ok(())
}

/// A table under our journal's name that no schema change of ours made is not ours.
async fn a_journal_of_somebody_else(backend: Backend) -> Result<()> {
    let database = Database::create(backend).await?;
    database.create_source_schema(&[]).await?;
    let theirs = "CREATE TABLE \"backstitch_journal\" (\"id\" TEXT PRIMARY KEY)";
    database.execute(theirs).await?;
    fails(run(&database.url)?, &[4], &["backstitch_journal", "rename"]).await?;
    ensure!(
        !database.has_table("IntelligenceEvent").await?,
        "the schema was changed all the same"
    );
    Ok(())
}

/// What a run does without is told, and is not to come or go in its midst.
async fn optional_tables_that_are_not_there(backend: Backend) -> Result<()> {
    let database = Database::create(backend).await?;
    database.create_source_schema(&["Deal"]).await?;
    let part = run(&database.url)?.args(["--unit", "agent_feedback"]);
    let outcome = part.expect(0).await?;
    outcome.expect_named(&["no table Deal", "kpi_history"])?;
    let validate = process::program("cli", &database.url)?.args(["validate"]);
    validate
        .run()
        .await?
        .expect_named(&["missing optional tables", "Deal"])?;
    database
        .execute("ALTER TABLE \"UserFeedback\" RENAME TO \"Gone\"")
        .await?;
    fails(run(&database.url)?, &[4], &["UserFeedback", "is gone"]).await?;
    Ok(())
}

async fn load(backend: Backend) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 10,
        ..Profile::small(backend, 92)
    };
    Scenario::load(&profile).await
}

async fn an_unknown_unit(backend: Backend) -> Result<()> {
    let scenario = load(backend).await?;
    let before = scenario.state().await?;
    let outcome = fails(
        scenario.run()?.args(["--unit", "nonsense"]),
        &[2],
        &["nonsense"],
    )
    .await?;
    outcome.expect_named(&["campaign_prompt"])?;
    scenario.expect_state(&before).await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let before = scenario.state().await?;
    fails(
        scenario.cli(&["rollback", "--yes", "--reason", "x", "--unit", "nonsense"])?,
        &[2],
        &["nonsense"],
    )
    .await?;
    scenario.expect_state(&before).await
}

async fn logs_that_cannot_be_read(backend: Backend) -> Result<()> {
    let scenario = load(backend).await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let before = scenario.state().await?;
    let folder = scratch::folder("bad-logs")?;
    let absent = folder.join("absent.ndjson");
    for path in [&absent, &folder] {
        let log = path.display().to_string();
        fails(scenario.run()?.args(["--agent-logs", &log]), &[2], &[&log]).await?;
        scenario.expect_state(&before).await?;
    }
    // What is broken inside a file may come to light only after other units have been written.
    let broken = folder.join("broken.ndjson.gz");
    std::fs::write(&broken, "no gzip at all\n")?;
    // A pipe that nobody writes to: waited for, it would never end.
    let pipe = folder.join("pipe");
    ensure!(Command::new("mkfifo").arg(&pipe).status()?.success());
    let log = pipe.display().to_string();
    fails(
        scenario.run()?.args(["--agent-logs", &log]),
        &[2],
        &[&log, "save it"],
    )
    .await?;
    let log = broken.display().to_string();
    fails(
        scenario.run()?.args(["--agent-logs", &log]),
        &[1, 2],
        &[&log],
    )
    .await?;
    Ok(())
}

async fn options_out_of_range(backend: Backend) -> Result<()> {
    let scenario = load(backend).await?;
    let before = scenario.state().await?;
    for (option, value) in [
        ("--batch-rows", "0"),
        ("--batch-rows", "-5"),
        ("--partitions", "0"),
        ("--workers", "0"),
        ("--window-days", "0"),
        ("--window-days", "many"),
        ("--max-bad", "200%"),
        ("--max-bad", "-1%"),
        ("--max-bad", "some"),
        ("--as-of", "yesterday"),
        ("--as-of", "2025-02-30T00:00:00Z"),
        ("--nonsense", "1"),
    ] {
        let outcome = process::worker(&scenario.database)?
            .args(["run", &format!("{option}={value}")])
            .run()
            .await?;
        ensure!(
            outcome.code() == Some(2),
            "exit code 2 was expected of {outcome}"
        );
        outcome.expect_named(&[option])?;
    }
    for arguments in [
        &["nonsense"][..],
        &["rollback", "--yes"],
        &["journal"],
        &["demo", "--campaigns", "-1"],
    ] {
        scenario.cli(arguments)?.expect(2).await?;
    }
    scenario.expect_state(&before).await
}

/// It may be shown, and is never appended to.
async fn a_journal_of_a_newer_format(backend: Backend) -> Result<()> {
    let scenario = load(backend).await?;
    scenario.run()?.expect(0).await?;
    let before = scenario.state().await?;
    let database = &scenario.database;
    crate::tamper::unlocked(database, &["UPDATE backstitch_journal SET version = 999"]).await?;
    let events = database.count("backstitch_journal").await?;
    fails(scenario.run()?, &[3, 4], &["999"]).await?;
    fails(
        scenario.cli(&["rollback", "--yes", "--reason", "x"])?,
        &[3, 4],
        &["999"],
    )
    .await?;
    ensure!(
        database.count("backstitch_journal").await? == events,
        "an older program appended to the journal"
    );
    scenario.cli(&["journal", "show"])?.expect(0).await?;
    scenario.expect_state(&before).await
}
