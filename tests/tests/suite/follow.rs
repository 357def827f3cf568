//! A run that is followed writes what the application writes meanwhile, until the cut-over completes it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::application;
use tests::database::{Backend, Database};
use tests::dump::{self, DESTINATIONS};
use tests::generate::Profile;
use tests::journal;
use tests::json::Json;
use tests::moment::{DAY, Moment};
use tests::process::Running;
use tests::scenario::Scenario;
use tests::source::Value;

on_both!(what_is_written_meanwhile);

pub(crate) const FOLLOW: [&str; 5] = ["--follow", "--follow-every", "1s", "--batch-rows", "100"];

const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];

/// A source whose present is the database's, with the schema applied.
pub(crate) async fn load(backend: Backend, seed: u64) -> Result<Scenario> {
    let database = Database::create(backend).await?;
    let profile = Profile {
        as_of: Moment(now(&database).await?.0 - 1_000),
        window_days: 7,
        bad: 0.0,
        ..Profile::small(backend, seed)
    };
    let scenario = Scenario::load_into(database, &profile).await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    Ok(scenario)
}

/// What the database's clock shows.
async fn now(database: &Database) -> Result<Moment> {
    let sql = match database
        .url_as(tests::roles::Role::Viewer)
        .starts_with("sqlite")
    {
        true => "SELECT STRFTIME('%Y-%m-%d %H:%M:%f', 'now')",
        false => "SELECT TO_CHAR(NOW() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')",
    };
    let stored: String = database.value(sql).await?;
    Moment::parse_stored(&stored).context("read the database's clock")
}

/// A new tenant's first minutes: rows of every kind that a unit reads.
pub(crate) async fn write_sources(database: &Database, tenant: &str) -> Result<()> {
    let now = now(database).await?;
    let (at, rfc) = (now.stored(), now.rfc3339());
    let metadata = format!(
        "{{\"prompt\": \"prompt of {tenant}\", \"agentTasks\": [{{\"agentId\": \"a\", \"completedAt\": \"{rfc}\", \
         \"success\": true}}, {{\"agentId\": \"b\", \"completedAt\": \"{rfc}\", \"success\": false}}]}}"
    );
    for sql in [
        format!(
            "INSERT INTO \"Campaign\" (\"id\", \"tenantId\", \"name\", \"metadata\", \"createdAt\", \"updatedAt\") \
             VALUES ('c-{tenant}', '{tenant}', 'n', '{metadata}', '{at}', '{at}')"
        ),
        format!(
            "INSERT INTO \"Asset\" (\"id\", \"campaignId\", \"type\", \"createdAt\") \
             VALUES ('a-{tenant}', 'c-{tenant}', 'image', '{at}')"
        ),
        format!(
            "INSERT INTO \"AgentTask\" (\"id\", \"campaignId\", \"agentType\", \"status\", \"model\", \"createdAt\", \
             \"completedAt\") VALUES ('t-{tenant}', 'c-{tenant}', 'Copy', 'done', 'm', '{at}', '{at}')"
        ),
        format!(
            "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
             \"createdBy\") VALUES ('f-{tenant}', 'Copy', 't-{tenant}', 'human', 4, '{at}', '{tenant}')"
        ),
        format!(
            "INSERT INTO \"PublishJob\" (\"id\", \"assetId\", \"platform\", \"impressions\", \"clicks\", \"postedAt\", \
             \"createdAt\") VALUES ('j-{tenant}', 'a-{tenant}', 'web', 100, 7, '{at}', '{at}')"
        ),
    ] {
        ensure!(database.execute(&sql).await? == 1);
    }
    Ok(())
}

