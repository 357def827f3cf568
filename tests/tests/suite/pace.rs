//! How fast the work is, and what makes it hold: seen in the journal, which tells of each hold and each change of pace.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::cluster::Cluster;
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::process::Running;
use tests::scenario::Scenario;

on_both!(
    a_query_of_the_operators_holds,
    outside_its_hours_nothing_is_done,
    a_rate_is_never_exceeded,
    what_makes_no_sense_is_refused,
);

const POLL: Duration = Duration::from_millis(20);

/// Waits until there are so many events of a kind.
async fn wait_for(
    scenario: &Scenario,
    running: &mut Running,
    kind: &str,
    count: i64,
) -> Result<()> {
    while journal::events(&scenario.database, kind, None).await? < count {
        ensure!(running.is_alive()?, "it ended before {kind}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn a_query_of_the_operators_holds(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 901)).await?;
    let database = &scenario.database;
    let make = "CREATE TABLE operator_hold (held INTEGER)";
    database.execute(make).await?;
    database
        .execute("INSERT INTO operator_hold VALUES (1)")
        .await?;
    let query = ["--hold-when", "SELECT held FROM operator_hold -- a reason"];
    let mut running = scenario.run_without_migrating()?.args(query).spawn()?;
    wait_for(&scenario, &mut running, "HoldStarted", 1).await?;
    // A query that cannot be asked any more guards nothing, so it holds as well.
    database.execute("DROP TABLE operator_hold").await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    ensure!(running.is_alive()?, "it ended during a hold");
    ensure!(
        journal::events(database, "BatchCommitted", None).await? == 0,
        "a batch during a hold"
    );
    ensure!(
        journal::events(database, "HoldEnded", None).await? == 0,
        "the hold is over"
    );
    database.execute(make).await?;
    let ended = running.wait().await?.expect(0)?;
    ended.expect_named(&["holding", "operator_hold", "the hold is over"])?;
    for (kind, words) in [
        ("HoldStarted", "holds: --hold-when"),
        ("HoldEnded", "goes on after"),
    ] {
        ensure!(journal::events(database, kind, None).await? == 1, "{kind}");
        let shown = scenario.cli(&["journal", "show", "--kind", kind])?;
        shown
            .expect(0)
            .await?
            .expect_named(&[words, "operator_hold"])?;
    }
    scenario.expected().await?.check_rows(database).await?;
    scenario.verify_journal().await
}

/// The minute of the day by the database's clock.
async fn minute(database: &Database) -> Result<i64> {
    let sql = match database.backend {
        Backend::Postgres => {
            "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) / 60) AS BIGINT) % 1440"
        }
        Backend::Sqlite => "SELECT CAST(strftime('%s', 'now') AS INTEGER) / 60 % 1440",
    };
    database.value(sql).await
}

/// The window from so many minutes after a minute of the day to so many after it.
fn window(minute: i64, from: i64, to: i64) -> String {
    let time = |minute: i64| {
        let minute = minute.rem_euclid(1_440);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    format!("{}-{}", time(minute + from), time(minute + to))
}

async fn outside_its_hours_nothing_is_done(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 902)).await?;
    let database = &scenario.database;
    let now = minute(database).await?;
    let (later, around) = (window(now, 60, 120), window(now, -60, 60));
    let outside = scenario.run_without_migrating()?;
    let mut running = outside.args(["--window", &later]).spawn()?;
    wait_for(&scenario, &mut running, "HoldStarted", 1).await?;
    running.signal("TERM")?;
    let ended = running.wait().await?.expect(143)?;
    ended.expect_named(&["holding", "UTC", &later])?;
    ensure!(journal::events(database, "BatchCommitted", None).await? == 0);
    ensure!(journal::events(database, "HoldEnded", None).await? == 1);

    let inside = scenario.run_without_migrating()?;
    let inside = inside.args(["--window", &later, "--window", &around]);
    inside.expect(0).await?;
    ensure!(journal::events(database, "HoldStarted", None).await? == 1);
    scenario.expected().await?.check_rows(database).await
}

async fn a_rate_is_never_exceeded(backend: Backend) -> Result<()> {
    const RATE: i64 = 1_000;
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, 903)).await?;
    let database = &scenario.database;
    let slow = ["--pace", "1000/s", "--workers", "1"];
    scenario
        .run_without_migrating()?
        .args(slow)
        .expect(0)
        .await?;
    let read = match backend {
        Backend::Postgres => "CAST(payload AS JSONB) ->> 'read'",
        Backend::Sqlite => "payload ->> 'read'",
    };
    let sql = format!(
        "SELECT CAST({read} AS BIGINT), at FROM backstitch_journal WHERE kind = 'BatchCommitted' ORDER BY position"
    );
    let mut batches: Vec<(i64, i64)> = Vec::new();
    for row in database.query(&sql).await? {
        batches.push((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
    }
    let largest = batches
        .iter()
        .map(|(read, _)| *read)
        .max()
        .context("batches")?;
    let all: i64 = batches.iter().map(|(read, _)| *read).sum();
    // A second's worth and a batch are free, so there must be more than that to see anything.
    ensure!(
        all > 2 * (RATE + largest),
        "{all} rows in all, {largest} in a batch"
    );
    // Over any interval.
    for (first, (_, from)) in batches.iter().enumerate() {
        let mut rows = 0;
        for (read, to) in &batches[first..] {
            rows += read;
            let allowed = RATE * (to - from) / 1_000 + RATE + largest + 1;
            ensure!(rows <= allowed, "{rows} rows within {} ms", to - from);
        }
    }
    scenario.expected().await?.check_rows(database).await
}

async fn what_makes_no_sense_is_refused(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 904)).await?;
    let before = scenario.state().await?;
    let campaigns = scenario.database.count("Campaign").await?;
    for (options, word) in [
        (["--pace", "fast"], "2000/s"),
        (["--pace", "0/s"], "2000/s"),
        (["--window", "2-4"], "02:00-04:00"),
        (["--window", "02:00-02:00"], "02:00-04:00"),
        (["--hold-when", "SELECT nonsense"], "--hold-when"),
        (["--hold-when", "DELETE FROM \"Campaign\""], "--hold-when"),
        (
            ["--hold-when", "SELECT 1; DELETE FROM \"Campaign\""],
            "--hold-when",
        ),
        (
            [
                "--hold-when",
                "SELECT 1), x AS (DELETE FROM \"Campaign\" RETURNING 1",
            ],
            "--hold-when",
        ),
    ] {
        let run = scenario.run_without_migrating()?.args(options);
        let ended = run.expect(2).await?;
        ended.expect_clear_error()?;
        ended.expect_named(&[word])?;
    }
    // Both commands of the other program that work in batches read the same options.
    for command in ["rollback", "repair"] {
        let words = [command, "--yes", "--reason", "a test", "--pace", "fast"];
        scenario
            .cli(&words)?
            .expect(2)
            .await?
            .expect_named(&["2000/s"])?;
    }
    ensure!(scenario.database.count("Campaign").await? == campaigns);
    ensure!(journal::events(&scenario.database, "RunStarted", None).await? == 0);
    scenario.expect_state(&before).await
}

