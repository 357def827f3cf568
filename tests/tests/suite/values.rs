//! Values that a source may hold though its schema says otherwise: none stops a run, each is set aside under its key.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::moment::Moment;
use tests::scenario::Scenario;

on_both!(
    dates_that_are_no_instants,
    columns_that_a_live_schema_has_besides,
    a_tenant_over_a_mebibyte,
);

pub(crate) const AT: &str = "2025-11-01 00:00:00.000";
pub(crate) const TASK: &str =
    r#"{"agentId":"a","completedAt":"2025-11-01T00:00:00Z","success":true}"#;

/// An empty source; rows are to be inserted by hand.
pub(crate) async fn empty(backend: Backend) -> Result<Scenario> {
    let database = Database::create(backend).await?;
    database.create_source_schema(&[]).await?;
    let profile = Profile {
        as_of: Moment::parse_rfc3339("2025-11-04T10:00:00Z").expect("an instant"),
        window_days: 90,
        ..Profile::odd(backend, 1)
    };
    Ok(Scenario::around(database, &profile))
}

/// A campaign; id and tenant are SQL.
pub(crate) async fn campaign(
    scenario: &Scenario,
    id: &str,
    tenant: &str,
    metadata: &str,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO \"Campaign\" (\"id\", \"tenantId\", \"name\", \"metadata\", \"createdAt\", \"updatedAt\") \
         VALUES ({id}, {tenant}, 'n', '{metadata}', '{AT}', '{AT}')"
    );
    scenario.database.execute(&sql).await?;
    Ok(())
}

pub(crate) async fn insert(scenario: &Scenario, rows: &[(&str, &str)]) -> Result<()> {
    for (table, values) in rows {
        let values = values.replace("AT", &format!("'{AT}'"));
        let sql = format!("INSERT INTO \"{table}\" VALUES ({values})");
        scenario.database.execute(&sql).await?;
    }
    Ok(())
}

/// Fails unless exactly these rows were set aside, each `unit key`.
pub(crate) async fn expect_aside(scenario: &Scenario, expected: &[&str]) -> Result<()> {
    let sql = "SELECT unit || ' ' || key FROM backstitch_journal WHERE kind = 'RowQuarantined'";
    let found = scenario.database.texts(sql).await?;
    let expected: BTreeSet<_> = expected.iter().map(|line| (*line).to_owned()).collect();
    let distinct: BTreeSet<_> = found.iter().cloned().collect();
    ensure!(
        distinct == expected && found.len() == expected.len(),
        "set aside were {found:#?}, expected {expected:#?}"
    );
    Ok(())
}

pub(crate) async fn expect_sound(scenario: &Scenario) -> Result<()> {
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.verify_journal().await?;
    let before = scenario.state().await?;
    scenario.run()?.expect(0).await?;
    scenario.expect_state(&before).await
}

