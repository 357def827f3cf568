//! Others at the same database and the same run: rollbacks, locks, triggers, a second worker with other files. Each is
//! waited out or refused, and nothing is written or removed that the journal does not speak of.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::scenario::Scenario;

use crate::signals::start_and_wait_for_batches;
use crate::tamper::unlocked;

on_both!(
    two_rollbacks_of_different_units,
    a_rollback_of_one_unit_beside_a_worker,
    a_signal_while_another_process_writes,
    a_cursor_of_an_undo_that_was_moved,
    provenance_that_is_gone,
    rows_that_vanish_as_they_are_written,
);

const UNIT: &str = "intelligence_event";

async fn small(backend: Backend, seed: u64) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 60,
        window_days: 7,
        ..Profile::small(backend, seed)
    };
    Scenario::load_with_schema(&profile).await
}

/// What one of them removes is what its own `UndoStarted` names.
async fn two_rollbacks_of_different_units(backend: Backend) -> Result<()> {
    for seed in 501..504 {
        let scenario = small(backend, seed).await?;
        scenario.run()?.expect(0).await?;
        let rollback = |unit| {
            let arguments = ["rollback", "--yes", "--reason", "at once", "--unit", unit];
            scenario.cli(&arguments)?.spawn()
        };
        let (one, other) = (rollback("agent_feedback")?, rollback("kpi_history")?);
        for ended in [one.wait().await?, other.wait().await?] {
            ensure!(
                ended.code().is_some_and(|code| [0, 4, 5].contains(&code)),
                "{ended}"
            );
        }
        scenario.verify_journal().await?;
        for (unit, table) in [
            ("agent_feedback", "AgentFeedback"),
            ("kpi_history", "KPIHistory"),
        ] {
            let named: i64 = scenario
                .database
                .value(&format!(
                    "SELECT count(*) FROM backstitch_journal WHERE kind = 'UndoStarted' AND payload LIKE '%{unit}%'"
                ))
                .await?;
            let left = scenario.database.count(table).await?;
            ensure!(
                (left == 0) == (named > 0),
                "seed {seed}: {named} undos of {unit}, {left} rows left"
            );
        }
    }
    Ok(())
}

/// A rollback of one unit ends the whole run: after it, no worker writes into any other unit.
async fn a_rollback_of_one_unit_beside_a_worker(backend: Backend) -> Result<()> {
    for seed in 511..516 {
        if roll_back_beside_a_worker(backend, seed).await? {
            return Ok(());
        }
    }
    Err(anyhow::anyhow!(
        "no rollback began while the worker was at work"
    ))
}

/// Returns whether the rollback began while the worker was at work.
async fn roll_back_beside_a_worker(backend: Backend, seed: u64) -> Result<bool> {
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, seed)).await?;
    let first = ["--unit", "campaign_prompt"];
    scenario.run()?.args(first).expect(0).await?;
    let run = scenario.run()?.args(["--batch-rows", "5"]);
    let running = start_and_wait_for_batches(&scenario, run).await?;
    let rollback = [
        "rollback",
        "--yes",
        "--reason",
        "beside a worker",
        "--unit",
        "campaign_prompt",
    ];
    scenario.cli(&rollback)?.expect(0).await?;
    let ended = running.wait().await?;
    if ended.code() == Some(0) {
        return Ok(false);
    }
    ended.expect(4)?.expect_named(&["roll", "back"])?;
    let late: i64 = scenario
        .database
        .value(
            "SELECT count(*) FROM backstitch_journal WHERE kind = 'BatchCommitted' AND position > \
             (SELECT max(position) FROM backstitch_journal WHERE kind = 'UndoStarted')",
        )
        .await?;
    ensure!(
        late == 0,
        "{late} batches were committed behind the rollback"
    );
    scenario.verify_journal().await?;
    // The next run is a new one, and ends as if nothing had happened.
    scenario.run()?.expect(0).await?;
    let expected = scenario.expected().await?;
    expected.check_rows(&scenario.database).await?;
    Ok(true)
}

async fn a_signal_while_another_process_writes(backend: Backend) -> Result<()> {
    let scenario = small(backend, 521).await?;
    let lock = match backend {
        Backend::Sqlite => "UPDATE \"Campaign\" SET \"name\" = \"name\"",
        Backend::Postgres => "LOCK TABLE \"backstitch_journal\" IN ACCESS EXCLUSIVE MODE",
    };
    let other = scenario.database.another().await?;
    let held = other.hold(lock).await?;
    let running = scenario.run()?.spawn()?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    running.signal("TERM")?;
    let began = Instant::now();
    let ended = running.wait().await?;
    let took = began.elapsed();
    held.rollback().await?;
    ended.expect(143)?;
    ensure!(took < Duration::from_secs(6), "it took {took:?} to end");
    scenario.run()?.expect(0).await?;
    scenario.verify_journal().await
}

