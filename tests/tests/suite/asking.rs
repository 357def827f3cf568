//! Asking the journal: who wrote a row and what became of it, which events are about a key, as NDJSON and as CSV.

mod export;
mod row;
mod runs;

use anyhow::{Context, Result};
use serde_json::Value;
use tests::scenario::Scenario;

/// What a command prints as JSON.
async fn json(scenario: &Scenario, arguments: &[&str]) -> Result<Value> {
    let arguments = [arguments, &["--json"]].concat();
    let outcome = scenario.cli(&arguments)?.expect(0).await?;
    serde_json::from_str(&outcome.stdout).with_context(|| outcome.to_string())
}

/// The key of the only row of the feedback table with this comment.
async fn feedback(scenario: &Scenario, comment: &str) -> Result<String> {
    let sql = format!("SELECT \"id\" FROM \"AgentFeedback\" WHERE \"comment\" = '{comment}'");
    scenario.database.value(&sql).await
}
