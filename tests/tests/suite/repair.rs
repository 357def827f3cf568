//! A repair rewrites what is wrong and writes what is missing, and nothing that is the application's; it is resumable, and
//! taken back like any run.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::dump::{self, DESTINATIONS};
use tests::scenario::Scenario;
use tests::{journal, scratch};

use crate::deep::{change_source, load, plain_feedback, sum, validate};

on_both!(it_is_taken_back, killed_repairs, beside_an_open_run);

const YES: [&str; 4] = ["repair", "--yes", "--reason", "a test"];
const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

/// A database that is migrated, of which the source has changed since in every section.
async fn migrated(backend: Backend, seed: u64) -> Result<Scenario> {
    let scenario = load(backend, seed).await?;
    plain_feedback(&scenario).await?;
    scenario.run()?.expect(0).await?;
    change_source(&scenario).await?;
    let database = &scenario.database;
    for sql in [
        "UPDATE \"PublishJob\" SET \"clicks\" = 77777 WHERE \"clicks\" > 0",
        "UPDATE \"Deal\" SET \"acv\" = 0.1 WHERE \"acv\" > 1 AND \"stage\" = 'ClosedWon'",
        "UPDATE \"KpiSnapshot\" SET \"metricValue\" = 0.30000000000000004 WHERE \"metricValue\" > 1",
    ] {
        database.execute(sql).await?;
    }
    Ok(scenario)
}

async fn run_of(scenario: &Scenario) -> Result<String> {
    let sql =
        "SELECT run FROM backstitch_journal WHERE kind = 'RunStarted' ORDER BY position LIMIT 1";
    scenario.database.value(sql).await
}

async fn it_is_taken_back(backend: Backend) -> Result<()> {
    let scenario = migrated(backend, 511).await?;
    let database = &scenario.database;
    let edit = "UPDATE \"AgentFeedback\" SET \"comment\" = 'edited' WHERE \"id\" LIKE 'plain-2%'";
    ensure!(database.execute(edit).await? == 1, "no row was edited");
    let before = scenario.state().await?;
    let (found, outcome) = validate(&scenario, &[], 3).await?;
    let (wrong, missing) = (sum(&found, "wrong"), sum(&found, "missing"));
    for unit in ["agent_feedback", "prompt_performance", "kpi_history"] {
        ensure!(
            found[unit]["wrong"] > 0,
            "nothing is wrong in {unit}: {outcome}"
        );
    }

    scenario.cli(&["repair", "--dry-run"])?.expect(0).await?;
    scenario
        .cli(&["repair", "--reason", "a test"])?
        .expect(4)
        .await?;
    scenario.expect_state(&before).await?;
    let runs = journal::events(database, "RunStarted", None).await?;
    ensure!(runs == 1, "{runs} runs instead of 1");

    scenario
        .cli(&YES)?
        .expect(0)
        .await?
        .expect_named(&["rewrote", "cli rollback"])?;
    let (found, outcome) = validate(&scenario, &[], 0).await?;
    let kinds = ["wrong", "missing", "changed"].map(|kind| sum(&found, kind));
    ensure!(
        kinds == [0, 0, 1],
        "{kinds:?} after a repair of {wrong} and {missing}: {outcome}"
    );
    // What a repair rewrote is not changed since: the edit alone is.
    let plain = scenario.cli(&["validate"])?.expect(3).await?;
    plain.expect_named(&["1 journaled rows changed", "no journaled rows missing"])?;
    scenario
        .cli(&YES)?
        .expect(0)
        .await?
        .expect_named(&["nothing to repair"])?;
    scenario
        .cli(&["runs"])?
        .expect(0)
        .await?
        .expect_named(&["a repair"])?;
    scenario.verify_journal().await?;

    let first = run_of(&scenario).await?;
    let refused = scenario.cli(&[&ROLLBACK[..], &["--run", &first]].concat())?;
    refused.expect(4).await?.expect_named(&["newer run"])?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    scenario
        .expect_state(&before)
        .await
        .context("after the repair was taken back")?;
    scenario.verify_journal().await?;
    scenario
        .cli(&ROLLBACK)?
        .expect(0)
        .await?
        .expect_named(&["plain-2", "1 kept"])?;
    expect_empty(&scenario, &["edited"]).await?;
    scenario.verify_journal().await
}

/// Fails unless nothing of ours is left but for rows of these comments.
async fn expect_empty(scenario: &Scenario, comments: &[&str]) -> Result<()> {
    let left = dump::of(&scenario.database, &DESTINATIONS).await?;
    ensure!(left.len() == comments.len(), "{left:?} is left");
    let set = "SELECT \"comment\" FROM \"AgentFeedback\"";
    ensure!(scenario.database.texts(set).await? == comments, "{left:?}");
    let prompts = "SELECT COUNT(*) FROM \"Campaign\" WHERE \"prompt\" IS NOT NULL";
    let prompts: i64 = scenario.database.value(prompts).await?;
    ensure!(prompts == 0, "{prompts} prompts are left");
    Ok(())
}

