//! A smoke test's end is journaled as it was, and what it must not see it does not see.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::json::Json;
use tests::process::{self, Invocation};

/// BLAKE3 of nothing and of `abc`, as its authors publish them.
const NOTHING: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
const ABC: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

fn smoke(database: &Database, options: &[&str], command: &[&str]) -> Result<Invocation> {
    let cli = process::program("cli", &database.url)?;
    let cli = cli.args(["smoke", "--environment", "staging"]);
    Ok(cli.args(options).args(["--"]).args(command))
}

/// The newest that is noted.
async fn noted(database: &Database) -> Result<Json> {
    let sql = "SELECT payload FROM backstitch_journal WHERE kind = 'SmokeTested' ORDER BY position";
    let payloads = database.texts(sql).await?;
    Json::parse(payloads.last().context("one is noted")?).map_err(anyhow::Error::msg)
}

async fn expect(database: &Database, exit: &str, digest: Option<&str>, output: &str) -> Result<()> {
    let found = noted(database).await?;
    let exit = Json::parse(exit).map_err(anyhow::Error::msg)?;
    ensure!(found.get("exit") == Some(&exit), "{found}");
    ensure!(
        found.get("output") == Some(&Json::Text(output.into())),
        "{found}"
    );
    if let Some(digest) = digest {
        ensure!(
            found.get("digest") == Some(&Json::Text(digest.into())),
            "{found}"
        );
    }
    Ok(())
}

on_both!(its_end_is_noted);

async fn its_end_is_noted(backend: Backend) -> Result<()> {
    let database = Database::create(backend).await?;
    let passed = smoke(&database, &[], &["printf", "abc"])?.expect(0).await?;
    ensure!(passed.stdout == "abc", "{passed}");
    expect(&database, "0", Some(ABC), "abc").await?;

    let script = "echo out; echo err >&2; exit 7";
    let failed = smoke(&database, &[], &["sh", "-c", script])?
        .expect(3)
        .await?;
    ensure!(failed.stdout == "out\n", "{failed}");
    failed.expect_named(&["err\n", "exit code 7"])?;
    ensure!(
        noted(&database).await?.get("exit")
            == Some(&Json::number("7").map_err(anyhow::Error::msg)?),
        "7"
    );

    let missing = smoke(&database, &[], &["there-is-no-such-program"])?
        .expect(2)
        .await?;
    missing.expect_named(&["no such program"])?;
    expect(&database, "null", Some(NOTHING), "").await?;

    smoke(&database, &[], &["sh", "-c", "kill -9 $$"])?
        .expect(3)
        .await?
        .expect_named(&["signal 9"])?;
    expect(&database, "null", Some(NOTHING), "").await?;

    let secret = smoke(&database, &["--no-output"], &["printf", "abc"])?
        .expect(0)
        .await?;
    ensure!(secret.stdout == "abc", "{secret}");
    expect(&database, "0", Some(ABC), "").await?;

    let document = smoke(&database, &["--json"], &["printf", "abc"])?
        .expect(0)
        .await?;
    ensure!(document.stderr.starts_with("abc"), "{document}");
    let document = Json::parse(&document.stdout).map_err(anyhow::Error::msg)?;
    ensure!(
        document.get("digest") == Some(&Json::Text(ABC.into())),
        "{document}"
    );

    // No shell comes between: its signs are arguments.
    smoke(&database, &[], &["printf", "%s", "$HOME; true | false"])?
        .expect(0)
        .await?;
    expect(&database, "0", None, "$HOME; true | false").await?;
    smoke(&database, &[], &["printf", "\\033[31mred\\033[0m\\a\\n"])?
        .expect(0)
        .await?;
    expect(&database, "0", None, "red\n").await?;
    let long = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
    smoke(&database, &[], &["sh", "-c", long])?
        .expect(0)
        .await?;
    let Some(Json::Text(output)) = noted(&database).await?.get("output").cloned() else {
        anyhow::bail!("no output");
    };
    ensure!(
        output.len() <= 4096 && output.ends_with("line 2999\n"),
        "{output}"
    );

    // The way to the database is not for it, unless somebody says so.
    let script = "printf %s \"${DATABASE_URL-none}${PGPASSWORD-none}\"";
    let hidden = smoke(&database, &[], &["sh", "-c", script])?.env("PGPASSWORD", "hush");
    ensure!(
        hidden.expect(0).await?.stdout == "nonenone",
        "it was passed on"
    );
    if backend == Backend::Sqlite {
        let shown = smoke(&database, &["--pass-database-url"], &["sh", "-c", script])?
            .expect(0)
            .await?;
        ensure!(shown.stdout == format!("{}none", database.url), "{shown}");
    }
    process::program("cli", &database.url)?
        .args(["smoke", "--environment", "staging"])
        .expect(2)
        .await?;
    Ok(())
}

/// A signal reaches the command, and how it ended then is noted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_is_passed_on() -> Result<()> {
    let database = Database::create(Backend::Sqlite).await?;
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let file = tests::scratch::folder("smoke")?.join("ready");
        let path = file.display();
        let script = format!(
            "trap 'echo heard; exit 5' {signal}; touch {path}; while :; do sleep 0.05; done"
        );
        let running = smoke(&database, &[], &["sh", "-c", &script])?.spawn()?;
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running.signal(signal)?;
        let outcome = running.wait().await?.expect(code)?;
        outcome.expect_named(&["which is noted"])?;
        let found = noted(&database).await?;
        let exit = Json::number("5").map_err(anyhow::Error::msg)?;
        ensure!(found.get("exit") == Some(&exit), "{found}");
        outcome.expect_named(&["heard"])?;
    }
    Ok(())
}
