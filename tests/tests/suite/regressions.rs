//! Faults that were found by trying, each with the test that would have found it.

use std::io::Write as _;

use anyhow::{Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process;
use tests::scenario::Scenario;
use tests::scratch;

on_both!(
    rows_behind_a_composite_foreign_key,
    an_older_run_below_a_newer_one,
    a_cursor_that_was_moved,
    logs_that_are_gzip_by_their_content,
    a_verification_beside_a_worker,
);

const YES: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

async fn load(backend: Backend, seed: u64) -> Result<Scenario> {
    load_into(Database::create(backend).await?, backend, seed).await
}

async fn load_into(database: Database, backend: Backend, seed: u64) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 40,
        window_days: 90,
        ..Profile::small(backend, seed)
    };
    let scenario = Scenario::load_into(database, &profile).await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    Ok(scenario)
}

/// The row that others refer to by two columns, neither alone its key, is kept, and so are they.
pub(crate) async fn rows_behind_a_composite_foreign_key(backend: Backend) -> Result<()> {
    let scenario = load(backend, 301).await?;
    let database = &scenario.database;
    scenario.run()?.expect(0).await?;
    for sql in [
        r#"CREATE UNIQUE INDEX "Feedback_by" ON "AgentFeedback" ("createdBy", "id")"#,
        r#"CREATE TABLE "Note" ("by" TEXT, "feedback" TEXT, FOREIGN KEY ("by", "feedback")
            REFERENCES "AgentFeedback" ("createdBy", "id") ON DELETE CASCADE)"#,
        r#"INSERT INTO "Note" SELECT "createdBy", "id" FROM "AgentFeedback" ORDER BY "id" LIMIT 3"#,
    ] {
        database.execute(sql).await?;
    }
    let outcome = scenario.cli(&YES)?.expect(0).await?;
    outcome.expect_named(&["Note"])?;
    ensure!(database.count("Note").await? == 3, "notes were removed");
    ensure!(
        database.count("AgentFeedback").await? == 3,
        "three rows are referred to"
    );
    scenario.verify_journal().await
}

/// What two runs wrote has the same keys and digests, so the newer one goes first.
pub(crate) async fn an_older_run_below_a_newer_one(backend: Backend) -> Result<()> {
    let scenario = load(backend, 302).await?;
    let database = &scenario.database;
    scenario.run()?.expect(0).await?;
    let older: String = database
        .value("SELECT \"run\" FROM \"backstitch_journal\" WHERE \"kind\" = 'RunStarted'")
        .await?;
    let cleared = database
        .execute(r#"UPDATE "Campaign" SET "prompt" = NULL WHERE "prompt" IS NOT NULL"#)
        .await?;
    ensure!(cleared > 0, "the source has no prompts");
    scenario.run()?.expect(0).await?;
    let before = scenario.state().await?;
    let refused = scenario.cli(&[YES.as_slice(), &["--run", &older]].concat())?;
    refused.expect(4).await?.expect_named(&["newer"])?;
    scenario.expect_state(&before).await?;
    scenario.cli(&YES)?.expect(0).await?;
    let refused = scenario.cli(&[YES.as_slice(), &["--run", &older]].concat())?;
    refused.expect(0).await?;
    scenario.verify_journal().await
}

/// A projection is a cache: one that was changed is rebuilt from the journal, not believed.
pub(crate) async fn a_cursor_that_was_moved(backend: Backend) -> Result<()> {
    let reference = load(backend, 303).await?;
    reference.run()?.expect(0).await?;
    let expected = reference.state().await?;

    let scenario = load(backend, 303).await?;
    let database = &scenario.database;
    let part = ["--batch-rows", "10", "--unit", "campaign_prompt"];
    scenario.run()?.args(part).expect(0).await?;
    let moved = database
        .execute(
            r#"UPDATE "backstitch_partition" SET "status" = 'open', "cursor" = '["0"]', "upper" = '0'
                WHERE "unit" = 'campaign_prompt'"#,
        )
        .await?;
    ensure!(moved > 0, "nothing was planned");
    scenario.run()?.expect(0).await?;
    scenario.expect_state(&expected).await?;
    scenario.verify_journal().await
}

pub(crate) async fn logs_that_are_gzip_by_their_content(backend: Backend) -> Result<()> {
    let scenario = load(backend, 304).await?;
    let at = scenario.profile.as_of.rfc3339();
    let campaign: String = scenario
        .database
        .value(&format!(
            "SELECT \"id\" FROM \"Campaign\" WHERE \"createdAt\" <= '{}' ORDER BY \"createdAt\" DESC LIMIT 1",
            scenario.profile.as_of.stored()
        ))
        .await?;
    let folder = scratch::folder("gzip")?;
    let line = format!(
        "{{\"message\":{{\"campaignId\":{},\"agentId\":\"from-a-log\",\"completedAt\":\"{at}\",\"success\":true}}}}\n",
        quoted(&campaign)
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"\xef\xbb\xbf")?;
    packed.write_all(line.as_bytes())?;
    let packed = packed.finish()?;
    let whole = folder.join("drain");
    std::fs::write(&whole, &packed)?;
    let broken = folder.join("broken.gz");
    std::fs::write(&broken, &packed[..packed.len() / 2])?;

    let before = scenario.state().await?;
    let named = broken.display().to_string();
    let refused = scenario.run()?.args(["--agent-logs", &named]);
    refused.expect(2).await?.expect_named(&[&named])?;
    scenario.expect_state(&before).await?;

    let named = whole.display().to_string();
    let run = process::worker(&scenario.database)?.args(["run", "--as-of", &at]);
    run.args(["--max-bad", "100%", "--agent-logs", &named])
        .expect(0)
        .await?;
    let written: i64 = scenario
        .database
        .value("SELECT count(*) FROM \"IntelligenceEvent\" WHERE \"entityId\" = 'from-a-log'")
        .await?;
    ensure!(written == 1, "{written} events came out of the log");
    Ok(())
}

/// A worker that goes on while the journal is read does not make it look damaged.
async fn a_verification_beside_a_worker(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, 306)).await?;
    let mut running = scenario.run()?.args(["--batch-rows", "5"]).spawn()?;
    let mut beside = 0;
    while running.is_alive()? {
        scenario.verify_journal().await?;
        beside += 1;
    }
    running.wait().await?.expect(0)?;
    ensure!(
        beside > 3,
        "the run ended after {beside} verifications: too soon to tell"
    );
    scenario.verify_journal().await
}

