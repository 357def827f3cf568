//! SQLite holds any value in any column: each that is of another type than its column's is set aside.

use anyhow::{Result, ensure};
use tests::database::Backend;
use tests::scratch;

use crate::values::{AT, TASK, campaign, empty, expect_aside, insert};

/// Small batches, so that a page ends behind each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_another_type() -> Result<()> {
    let mut scenario = empty(Backend::Sqlite).await?;
    let tasks = format!("{{\"agentTasks\":[{TASK},{TASK}]}}");
    campaign(&scenario, "'c1'", "'t1'", &tasks).await?;
    campaign(&scenario, "'c2'", "X'7878'", &tasks).await?;
    campaign(&scenario, "X'FFFE'", "'t1'", &tasks).await?;
    campaign(&scenario, "X'FFFF'", "'t1'", &tasks).await?;
    campaign(&scenario, "CAST(X'C328' AS TEXT)", "'t1'", &tasks).await?;
    campaign(&scenario, "'hex-text:C328'", "'t1'", &tasks).await?;
    let deal = "'t1', 'new', 'ClosedWon'";
    insert(
        &scenario,
        &[
            ("Asset", "'a', 'c1', 'image', AT"),
            (
                "PublishJob",
                "'j1', 'a', 'p', 'posted', 1.5, 1, 0, NULL, AT",
            ),
            (
                "PublishJob",
                "'j2', 'a', 'p', 'posted', 1, 'abc', 0, NULL, AT",
            ),
            ("PublishJob", "'j3', 'a', 'p', 'posted', 7, 1, 0, NULL, AT"),
            ("Deal", &format!("'d1', {deal}, 'abc', AT, AT")),
            ("Deal", "'d2', 't1', X'6E6577', 'ClosedWon', 5, AT, AT"),
            ("Deal", "'d3', X'7878', 'new', 'ClosedWon', 5, AT, AT"),
            ("Deal", &format!("X'FF', {deal}, 5, AT, AT")),
            ("Deal", &format!("'d4', {deal}, 1200, AT, AT")),
            (
                "KpiSnapshot",
                "'s1', 't1', 'nps', 'abc', '7d', NULL, NULL, AT",
            ),
            ("KpiSnapshot", "'s2', 't1', X'6E', 1, '7d', NULL, NULL, AT"),
            ("KpiSnapshot", "'s3', 't1', 'nps', 1, '7d', X'78', NULL, AT"),
            (
                "KpiSnapshot",
                "'s4', 't1', 'nps', 1, '7d', NULL, CAST(X'22FF22' AS TEXT), AT",
            ),
            (
                "KpiSnapshot",
                "'s5', X'7878', 'nps', 1, '7d', NULL, NULL, AT",
            ),
            (
                "KpiSnapshot",
                "'s6', X'7878', 'win_rate', 1, '7d', NULL, NULL, AT",
            ),
            (
                "KpiSnapshot",
                "'s7', 't1', 'win_rate', 'abc', '14d', NULL, NULL, AT",
            ),
            ("KpiSnapshot", "X'FF', 't1', 'nps', 1, '7d', NULL, NULL, AT"),
            ("KpiSnapshot", "'s8', 't1', 'nps', 1, '7d', NULL, NULL, AT"),
            (
                "UserFeedback",
                "'f1', 'Copy', 't', 'human', 3, X'FF', NULL, AT, 'u'",
            ),
            (
                "UserFeedback",
                "'f2', 'Copy', 't', 'human', 'good', NULL, NULL, AT, 'u'",
            ),
            (
                "UserFeedback",
                "X'FE', 'Copy', 't', 'human', 3, NULL, NULL, AT, 'u'",
            ),
            (
                "UserFeedback",
                "X'FF', 'Copy', 't', 'human', 3, NULL, NULL, AT, 'u'",
            ),
            (
                "UserFeedback",
                "'f3', 'Copy', 't', 'human', 3, NULL, NULL, AT, 'u'",
            ),
        ],
    )
    .await?;
    for (id, tokens, cost) in [
        ("'t1'", "1", "'\"s\"'"),
        ("'t2'", "1", "'{\"x\":1}'"),
        ("'t3'", "1", "'null'"),
        ("'t4'", "'many'", "1"),
        ("CAST(X'FF' AS TEXT)", "1", "1"),
        ("'t5'", "1", "0.5"),
    ] {
        let sql = format!(
            "INSERT INTO \"AgentTask\" (\"id\", \"campaignId\", \"agentType\", \"status\", \"tokensIn\", \"costUsd\", \
             \"model\", \"createdAt\") VALUES ({id}, 'c1', {id}, 'done', {tokens}, {cost}, 'm', '{AT}')"
        );
        scenario.database.execute(&sql).await?;
    }
    let log = scratch::folder("log")?.join("drain.ndjson");
    let line = |campaign: &str| {
        format!(
            "{{\"message\":{}}}\n",
            TASK.replacen('{', &format!("{{\"campaignId\":\"{campaign}\","), 1)
        )
    };
    std::fs::write(&log, line("c2") + &line("c\\u0000") + &line("c1"))?;
    scenario.logs.push(log.clone());
    let small = scenario
        .run()?
        .args(["--batch-rows", "1", "--partitions", "3"]);
    small.expect(0).await?;
    let lines = [1, 2].map(|number| format!("intelligence_event {}:{number}", log.display()));
    expect_aside(
        &scenario,
        &[
            "campaign_prompt hex:FFFE",
            "campaign_prompt hex:FFFF",
            "campaign_prompt hex:C328",
            "intelligence_event c2",
            "intelligence_event hex:FFFE",
            "intelligence_event hex:FFFF",
            "intelligence_event hex:C328",
            "intelligence_event AgentTask/t1",
            "intelligence_event AgentTask/t2",
            "intelligence_event AgentTask/t3",
            "intelligence_event AgentTask/t4",
            "intelligence_event AgentTask/hex:FF",
            &lines[0],
            &lines[1],
            "prompt_performance PublishJob/j1",
            "prompt_performance PublishJob/j2",
            "kpi_history PublishJob/j1",
            "kpi_history PublishJob/j2",
            "kpi_history Deal/d1",
            "kpi_history Deal/d2",
            "kpi_history Deal/hex:FF",
            "kpi_history tenant hex:7878",
            "kpi_history KpiSnapshot/s1",
            "kpi_history KpiSnapshot/s2",
            "kpi_history KpiSnapshot/s3",
            "kpi_history KpiSnapshot/s4",
            "kpi_history KpiSnapshot/s5",
            "kpi_history KpiSnapshot/s6",
            "kpi_history KpiSnapshot/s7",
            "kpi_history KpiSnapshot/hex:FF",
            "agent_feedback f1",
            "agent_feedback f2",
            "agent_feedback hex:FE",
            "agent_feedback hex:FF",
        ],
    )
    .await?;
    // The next run finds nothing more to write.
    for _ in 0..2 {
        for (table, rows) in [
            // One of each campaign whose id is text, and the row of `AgentTask`; the log repeats the first.
            ("IntelligenceEvent", 3),
            ("PromptPerformance", 1),
            ("AgentFeedback", 1),
        ] {
            let found = scenario.database.count(table).await?;
            ensure!(found == rows, "{found} rows of {table} instead of {rows}");
        }
        scenario.cli(&["validate"])?.expect(0).await?;
        scenario.verify_journal().await?;
        scenario.run()?.expect(0).await?;
    }
    Ok(())
}