/// Waits until the destinations hold what a tenant's sources give, and that the units came one behind the other: a row
/// of one holds what another wrote.
pub(crate) async fn expect_written(
    running: &mut Running,
    database: &Database,
    tenant: &str,
) -> Result<()> {
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM \"Campaign\" WHERE \"prompt\" = 'prompt of {tenant}') \
         + (SELECT COUNT(*) FROM \"IntelligenceEvent\" WHERE \"tenantId\" = '{tenant}') \
         + (SELECT COUNT(*) FROM \"PromptPerformance\" WHERE \"campaignId\" = 'c-{tenant}') \
         + (SELECT COUNT(DISTINCT \"period\") FROM \"KPIHistory\" WHERE \"tenantId\" = '{tenant}') \
         + (SELECT COUNT(*) FROM \"AgentFeedback\" WHERE \"createdBy\" = '{tenant}')"
    );
    loop {
        let rows: i64 = database.value(&sql).await?;
        // 1 prompt, 3 events, 1 sum, 5 periods, 1 feedback.
        if rows >= 11 {
            ensure!(rows == 11, "{rows} rows were written for {tenant}");
            break;
        }
        ensure!(running.is_alive()?, "it ended: {rows} rows for {tenant}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let text = format!(
        "SELECT \"promptText\" FROM \"PromptPerformance\" WHERE \"campaignId\" = 'c-{tenant}'"
    );
    let text: String = database.value(&text).await?;
    ensure!(text == format!("prompt of {tenant}"), "{tenant}: {text}");
    Ok(())
}

/// Another job of a tenant's campaign.
async fn write_job(database: &Database, tenant: &str) -> Result<()> {
    let at = now(database).await?.stored();
    let jobs = "SELECT COUNT(*) FROM \"PublishJob\"";
    let jobs: i64 = database.value(jobs).await?;
    let sql = format!(
        "INSERT INTO \"PublishJob\" (\"id\", \"assetId\", \"platform\", \"impressions\", \"clicks\", \"postedAt\", \
         \"createdAt\") VALUES ('j-{tenant}-{jobs}', 'a-{tenant}', 'web', 50, 3, '{at}', '{at}')"
    );
    ensure!(database.execute(&sql).await? == 1);
    Ok(())
}

/// The application's own edit of a tenant's sum.
async fn reward(database: &Database, tenant: &str, score: &str) -> Result<()> {
    let sql = format!(
        "UPDATE \"PromptPerformance\" SET \"rewardScore\" = {score} WHERE \"campaignId\" = 'c-{tenant}'"
    );
    ensure!(database.execute(&sql).await? == 1);
    Ok(())
}

async fn impressions(database: &Database, tenant: &str) -> Result<i64> {
    let sql = format!(
        "SELECT CAST(\"impressions\" AS BIGINT) FROM \"PromptPerformance\" WHERE \"campaignId\" = 'c-{tenant}'"
    );
    database.value(&sql).await
}

