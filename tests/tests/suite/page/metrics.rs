//! What Prometheus reads: in its own words, and the same numbers as the database holds.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::metrics::Scrape;
use tests::prometheus::Prometheus;
use tests::scenario::Scenario;
use tests::service::get;

use super::show;

on_both!(they_are_what_the_database_holds);

/// Units with a destination of their own, and that.
const WRITTEN: [(&str, &str); 4] = [
    ("intelligence_event", "IntelligenceEvent"),
    ("prompt_performance", "PromptPerformance"),
    ("kpi_history", "KPIHistory"),
    ("agent_feedback", "AgentFeedback"),
];

pub(crate) async fn they_are_what_the_database_holds(backend: Backend) -> Result<()> {
    let profile = Profile {
        without: Vec::new(),
        ..Profile::odd(backend, 1_621)
    };
    let scenario = Scenario::load(&profile).await?;
    // A pace makes it hold for nothing, but a pause does.
    scenario.run()?.expect(0).await?;
    let shown = show(scenario.cli(&["serve", "--addr", "127.0.0.1:0"])?).await?;
    let (status, text) = get(shown.address, "/metrics")?;
    ensure!(status == 200, "{status}: {text}");
    let scrape = Scrape::parse(&text).with_context(|| text.clone())?;
    let rows = |count: i64| f64::from(i32::try_from(count).unwrap_or(i32::MAX));
    let is = |name: &str, labels: &[(&str, &str)], count: i64| -> Result<()> {
        let sum = scrape.sum(name, labels);
        ensure!(
            (sum - rows(count)).abs() < 0.5,
            "{name} {labels:?} is {sum} and not {count}"
        );
        Ok(())
    };
    for (unit, table) in WRITTEN {
        let unit = [("unit", unit)];
        is(
            "backstitch_rows_written_total",
            &unit,
            scenario.database.count(table).await?,
        )?;
        is(
            "backstitch_batches_total",
            &unit,
            journal::events(&scenario.database, "BatchCommitted", Some(unit[0].1)).await?,
        )?;
        is(
            "backstitch_batch_seconds_count",
            &unit,
            journal::events(&scenario.database, "BatchCommitted", Some(unit[0].1)).await?,
        )?;
        is(
            "backstitch_rows_bad_total",
            &unit,
            journal::events(&scenario.database, "RowQuarantined", Some(unit[0].1)).await?,
        )?;
    }
    is("backstitch_run_state", &[("state", "completed")], 1)?;
    is("backstitch_run_state", &[], 1)?;
    is("backstitch_workers", &[("state", "stopped")], 1)?;
    is("backstitch_journal_up", &[], 1)?;
    let of_run = "SELECT COUNT(*) FROM backstitch_journal WHERE run <> 'runbook'";
    is(
        "backstitch_journal_events_total",
        &[],
        scenario.database.value(of_run).await?,
    )?;
    ensure!(
        scrape.sum("backstitch_batch_seconds_sum", &[]) > 0.0,
        "batches took no time"
    );
    if backend == Backend::Postgres {
        let size = "SELECT pg_total_relation_size('backstitch_journal')";
        is(
            "backstitch_journal_disk_bytes",
            &[("table", "backstitch_journal")],
            scenario.database.value(size).await?,
        )?;
    }

    // Dashboard and rules ask for nothing that is not there.
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/deploy");
    for file in ["grafana.json", "alerts.yaml"] {
        let text = std::fs::read_to_string(deploy.join(file))?;
        let names = metrics(&text);
        ensure!(names.len() > 5, "{file} asks for {names:?}");
        for name in names {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let is_there = [Some(name.as_str()), family]
                .into_iter()
                .flatten()
                .any(|name| scrape.families.contains_key(name));
            ensure!(is_there, "{file} asks for {name}, which nobody tells");
        }
    }

    // Prometheus itself takes it.
    let server = Prometheus::start(shown.address)?;
    server.wait_for("up%3D%3D1").await?;
    server
        .wait_for("sum(backstitch_rows_written_total)%3E0")
        .await?;
    server
        .wait_for("histogram_quantile(0.95,sum+by(le)(backstitch_batch_seconds_bucket))%3E0")
        .await?;
    drop(server);
    shown.running.signal("INT")?;
    shown.running.wait().await?.expect(130)?;
    Ok(())
}

/// The metrics that a text names.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split(|character| !is_word(character))
        .filter(|word| word.starts_with("backstitch_"))
        .map(str::to_owned)
        .collect()
}
