//! The gate opens where every target was met in every sample, and nowhere else; what it saw stands in the journal.

mod sources;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::json::Json;
use tests::process::{self, Invocation, Outcome, Running};
use tests::prometheus::Prometheus;
use tests::scratch;
use tests::service::{Behaviour, Service};

use super::tamper::unlocked;

on_both!(a_killed_or_interrupted_watch_is_no_proof);

const LATENCY: &str =
    "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5s])))";
const ERRORS: &str = "(sum(rate(http_requests_total{status=~\"5..\"}[5s])) or vector(0)) / sum(rate(http_requests_total[5s]))";
const HITS: &str = "sum(rate(cache_hits_total[5s])) / (sum(rate(cache_hits_total[5s])) + sum(rate(cache_misses_total[5s])))";

/// A database with a schema, a service, and a folder for a file of targets.
struct Ground {
    database: Database,
    service: Service,
    file: PathBuf,
}

impl Ground {
    async fn make(backend: Backend) -> Result<Self> {
        let database = Database::create(backend).await?;
        database.create_source_schema(&[]).await?;
        let ground = Self {
            database,
            service: Service::start()?,
            file: scratch::folder("slo")?.join("slo.toml"),
        };
        ground.cli(&["schema", "up"])?.expect(0).await?;
        Ok(ground)
    }

    /// Writes the file of targets: staging for so long, sampled so often.
    fn targets(&self, length: &str, every: &str, rest: &str) -> Result<()> {
        let head = format!("every = \"{every}\"\n[environment.staging]\nfor = \"{length}\"\n");
        Ok(std::fs::write(&self.file, head + rest)?)
    }

    fn probe(&self, statistic: &str, limit: &str) -> String {
        format!(
            "[[target]]\nname = \"probe-{statistic}\"\nsource = \"probe\"\nurl = \"http://{}/health\"\nrequests = 1\n\
             timeout = \"2s\"\nstatistic = \"{statistic}\"\nbelow = \"{limit}\"\n",
            self.service.address()
        )
    }

    fn cli(&self, arguments: &[&str]) -> Result<Invocation> {
        Ok(process::program("cli", &self.database.url)?.args(arguments))
    }

    fn gate(&self, command: &str) -> Result<Invocation> {
        let file = self.file.to_str().context("a path")?;
        self.cli(&["gate", command, "--file", file])
    }

    fn watch(&self) -> Result<Invocation> {
        Ok(self.gate("watch")?.args(["--environment", "staging"]))
    }

    /// The payloads of a kind of event, oldest first.
    async fn events(&self, kind: &str) -> Result<Vec<Json>> {
        let sql = format!(
            "SELECT payload FROM backstitch_journal WHERE kind = '{kind}' ORDER BY position"
        );
        let payloads = self.database.texts(&sql).await?;
        let parse = |text: &String| Json::parse(text).map_err(anyhow::Error::msg);
        payloads.iter().map(parse).collect()
    }
}

