//! The commands that only report: they succeed, say something, speak JSON when asked to, and write nothing.

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::json::Json;
use tests::oracle::UNITS;
use tests::process;
use tests::scenario::Scenario;

on_both!(reports_after_a_run, reports_before_any_run, a_demonstration);

const REPORTS: [&[&str]; 8] = [
    &["status"],
    &["runs"],
    &["validate"],
    &["quarantine", "list"],
    &["journal", "show"],
    &["journal", "verify"],
    &["journal", "export"],
    &["schema", "status"],
];

pub(crate) async fn reports_after_a_run(backend: Backend) -> Result<()> {
    let profile = Profile {
        campaigns: 40,
        ..Profile::small(backend, 111)
    };
    let scenario = Scenario::load(&profile).await?;
    scenario.run()?.expect(0).await?;
    let (state, events) = (
        scenario.state().await?,
        scenario.database.count("backstitch_journal").await?,
    );
    for report in REPORTS {
        let outcome = scenario.cli(report)?.expect(0).await?;
        ensure!(
            !outcome.stdout.trim().is_empty(),
            "nothing was reported by {outcome}"
        );
        expect_json(
            &scenario
                .cli(&[report, &["--json"]].concat())?
                .expect(0)
                .await?
                .stdout,
        )
        .with_context(|| format!("{report:?} --json"))?;
    }
    scenario
        .cli(&["status"])?
        .expect(0)
        .await?
        .expect_named(&UNITS)?;
    scenario
        .cli(&["journal", "show", "--limit", "5"])?
        .expect(0)
        .await?;
    let filtered = [
        "journal",
        "show",
        "--unit",
        "kpi_history",
        "--kind",
        "BatchCommitted",
        "--limit",
        "5",
    ];
    scenario
        .cli(&filtered)?
        .expect(0)
        .await?
        .expect_named(&["BatchCommitted"])?;
    let exported = scenario
        .cli(&["journal", "export"])?
        .expect(0)
        .await?
        .stdout;
    ensure!(
        exported.lines().count() == usize::try_from(events)?,
        "{events} events should be exported"
    );

    scenario.expect_state(&state).await?;
    ensure!(
        scenario.database.count("backstitch_journal").await? == events,
        "a report wrote to the journal"
    );
    Ok(())
}

/// There is nothing to report yet, which is no error and no reason to make tables.
pub(crate) async fn reports_before_any_run(backend: Backend) -> Result<()> {
    let profile = Profile {
        campaigns: 5,
        large: false,
        ..Profile::odd(backend, 112)
    };
    let scenario = Scenario::load(&profile).await?;
    for report in [
        &["status"][..],
        &["runs"],
        &["journal", "show"],
        &["quarantine", "list"],
        &["schema", "status"],
    ] {
        let outcome = scenario.cli(report)?.run().await?;
        ensure!(
            matches!(outcome.code(), Some(0 | 4)),
            "exit code 0 or 4 was expected of {outcome}"
        );
    }
    ensure!(
        !tests::journal::exists(&scenario.database).await?,
        "a report made the journal's tables"
    );
    Ok(())
}

/// The volumes that the migration plan's document names.
pub(crate) async fn a_demonstration(backend: Backend) -> Result<()> {
    let database = tests::database::Database::create(backend).await?;
    process::worker(&database)?
        .args(["run", "--demo"])
        .expect(0)
        .await?;
    for (table, least, most) in [
        ("Campaign", 500, 500),
        ("PublishJob", 2000, 2000),
        ("UserFeedback", 100, 100),
        ("IntelligenceEvent", 45_000, 55_000),
        ("PromptPerformance", 100, 500),
        ("KPIHistory", 1000, 20_000),
        ("AgentFeedback", 90, 100),
    ] {
        let count = database.count(table).await?;
        ensure!(
            (least..=most).contains(&count),
            "{table} holds {count} rows, not {least} to {most}"
        );
    }
    let prompts: i64 = database
        .value("SELECT COUNT(*) FROM \"Campaign\" WHERE \"prompt\" IS NOT NULL")
        .await?;
    ensure!(prompts == 156, "{prompts} campaigns have a prompt, not 156");
    process::cli(&database)?
        .args(["journal", "verify"])
        .expect(0)
        .await?;
    process::cli(&database)?
        .args(["validate"])
        .expect(0)
        .await?;
    Ok(())
}

/// One JSON value, or one a line.
fn expect_json(text: &str) -> Result<()> {
    if Json::parse(text).is_ok() {
        return Ok(());
    }
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        Json::parse(line).map_err(|error| anyhow::anyhow!("no JSON: {error}: {line}"))?;
    }
    ensure!(!text.trim().is_empty(), "nothing was reported");
    Ok(())
}