/// A projection that says that all is undone is not believed.
async fn a_cursor_of_an_undo_that_was_moved(backend: Backend) -> Result<()> {
    let scenario = small(backend, 531).await?;
    let before = scenario.state().await?;
    scenario.run()?.expect(0).await?;
    scenario
        .database
        .execute("UPDATE backstitch_partition SET undone_to = 0")
        .await?;
    let rollback = ["rollback", "--yes", "--reason", "all of it"];
    scenario.cli(&rollback)?.expect(0).await?;
    scenario.expect_state(&before).await?;
    scenario.verify_journal().await
}

/// Rows of which nobody can say any more that we wrote them are no success.
async fn provenance_that_is_gone(backend: Backend) -> Result<()> {
    let scenario = small(backend, 541).await?;
    scenario.run()?.expect(0).await?;
    let delete = "DELETE FROM backstitch_journal_rows WHERE table_name = 'KPIHistory' \
                  AND seq = (SELECT MIN(seq) FROM backstitch_journal_rows WHERE table_name = 'KPIHistory')";
    unlocked(&scenario.database, &[delete]).await?;
    let validated = scenario.cli(&["validate"])?.expect(3).await?;
    validated.expect_named(&["provenance"])?;
    let rollback = [
        "rollback",
        "--yes",
        "--reason",
        "all of it",
        "--unit",
        "kpi_history",
    ];
    let refused = scenario.cli(&rollback)?.expect(3).await?;
    refused.expect_named(&["kpi_history", "journal verify"])
}

/// A retention job, or a trigger, that removes what is written: the passes end with a word.
async fn rows_that_vanish_as_they_are_written(backend: Backend) -> Result<()> {
    let scenario = small(backend, 551).await?;
    let trigger = match backend {
        Backend::Sqlite => {
            "CREATE TRIGGER vanish AFTER INSERT ON \"AgentFeedback\" \
             BEGIN DELETE FROM \"AgentFeedback\" WHERE \"id\" = NEW.\"id\"; END"
        }
        Backend::Postgres => {
            "CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             DELETE FROM \"AgentFeedback\" WHERE \"id\" = NEW.\"id\"; RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER vanish AFTER INSERT ON \"AgentFeedback\" DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION vanish()"
        }
    };
    scenario.database.execute(trigger).await?;
    let run = || Ok::<_, anyhow::Error>(scenario.run()?.args(["--unit", "agent_feedback"]));
    match backend {
        // Within the transaction it is seen.
        Backend::Sqlite => {
            run()?.expect(0).await?;
            ensure!(journal::events(&scenario.database, "RowQuarantined", None).await? > 5);
        }
        Backend::Postgres => {
            let refused = run()?.expect(3).await?;
            refused.expect_named(&["agent_feedback", "removes rows"])?;
        }
    }
    scenario.verify_journal().await
}

/// One row that somebody holds does not hold up the other partitions; and it is written once it is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_locked() -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 561)).await?;
    let expected = scenario.expected().await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let due = "SELECT \"id\" FROM \"Campaign\" WHERE \"metadata\" ->> 'prompt' <> '' ORDER BY \"id\" LIMIT 1";
    let other = scenario.database.another().await?;
    let lock = format!("SELECT * FROM \"Campaign\" WHERE \"id\" = ({due}) FOR UPDATE");
    let held = other.hold(&lock).await?;
    let mut running = scenario.run()?.args(["--workers", "1"]).spawn()?;
    while journal::events(&scenario.database, "UnitCompleted", Some(UNIT)).await? == 0 {
        ensure!(
            running.is_alive()?,
            "the run has ended early: {}",
            running.wait().await?
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    held.rollback().await?;
    running.wait().await?.expect(0)?;
    expected.check(&scenario.database).await?;
    scenario.verify_journal().await
}

/// Many workers that run into the same lock at once journal it one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_locked_for_a_while() -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(Backend::Postgres, 571)).await?;
    let expected = scenario.expected().await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let run = scenario
        .run()?
        .args(["--workers", "8", "--batch-rows", "20"]);
    let running = start_and_wait_for_batches(&scenario, run).await?;
    let other = scenario.database.another().await?;
    let held = other
        .hold("LOCK TABLE \"IntelligenceEvent\", \"KPIHistory\" IN SHARE MODE")
        .await?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    held.rollback().await?;
    running.wait().await?.expect(0)?;
    expected.check(&scenario.database).await?;
    let resized = journal::events(&scenario.database, "BatchResized", None).await?;
    ensure!(resized > 0, "nobody waited for the lock");
    scenario.verify_journal().await
}