/// Waits until a tenant's sum is what its jobs give.
async fn expect_sum(
    running: &mut Running,
    database: &Database,
    tenant: &str,
    is: i64,
) -> Result<()> {
    loop {
        let sum = impressions(database, tenant).await?;
        if sum == is {
            return Ok(());
        }
        ensure!(running.is_alive()?, "it ended with {sum} for {tenant}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the journal has so many events of a kind.
async fn expect_events(
    running: &mut Running,
    database: &Database,
    kind: &str,
    count: i64,
) -> Result<()> {
    while journal::events(database, kind, None).await? < count {
        ensure!(running.is_alive()?, "it ended before {count} {kind}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What `cli status --json` says of how far the run has caught up.
async fn following(scenario: &Scenario) -> Result<Option<Json>> {
    let status = scenario.cli(&["status", "--json"])?.expect(0).await?;
    let status = Json::parse(&status.stdout).map_err(anyhow::Error::msg)?;
    let Json::Object(mut status) = status else {
        anyhow::bail!("no object: {status}");
    };
    Ok(status.remove("following"))
}

/// The instant that the newest run stands for now, as its events say.
async fn as_of(database: &Database) -> Result<Moment> {
    let sql = "SELECT payload FROM backstitch_journal WHERE kind = 'AsOfAdvanced' ORDER BY position DESC LIMIT 1";
    let payload: String = database.value(sql).await?;
    // As it is spelled: a parsed number has its zeros taken off.
    let to = payload.split("\"to\":").nth(1).context("an instant")?;
    let digits: String = to.chars().take_while(char::is_ascii_digit).collect();
    Ok(Moment(digits.parse()?))
}

/// Compares the destinations with what the sources give as of the run's last instant. A sum is dated as of the pass that
/// wrote it, so that one column is taken as it is found, and only looked at.
async fn expect_rows(scenario: &Scenario, as_of: Moment) -> Result<()> {
    let sources = tests::oracle::Sources::load(&scenario.database).await?;
    let begun = scenario.profile.as_of;
    let mut expected = tests::oracle::expect(
        &sources,
        &tests::oracle::Question {
            as_of,
            ..scenario.question()
        },
    )?;
    let rows = expected.rows.get_mut("PromptPerformance");
    for row in rows.context("the table is expected")? {
        let Some(Value::Text(campaign)) = row.first().cloned() else {
            anyhow::bail!("a campaign's id comes first: {row:?}");
        };
        let columns = [
            ("campaignId", tests::source::Kind::Text),
            ("updatedAt", tests::source::Kind::Moment),
        ];
        let found = tests::source::read(&scenario.database, "PromptPerformance", &columns).await?;
        let found = found
            .into_iter()
            .find(|found| found[0] == Value::Text(campaign.clone()));
        let [_, dated] = found
            .context("a row is missing")?
            .try_into()
            .ok()
            .context("two")?;
        let Value::Moment(at) = dated else {
            anyhow::bail!("no instant: {dated:?}");
        };
        ensure!(begun <= at && at <= as_of, "dated {}", at.stored());
        *row.last_mut().context("a last column")? = dated;
    }
    expected.check_rows(&scenario.database).await
}

pub(crate) async fn what_is_written_meanwhile(backend: Backend) -> Result<()> {
    let scenario = load(backend, 901).await?;
    let database = &scenario.database;
    application::write_rows(database, "~own", scenario.profile.as_of).await?;
    let before = dump::of(database, &DESTINATIONS).await?;
    let follow = || Ok::<_, anyhow::Error>(scenario.run()?.args(FOLLOW));

    // What is there at the beginning, and what comes while it waits.
    let mut running = follow()?.spawn()?;
    expect_events(&mut running, database, "UnitCaughtUp", 5).await?;
    write_sources(database, "first").await?;
    expect_written(&mut running, database, "first").await?;
    expect_events(&mut running, database, "CaughtUp", 1).await?;
    let Some(Json::Object(lag)) = following(&scenario).await? else {
        anyhow::bail!("the status does not say how far it has caught up");
    };
    for name in ["caught_up_to", "behind_millis"] {
        ensure!(
            matches!(lag.get(name), Some(Json::Number(_))),
            "{name}: {lag:?}"
        );
    }
    scenario
        .cli(&["status"])?
        .expect(0)
        .await?
        .expect_named(&["following: caught up to", "behind by"])?;

    // Killed, and more comes before it goes on: a tenant, and a job of a sum that the application has edited.
    ensure!(running.kill().await?.was_killed());
    reward(database, "first", "0.75").await?;
    write_job(database, "first").await?;
    write_sources(database, "second").await?;
    let mut running = follow()?.spawn()?;
    expect_written(&mut running, database, "second").await?;

    // With nothing to write, nothing is journaled but now and then that there is nothing.
    expect_events(&mut running, database, "CaughtUp", 2).await?;
    let all = "SELECT COUNT(*) FROM backstitch_journal WHERE kind <> 'CaughtUp'";
    let idle: i64 = database.value(all).await?;
    let told = journal::events(database, "CaughtUp", None).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(
        database.value::<i64>(all).await? == idle,
        "idle rounds are journaled"
    );
    let told = journal::events(database, "CaughtUp", None).await? - told;
    ensure!(told <= 1, "told {told} times in five seconds");

    // An edited sum is left alone; one that stands as it was written is brought up to date, each time its source changes.
    ensure!(
        impressions(database, "first").await? == 100,
        "an edited sum was overwritten"
    );
    reward(database, "first", "0.0").await?;
    expect_sum(&mut running, database, "first", 150).await?;
    write_job(database, "first").await?;
    expect_sum(&mut running, database, "first", 200).await?;
    write_sources(database, "third").await?;
    expect_written(&mut running, database, "third").await?;

    // The cut-over: whoever follows is stopped, the writers too, and a run as ever completes it.
    running.signal("TERM")?;
    running.wait().await?.expect(143)?;
    write_sources(database, "fourth").await?;
    let completed = scenario.run()?.expect(0).await?;
    completed.expect_named(&["is complete"])?;
    for tenant in ["first", "second", "third", "fourth"] {
        let written =
            format!("SELECT COUNT(*) FROM \"AgentFeedback\" WHERE \"createdBy\" = '{tenant}'");
        let written: i64 = database.value(&written).await?;
        ensure!(written == 1, "{tenant}: {written}");
    }
    ensure!(following(&scenario).await?.is_none());
    let last = as_of(database).await?;
    ensure!(last > scenario.profile.as_of && last.0 - scenario.profile.as_of.0 < DAY);
    let own = "DELETE FROM \"{}\" WHERE \"id\" LIKE '~own%'";
    let foreign = dump::of(database, &DESTINATIONS).await?;
    ensure!(
        before.differences(&foreign).len() > 4,
        "nothing was written"
    );
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.cli(&["validate", "--deep"])?.expect(0).await?;
    scenario.verify_journal().await?;

    // All rounds are taken back, and the application's rows stand.
    let copy = scenario.state().await?;
    for table in DESTINATIONS {
        database.execute(&own.replace("{}", table)).await?;
    }
    expect_rows(&scenario, last).await?;
    ensure!(scenario.state().await? != copy);
    application::write_rows(database, "~own", scenario.profile.as_of).await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    let differences = before.differences(&dump::of(database, &DESTINATIONS).await?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    let left = "SELECT COUNT(*) FROM \"Campaign\" WHERE \"prompt\" IS NOT NULL AND \"prompt\" LIKE 'prompt of %'";
    ensure!(database.value::<i64>(left).await? == 0, "prompts are left");
    scenario.verify_journal().await
}

/// Two processes follow one run; a run as ever beside them is the cut-over, and they end with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_follow_one_run() -> Result<()> {
    let scenario = load(Backend::Postgres, 902).await?;
    let database = &scenario.database;
    // What is complete stays as of its instant.
    let unit = ["--unit", "agent_feedback"];
    scenario.run()?.args(unit).expect(0).await?;
    let refused = scenario.run()?.args(FOLLOW).expect(4).await?;
    refused.expect_named(&["agent_feedback is complete"])?;
    scenario.run()?.expect(0).await?;

    // The next run, which somebody named no instant for.
    let follow = || {
        let worker = tests::process::worker(database)?.args(["run"]).args(FOLLOW);
        Ok::<_, anyhow::Error>(worker.args(["--window-days", "7", "--max-bad", "100%"]))
    };
    let mut first = follow()?.spawn()?;
    let mut second = follow()?.spawn()?;
    expect_events(&mut first, database, "UnitCaughtUp", 5).await?;
    for tenant in ["one", "two", "three"] {
        write_sources(database, tenant).await?;
        expect_written(&mut first, database, tenant).await?;
    }
    ensure!(second.is_alive()?, "the second one ended");
    write_sources(database, "four").await?;
    let plain = tests::process::worker(database)?.args(["run", "--max-bad", "100%"]);
    plain.expect(0).await?;
    expect_written_once(database, "four").await?;
    for follower in [first, second] {
        follower
            .wait()
            .await?
            .expect(0)?
            .expect_named(&["is complete"])?;
    }
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await?;

    // A rollback stops whoever follows.
    let mut running = follow()?.spawn()?;
    expect_events(&mut running, database, "UnitCaughtUp", 10).await?;
    write_sources(database, "five").await?;
    expect_written(&mut running, database, "five").await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    let stopped = running.wait().await?.expect(4)?;
    stopped.expect_named(&["roll"])?;
    let five = "SELECT COUNT(*) FROM \"AgentFeedback\" WHERE \"createdBy\" = 'five'";
    ensure!(
        database.value::<i64>(five).await? == 0,
        "a followed row is left"
    );
    expect_written_once(database, "four").await?;
    scenario.verify_journal().await
}

async fn expect_written_once(database: &Database, tenant: &str) -> Result<()> {
    let written =
        format!("SELECT COUNT(*) FROM \"AgentFeedback\" WHERE \"createdBy\" = '{tenant}'");
    let written: i64 = database.value(&written).await?;
    ensure!(written == 1, "{tenant} was written {written} times");
    Ok(())
}
