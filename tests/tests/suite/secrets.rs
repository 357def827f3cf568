//! Passwords and people's data are nowhere but where they belong. Whatever a program prints in any suite is searched
//! for the server's password, see `tests::process`; here everything is printed that there is.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use tests::cluster::{PASSWORD, USER};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process::{self, Invocation};
use tests::scenario::Scenario;
use tests::scratch;

on_both!(bad_rows_keep_their_values);

/// A file with a text and a mode.
fn file(text: &str, mode: u32) -> Result<PathBuf> {
    let path = scratch::folder("secret")?.join("url");
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    Ok(path)
}

/// Both programs, told where the database is by a file alone.
fn programs(file: &std::path::Path) -> Result<[Invocation; 2]> {
    let program = |name: &str, command: &str| {
        let program = process::program(name, "")?.without_url();
        let program = program.args([command, "--database-url-file"]);
        Ok::<_, anyhow::Error>(program.args([file]))
    };
    Ok([program("cli", "status")?, program("worker", "run")?])
}

async fn migrated() -> Result<Scenario> {
    let profile = Profile {
        campaigns: 10,
        large: false,
        ..Profile::odd(Backend::Postgres, 403)
    };
    let scenario = Scenario::load(&profile).await?;
    scenario.run()?.expect(0).await?;
    Ok(scenario)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_from_a_file() -> Result<()> {
    let scenario = migrated().await?;
    let url = &scenario.database.url;
    for text in [url.clone(), format!("{url}\n"), format!("{url}\r\n")] {
        for program in programs(&file(&text, 0o600)?)? {
            let outcome = program.expect(0).await?;
            ensure!(!outcome.stderr.contains("chmod"), "a warning: {outcome}");
        }
    }
    for program in programs(&file(url, 0o644)?)? {
        program.expect(0).await?.expect_named(&["chmod 600"])?;
    }
    let two = file(&format!("{url}\n{url}\n"), 0o600)?;
    let bytes = file("", 0o600)?;
    std::fs::write(&bytes, [0xFF, 0xFE])?;
    for bad in [
        two,
        file("\n", 0o600)?,
        bytes,
        PathBuf::from("/nowhere/url"),
    ] {
        for program in programs(&bad)? {
            let outcome = program.expect(2).await?;
            outcome.expect_clear_error()?;
            outcome.expect_named(&[&bad.to_string_lossy()])?;
        }
    }
    for program in programs(&file(url, 0o600)?)? {
        let contradiction = program.env("DATABASE_URL", url).expect(2).await?;
        contradiction.expect_named(&["--database-url-file", "DATABASE_URL"])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_from_postgresqls_own_places() -> Result<()> {
    let scenario = migrated().await?;
    let without = scenario.database.url.replace(&format!(":{PASSWORD}@"), "@");
    let status = || Ok::<_, anyhow::Error>(process::program("cli", &without)?.args(["status"]));
    let nobody = scratch::folder("home")?;
    let status = || Ok::<_, anyhow::Error>(status()?.env("HOME", &nobody));
    status()?.expect(2).await?.expect_named(&["PGPASSWORD"])?;
    status()?.env("PGPASSWORD", PASSWORD).expect(0).await?;
    let line = format!("127.0.0.1:*:*:{USER}:{PASSWORD}\n");
    status()?
        .env("PGPASSFILE", file(&line, 0o600)?)
        .expect(0)
        .await?;
    // As PostgreSQL's own programs, and as it cannot be read, not a word of it.
    status()?
        .env("PGPASSFILE", file(&line, 0o644)?)
        .expect(2)
        .await?;
    let broken = file(&format!("{PASSWORD}\n"), 0o600)?;
    let broken = status()?.env("PGPASSFILE", broken).env("RUST_LOG", "trace");
    broken.expect(2).await?;
    std::fs::copy(file(&line, 0o600)?, nobody.join(".pgpass"))?;
    status()?.expect(0).await?;
    Ok(())
}

/// Everything at the level of a trace, in success and in failure. The harness looks for the password in all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_nowhere() -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 404)).await?;
    let mut looks = 0;
    let check = |text: &str, place: &str| {
        ensure!(!text.contains(PASSWORD), "the password is in {place}");
        Ok::<_, anyhow::Error>(())
    };
    // Its mode gets a warning, which shows that what is logged is seen.
    let file = file(&scenario.database.url, 0o644)?;
    let run = scenario.run()?.without_url();
    let run = run.args([
        "--batch-rows".as_ref(),
        "50".as_ref(),
        "--database-url-file".as_ref(),
        file.as_os_str(),
    ]);
    let mut running = run.env("RUST_LOG", "trace").spawn()?;
    while running.is_alive()? {
        for line in running.command_lines()? {
            check(&line, "a command line")?;
            looks += usize::from(line.contains("--database-url-file"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    running.wait().await?.expect(0)?.expect_named(&["WARN"])?;
    ensure!(looks > 3, "the command line was seen {looks} times");
    let all: [&[&str]; 9] = [
        &["status"],
        &["runs"],
        &["validate"],
        &["quarantine", "list"],
        &["journal", "show"],
        &["journal", "verify"],
        &["journal", "export"],
        &["schema", "status"],
        &["rollback", "--yes", "--reason", "a test"],
    ];
    for arguments in all {
        let traced = scenario.cli(arguments)?.env("RUST_LOG", "trace");
        traced.expect(0).await?;
    }
    let backups = scratch::folder("backups")?;
    for arguments in [
        &["create"][..],
        &["list"],
        &["verify"],
        &["verify", "--full"],
    ] {
        let command = scenario.cli(&["backup"])?.args(arguments);
        let command = command.args(["--to".as_ref(), backups.as_os_str()]);
        command.env("RUST_LOG", "trace").expect(0).await?;
    }
    let secret = &scenario.database.url;
    for failing in [
        secret.replace(scenario.database.name(), "nowhere"),
        secret.replace(USER, "nobody"),
        secret.replace("127.0.0.1", "host.invalid"),
        format!("{secret}?sslmode=verify-full"),
        format!("{secret}?password={PASSWORD}&unknown={PASSWORD}"),
        format!("{secret}?options={PASSWORD}"),
    ] {
        for (name, command) in [("cli", "status"), ("worker", "run")] {
            let program = process::program(name, &failing)?.args([command]);
            program
                .env("RUST_LOG", "trace")
                .env("RUST_BACKTRACE", "full")
                .run()
                .await?;
        }
        let create = process::program("cli", &failing)?.args(["backup", "create"]);
        create.env("RUST_LOG", "trace").run().await?;
    }
    for table in [
        "backstitch_journal",
        "backstitch_journal_rows",
        "backstitch_partition",
    ] {
        let rows = format!("SELECT CAST(t AS TEXT) FROM {table} t");
        for row in scenario.database.texts(&rows).await? {
            check(&row, table)?;
        }
    }
    Ok(())
}

/// What a bad row holds that may be somebody's.
const CANARY: &str = "canary.person@example.com";

/// Bad rows of every unit, each holding the canary in the very value that is bad or beside it.
fn people(at: &str) -> Vec<String> {
    let metadata = |id: &str, json: &str| {
        format!(
            "INSERT INTO \"Campaign\" (\"id\", \"tenantId\", \"name\", \"metadata\", \"createdAt\", \"updatedAt\") \
             VALUES ('{id}', 't', 'n', '{json}', '{at}', '{at}')"
        )
    };
    let task =
        |fields: &str| format!("{{\"agentTasks\": [{{\"agentId\": \"{CANARY}\", {fields}}}]}}");
    vec![
        metadata("p1", &format!("{{\"prompt\": {{\"to\": \"{CANARY}\"}}}}")),
        metadata("p2", &format!("{{\"prompt\": [\"{CANARY}\"]}}")),
        metadata("p3", &format!("{{\"agentTasks\": \"{CANARY}\"}}")),
        metadata("p4", &format!("{{\"agentTasks\": [\"{CANARY}\"]}}")),
        metadata(
            "p5",
            &task(&format!("\"success\": true, \"completedAt\": \"{CANARY}\"")),
        ),
        metadata(
            "p6",
            &task(&format!(
                "\"success\": \"{CANARY}\", \"completedAt\": \"{at}Z\""
            )),
        ),
        metadata(
            "p7",
            &task(&format!(
                "\"success\": true, \"cost\": \"{CANARY}\", \"completedAt\": \"{at}Z\""
            )),
        ),
        format!(
            "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"comment\", \
             \"createdAt\", \"createdBy\") VALUES ('f1', 'Copy', 't', 'human', 9, '{CANARY}', '{at}', '{CANARY}')"
        ),
    ]
}

async fn bad_rows_keep_their_values(backend: Backend) -> Result<()> {
    let profile = Profile {
        campaigns: 0,
        agent_tasks: 0,
        deals: 0,
        snapshots: 0,
        feedback: 0,
        log_lines: 0,
        without: Vec::new(),
        window_days: 90,
        ..Profile::odd(backend, 405)
    };
    let database = Database::create(backend).await?;
    database.create_source_schema(&[]).await?;
    let scenario = Scenario::around(database, &profile);
    let bad = people(&profile.since().stored());
    for sql in &bad {
        scenario.database.execute(sql).await?;
    }
    let logs = scratch::folder("logs")?.join("drain.ndjson");
    let line = format!(
        "{{\"campaignId\": \"p1\", \"agentId\": \"{CANARY}\", \"success\": \"{CANARY}\", \"completedAt\": \"{CANARY}\"}}\n"
    );
    std::fs::write(&logs, format!("{line}{CANARY}\n"))?;
    let run = scenario
        .run()?
        .args(["--agent-logs".as_ref(), logs.as_os_str()]);
    let mut printed = run.env("RUST_LOG", "trace").expect(0).await?.output();
    let aside = tests::journal::events(&scenario.database, "RowQuarantined", None).await?;
    ensure!(
        usize::try_from(aside)? >= bad.len(),
        "{aside} rows were set aside, of {}",
        bad.len()
    );
    let reports: [&[&str]; 7] = [
        &["quarantine", "list"],
        &["quarantine", "list", "--json"],
        &["journal", "export"],
        &["journal", "show", "--limit", "1000"],
        &["validate"],
        &["status", "--json"],
        &["rollback", "--yes", "--reason", "a test"],
    ];
    for arguments in reports {
        let report = scenario.cli(arguments)?.env("RUST_LOG", "trace");
        printed.push_str(&report.expect(0).await?.output());
    }
    for column in ["payload", "key", "worker"] {
        let sql = format!("SELECT COALESCE({column}, '') FROM backstitch_journal");
        printed.push_str(&scenario.database.texts(&sql).await?.join("\n"));
    }
    ensure!(
        !printed.contains(CANARY),
        "somebody's data: {}",
        printed
            .lines()
            .find(|line| line.contains(CANARY))
            .unwrap_or_default()
    );
    Ok(())
}
