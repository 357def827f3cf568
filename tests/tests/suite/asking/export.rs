//! Which events a filter takes, and how they are written.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tests::database::Backend;
use tests::scenario::Scenario;

use super::feedback;
use crate::deep::{load, plain_feedback};

on_both!(filters_are_combined, csv_is_what_is_stored);

/// With a row that is told from all others, a bad one, and one whose key a spreadsheet would compute.
async fn migrated(backend: Backend, seed: u64) -> Result<Scenario> {
    let scenario = load(backend, seed).await?;
    plain_feedback(&scenario).await?;
    let at = scenario.profile.as_of.stored();
    for (id, rating) in [("sick", 9), ("=1+2,\"3\"", 9)] {
        let sql = format!(
            "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
             \"createdBy\") VALUES ('{id}', 'Copy', 't', 'human', {rating}, '{at}', 'u')"
        );
        scenario.database.execute(&sql).await?;
    }
    let mark = "UPDATE \"UserFeedback\" SET \"comment\" = 'marked' WHERE \"id\" = 'plain-4'";
    ensure!(scenario.database.execute(mark).await? == 1);
    scenario
        .run()?
        .args(["--batch-rows", "3"])
        .expect(0)
        .await?;
    Ok(scenario)
}

/// The lines of `journal show --json` with these options.
async fn shown(scenario: &Scenario, options: &[&str]) -> Result<Vec<Value>> {
    let arguments = [&["journal", "show", "--json", "--limit", "100000"], options].concat();
    let outcome = scenario.cli(&arguments)?.expect(0).await?;
    let lines = outcome.stdout.lines();
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

async fn filters_are_combined(backend: Backend) -> Result<()> {
    let scenario = migrated(backend, 1_111).await?;
    let all = shown(&scenario, &[]).await?;
    let middle = all[all.len() / 2]["at"].as_i64().context("a time")?;
    let middle_text = instant(&scenario, middle).await?;
    let worker = all.iter().find(|event| event["kind"] == "WorkerStarted");
    let worker = worker
        .and_then(|event| event["worker"].as_str())
        .context("a worker")?;
    let until = shown(&scenario, &["--until", &middle_text]).await?;
    let since = shown(&scenario, &["--since", &middle_text]).await?;
    ensure!(!until.is_empty() && !since.is_empty());
    ensure!(
        until
            .iter()
            .all(|event| event["at"].as_i64() < Some(middle))
    );
    ensure!(
        since
            .iter()
            .all(|event| event["at"].as_i64() >= Some(middle))
    );
    ensure!(until.len() + since.len() == all.len());
    let both = [
        "--worker",
        worker,
        "--unit",
        "agent_feedback",
        "--kind",
        "batchcommitted",
    ];
    let both = shown(&scenario, &both).await?;
    let wanted: Vec<_> = all
        .iter()
        .filter(|event| {
            event["worker"] == worker
                && event["unit"] == "agent_feedback"
                && event["kind"] == "BatchCommitted"
        })
        .cloned()
        .collect();
    ensure!(!both.is_empty() && both == wanted);
    ensure!(shown(&scenario, &["--worker", "nobody"]).await?.is_empty());

    // A source row that was set aside; a row that a batch wrote, and what became of it.
    let aside = shown(&scenario, &["--key", "sick"]).await?;
    ensure!(
        aside.len() == 1 && aside[0]["kind"] == "RowQuarantined",
        "{aside:?}"
    );
    let key = feedback(&scenario, "marked").await?;
    let wrote = shown(&scenario, &["--key", &key]).await?;
    ensure!(
        wrote.len() == 1 && wrote[0]["kind"] == "BatchCommitted",
        "{wrote:?}"
    );
    ensure!(
        shown(&scenario, &["--key", &key, "--kind", "RowQuarantined"])
            .await?
            .is_empty()
    );
    let following = [
        "journal", "show", "--follow", "--json", "--key", &key, "--limit", "1",
    ];
    let mut following = scenario.cli(&following)?.spawn()?;
    let rollback = ["rollback", "--yes", "--reason", "a test"];
    scenario.cli(&rollback)?.expect(0).await?;
    let about = shown(&scenario, &["--key", &key]).await?;
    let kinds: Vec<_> = about.iter().map(|event| event["kind"].clone()).collect();
    ensure!(kinds == ["BatchCommitted", "BatchUndone"], "{kinds:?}");
    ensure!(about[1]["payload"]["batch"] == about[0]["seq"], "{about:?}");

    // Who follows is told of it too, and nothing else.
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(4)).await;
    ensure!(following.is_alive()?, "it ended by itself");
    following.signal("INT")?;
    let outcome = following.wait().await?.expect(130)?;
    let lines: Vec<_> = outcome.stdout.lines().collect();
    if began.elapsed() > Duration::from_secs(90) {
        bail!("it did not end");
    }
    let followed: Result<Vec<Value>> = lines
        .iter()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect();
    ensure!(followed? == about, "{outcome}");
    Ok(())
}

