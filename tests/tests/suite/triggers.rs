//! What a table's own triggers and policies do to our rows: the journal says what stands, or the work stops, and nothing
//! is lost or left without a word.

use anyhow::{Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::process::Outcome;
use tests::scenario::Scenario;
use tests::server::{Server, on};

use crate::values::expect_sound;

on_both!(
    rows_that_are_changed_afterwards,
    rows_that_are_swallowed,
    rows_that_are_defended,
    values_that_are_defended,
);

const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

async fn small(backend: Backend, seed: u64) -> Result<Scenario> {
    Scenario::load_with_schema(&Profile::small(backend, seed)).await
}

/// A trigger of a table: on SQLite `when` and `then` are SQL of it, on PostgreSQL `when` is a condition of PL/pgSQL under
/// which `then` is executed; else the row goes its way.
async fn trigger(database: &Database, at: &str, table: &str, when: &str, then: &str) -> Result<()> {
    let sql = match database.backend {
        Backend::Sqlite => {
            format!("CREATE TRIGGER theirs {at} ON \"{table}\" WHEN {when} BEGIN {then}; END")
        }
        Backend::Postgres => {
            let row = if at.contains("DELETE") { "OLD" } else { "NEW" };
            format!(
                "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF {when} THEN {then}; END IF; RETURN {row}; END $$; \
                 CREATE TRIGGER theirs {at} ON \"{table}\" FOR EACH ROW EXECUTE FUNCTION theirs()"
            )
        }
    };
    database.execute(&sql).await?;
    Ok(())
}

/// What makes a trigger swallow what it fires for.
fn swallow(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "SELECT RAISE(IGNORE)",
        Backend::Postgres => "RETURN NULL",
    }
}

async fn rows(database: &Database, sql: &str) -> Result<i64> {
    database.value(&format!("SELECT COUNT(*) FROM {sql}")).await
}

/// A trigger that fires after the row is there, and changes it: what it made of the row is ours.
async fn rows_that_are_changed_afterwards(backend: Backend) -> Result<()> {
    let scenario = small(backend, 821).await?;
    let database = &scenario.database;
    let change = "UPDATE \"AgentFeedback\" SET \"comment\" = 'theirs' WHERE \"id\" = NEW.\"id\"";
    trigger(database, "AFTER INSERT", "AgentFeedback", "1 = 1", change).await?;
    scenario.run()?.expect(0).await?;
    let changed = rows(database, "\"AgentFeedback\" WHERE \"comment\" = 'theirs'").await?;
    ensure!(changed > 5, "only {changed} rows were changed");
    expect_sound(&scenario).await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    let left = database.count("AgentFeedback").await?;
    ensure!(left == 0, "{left} rows are left");
    scenario.verify_journal().await
}

/// A row that the table swallows is no row that is there already: it is set aside.
async fn rows_that_are_swallowed(backend: Backend) -> Result<()> {
    let scenario = small(backend, 822).await?;
    let database = &scenario.database;
    let due = i64::try_from(scenario.expected().await?.rows["AgentFeedback"].len())?;
    let when = "NEW.\"rating\" >= 4";
    trigger(
        database,
        "BEFORE INSERT",
        "AgentFeedback",
        when,
        swallow(backend),
    )
    .await?;
    scenario.run()?.expect(0).await?;
    let written = database.count("AgentFeedback").await?;
    let aside = "\"backstitch_journal\" WHERE \"kind\" = 'RowQuarantined' AND \"payload\" LIKE '%does not keep%'";
    let aside = rows(database, aside).await?;
    ensure!(
        written > 0 && aside > 0 && written + aside == due,
        "{written} written and {aside} set aside of {due}"
    );
    expect_sound(&scenario).await
}

/// A row that the table does not give up is kept, and said to be.
async fn rows_that_are_defended(backend: Backend) -> Result<()> {
    let scenario = small(backend, 823).await?;
    let database = &scenario.database;
    scenario.run()?.expect(0).await?;
    let defended = rows(database, "\"AgentFeedback\" WHERE \"rating\" >= 4").await?;
    let when = "OLD.\"rating\" >= 4";
    trigger(
        database,
        "BEFORE DELETE",
        "AgentFeedback",
        when,
        swallow(backend),
    )
    .await?;
    let rolled_back = scenario.cli(&ROLLBACK)?.expect(0).await?;
    let standing = database.count("AgentFeedback").await?;
    ensure!(standing == defended, "{standing} rows of {defended}");
    expect_kept(&scenario, rolled_back, defended).await
}

/// A value that the table does not take back is kept as well.
async fn values_that_are_defended(backend: Backend) -> Result<()> {
    let scenario = small(backend, 824).await?;
    let database = &scenario.database;
    scenario.run()?.expect(0).await?;
    let defended = rows(database, "\"Campaign\" WHERE \"prompt\" IS NOT NULL").await?;
    let when = "NEW.\"prompt\" IS NULL";
    let keep = match backend {
        Backend::Sqlite => swallow(backend),
        // The row takes the update, and not the value.
        Backend::Postgres => "NEW.\"prompt\" := OLD.\"prompt\"",
    };
    trigger(database, "BEFORE UPDATE", "Campaign", when, keep).await?;
    let rolled_back = scenario.cli(&ROLLBACK)?.expect(0).await?;
    let standing = rows(database, "\"Campaign\" WHERE \"prompt\" IS NOT NULL").await?;
    ensure!(standing == defended, "{standing} prompts of {defended}");
    expect_kept(&scenario, rolled_back, defended).await
}

