//! PostgreSQL's programs: missing, old, failing, interrupted and killed; a full disk; and rows that arrive meanwhile. No
//! backup that is not complete is ever left.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::cluster::{self, Cluster, PASSWORD};
use tests::database::{Backend, Database};
use tests::json::Json;
use tests::process::Running;
use tests::scenario::Scenario;
use tests::server::{self, Server};
use tests::{journal, scratch};

use super::{backup, expect_restored, migrated, name, restore, take, text, whole};

on_both!(a_full_disk);

/// A folder with a program in it.
fn program(name: &str, script: &str) -> Result<PathBuf> {
    let folder = scratch::folder("bin")?;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn expect_nothing_in(folder: &Path) -> Result<()> {
    let entries: Vec<_> = std::fs::read_dir(folder)?.collect();
    ensure!(entries.is_empty(), "left behind: {entries:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_are_missing_or_old() -> Result<()> {
    let database = Database::create(Backend::Postgres).await?;
    let to = scratch::folder("backups")?;
    let old = program("pg_dump", "echo 'pg_dump (PostgreSQL) 9.6.1'")?;
    for (folder, words) in [
        (Path::new("/nowhere"), ["there is no pg_dump", "install"]),
        (&old, ["release 9, older than", "--pg-bin"]),
    ] {
        let missing =
            backup(&database.url, "create", &to)?.args(["--pg-bin".as_ref(), folder.as_os_str()]);
        let outcome = missing.expect(2).await?;
        outcome.expect_clear_error()?;
        outcome.expect_named(&words)?;
    }
    let several = ["--format", "custom", "--jobs", "2"];
    let refused = backup(&database.url, "create", &to)?
        .args(several)
        .expect(2)
        .await?;
    refused.expect_named(&["--jobs"])?;
    expect_nothing_in(&to)
}

/// What pg_dump sets in its session may be met by the application in its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler() -> Result<()> {
    let database = server::on(Server::Pooled, Database::create(Backend::Postgres)).await?;
    let to = scratch::folder("backups")?;
    let refused = backup(&database.url, "create", &to)?.expect(2).await?;
    refused.expect_clear_error()?;
    refused.expect_named(&["pooler", "name the server itself"])?;
    expect_nothing_in(&to)?;
    let direct = cluster::shared()?.url(database.name());
    let id = text(&take(&direct, &to, &[]).await?, "id")?;
    let verify = backup(&database.url, "verify", &to)?.args([&id]);
    verify.expect(0).await?;
    let full = backup(&database.url, "verify", &to)?.args([&id, "--full"]);
    full.expect(2).await?.expect_named(&["pooler"])?;
    Ok(())
}

/// A small file system, gone with the test.
struct Small(PathBuf);

impl Small {
    /// None: only root may have one.
    fn mount() -> Result<Option<Self>> {
        let folder = scratch::folder("small")?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48k", "tmpfs"])
            .arg(&folder)
            .stderr(std::process::Stdio::null())
            .status()?;
        Ok(mounted.success().then_some(Self(folder)))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // What cannot be unmounted goes with the machine.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

async fn a_full_disk(backend: Backend) -> Result<()> {
    let scenario = migrated(Database::create(backend).await?, 504).await?;
    let url = &scenario.database.url;
    let failed = match (Small::mount()?, backend) {
        (Some(small), _) => {
            let outcome = backup(url, "create", &small.0)?.expect(5).await?;
            expect_nothing_in(&small.0)?;
            outcome
        }
        // Without a file system that is full, a program that says so.
        (None, Backend::Postgres) => {
            let fails = "case $1 in --version) echo 'pg_dump (PostgreSQL) 99';; *) \
                         echo 'pg_dump: error: could not write to file: No space left on device' >&2; exit 1;; esac";
            let folder = program("pg_dump", fails)?;
            std::fs::write(
                folder.join("pg_restore"),
                "#!/bin/sh\necho 'pg_restore (PostgreSQL) 99'\n",
            )?;
            std::fs::set_permissions(
                folder.join("pg_restore"),
                std::fs::Permissions::from_mode(0o755),
            )?;
            let to = scratch::folder("backups")?;
            let full = backup(url, "create", &to)?.args(["--pg-bin".as_ref(), folder.as_os_str()]);
            let outcome = full.expect(5).await?;
            expect_nothing_in(&to)?;
            outcome
        }
        (None, Backend::Sqlite) => return Ok(()),
    };
    failed.expect_clear_error()?;
    let noted = journal::events(&scenario.database, "BackupFailed", None).await?;
    ensure!(noted == 1, "{noted} failures were noted");
    let word = if backend == Backend::Sqlite {
        "full"
    } else {
        "no space left"
    };
    failed.expect_named(&[word])
}

/// Programs that read a backup's list, and restore for ever.
fn endless() -> Result<PathBuf> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut folders: Vec<PathBuf> = packaged.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let mut found = folders.into_iter().map(|folder| folder.join("pg_restore"));
    let real = found.find(|path| path.is_file()).context("a pg_restore")?;
    let real = real.display();
    let script = format!(
        "for a; do case $a in --version|--list) exec {real} \"$@\";; esac; done; exec sleep 600"
    );
    program("pg_restore", &script)
}

/// A signal in the midst of it: the database that was restored into is gone again, and what stood stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_restores() -> Result<()> {
    let cluster = Cluster::start_for_many_connections()?;
    let database = Database::create_in(&cluster, "TEMPLATE template0").await?;
    let (url, name) = (database.url.clone(), name(&database));
    let to = scratch::folder("backups")?;
    let id = text(&take(&url, &to, &[]).await?, "id")?;
    database.close().await?;
    let server = Database::open(&cluster.url("postgres")).await?;
    let all = "SELECT CAST(datname AS TEXT) FROM pg_database ORDER BY 1";
    let databases = server.texts(all).await?;
    let slow = endless()?;
    for (command, signal, code) in [
        (
            backup(&url, "verify", &to)?.args([&id, "--full"]),
            "INT",
            130,
        ),
        (restore(&url, &id, &to, &name)?, "TERM", 143),
    ] {
        let running = command
            .args(["--pg-bin".as_ref(), slow.as_os_str()])
            .spawn()?;
        while server.texts(all).await? == databases {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running.signal(signal)?;
        running
            .wait()
            .await?
            .expect(code)?
            .expect_named(&["nothing is left"])?;
        ensure!(
            server.texts(all).await? == databases,
            "a database is left over"
        );
    }
    Ok(())
}

/// A dump that waits for a table that is locked.
async fn waiting(scenario: &Scenario, to: &Path) -> Result<Running> {
    let waits = format!(
        "SELECT CAST(pid AS TEXT) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'pg_dump' \
         AND wait_event_type = 'Lock'",
        scenario.database.name()
    );
    let dumping = backup(&scenario.database.url, "create", to)?;
    let dumping = dumping.args(["--json"]).env("RUST_LOG", "trace");
    // What was killed before waits on until the table is given back.
    let earlier = scenario.database.texts(&waits).await?;
    let mut dumping = dumping.spawn()?;
    let is_new = |pid: &String| !earlier.contains(pid);
    while !scenario.database.texts(&waits).await?.iter().any(is_new) {
        ensure!(dumping.is_alive()?, "it ended: {}", dumping.wait().await?);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(dumping)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_application() -> Result<()> {
    let scenario = migrated(Database::create(Backend::Postgres).await?, 505).await?;
    let database = &scenario.database;
    let to = scratch::folder("backups")?;
    let lock = "LOCK TABLE \"Deal\" IN ACCESS EXCLUSIVE MODE";

    // A signal, and a dump that somebody kills.
    let held = database.hold(lock).await?;
    let interrupted = waiting(&scenario, &to).await?;
    interrupted.signal("INT")?;
    let outcome = interrupted.wait().await?.expect(130)?;
    outcome.expect_named(&["nothing is left"])?;
    expect_nothing_in(&to)?;
    let killed = waiting(&scenario, &to).await?;
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", killed.id()))?;
    let child = children.split_whitespace().next().context("a child")?;
    ensure!(
        Command::new("kill")
            .args(["-KILL", child])
            .status()?
            .success()
    );
    let outcome = killed.wait().await?.expect(1)?;
    outcome.expect_named(&["signal 9 ended it"])?;
    expect_nothing_in(&to)?;
    let failed = journal::events(database, "BackupFailed", None).await?;
    ensure!(failed == 2, "{failed} failures were noted");

    // Rows that arrive once the snapshot is taken are neither dumped nor counted.
    held.rollback().await?;
    let before = whole(database).await?;
    let rows = database.count("UserFeedback").await?;
    let held = database.hold(lock).await?;
    let dumping = waiting(&scenario, &to).await?;
    let lines = dumping.command_lines()?;
    ensure!(
        lines.iter().any(|line| line.contains("pg_dump")),
        "no pg_dump among {lines:?}"
    );
    ensure!(
        !lines.iter().any(|line| line.contains(PASSWORD)),
        "the password is in a command line"
    );
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", dumping.id()))?;
    for child in children.split_whitespace() {
        let environment = std::fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        ensure!(environment.contains("PGPASSFILE=") && !environment.contains(PASSWORD));
    }
    let insert = "INSERT INTO \"UserFeedback\" SELECT \"id\" || '-late', \"agentType\", \"taskId\", \"source\", \"rating\", \
                  \"comment\", \"actionTaken\", \"createdAt\", \"createdBy\" FROM \"UserFeedback\" LIMIT 3";
    let late = database.execute(insert).await?;
    ensure!(late == 3, "{late} rows arrived");
    held.rollback().await?;
    let outcome = dumping.wait().await?.expect(0)?;
    let taken = Json::parse(&outcome.stdout).map_err(anyhow::Error::msg)?;
    let counted = taken
        .get("rows")
        .and_then(|rows| rows.get("public.\"UserFeedback\""));
    let wanted = Json::number(&rows.to_string()).map_err(anyhow::Error::msg)?;
    ensure!(
        counted == Some(&wanted),
        "{counted:?} rows were counted instead of {rows}"
    );
    let id = text(&taken, "id")?;
    backup(&database.url, "verify", &to)?
        .args([&id, "--full"])
        .expect(0)
        .await?;

    // Whoever is connected is sent away on somebody's word alone.
    let (url, name) = (database.url.clone(), name(database));
    restore(&url, &id, &to, &name)?
        .expect(4)
        .await?
        .expect_named(&["--disconnect"])?;
    restore(&url, &id, &to, &name)?
        .args(["--disconnect"])
        .expect(0)
        .await?;
    let restored = Database::open(&url).await?;
    expect_restored(&before, whole(&restored).await?)?;
    let again = take(&url, &to, &["--format", "custom"]).await?;
    ensure!(text(&again, "id")? != id);
    Ok(())
}
