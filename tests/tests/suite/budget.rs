//! Too many bad rows stop a unit; what is committed stays, and a resume goes on once the cause is mended.

use anyhow::{Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::process;
use tests::scenario::Scenario;
use tests::source::{Table, Value, insert};

on_both!(
    a_unit_stops_beyond_its_budget,
    ten_bad_rows_are_always_allowed,
    rows_that_are_summed_up_count_as_read,
    rows_that_are_computed_do_not,
);

async fn load(backend: Backend, bad_every: u32) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 5,
        deals: 5,
        snapshots: 5,
        bad: 0.0,
        feedback: 0,
        window_days: 90,
        log_lines: 0,
        ..Profile::small(backend, 71)
    };
    let scenario = Scenario::load(&profile).await?;
    let at = profile.since().stored();
    let rows: Vec<String> = (0..200)
        .map(|number| {
            let rating = if number % bad_every == 0 { 9 } else { 3 };
            format!("('f{number:04}', 'Copy', 't', 'human', {rating}, '{at}', 'u')")
        })
        .collect();
    scenario
        .database
        .execute(&format!(
            "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
             \"createdBy\") VALUES {}",
            rows.join(", ")
        ))
        .await?;
    Ok(scenario)
}

fn run(scenario: &Scenario) -> Result<process::Invocation> {
    let invocation =
        process::worker(&scenario.database)?.args(["run", "--migrate", "--batch-rows", "20"]);
    Ok(invocation.args(["--as-of", &scenario.profile.as_of.rfc3339()]))
}

pub(crate) async fn a_unit_stops_beyond_its_budget(backend: Backend) -> Result<()> {
    let scenario = load(backend, 2).await?;
    let outcome = run(&scenario)?.run().await?;
    ensure!(
        outcome.code().is_some_and(|code| code != 0),
        "the run should have stopped: {outcome}"
    );
    outcome.expect_named(&["agent_feedback", "--max-bad"])?;
    let written = scenario.database.count("AgentFeedback").await?;
    ensure!((1..100).contains(&written), "{written} rows are committed");
    scenario.verify_journal().await?;

    scenario
        .database
        .execute("UPDATE \"UserFeedback\" SET \"rating\" = 4 WHERE \"rating\" = 9")
        .await?;
    let expected = scenario.expected().await?;
    run(&scenario)?.expect(0).await?;
    expected.check_rows(&scenario.database).await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await
}

pub(crate) async fn ten_bad_rows_are_always_allowed(backend: Backend) -> Result<()> {
    let scenario = load(backend, 20).await?;
    let expected = scenario.expected().await?;
    run(&scenario)?.expect(0).await?;
    expected.check(&scenario.database).await
}

/// A source of nothing but 20 campaigns, each with a tenant and an asset of its own.
async fn campaigns_alone(backend: Backend) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 0,
        agent_tasks: 0,
        deals: 0,
        snapshots: 0,
        ..Profile::odd(backend, 72)
    };
    let database = tests::database::Database::create(backend).await?;
    database.create_source_schema(&[]).await?;
    let text = |text: String| Value::Text(text);
    let at = Value::Moment(profile.since());
    let campaigns = (0..20).map(|number| {
        let (id, tenant) = (text(format!("c{number}")), text(format!("t{number}")));
        vec![id, tenant, text("n".into()), at.clone(), at.clone()]
    });
    let assets = (0..20).map(|number| {
        let (id, campaign) = (text(format!("a{number}")), text(format!("c{number}")));
        vec![id, campaign, text("image".into())]
    });
    for table in [
        Table {
            name: "Campaign",
            columns: &["id", "tenantId", "name", "createdAt", "updatedAt"],
            rows: campaigns.collect(),
        },
        Table {
            name: "Asset",
            columns: &["id", "campaignId", "type"],
            rows: assets.collect(),
        },
    ] {
        insert(&database, &table).await?;
    }
    Ok(Scenario::around(database, &profile))
}

/// 11 bad jobs of 12,000 are fewer than 0.1 %, though there are 20 campaigns only. They are the last campaign's: what is
/// tolerated is a share of the rows read by then.
async fn rows_that_are_summed_up_count_as_read(backend: Backend) -> Result<()> {
    let scenario = campaigns_alone(backend).await?;
    let at = Value::Moment(scenario.profile.since());
    let jobs = (0..12_000).map(|number| {
        vec![
            Value::Text(format!("j{number:05}")),
            Value::Text(format!("a{}", number % 20)),
            Value::Text("p".into()),
            Value::Int(if number % 20 == 9 && number < 220 {
                -1
            } else {
                10
            }),
            at.clone(),
        ]
    });
    let jobs = Table {
        name: "PublishJob",
        columns: &["id", "assetId", "platform", "impressions", "createdAt"],
        rows: jobs.collect(),
    };
    insert(&scenario.database, &jobs).await?;
    let expected = scenario.expected().await?;
    let whole =
        process::worker(&scenario.database)?.args(["run", "--migrate", "--partitions", "1"]);
    let whole = whole.args(["--as-of", &scenario.profile.as_of.rfc3339()]);
    let days = scenario.profile.window_days.to_string();
    whole.args(["--window-days", &days]).expect(0).await?;
    expected.check(&scenario.database).await?;
    for (unit, read) in [("prompt_performance", 12_020), ("kpi_history", 12_000)] {
        let found: i64 = scenario
            .database
            .value(&format!(
                "SELECT CAST(SUM(\"read\") AS BIGINT) FROM \"backstitch_partition\" WHERE \"unit\" = '{unit}' AND \"pass\" = 1"
            ))
            .await?;
        ensure!(found == read, "{unit} read {found} rows instead of {read}");
    }
    let status = scenario.cli(&["status"])?.expect(0).await?;
    status.expect_named(&["12,020", "12,000"])?;
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await
}

/// Each tenant has hundreds of places for a KPI: were they read, 15 bad deals would be few.
async fn rows_that_are_computed_do_not(backend: Backend) -> Result<()> {
    let scenario = campaigns_alone(backend).await?;
    let at = Value::Moment(scenario.profile.since());
    let deals = (0..15).map(|number| {
        vec![
            Value::Text(format!("d{number}")),
            Value::Text(format!("t{number}")),
            Value::Text("new".into()),
            Value::Text("ClosedWon".into()),
            Value::Double(f64::INFINITY),
            at.clone(),
            at.clone(),
        ]
    });
    let deals = Table {
        name: "Deal",
        columns: &[
            "id", "tenantId", "kind", "stage", "acv", "openedAt", "closedAt",
        ],
        rows: deals.collect(),
    };
    insert(&scenario.database, &deals).await?;
    let outcome = run(&scenario)?.expect(3).await?;
    outcome.expect_named(&["kpi_history", "--max-bad"])?;
    scenario.verify_journal().await
}