async fn dates_that_are_no_instants(backend: Backend) -> Result<()> {
    let scenario = empty(backend).await?;
    campaign(&scenario, "'c1'", "'t1'", "{}").await?;
    let dates = match backend {
        Backend::Postgres => ["infinity", "-infinity"],
        Backend::Sqlite => ["garbage", "now"],
    };
    insert(&scenario, &[("Asset", "'a', 'c1', 'image', AT")]).await?;
    for (number, date) in dates.into_iter().enumerate() {
        for (table, values) in [
            ("Deal", "'ID', 't1', 'new', 'ClosedWon', 5, AT, 'DATE'"),
            (
                "KpiSnapshot",
                "'ID', 't1', 'nps', 1, '7d', NULL, NULL, 'DATE'",
            ),
            (
                "PublishJob",
                "'pID', 'a', 'p', 'posted', 7, 1, 0, 'DATE', AT",
            ),
            (
                "PublishJob",
                "'cID', 'a', 'p', 'posted', 7, 1, 0, NULL, 'DATE'",
            ),
            (
                "UserFeedback",
                "'ID', 'Copy', 't', 'human', 3, NULL, NULL, 'DATE', 'u'",
            ),
        ] {
            let values = values
                .replace("ID", &number.to_string())
                .replace("DATE", date);
            insert(&scenario, &[(table, &values)]).await?;
        }
    }
    // One that is not closed has no date, and is not bad.
    let open = "'open', 't1', 'new', 'Demo', 5, AT, NULL";
    insert(&scenario, &[("Deal", open)]).await?;
    scenario.run()?.expect(0).await?;
    let mut aside = Vec::new();
    for number in 0..2 {
        aside.push(format!("agent_feedback {number}"));
        aside.push(format!("kpi_history Deal/{number}"));
        aside.push(format!("kpi_history KpiSnapshot/{number}"));
        aside.push(format!("kpi_history PublishJob/p{number}"));
        aside.push(format!("kpi_history PublishJob/c{number}"));
    }
    let aside: Vec<_> = aside.iter().map(String::as_str).collect();
    expect_aside(&scenario, &aside).await?;
    expect_sound(&scenario).await
}

/// Columns of names that a query might use itself, and integers that are wider than the contract's.
async fn columns_that_a_live_schema_has_besides(backend: Backend) -> Result<()> {
    let scenario = empty(backend).await?;
    let mut changes = String::new();
    for (table, columns) in [
        (
            "Campaign",
            &["due", "dated", "bytes", "stored", "ordinal"][..],
        ),
        ("Deal", &["closed", "tenant", "large"]),
        ("PublishJob", &["at", "day", "bad", "tenant", "is_bad"]),
        ("KpiSnapshot", &["captured", "tenant", "large", "before"]),
        ("AgentTask", &["agent", "due", "bytes", "completed"]),
        ("UserFeedback", &["created", "large", "bytes"]),
    ] {
        for column in columns {
            write!(
                changes,
                "ALTER TABLE \"{table}\" ADD COLUMN \"{column}\" TEXT;"
            )?;
        }
    }
    if backend == Backend::Postgres {
        for (table, columns) in [
            ("PublishJob", &["impressions", "clicks", "conversions"][..]),
            ("AgentTask", &["tokensIn", "tokensOut", "latencyMs"]),
            ("UserFeedback", &["rating"]),
        ] {
            for column in columns {
                write!(
                    changes,
                    "ALTER TABLE \"{table}\" ALTER COLUMN \"{column}\" TYPE BIGINT;"
                )?;
            }
        }
    }
    for change in changes.split_terminator(';') {
        scenario.database.execute(change).await?;
    }
    campaign(
        &scenario,
        "'c1'",
        "'t1'",
        &format!("{{\"prompt\":\"p\",\"agentTasks\":[{TASK}]}}"),
    )
    .await?;
    let many = |values: &str, columns: usize| format!("{values}{}", ", 'besides'".repeat(columns));
    for (table, values, columns) in [
        ("Asset", "'a', 'c1', 'image', AT", 0),
        (
            "PublishJob",
            "'j1', 'a', 'p', 'posted', 5000000000, 1, 0, NULL, AT",
            5,
        ),
        (
            "PublishJob",
            "'j2', 'a', 'p', 'posted', 10, 1, 0, NULL, AT",
            5,
        ),
        ("Deal", "'d', 't1', 'new', 'ClosedWon', 5, AT, AT", 3),
        (
            "KpiSnapshot",
            "'s', 't1', 'win_rate', 7, '7d', NULL, NULL, AT",
            4,
        ),
        (
            "UserFeedback",
            "'f', 'Copy', 't', 'human', 5000000000, NULL, NULL, AT, 'u'",
            3,
        ),
        (
            "AgentTask",
            "'t', 'c1', NULL, NULL, 'Copy', 'done', 5000000000, 1, 1, 'm', 0.5, NULL, AT, NULL",
            4,
        ),
    ] {
        insert(&scenario, &[(table, &many(values, columns))]).await?;
    }
    scenario.run()?.expect(0).await?;
    expect_aside(
        &scenario,
        &[
            "prompt_performance PublishJob/j1",
            "kpi_history PublishJob/j1",
            "agent_feedback f",
        ],
    )
    .await?;
    let events = scenario.database.count("IntelligenceEvent").await?;
    ensure!(events == 2, "{events} events instead of 2");
    let value: f64 = scenario
        .database
        .value("SELECT \"metricValue\" FROM \"KPIHistory\" WHERE \"metricName\" = 'win_rate' AND \"period\" = '7d' AND \"createdAt\" = '2025-11-01 00:00:00.000'")
        .await?;
    ensure!(value == 7.0, "the snapshot took no place: {value}");
    expect_sound(&scenario).await
}