/// Of two workers that start at the same moment, one without the log files, neither loses what the files hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_the_log_files() -> Result<()> {
    for first in [0, 1] {
        let profile = Profile::small(Backend::Postgres, 581);
        let scenario = Scenario::load(&profile).await?;
        let expected = scenario.expected().await?;
        scenario.cli(&["schema", "up"])?.expect(0).await?;
        let without = Scenario {
            logs: Vec::new(),
            database: scenario.database.another().await?,
            source: scenario.source.clone(),
            profile,
        };
        // The lock under which runs start.
        let other = scenario.database.another().await?;
        let held = other
            .hold("SELECT pg_advisory_xact_lock(7089060205892233588)")
            .await?;
        let mut workers = Vec::new();
        for scenario in match first {
            0 => [&scenario, &without],
            _ => [&without, &scenario],
        } {
            workers.push(scenario.run_without_migrating()?.spawn()?);
            wait_for_waiters(&scenario.database, workers.len()).await?;
        }
        held.rollback().await?;
        let mut codes = Vec::new();
        for worker in workers {
            codes.push(worker.wait().await?.code());
        }
        match first {
            0 => ensure!(codes == [Some(0), Some(0)], "{codes:?}"),
            _ => ensure!(codes == [Some(0), Some(4)], "{codes:?}"),
        }
        if first == 0 {
            expected.check_rows(&scenario.database).await?;
        }
        scenario.verify_journal().await?;
    }
    Ok(())
}

async fn wait_for_waiters(database: &Database, wanted: usize) -> Result<()> {
    let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = \
               (SELECT oid FROM pg_database WHERE datname = current_database())";
    for _ in 0..2_000 {
        if database.value::<i64>(sql).await? >= i64::try_from(wanted)? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(anyhow::anyhow!(
        "fewer than {wanted} workers wait for the lock"
    ))
    .context("the workers were to meet at the start of a run")
}

/// Children that spell the table in another case are children all the same.
#[tokio::test]
async fn a_reference_in_another_case() -> Result<()> {
    let scenario = small(Backend::Sqlite, 591).await?;
    let database = &scenario.database;
    scenario.run()?.expect(0).await?;
    database
        .execute(
            "CREATE TABLE child (ev TEXT REFERENCES agentfeedback(id) ON DELETE CASCADE); \
             INSERT INTO child SELECT \"id\" FROM \"AgentFeedback\" ORDER BY \"id\" LIMIT 3",
        )
        .await?;
    let rollback = ["rollback", "--yes", "--reason", "amid children"];
    scenario.cli(&rollback)?.expect(0).await?;
    ensure!(database.count("child").await? == 3, "children are gone");
    ensure!(
        database.count("AgentFeedback").await? == 3,
        "their parents are gone"
    );
    Ok(())
}

/// A disk that is full of logs, or a reader that has gone, does not stop a run.
#[tokio::test]
async fn nobody_reads_standard_error() -> Result<()> {
    let scenario = small(Backend::Sqlite, 601).await?;
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    scenario.run()?.errors_to(full).expect(0).await?;
    scenario
        .expected()
        .await?
        .check_rows(&scenario.database)
        .await
}

/// What another process writes to an SQLite file, so that nobody else may.
const HOLDING: &str = "UPDATE \"Campaign\" SET \"name\" = \"name\"";

/// Held for longer than a statement waits, the file is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_locked_for_a_while() -> Result<()> {
    let scenario = small(Backend::Sqlite, 611).await?;
    let other = scenario.database.another().await?;
    let held = other.hold(HOLDING).await?;
    let mut running = scenario.run_without_migrating()?.spawn()?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(running.is_alive()?, "it did not wait");
    held.rollback().await?;
    let ended = running.wait().await?.expect(0)?;
    ended.expect_named(&["locked", "trying again"])?;
    let expected = scenario.expected().await?;
    expected.check_rows(&scenario.database).await?;
    scenario.verify_journal().await
}

/// Held for ever, it ends the worker after a while, with a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/run --ignored"]
async fn a_file_that_stays_locked() -> Result<()> {
    let scenario = small(Backend::Sqlite, 612).await?;
    let other = scenario.database.another().await?;
    let held = other.hold(HOLDING).await?;
    for run in [scenario.run_without_migrating()?, scenario.run()?] {
        let began = Instant::now();
        run.expect(5).await?.expect_named(&["locked"])?;
        let took = began.elapsed();
        ensure!(took < Duration::from_secs(200), "it took {took:?} to end");
    }
    held.rollback().await?;
    scenario.run()?.expect(0).await?;
    scenario.verify_journal().await
}