async fn expect_kept(scenario: &Scenario, rolled_back: Outcome, defended: i64) -> Result<()> {
    ensure!(defended > 0, "nothing was defended");
    rolled_back.expect_named(&["a trigger or a rule of its table keeps it"])?;
    let kept = "SELECT payload FROM backstitch_journal WHERE kind = 'UndoCompleted'";
    let completed: String = scenario.database.value(kept).await?;
    ensure!(
        completed.contains(&format!("\"kept\":{defended},")),
        "{completed}"
    );
    scenario.verify_journal().await
}

/// A trigger that gives rows other keys, and a table that inherits from ours: neither's rows could be told from others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_put_elsewhere() -> Result<()> {
    let scenario = small(Backend::Postgres, 825).await?;
    let database = &scenario.database;
    let expected = scenario.expected().await?;
    let other = "NEW.\"id\" := gen_random_uuid()";
    trigger(database, "BEFORE INSERT", "AgentFeedback", "TRUE", other).await?;
    let refused = scenario.run()?.expect(4).await?;
    refused.expect_named(&["AgentFeedback", "other keys", "take the trigger off"])?;
    let left = database.count("AgentFeedback").await?;
    ensure!(left == 0, "{left} rows are left");
    database.execute("DROP FUNCTION theirs() CASCADE").await?;
    scenario.run()?.expect(0).await?;
    expected.check(database).await?;
    expect_sound(&scenario).await?;

    let heir = "CREATE TABLE heir () INHERITS (\"AgentFeedback\"); \
                INSERT INTO heir SELECT * FROM ONLY \"AgentFeedback\"";
    database.execute(heir).await?;
    let before = database.count("AgentFeedback").await?;
    for command in [scenario.cli(&ROLLBACK)?, scenario.run()?] {
        let refused = command.expect(4).await?;
        refused.expect_named(&["heir", "AgentFeedback", "NO INHERIT"])?;
    }
    ensure!(database.count("AgentFeedback").await? == before);
    let apart = "ALTER TABLE heir NO INHERIT \"AgentFeedback\"";
    database.execute(apart).await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    let left = database.count("AgentFeedback").await?;
    let theirs = database.count("heir").await?;
    ensure!(
        left == 0 && 2 * theirs == before,
        "{left} and {theirs} rows are left"
    );
    scenario.verify_journal().await
}

/// What a function of theirs raises may quote a row, under whatever code: the code alone is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_function_raises_is_not_shown() -> Result<()> {
    let scenario = small(Backend::Postgres, 827).await?;
    for code in ["UE001", "42501", "23514"] {
        let raise = format!("RAISE EXCEPTION 'secret %', NEW.\"id\" USING ERRCODE = '{code}'");
        trigger(
            &scenario.database,
            "BEFORE INSERT",
            "AgentFeedback",
            "TRUE",
            &raise,
        )
        .await?;
        let outcome = scenario.run()?.env("RUST_LOG", "trace").run().await?;
        ensure!(!outcome.output().contains("secret"), "{outcome}");
        if code != "23514" {
            outcome.expect(1)?.expect_named(&["AgentFeedback", code])?;
        }
        let journaled = "\"backstitch_journal\" WHERE \"payload\" LIKE '%secret%'";
        ensure!(rows(&scenario.database, journaled).await? == 0);
        scenario
            .database
            .execute("DROP FUNCTION theirs() CASCADE")
            .await?;
    }
    Ok(())
}

/// Rows that a policy hides would be lost, or left behind, or taken along by a cascade: it is refused instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_policy_hides() -> Result<()> {
    on(Server::Managed, policies()).await
}

async fn policies() -> Result<()> {
    let scenario = small(Backend::Postgres, 826).await?;
    let database = &scenario.database;
    let secure = async |table: &str, state: &str| -> Result<()> {
        let sql = format!("ALTER TABLE \"{table}\" {state} ROW LEVEL SECURITY");
        database.execute(&sql).await?;
        Ok(())
    };
    secure("UserFeedback", "ENABLE").await?;
    let refused = scenario.run_without_migrating()?.expect(2).await?;
    refused.expect_named(&["UserFeedback", "BYPASSRLS"])?;
    ensure!(database.count("AgentFeedback").await? == 0);
    secure("UserFeedback", "DISABLE").await?;
    scenario.run_without_migrating()?.expect(0).await?;
    expect_sound(&scenario).await?;

    // Their rows refer to ours, with a cascade, and the role for rollbacks may not see them.
    let table = "CREATE TABLE theirs (id INT, ours TEXT REFERENCES \"AgentFeedback\" (\"id\") ON DELETE CASCADE); \
                 GRANT SELECT ON theirs TO backstitch_undo; \
                 INSERT INTO theirs SELECT 1, \"id\" FROM \"AgentFeedback\"";
    database.execute(table).await?;
    secure("theirs", "ENABLE").await?;
    let before = database.count("AgentFeedback").await?;
    let refused = scenario.cli(&ROLLBACK)?.expect(2).await?;
    refused.expect_named(&["theirs", "BYPASSRLS"])?;
    secure("theirs", "DISABLE").await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    let (left, theirs) = (
        database.count("AgentFeedback").await?,
        database.count("theirs").await?,
    );
    ensure!(
        before > 0 && left == before && theirs == before,
        "{left} rows and {theirs} of theirs are left of {before}"
    );
    ensure!(journal::events(database, "UndoCompleted", None).await? == 1);
    scenario.verify_journal().await
}
