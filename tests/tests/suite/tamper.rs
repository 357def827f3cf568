//! The journal refuses to be changed, and finds it out where somebody with the power to has changed it all the same.

use anyhow::{Context, Result, ensure};
use sea_orm::{ConnectionTrait, Statement};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::scenario::Scenario;

on_both!(plain_changes_are_refused, forgeries_are_found);

pub(crate) const JOURNAL: &str = "backstitch_journal";
pub(crate) const ROWS: &str = "backstitch_journal_rows";
pub(crate) const PARTITION: &str = "backstitch_partition";

pub(crate) async fn completed(backend: Backend) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 40,
        ..Profile::small(backend, 101)
    };
    let scenario = Scenario::load(&profile).await?;
    scenario
        .run()?
        .args(["--batch-rows", "30", "--partitions", "2"])
        .expect(0)
        .await?;
    scenario.verify_journal().await?;
    Ok(scenario)
}

pub(crate) async fn plain_changes_are_refused(backend: Backend) -> Result<()> {
    let scenario = completed(backend).await?;
    for table in [JOURNAL, ROWS] {
        let mut statements = vec![
            format!("UPDATE {table} SET seq = seq + 1"),
            format!("DELETE FROM {table}"),
        ];
        if backend == Backend::Postgres {
            statements.push(format!("TRUNCATE {table}"));
            statements.push(format!(
                "SET session_replication_role = replica; DELETE FROM {table}"
            ));
        }
        for sql in statements {
            let refused = scenario.database.another().await?.execute(&sql).await;
            let error = refused
                .err()
                .with_context(|| format!("this was not refused: {sql}"))?;
            ensure!(
                format!("{error:#}").contains("append-only"),
                "{sql} failed for another reason: {error:#}"
            );
        }
    }
    scenario.verify_journal().await
}

/// One way to forge, and what the verification must name.
struct Forgery {
    name: &'static str,
    table: &'static str,
    change: &'static str,
    victim: &'static str,
}

/// `{}` stands for the condition that selects the victim.
const FORGERIES: [Forgery; 22] = [
    forge(
        "a payload gains a space",
        JOURNAL,
        "UPDATE backstitch_journal SET payload = payload || ' ' WHERE {}",
        MIDDLE,
    ),
    forge(
        "a kind changes",
        JOURNAL,
        "UPDATE backstitch_journal SET kind = 'BatchUndone' WHERE {}",
        MIDDLE,
    ),
    forge(
        "a time changes",
        JOURNAL,
        "UPDATE backstitch_journal SET at = at + 1 WHERE {}",
        MIDDLE,
    ),
    forge(
        "a worker changes",
        JOURNAL,
        "UPDATE backstitch_journal SET worker = worker || 'x' WHERE {}",
        MIDDLE,
    ),
    forge(
        "a version changes",
        JOURNAL,
        "UPDATE backstitch_journal SET version = version + 1 WHERE {}",
        MIDDLE,
    ),
    forge(
        "a unit changes",
        JOURNAL,
        "UPDATE backstitch_journal SET unit = 'agent_feedback' WHERE {}",
        MIDDLE,
    ),
    forge(
        "a key changes",
        JOURNAL,
        "UPDATE backstitch_journal SET key = key || 'x' WHERE {}",
        QUARANTINED,
    ),
    forge(
        "a hash changes",
        JOURNAL,
        "UPDATE backstitch_journal SET hash = prev WHERE {}",
        MIDDLE,
    ),
    forge(
        "a link changes",
        JOURNAL,
        "UPDATE backstitch_journal SET prev = hash WHERE {}",
        MIDDLE,
    ),
    forge(
        "an event moves",
        JOURNAL,
        "UPDATE backstitch_journal SET seq = seq + 100000 WHERE {}",
        MIDDLE,
    ),
    forge(
        "an event changes streams",
        JOURNAL,
        "UPDATE backstitch_journal SET stream = stream || 'x' WHERE {}",
        MIDDLE,
    ),
    forge(
        "an event vanishes",
        JOURNAL,
        "DELETE FROM backstitch_journal WHERE {}",
        MIDDLE,
    ),
    forge(
        "a stream's end vanishes",
        JOURNAL,
        "DELETE FROM backstitch_journal WHERE {}",
        LAST_OF_A_STREAM,
    ),
    forge(
        "provenance vanishes",
        ROWS,
        "DELETE FROM backstitch_journal_rows WHERE {}",
        FIRST_ROWS,
    ),
    forge(
        "provenance shrinks",
        ROWS,
        "UPDATE backstitch_journal_rows SET rows = rows - 1 WHERE {}",
        FIRST_ROWS,
    ),
    forge(
        "keys are forged",
        ROWS,
        "UPDATE backstitch_journal_rows SET keys = digests WHERE {}",
        FIRST_ROWS,
    ),
    forge(
        "digests are forged",
        ROWS,
        "UPDATE backstitch_journal_rows SET digests = keys WHERE {}",
        FIRST_ROWS,
    ),
    forge(
        "values before are forged",
        ROWS,
        "UPDATE backstitch_journal_rows SET before = keys WHERE {}",
        FIRST_ROWS,
    ),
    forge(
        "a cursor is forged",
        PARTITION,
        "UPDATE backstitch_partition SET cursor = '[\"forged\"]' WHERE {}",
        A_PARTITION,
    ),
    forge(
        "a status is forged",
        PARTITION,
        "UPDATE backstitch_partition SET status = 'fenced' WHERE {}",
        A_PARTITION,
    ),
    forge(
        "a count is forged",
        PARTITION,
        "UPDATE backstitch_partition SET written = written + 1 WHERE {}",
        A_PARTITION,
    ),
    forge(
        "a partition vanishes",
        PARTITION,
        "DELETE FROM backstitch_partition WHERE {}",
        A_PARTITION,
    ),
];

