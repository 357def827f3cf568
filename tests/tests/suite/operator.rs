//! What somebody relies on who is called at night: commands that only look change nothing, refusals name their reason,
//! and what is taken back is what was meant.

use anyhow::{Result, ensure};
use tests::cluster;
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process::{self, Invocation};
use tests::scenario::Scenario;
use tests::scratch;

on_both!(
    an_instant_in_the_future,
    the_newest_run_that_holds_rows_is_taken_back,
    the_journal_is_asked_in_plain_words,
    a_reader_that_hangs_up_ends_the_command,
    a_log_file_that_is_named_twice,
    the_schema_goes_down_on_the_advice_that_applies,
    a_demonstration_that_is_there,
);

const YES: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

/// An invocation that must fail so, with these words.
async fn fails(invocation: Invocation, code: i32, words: &[&str]) -> Result<()> {
    let outcome = invocation.expect(code).await?;
    outcome.expect_clear_error()?;
    outcome.expect_named(words)
}

#[tokio::test]
async fn who_only_looks_writes_to_no_file() -> Result<()> {
    let folder = scratch::folder("looks")?;
    let url = |name: &str| format!("sqlite://{}?mode=rwc", folder.join(name).display());
    let empty = folder.join("empty.db");
    std::fs::write(&empty, "")?;
    for command in [&["status"][..], &["schema", "status"], &["runs"]] {
        process::program("cli", &url("empty.db"))?
            .args(command)
            .run()
            .await?;
        ensure!(std::fs::read(&empty)?.is_empty(), "{command:?} wrote");
        let absent = process::program("cli", &url("absent.db"))?.args(command);
        fails(absent, 2, &["absent.db", "--database-url"]).await?;
        ensure!(!folder.join("absent.db").exists(), "{command:?} made it");
    }

    let scenario = Scenario::load(&Profile::small(Backend::Sqlite, 61)).await?;
    scenario.run()?.expect(0).await?;
    let database = &scenario.database;
    let file = database.file.clone().expect("a file");
    database.execute("PRAGMA journal_mode = DELETE").await?;
    let before = std::fs::read(&file)?;
    for command in [
        &["status"][..],
        &["runs"],
        &["validate"],
        &["quarantine", "list"],
        &["journal", "show"],
        &["journal", "verify"],
        &["journal", "export"],
        &["schema", "status"],
        &["rollback", "--dry-run"],
    ] {
        scenario.cli(command)?.expect(0).await?;
        ensure!(std::fs::read(&file)? == before, "{command:?} wrote");
    }
    Ok(())
}

#[tokio::test]
async fn addresses_that_are_refused() -> Result<()> {
    let folder = scratch::folder("addresses")?;
    let folder = folder.display();
    for (url, words) in [
        ("sqlite://".to_owned(), &["no file"][..]),
        ("sqlite::memory:".to_owned(), &["no file"]),
        (format!("sqlite://{folder}"), &["is a folder"]),
        (
            format!("sqlite://{folder}/nowhere/x.db"),
            &["no folder", "nowhere"],
        ),
        (
            "postgres://u@127.0.0.1:1/d?sslmod=canary-7701".to_owned(),
            &["sslmod"],
        ),
    ] {
        for program in [
            process::program("worker", &url)?.args(["run"]),
            process::program("cli", &url)?.args(["status"]),
        ] {
            let outcome = program.expect(2).await?;
            outcome.expect_named(words)?;
            ensure!(!outcome.output().contains("canary-7701"), "{outcome}");
        }
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let nobody = format!("postgres://u@127.0.0.1:{port}/d");
    let worker = process::program("worker", &nobody)?.args(["run"]);
    fails(worker, 5, &["connection refused"]).await
}

#[tokio::test]
async fn a_role_that_may_not_read() -> Result<()> {
    let scenario = Scenario::load(&Profile::small(Backend::Postgres, 62)).await?;
    scenario.run()?.expect(0).await?;
    let role = format!("onlooker_{}", std::process::id());
    let password = cluster::PASSWORD;
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'");
    scenario.database.execute(&create).await?;
    let place = scenario.database.url.split_once('@').expect("a user").1;
    let url = format!("postgres://{role}:{password}@{place}");
    let looked = process::program("cli", &url)?.args(["status"]).run().await;
    let drop = format!("DROP ROLE {role}");
    scenario.database.execute(&drop).await?;
    let looked = looked?.expect(2)?;
    looked.expect_named(&[&role, "may not read", "42501"])
}

#[tokio::test]
async fn files_are_looked_at_before_a_demonstration_is_made() -> Result<()> {
    let database = Database::create(Backend::Sqlite).await?;
    let run = process::worker(&database)?.args(["run", "--demo", "--agent-logs", "nofile"]);
    fails(run, 2, &["nofile"]).await?;
    ensure!(!database.has_table("Campaign").await?, "the demo was made");
    Ok(())
}

#[tokio::test]
async fn a_copied_database_is_rolled_back_on_somebodys_word_alone() -> Result<()> {
    let scenario = Scenario::load(&Profile::small(Backend::Sqlite, 63)).await?;
    scenario.run()?.expect(0).await?;
    let copy = scratch::folder("copy")?.join("copy.db");
    let vacuum = format!("VACUUM INTO '{}'", copy.display());
    scenario.database.execute(&vacuum).await?;
    let copy = Database::open_file(copy).await?;
    let events = copy.count("backstitch_journal").await?;
    let rollback = || Ok::<_, anyhow::Error>(process::cli(&copy)?.args(YES));
    fails(rollback()?, 4, &["--adopt-database"]).await?;
    ensure!(copy.count("backstitch_journal").await? == events);
    rollback()?.args(["--adopt-database"]).expect(0).await?;
    ensure!(copy.count("IntelligenceEvent").await? == 0);
    ensure!(tests::journal::events(&copy, "DatabaseAdopted", None).await? == 1);
    process::cli(&copy)?
        .args(["journal", "verify"])
        .expect(0)
        .await?;
    Ok(())
}

async fn an_instant_in_the_future(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 64)).await?;
    let run = process::worker(&scenario.database)?;
    let run = run.args(["run", "--migrate", "--as-of", "2999-01-01"]);
    fails(run, 2, &["2999-01-01T00:00:00", "clock"]).await?;
    ensure!(
        !tests::journal::exists(&scenario.database).await?,
        "the schema was changed all the same"
    );
    Ok(())
}