/// Somebody waits for rows that a batch has changed, while the batch itself waits for a row that somebody else has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_lock_of_ours_is_seen() -> Result<()> {
    let profile = Profile::busy(Backend::Postgres, 905);
    let scenario = Scenario::load_with_schema(&profile).await?;
    let database = &scenario.database;
    let ids = "SELECT CAST(\"id\" AS TEXT) FROM \"Campaign\" ORDER BY \"id\"";
    let ids = database.texts(ids).await?;
    let middle = ids.get(ids.len() / 2).context("a campaign")?;
    let lock = |half: &str| {
        format!("UPDATE \"Campaign\" SET \"name\" = \"name\" WHERE \"id\" {half} '{middle}'")
    };
    let held = database.hold(&lock(">")).await?;
    let run = scenario.run_without_migrating()?;
    let mut running = run
        .args([
            "--unit",
            "campaign_prompt",
            "--partitions",
            "1",
            "--batch-rows",
            "50000",
        ])
        .spawn()?;
    // Whoever else updates a campaign waits behind the batch again and again.
    let other = database.another().await?;
    let update = lock("<=");
    let updates = tokio::spawn(async move {
        loop {
            if let Err(error) = other.execute(&update).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    wait_for(&scenario, &mut running, "HoldStarted", 1).await?;
    updates.abort();
    held.rollback().await?;
    running.wait().await?.expect(0)?;
    let shown = scenario.cli(&["journal", "show", "--kind", "HoldStarted"])?;
    shown
        .expect(0)
        .await?
        .expect_named(&["sessions wait for a lock of ours"])?;
    let (started, ended) = ("HoldStarted", "HoldEnded");
    ensure!(
        journal::events(database, started, None).await?
            == journal::events(database, ended, None).await?
    );
    scenario.verify_journal().await
}

/// Beside others one batch at a time; alone, and where somebody says so, at full speed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_gentle_beside_others_alone() -> Result<()> {
    let server = Cluster::start()?;
    let profile = Profile::small(Backend::Postgres, 906);
    let changes = async |options: &[&str], is_beside: bool| -> Result<(Scenario, i64)> {
        let database = Database::create_in(&server, "TEMPLATE template0").await?;
        let scenario = Scenario::load_into(database, &profile).await?;
        scenario.cli(&["schema", "up"])?.expect(0).await?;
        let other = scenario.database.another().await?;
        let others = tokio::spawn(async move {
            while is_beside && other.query("SELECT 1").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        // Whoever worked within the last second counts as somebody who works here.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let run = scenario.run_without_migrating()?.args(options);
        run.expect(0).await?;
        others.abort();
        scenario
            .expected()
            .await?
            .check_rows(&scenario.database)
            .await?;
        let changes = journal::events(&scenario.database, "PaceChanged", None).await?;
        Ok((scenario, changes))
    };
    let (scenario, beside) = changes(&[], true).await?;
    ensure!(beside > 0, "nobody was noticed");
    let shown = scenario.cli(&["journal", "show", "--kind", "PaceChanged"])?;
    let words = [
        "one batch at a time rather than full speed",
        "of others work",
    ];
    shown.expect(0).await?.expect_named(&words)?;
    scenario.verify_journal().await?;
    let (_, off) = changes(&["--pace", "off"], true).await?;
    ensure!(off == 0, "{off} changes of pace though it is off");
    let (_, alone) = changes(&[], false).await?;
    ensure!(
        alone == 0,
        "{alone} changes of pace though nobody was there"
    );
    Ok(())
}
