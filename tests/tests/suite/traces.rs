//! Traces for OpenTelemetry: what a run did, as spans; a collector that is not there is no trouble.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use tests::collector::Collector;
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::json::Json;
use tests::scenario::Scenario;

on_both!(every_batch_is_a_span);

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// A span, as it was sent.
struct Span {
    name: String,
    id: String,
    parent: Option<String>,
    attributes: BTreeMap<String, String>,
}

fn items<'a>(value: &'a Json, key: &str) -> &'a [Json] {
    match value.get(key) {
        Some(Json::Array(items)) => items,
        _ => &[],
    }
}

fn text(value: &Json, key: &str) -> Option<String> {
    match value.get(key) {
        Some(Json::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Attributes by name, their values as they are spelt.
fn attributes(of: &Json) -> BTreeMap<String, String> {
    let pair = |attribute: &Json| {
        let value = match attribute.get("value")? {
            Json::Object(one) => one.values().next()?.clone(),
            other => other.clone(),
        };
        let value = match value {
            Json::Text(text) => text,
            other => other.to_string(),
        };
        Some((text(attribute, "key")?, value))
    };
    items(of, "attributes").iter().filter_map(pair).collect()
}

async fn every_batch_is_a_span(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 1_701)).await?;
    let collector = Collector::start()?;
    let run = scenario.run_without_migrating()?;
    let run = run.args(["--batch-rows", "20"]);
    run.env(ENDPOINT, collector.endpoint()).expect(0).await?;

    let mut spans = Vec::new();
    for (path, document) in collector.sent()? {
        ensure!(path == "/v1/traces", "{path}");
        for resource in items(&document, "resourceSpans") {
            let own = attributes(resource.get("resource").context("a resource")?);
            ensure!(
                own.get("service.name").map(String::as_str) == Some("backstitch"),
                "{own:?}"
            );
            for scope in items(resource, "scopeSpans") {
                for span in items(scope, "spans") {
                    spans.push(Span {
                        name: text(span, "name").context("a name")?,
                        id: text(span, "spanId").context("an id")?,
                        parent: text(span, "parentSpanId").filter(|parent| !parent.is_empty()),
                        attributes: attributes(span),
                    });
                }
            }
        }
    }
    let of = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let committed = journal::events(&scenario.database, "BatchCommitted", None).await?;
    // One that another worker had in hand meanwhile was tried and is none of them.
    let batches = i64::try_from(of("batch").count())?;
    ensure!(
        batches >= committed,
        "{batches} spans of {committed} batches"
    );
    let partitions: BTreeMap<&str, &Span> = of("partition")
        .map(|span| (span.id.as_str(), span))
        .collect();
    let run: String = scenario
        .database
        .value("SELECT run FROM backstitch_journal WHERE kind = 'RunStarted'")
        .await?;
    let mut streams = BTreeSet::new();
    for batch in of("batch").chain(of("read")) {
        let parent = batch
            .parent
            .as_deref()
            .and_then(|parent| partitions.get(parent));
        let told = &parent
            .with_context(|| format!("whose {} is it", batch.name))?
            .attributes;
        ensure!(
            told.get("run") == Some(&run) && told.contains_key("unit"),
            "{told:?}"
        );
        streams.insert(told.get("partition").context("its stream")?.clone());
    }
    let known = "SELECT DISTINCT stream FROM backstitch_journal WHERE kind = 'BatchCommitted'";
    let known: BTreeSet<String> = scenario.database.texts(known).await?.into_iter().collect();
    ensure!(streams == known, "{streams:?} against {known:?}");
    let numbered = of("batch").all(|batch| {
        batch.attributes.contains_key("batch") && batch.attributes.contains_key("rows")
    });
    ensure!(numbered);
    Ok(())
}

/// Nobody listens there: the run ends as ever, and says nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_gone_is_no_trouble() -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(Backend::Sqlite, 1_702)).await?;
    let run = scenario.run_without_migrating()?;
    let outcome = run.env(ENDPOINT, "http://127.0.0.1:1").expect(0).await?;
    ensure!(!outcome.stderr.contains("127.0.0.1:1"), "{outcome}");
    scenario.verify_journal().await
}