/// Waits until a watch has told a sample, so that what comes now comes in its midst.
async fn sampled(ground: &Ground, running: &mut Running) -> Result<()> {
    while !tests::journal::exists(&ground.database).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = ground.events("GateSampled").await?.len();
    while ground.events("GateSampled").await?.len() == before {
        ensure!(running.is_alive()?, "it ended too early");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Fails unless it is closed because of these targets, and no others.
async fn closed(ground: &Ground, outcome: Outcome, targets: &[&str], words: &[&str]) -> Result<()> {
    let outcome = outcome.expect(3)?;
    outcome.expect_named(words)?;
    let judged = ground.events("GateJudged").await?;
    let judged = judged.last().context("a verdict")?;
    ensure!(judged.get("open") == Some(&Json::Bool(false)), "{judged}");
    let Some(Json::Object(found)) = judged.get("targets") else {
        anyhow::bail!("no targets in {judged}");
    };
    let missed = found
        .iter()
        .filter(|(_, target)| target.get("met") != Some(&Json::Bool(true)));
    let missed: Vec<_> = missed.map(|(name, _)| name.as_str()).collect();
    ensure!(
        missed == targets,
        "{missed:?} in place of {targets:?}: {outcome}"
    );
    Ok(())
}

fn server(prometheus: &Prometheus) -> String {
    let target = |name: &str, query: &str, limit: &str| {
        format!(
            "[[target]]\nname = \"{name}\"\nsource = \"prometheus\"\nquery = '{query}'\n{limit}\n"
        )
    };
    format!(
        "[prometheus]\nurl = \"{}\"\nmax_age = \"20s\"\n{}{}{}",
        prometheus.url(),
        target("api-p95", LATENCY, "below = \"500 ms\""),
        target("cache-hits", HITS, "above = \"85 %\""),
        target("error-rate", ERRORS, "below = \"1 %\"")
    )
}

/// A query as a URL has it.
fn encoded(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_are_watched_on_a_real_server() -> Result<()> {
    let ground = Ground::make(Backend::Postgres).await?;
    let mut prometheus = Prometheus::start(ground.service.address())?;
    let until = async |query: &str, condition: &str| {
        prometheus
            .wait_for(&encoded(&format!("{query} {condition}")))
            .await
    };
    let rest = format!(
        "{}{}{}",
        server(&prometheus),
        ground.probe("p95", "1 s"),
        "[[target]]\nname = \"sessions\"\nsource = \"database\"\nstatistic = \"connections\"\nbelow = \"1000 count\"\n"
    );
    ground.targets("6s", "2s", &rest)?;
    for (query, condition) in [(LATENCY, "< 0.5"), (HITS, "> 0.85"), (ERRORS, "== 0")] {
        until(query, condition).await?;
    }

    let outcome = ground.watch()?.expect(0).await?;
    outcome.expect_named(&["the gate of staging is open after 6s"])?;
    as_shown(&ground, &outcome).await?;
    ground.gate("check")?.args(["--json"]).expect(0).await?;
    // Shorter than the file asks for: noted as such, and said.
    let short = ground
        .watch()?
        .args(["--for", "2s", "--json"])
        .expect(0)
        .await?;
    short.expect_named(&["no proof for the checklist"])?;
    let document = Json::parse(&short.stdout).map_err(anyhow::Error::msg)?;
    for (key, value) in [("watched_seconds", "2"), ("required_seconds", "6")] {
        let value = Json::number(value).map_err(anyhow::Error::msg)?;
        ensure!(document.get(key) == Some(&value), "{key}: {document}");
    }

    let slow = Behaviour {
        delay: Duration::from_millis(700),
        ..Behaviour::default()
    };
    let failing = Behaviour {
        error_every: 5,
        ..Behaviour::default()
    };
    let cold = Behaviour {
        hits_of_ten: 5,
        ..Behaviour::default()
    };
    for (behaviour, query, condition, target, word) in [
        (failing, ERRORS, "> 0.1", "error-rate", "missed < 1 %"),
        (cold, HITS, "< 0.7", "cache-hits", "missed > 85 %"),
        (slow, LATENCY, "> 0.5", "api-p95", "missed < 500 ms"),
    ] {
        ground.service.behave(behaviour);
        until(query, condition).await?;
        for (other, good) in [(ERRORS, "< 0.01"), (HITS, "> 0.85"), (LATENCY, "< 0.5")] {
            if other != query {
                until(other, good).await?;
            }
        }
        let outcome = ground.watch()?.args(["--for", "4s"]).run().await?;
        closed(&ground, outcome, &[target], &[target, word]).await?;
        ground
            .gate("check")?
            .expect(3)
            .await?
            .expect_named(&[target])?;
    }
    ground.service.behave(Behaviour::default());
    until(LATENCY, "< 0.5").await?;
    odd_answers(&ground, &prometheus).await?;

    // The service stops in the midst: the rates would go on for five seconds.
    ground.targets("8s", "2s", &rest)?;
    let mut running = ground.watch()?.spawn()?;
    sampled(&ground, &mut running).await?;
    ground.service.stop();
    let outcome = running.wait().await?;
    let all = ["api-p95", "cache-hits", "error-rate", "probe-p95"];
    closed(
        &ground,
        outcome,
        &all,
        &["has a sample now", "no connection"],
    )
    .await?;

    // The server itself stops in the midst.
    let alone = server(&prometheus);
    ground.targets("6s", "2s", &format!("{alone}allow_gaps = 1\n"))?;
    let mut running = ground.watch()?.spawn()?;
    sampled(&ground, &mut running).await?;
    prometheus.stop();
    let outcome = running.wait().await?;
    closed(&ground, outcome, &all[..3], &["Prometheus: no connection"]).await?;

    // One that does not answer at the beginning is not watched at all.
    let before = ground.events("GateStarted").await?.len();
    let outcome = ground.watch()?.expect(5).await?;
    outcome.expect_clear_error()?;
    outcome.expect_named(&["target api-p95: Prometheus: no connection"])?;
    ensure!(
        ground.events("GateStarted").await?.len() == before,
        "it was begun"
    );

    ground.cli(&["journal", "verify"])?.expect(0).await?;
    let last = "DELETE FROM backstitch_journal WHERE position = (SELECT MAX(position) FROM backstitch_journal \
                WHERE kind = 'GateSampled')";
    unlocked(&ground.database, &[last]).await?;
    ground
        .cli(&["journal", "verify"])?
        .expect(3)
        .await?
        .expect_named(&["gate/"])
}

/// What is old, or is no one number, is no value.
async fn odd_answers(ground: &Ground, prometheus: &Prometheus) -> Result<()> {
    prometheus
        .wait_for(&encoded("time() - timestamp(nightly_total) > 2"))
        .await?;
    for (age, query, code, word) in [
        ("4m", "nightly_total", 0, "6 count"),
        ("2s", "nightly_total", 3, "is stale: its newest sample is"),
        ("4m", "nothing_total", 3, "the query gives no value"),
        ("4m", "0 * nightly_total / 0", 3, "NaN"),
        (
            "4m",
            "http_request_duration_seconds_bucket",
            2,
            "gives 6 series",
        ),
        (
            "4m",
            "sum(nightly_total",
            2,
            "does not understand the query",
        ),
    ] {
        let text = format!(
            "[prometheus]\nurl = \"{}/\"\nmax_age = \"{age}\"\n[[target]]\nname = \"odd\"\nsource = \"prometheus\"\n\
             query = '{query}'\nbelow = \"7 count\"\n",
            prometheus.url()
        );
        ground.targets("6s", "2s", &text)?;
        let outcome = ground.gate("check")?.expect(code).await?;
        outcome.expect_named(&["odd", word])?;
    }
    Ok(())
}

/// What was told while it was watched is what stands in the journal.
async fn as_shown(ground: &Ground, outcome: &Outcome) -> Result<()> {
    let samples = ground.events("GateSampled").await?;
    let shown: Vec<_> = outcome
        .stderr
        .lines()
        .filter(|line| line.starts_with("sample "))
        .collect();
    ensure!(samples.len() == 3 && shown.len() == 3, "{outcome}");
    for (sample, line) in samples.iter().zip(shown) {
        let values = sample.get("values").context("values")?;
        let latency = values.get("api-p95").context("a latency")?.to_string();
        let latency: f64 = latency.parse::<f64>()? * 1000.0;
        let word = line
            .split("api-p95 ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let told: f64 = word.context("a latency that is told")?.parse()?;
        ensure!(
            (told - latency).abs() <= latency / 100.0,
            "{line} in place of {sample}"
        );
    }
    Ok(())
}

async fn a_killed_or_interrupted_watch_is_no_proof(backend: Backend) -> Result<()> {
    let ground = Ground::make(backend).await?;
    ground.targets("30s", "1s", &ground.probe("error-rate", "1 %"))?;
    let mut running = ground.watch()?.spawn()?;
    sampled(&ground, &mut running).await?;
    ensure!(
        running.kill().await?.was_killed(),
        "it ended before the kill"
    );
    ensure!(
        ground.events("GateJudged").await?.is_empty(),
        "a verdict of a killed watch"
    );
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut running = ground.watch()?.spawn()?;
        sampled(&ground, &mut running).await?;
        running.signal(signal)?;
        let outcome = running.wait().await?.expect(code)?;
        outcome.expect_named(&["begins anew", "is closed", "interrupted after"])?;
    }
    let judged = ground.events("GateJudged").await?;
    ensure!(judged.len() == 2, "{judged:?}");
    for judged in judged {
        ensure!(judged.get("open") == Some(&Json::Bool(false)), "{judged}");
    }

    ground.service.behave(Behaviour {
        status: 503,
        ..Behaviour::default()
    });
    let outcome = ground.watch()?.args(["--fail-fast"]).run().await?;
    closed(
        &ground,
        outcome,
        &["probe-error-rate"],
        &["samples missed", "first miss"],
    )
    .await?;
    ground.targets("2s", "1s", &ground.probe("max", "1 s"))?;
    let outcome = ground.watch()?.run().await?;
    closed(
        &ground,
        outcome,
        &["probe-max"],
        &["status 503 in place of 200"],
    )
    .await?;
    // A slow source takes the time of the samples after it.
    ground.service.behave(Behaviour {
        health_delay: Duration::from_millis(1_500),
        ..Behaviour::default()
    });
    let outcome = ground.watch()?.run().await?;
    closed(&ground, outcome, &["probe-max"], &["2 of 2 samples"]).await?;
    ground.cli(&["journal", "verify"])?.expect(0).await?;
    Ok(())
}
