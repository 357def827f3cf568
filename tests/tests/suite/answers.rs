//! What a server may answer to any statement and what passes again: it is waited for, the same batch is tried again, and
//! nothing is lost. What does not pass is given up after a while, and holds up nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::process::Invocation;
use tests::scenario::Scenario;
use tokio::task::JoinSet;

/// A source with its schema applied.
async fn small() -> Result<Scenario> {
    let profile = Profile {
        campaigns: 10,
        window_days: 90,
        ..Profile::small(Backend::Postgres, 411)
    };
    Scenario::load_with_schema(&profile).await
}

/// One in which the server refuses so many of the statements that write feedback, with this code. The count is a
/// sequence's, so no rollback takes it back.
async fn struck(code: &str, times: i32) -> Result<Scenario> {
    let scenario = small().await?;
    let strike = format!(
        "CREATE SEQUENCE strikes; \
         CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('strikes') <= {times} THEN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}'; END IF; \
         RETURN NULL; END $$; \
         CREATE TRIGGER strike BEFORE INSERT ON \"AgentFeedback\" FOR EACH STATEMENT EXECUTE FUNCTION strike()"
    );
    scenario.database.execute(&strike).await?;
    Ok(scenario)
}

fn run(scenario: &Scenario) -> Result<Invocation> {
    let run = scenario.run_without_migrating()?;
    Ok(run.args(["--partitions", "1", "--batch-rows", "50"]))
}

/// A deadlock, a serialisation failure, a server that has become a replica, that has too many connections, that starts,
/// whose disk is full, that ended a statement: only the last is about the batch's size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_pass_is_tried_again() -> Result<()> {
    let mut passing = JoinSet::new();
    for code in [
        "40P01", "40001", "25006", "53300", "57P03", "53100", "57014",
    ] {
        passing.spawn(async move { pass(code).await.context(code) });
    }
    while let Some(passed) = passing.join_next().await {
        passed??;
    }
    Ok(())
}

async fn pass(code: &str) -> Result<()> {
    let scenario = struck(code, 3).await?;
    let expected = scenario.expected().await?;
    let ended = run(&scenario)?.expect(0).await?;
    ended.expect_named(&[code, "trying again"])?;
    let strikes: i64 = scenario
        .database
        .value("SELECT last_value FROM strikes")
        .await?;
    ensure!(strikes > 3, "only {strikes} statements came so far");
    expected.check(&scenario.database).await?;
    let resized = journal::events(&scenario.database, "BatchResized", None).await?;
    ensure!(
        (resized > 0) == (code == "57014"),
        "batches were resized {resized} times"
    );
    scenario.verify_journal().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/run --ignored"]
async fn what_does_not_pass_is_given_up() -> Result<()> {
    let scenario = struck("53100", i32::MAX).await?;
    let expected = scenario.expected().await?;
    let ended = run(&scenario)?.expect(5).await?;
    ended.expect_named(&["agent_feedback", "53100"])?;
    let complete = journal::events(&scenario.database, "UnitCompleted", None).await?;
    ensure!(complete == 4, "{complete} units are complete");
    scenario
        .database
        .execute("DROP TRIGGER strike ON \"AgentFeedback\"")
        .await?;
    run(&scenario)?.expect(0).await?;
    expected.check(&scenario.database).await?;
    scenario.verify_journal().await
}

/// After a failover the server is read-only for a while; then sessions end, and new ones may write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_read_only_for_a_while() -> Result<()> {
    let scenario = small().await?;
    let expected = scenario.expected().await?;
    let database = &scenario.database;
    let alter = format!("ALTER DATABASE \"{}\"", database.name());
    database
        .execute(&format!("{alter} SET default_transaction_read_only = on"))
        .await?;
    let mut running = run(&scenario)?.spawn()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(running.is_alive()?, "it did not wait");
    ensure!(
        journal::events(database, "RunStarted", None).await? == 0,
        "the database could be written to"
    );
    database
        .execute(&format!("{alter} RESET default_transaction_read_only"))
        .await?;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'backstitch'";
    database.execute(end).await?;
    let ended = running.wait().await?.expect(0)?;
    ended.expect_named(&["25006", "trying again"])?;
    expected.check(database).await?;
    scenario.verify_journal().await
}