async fn the_newest_run_that_holds_rows_is_taken_back(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 65)).await?;
    let before = scenario.state().await?;
    scenario.run()?.expect(0).await?;
    // The same again: there is nothing to write.
    scenario.run()?.expect(0).await?;
    let repeated = ["--unit", "kpi_history", "--unit", "kpi_history"];
    let preview = scenario
        .cli(&[&["rollback", "--dry-run"][..], &repeated].concat())?
        .expect(0)
        .await?;
    ensure!(
        preview.stdout.matches("kpi_history:").count() == 1,
        "{preview}"
    );
    let done = scenario.cli(&YES)?.expect(0).await?;
    done.expect_named(&["newest that still holds", "as announced above"])?;
    scenario.expect_state(&before).await?;
    scenario.verify_journal().await
}

async fn the_journal_is_asked_in_plain_words(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 66)).await?;
    scenario.run()?.expect(0).await?;
    let show = |arguments: &[&str]| scenario.cli(&[&["journal", "show"][..], arguments].concat());
    let shown = show(&["--kind", "batchcommitted", "--since", "2020-01-01"])?;
    shown.expect(0).await?.expect_named(&["BatchCommitted"])?;
    fails(
        show(&["--kind", "nonsense"])?,
        2,
        &["nonsense", "UndoStarted"],
    )
    .await?;
    let none = show(&["--json", "--since", "2999-01-01"])?
        .expect(0)
        .await?;
    ensure!(none.stdout.is_empty(), "{none}");
    let exported = scenario.cli(&["journal", "export", "-o", "-"])?;
    let events = scenario.database.count("backstitch_journal").await?;
    let lines = exported.expect(0).await?.stdout.lines().count();
    ensure!(lines == usize::try_from(events)?, "{lines} of {events}");
    let blank = ["rollback", "--yes", "--reason", "  "];
    scenario.cli(&blank)?.expect(2).await?;
    let unnamed = scenario.cli(&["rollback", "--yes"])?.expect(2).await?;
    ensure!(!unnamed.stderr.contains("--database-url"), "{unnamed}");
    Ok(())
}

async fn a_reader_that_hangs_up_ends_the_command(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 67)).await?;
    scenario.run()?.expect(0).await?;
    let follow = scenario.cli(&["journal", "show", "--follow"])?;
    let outcome = follow.read_one_line().await?.expect(0)?;
    ensure!(outcome.stdout.lines().count() == 1, "{outcome}");
    Ok(())
}

async fn a_log_file_that_is_named_twice(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 68)).await?;
    let folder = scratch::folder("twice")?;
    let (first, second) = (folder.join("a.ndjson"), folder.join("b.ndjson"));
    for log in [&first, &second] {
        std::fs::write(log, "{\"message\":\"no task\"}\n{\"message\":\"none\"}\n")?;
    }
    let run = process::worker(&scenario.database)?.args([
        "run",
        "--migrate",
        "--max-bad",
        "100%",
        "--agent-logs",
        &first.display().to_string(),
        "--agent-logs",
        &second.display().to_string(),
    ]);
    let outcome = run.expect(0).await?;
    outcome.expect_named(&["b.ndjson holds the same", "2 lines, 0 with an agent task"])
}

async fn the_schema_goes_down_on_the_advice_that_applies(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 69)).await?;
    scenario.run()?.expect(0).await?;
    let down = || scenario.cli(&["schema", "down", "--yes"]);
    let refused = down()?.expect(4).await?;
    refused.expect_named(&["roll back the runs first"])?;
    scenario.cli(&YES)?.expect(0).await?;
    let refused = down()?.expect(4).await?;
    refused.expect_named(&["--discard-journal"])?;
    ensure!(!refused.stderr.contains("roll back"), "{refused}");
    ensure!(!refused.stderr.contains("by hand"), "{refused}");
    scenario
        .cli(&["schema", "down", "--yes", "--discard-journal"])?
        .expect(0)
        .await?;
    Ok(())
}

/// Made once, found the next time; a demo without executions holds none.
async fn a_demonstration_that_is_there(backend: Backend) -> Result<()> {
    let database = Database::create(backend).await?;
    let demo = || {
        let size = ["demo", "--campaigns", "30", "--tasks", "0"];
        Ok::<_, anyhow::Error>(process::cli(&database)?.args(size))
    };
    demo()?.expect(0).await?;
    demo()?.expect(0).await?.expect_named(&["there already"])?;
    ensure!(database.count("AgentTask").await? == 0, "it has executions");
    let run = process::worker(&database)?.args(["run", "--migrate", "--as-of", "2025-11-04"]);
    run.expect(0).await?;
    ensure!(database.count("IntelligenceEvent").await? == 0);
    let many = ["demo", "--campaigns", "99999999999"];
    process::cli(&database)?.args(many).expect(2).await?;
    Ok(())
}