/// An instant as the command line takes it.
pub(super) async fn instant(scenario: &Scenario, millis: i64) -> Result<String> {
    let sql = match scenario.database.backend {
        Backend::Sqlite => format!(
            "SELECT strftime('%Y-%m-%dT%H:%M:', {millis} / 1000, 'unixepoch') || printf('%06.3fZ', ({millis} % 60000) / 1000.0)"
        ),
        Backend::Postgres => format!(
            "SELECT to_char(to_timestamp({millis} / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        ),
    };
    scenario.database.value(&sql).await
}

/// Reads CSV as RFC 4180 has it.
fn records(text: &str) -> Result<Vec<Vec<String>>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut signs = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(sign) = signs.next() {
        match (sign, is_quoted) {
            ('"', true) if signs.next_if_eq(&'"').is_some() => field.push('"'),
            ('"', _) => is_quoted = !is_quoted,
            (',', false) => record.push(std::mem::take(&mut field)),
            ('\r', false) => {
                ensure!(signs.next() == Some('\n'), "a line ends with CR and LF");
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            ('\n', false) => bail!("a line ends with CR and LF"),
            (sign, _) => field.push(sign),
        }
    }
    ensure!(
        !is_quoted && record.is_empty() && field.is_empty(),
        "it ends midway"
    );
    Ok(records)
}

async fn csv_is_what_is_stored(backend: Backend) -> Result<()> {
    let scenario = migrated(backend, 1_113).await?;
    let exported = scenario.cli(&["journal", "export", "--format", "csv"])?;
    let exported = records(&exported.expect(0).await?.stdout)?;
    let lines = scenario
        .cli(&["journal", "export"])?
        .expect(0)
        .await?
        .stdout;
    let columns = exported.first().context("a header")?.clone();
    let mut events = 0;
    for (record, line) in exported[1..].iter().zip(lines.lines()) {
        let event: Value = serde_json::from_str(line)?;
        let fields = event.as_object().context("an object")?;
        ensure!(columns.len() == fields.len() && record.len() == columns.len());
        for (column, found) in columns.iter().zip(record) {
            let stored = match &fields[column] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            ensure!(
                *found == stored,
                "{column}: {found:?} rather than {stored:?}"
            );
        }
        events += 1;
    }
    let stored: i64 = scenario.database.count("backstitch_journal").await?;
    ensure!(i64::try_from(events)? == stored && exported.len() == events + 1);
    // As it is stored, whatever a spreadsheet makes of it; and filtered as ever.
    let aside = [
        "journal",
        "export",
        "--format",
        "csv",
        "--kind",
        "RowQuarantined",
        "--key",
        "=1+2,\"3\"",
    ];
    let aside = records(&scenario.cli(&aside)?.expect(0).await?.stdout)?;
    let place = columns
        .iter()
        .position(|name| name == "key")
        .context("a key")?;
    ensure!(
        aside.len() == 2 && aside[1][place] == "=1+2,\"3\"",
        "{aside:?}"
    );
    Ok(())
}