/// A batch holds vacuum back for as long as it takes, so one that takes over a second is followed by smaller ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_takes_long_is_halved() -> Result<()> {
    let scenario = small().await?;
    add_feedback(&scenario, 400).await?;
    let expected = scenario.expected().await?;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                PERFORM pg_sleep(0.008); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT ON \"AgentFeedback\" FOR EACH ROW EXECUTE FUNCTION slow()";
    scenario.database.execute(slow).await?;
    let run = scenario.run_without_migrating()?;
    let run = run.args(["--partitions", "1", "--batch-rows", "200"]);
    run.expect(0).await?;
    let resized = "SELECT COUNT(*) FROM backstitch_journal WHERE kind = 'BatchResized' \
                   AND unit = 'agent_feedback' AND payload LIKE '%\"from\":200,%over a second%\"to\":100,%'";
    let resized: i64 = scenario.database.value(resized).await?;
    ensure!(resized > 0, "no batch was halved");
    expected.check(&scenario.database).await?;
    scenario.verify_journal().await
}

/// What others act on is on disk when it is told, whatever the database's default; a batch need not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_to_others_is_on_disk() -> Result<()> {
    let scenario = small().await?;
    let database = &scenario.database;
    let name = database.name();
    for sql in [
        format!("ALTER DATABASE \"{name}\" SET synchronous_commit = off"),
        "CREATE TABLE \"Seen\" (\"kind\" TEXT, \"commit\" TEXT)".to_owned(),
        "CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO \"Seen\" VALUES (NEW.kind, current_setting('synchronous_commit')); RETURN NULL; END $$; \
         CREATE TRIGGER seen AFTER INSERT ON backstitch_journal FOR EACH ROW EXECUTE FUNCTION seen()"
            .to_owned(),
    ] {
        database.execute(&sql).await?;
    }
    run(&scenario)?.expect(0).await?;
    let rollback = ["rollback", "--yes", "--reason", "a test"];
    scenario.cli(&rollback)?.expect(0).await?;
    let seen = "SELECT DISTINCT \"kind\" || ' ' || \"commit\" FROM \"Seen\" ORDER BY 1";
    let seen = database.texts(seen).await?;
    for kind in [
        "RunStarted",
        "UnitCompleted",
        "RunCompleted",
        "UndoStarted",
        "UndoCompleted",
    ] {
        let commits: Vec<_> = seen.iter().filter(|seen| seen.starts_with(kind)).collect();
        ensure!(commits == [&format!("{kind} on")], "{seen:#?}");
    }
    ensure!(seen.contains(&"BatchCommitted off".to_owned()), "{seen:#?}");
    Ok(())
}

/// A batch is undone whole; where the statement that removes its rows takes too long, several do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/run --ignored"]
async fn a_rollback_that_takes_long_is_cut_into_pieces() -> Result<()> {
    let scenario = small().await?;
    add_feedback(&scenario, 1_900).await?;
    let before = scenario.state().await?;
    let run = scenario.run_without_migrating()?;
    run.args(["--partitions", "1"]).expect(0).await?;
    // Longer than any statement may take, for all of them.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                PERFORM pg_sleep(0.02); RETURN OLD; END $$; \
                CREATE TRIGGER slow BEFORE DELETE ON \"AgentFeedback\" FOR EACH ROW EXECUTE FUNCTION slow()";
    scenario.database.execute(slow).await?;
    let rollback = ["rollback", "--yes", "--reason", "a test"];
    let ended = scenario.cli(&rollback)?.expect(0).await?;
    ended.expect_named(&["57014", "trying again"])?;
    scenario.expect_state(&before).await?;
    scenario.verify_journal().await
}

/// Feedback within the window.
async fn add_feedback(scenario: &Scenario, rows: u32) -> Result<()> {
    let at = scenario.profile.since().stored();
    let many = format!(
        "INSERT INTO \"UserFeedback\" SELECT 'many' || n, 'Copy', 't', 'human', 3, NULL, NULL, '{at}', 'u' \
         FROM generate_series(1, {rows}) n"
    );
    scenario.database.execute(&many).await?;
    Ok(())
}