/// Killed between any two statements of its batches, a repair goes on, and neither begins anew nor writes a row twice.
async fn killed_repairs(backend: Backend) -> Result<()> {
    let scenario = migrated(backend, 512).await?;
    let before = scenario.state().await?;
    let folder = scratch::folder("repair")?;
    let (list, trace) = (folder.join("list"), folder.join("trace"));
    let mut points = points();
    let (all, mut kills) = (points.len(), 0);
    loop {
        std::fs::write(&list, Vec::from_iter(points.iter().cloned()).join("\n"))?;
        let repair = scenario.cli(&YES)?.env("BACKSTITCH_FAULT", &list);
        let outcome = repair.env("BACKSTITCH_FAULT_TRACE", &trace).run().await?;
        if !outcome.was_killed() {
            outcome.expect(0)?.expect_named(&["going on with repair"])?;
            break;
        }
        let passed = std::fs::read_to_string(&trace)?;
        let last = passed.lines().last().context("it passed no point")?;
        ensure!(points.remove(last), "it died elsewhere, at {last}");
        kills += 1;
        if kills == 1 {
            let refused = scenario.run()?.expect(4).await?;
            refused.expect_named(&["cli repair", "repairs run"])?;
            let refused = scenario.cli(&[&YES[..], &["--unit", "kpi_history"]].concat())?;
            refused.expect(4).await?.expect_named(&["same units"])?;
        }
    }
    ensure!(kills >= 16, "only {kills} of {all} points were met");
    let runs = journal::events(&scenario.database, "RunStarted", None).await?;
    ensure!(runs == 2, "{runs} runs instead of 2");
    let (found, outcome) = validate(&scenario, &[], 0).await?;
    let kinds = ["wrong", "missing", "changed"].map(|kind| sum(&found, kind));
    ensure!(kinds == [0, 0, 0], "{kinds:?}: {outcome}");
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    scenario.expect_state(&before).await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    expect_empty(&scenario, &[]).await?;
    scenario.verify_journal().await
}

/// Where a repair's batches that write something may die.
fn points() -> BTreeSet<String> {
    let mut points = BTreeSet::new();
    for unit in [
        "prompt_performance.rewritten",
        "kpi_history.rewritten",
        "agent_feedback.missing",
        "agent_feedback.rewritten",
    ] {
        for step in [
            "written",
            "provenance stored",
            "event appended",
            "committed",
        ] {
            for place in ["first", "only"] {
                points.insert(format!("batch {unit} 1.0 {place}: {step}"));
            }
        }
    }
    points
}

/// While a run is open nothing is repaired.
async fn beside_an_open_run(backend: Backend) -> Result<()> {
    let scenario = load(backend, 513).await?;
    scenario
        .run()?
        .args(["--unit", "campaign_prompt"])
        .expect(0)
        .await?;
    let state = scenario.state().await?;
    let refused = scenario.cli(&YES)?.expect(4).await?;
    refused.expect_named(&["is open", "worker run"])?;
    scenario.expect_state(&state).await?;
    scenario.run()?.expect(0).await?;
    scenario
        .cli(&YES)?
        .expect(0)
        .await?
        .expect_named(&["nothing to repair"])
}

/// A row that is edited after it was looked at, and before it is overwritten, keeps the edit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_in_between_survives() -> Result<()> {
    let scenario = load(Backend::Postgres, 514).await?;
    plain_feedback(&scenario).await?;
    scenario.run()?.expect(0).await?;
    change_source(&scenario).await?;
    let database = &scenario.database;
    let application = database.another().await?;
    let edit = "UPDATE \"AgentFeedback\" SET \"comment\" = 'edited' WHERE \"id\" LIKE 'plain-1%'";
    let held = application.hold(edit).await?;
    let mut repair = scenario.cli(&YES)?.spawn()?;
    let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid' \
                 AND transactionid IS NOT NULL";
    while database.value::<i64>(waits).await? == 0 {
        ensure!(repair.is_alive()?, "it ended: {}", repair.wait().await?);
    }
    // It has read the row as it was, and waits for it.
    held.commit().await?;
    repair.wait().await?.expect(0)?;
    let edited = "SELECT \"comment\" FROM \"AgentFeedback\" WHERE \"id\" LIKE 'plain-1%'";
    ensure!(
        database.texts(edited).await? == ["edited"],
        "the edit is lost"
    );
    let (found, outcome) = validate(&scenario, &[], 0).await?;
    ensure!(sum(&found, "changed") == 1, "{outcome}");
    ensure!(sum(&found, "missing") == 0, "{outcome}");
    let aside =
        journal::events(database, "RowQuarantined", Some("agent_feedback.rewritten")).await?;
    ensure!(aside == 0, "the row was set aside");
    scenario.verify_journal().await
}