const fn forge(
    name: &'static str,
    table: &'static str,
    change: &'static str,
    victim: &'static str,
) -> Forgery {
    Forgery {
        name,
        table,
        change,
        victim,
    }
}

/// A batch that is neither the first nor the last event of its stream.
pub(crate) const MIDDLE: &str = "position = (SELECT MIN(one.position) FROM backstitch_journal AS one WHERE one.kind = 'BatchCommitted' \
     AND one.seq > 1 AND EXISTS (SELECT 1 FROM backstitch_journal AS next WHERE next.run = one.run \
     AND next.stream = one.stream AND next.seq = one.seq + 1))";
const QUARANTINED: &str =
    "position = (SELECT MIN(position) FROM backstitch_journal WHERE kind = 'RowQuarantined')";
/// The last event of a partition; of one that is gone, only its stream can be named.
const LAST_OF_A_STREAM: &str =
    "position = (SELECT MAX(position) FROM backstitch_journal WHERE stream LIKE 'kpi_history/%')";
pub(crate) const FIRST_ROWS: &str = "stream = (SELECT MIN(stream) FROM backstitch_journal_rows) AND seq = (SELECT MIN(first.seq) FROM \
     backstitch_journal_rows AS first WHERE first.stream = backstitch_journal_rows.stream)";
const A_PARTITION: &str =
    "stream = (SELECT MIN(stream) FROM backstitch_partition WHERE written > 0)";

pub(crate) async fn forgeries_are_found(backend: Backend) -> Result<()> {
    let scenario = completed(backend).await?;
    for forgery in &FORGERIES {
        check(&scenario, forgery)
            .await
            .with_context(|| format!("where {}", forgery.name))?;
    }
    scenario
        .verify_journal()
        .await
        .context("after every forgery was undone")
}

async fn check(scenario: &Scenario, forgery: &Forgery) -> Result<()> {
    let (database, table) = (&scenario.database, forgery.table);
    let what = if table == JOURNAL && forgery.victim != LAST_OF_A_STREAM {
        "stream || ' ' || seq"
    } else {
        "stream"
    };
    let find = format!("SELECT {what} FROM {table} WHERE {}", forgery.victim);
    let victim = database
        .texts(&find)
        .await?
        .into_iter()
        .next()
        .context("there is nothing to forge")?;
    let change = forgery.change.replace("{}", forgery.victim);
    unlocked(
        database,
        &[
            &format!("CREATE TABLE saved AS SELECT * FROM {table}"),
            &change,
        ],
    )
    .await?;
    let verified = scenario.cli(&["journal", "verify"])?.run().await?;
    let identity = if backend_has_identity(database, table) {
        "OVERRIDING SYSTEM VALUE"
    } else {
        ""
    };
    let restore = format!("INSERT INTO {table} {identity} SELECT * FROM saved");
    unlocked(
        database,
        &[
            &format!("DELETE FROM {table}"),
            &restore,
            "DROP TABLE saved",
        ],
    )
    .await?;

    let verified = verified.expect(3)?;
    let words: Vec<&str> = victim.split(' ').collect();
    verified.expect_named(&words)
}

fn backend_has_identity(database: &Database, table: &str) -> bool {
    database.backend == Backend::Postgres && table == JOURNAL
}

/// Runs statements as somebody who has the power to lift the triggers, and puts the triggers back.
pub(crate) async fn unlocked(database: &Database, statements: &[&str]) -> Result<()> {
    match database.backend {
        Backend::Postgres => {
            for table in [JOURNAL, ROWS] {
                database
                    .execute(&format!("ALTER TABLE {table} DISABLE TRIGGER ALL"))
                    .await?;
            }
            for sql in statements {
                database.execute(sql).await?;
            }
            for table in [JOURNAL, ROWS] {
                database
                    .execute(&format!(
                        "ALTER TABLE {table} ENABLE ALWAYS TRIGGER backstitch_append_only"
                    ))
                    .await?;
            }
        }
        Backend::Sqlite => {
            // In one transaction, and so on one of the harness's connections, which sees what it does.
            let held = database.hold("SELECT 1").await?;
            let triggers = format!(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('{JOURNAL}', '{ROWS}')"
            );
            let triggers = Statement::from_string(held.get_database_backend(), triggers);
            let triggers = held.query_all_raw(triggers).await?;
            for trigger in &triggers {
                let name: String = trigger.try_get_by_index(0)?;
                held.execute_unprepared(&format!("DROP TRIGGER \"{name}\""))
                    .await?;
            }
            for sql in statements {
                held.execute_unprepared(sql)
                    .await
                    .with_context(|| format!("run {sql}"))?;
            }
            for trigger in &triggers {
                let body: String = trigger.try_get_by_index(1)?;
                held.execute_unprepared(&body).await?;
            }
            held.commit().await?;
        }
    }
    Ok(())
}