/// A JSON string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Who waits for a lock must see what its holder has committed, whatever isolation the database has by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_isolation_by_default() -> Result<()> {
    let database = Database::create(Backend::Postgres).await?;
    let name: String = database
        .value("SELECT CAST(current_database() AS TEXT)")
        .await?;
    database
        .execute(&format!(
            "ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'serializable'"
        ))
        .await?;
    let database = database.another().await?;
    let scenario = load_into(database, Backend::Postgres, 305).await?;
    let workers = [scenario.run()?.spawn()?, scenario.run()?.spawn()?];
    for worker in workers {
        worker.wait().await?.expect(0)?;
    }
    let runs: i64 = scenario
        .database
        .value("SELECT count(*) FROM \"backstitch_journal\" WHERE \"kind\" = 'RunStarted'")
        .await?;
    ensure!((1..=2).contains(&runs), "{runs} runs");
    scenario
        .expected()
        .await?
        .check_rows(&scenario.database)
        .await?;
    scenario.verify_journal().await
}

/// No part of a password is shown, wherever a URL that cannot be read puts it.
#[tokio::test]
async fn a_password_that_breaks_its_url() -> Result<()> {
    for url in [
        "postgres://app:CANARY#y@127.0.0.1:1/x",
        "postgres://app:CANARY?y@127.0.0.1:1/x",
        "postgres://app:CANARY/y@127.0.0.1:1/x",
        "postgres://app:1?CANARY@127.0.0.1:1/x",
        "postgres://app:CANARY@127.0.0.1:notaport/x",
        "postgres://app:x@127.0.0.1:1/x?passwrd=CANARY",
        "postgres:app:CANARY@/x",
    ] {
        for (program, arguments) in [("worker", ["run"]), ("cli", ["status"])] {
            let outcome = process::program(program, url)?
                .args(arguments)
                .run()
                .await?;
            ensure!(
                outcome.code().is_some_and(|code| [2, 5].contains(&code)),
                "{outcome}"
            );
            ensure!(!outcome.output().contains("CANARY"), "{outcome}");
        }
    }
    Ok(())
}