async fn a_tenant_over_a_mebibyte(backend: Backend) -> Result<()> {
    let scenario = empty(backend).await?;
    let tenant = format!("'{}'", "t".repeat(1_048_577));
    campaign(
        &scenario,
        "'c1'",
        &tenant,
        &format!("{{\"agentTasks\":[{TASK}]}}"),
    )
    .await?;
    campaign(
        &scenario,
        "'c2'",
        "'t2'",
        &format!("{{\"agentTasks\":[{TASK}]}}"),
    )
    .await?;
    let row = format!("'s', {tenant}, 'nps', 1, '7d', NULL, NULL, AT");
    insert(&scenario, &[("KpiSnapshot", &row)]).await?;
    scenario.run()?.expect(0).await?;
    for (unit, rows) in [("intelligence_event", 1), ("kpi_history", 2)] {
        let aside =
            tests::journal::events(&scenario.database, "RowQuarantined", Some(unit)).await?;
        ensure!(
            aside == rows,
            "{unit} set {aside} rows aside instead of {rows}"
        );
    }
    let events = scenario.database.count("IntelligenceEvent").await?;
    ensure!(events == 1, "{events} events instead of 1");
    expect_sound(&scenario).await
}

/// What a task takes as JSONB says little about its text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_are_larger_or_smaller_as_jsonb() -> Result<()> {
    let scenario = empty(Backend::Postgres).await?;
    let with = |trace: String| TASK.replacen('{', &format!("{{\"trace\":[{trace}],"), 1);
    let ones = with(vec!["1"; 200_000].join(","));
    let short = with(vec!["1e10000"; 400].join(","));
    let metadata = format!("{{\"agentTasks\":[{ones},{short}]}}");
    campaign(&scenario, "'c1'", "'t1'", &metadata).await?;
    scenario.run()?.expect(0).await?;
    expect_aside(&scenario, &["intelligence_event c1/agentTasks/1"]).await?;
    let events = scenario.database.count("IntelligenceEvent").await?;
    ensure!(events == 1, "{events} events instead of 1");
    expect_sound(&scenario).await
}

/// A key that is no Unicode, which JSONB would not hold, is one that nobody named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_no_unicode() -> Result<()> {
    let scenario = empty(Backend::Sqlite).await?;
    let task = TASK.replacen('{', "{\"\\ud800\":1,", 1);
    campaign(
        &scenario,
        "'c1'",
        "'t1'",
        &format!("{{\"agentTasks\":[{task}]}}"),
    )
    .await?;
    scenario.run()?.expect(0).await?;
    expect_aside(&scenario, &[]).await?;
    let events = scenario.database.count("IntelligenceEvent").await?;
    ensure!(events == 1, "{events} events instead of 1");
    let table: String = scenario
        .database
        .value("SELECT sql FROM sqlite_master WHERE name = 'PromptPerformance'")
        .await?;
    ensure!(
        table.contains("PromptPerformance_campaignId_fkey"),
        "{table}"
    );
    Ok(())
}
