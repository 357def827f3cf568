//! What the destinations must hold: a second, naive reading of the contract, and the comparison with what is there.
//!
//! Everything is loaded into memory, nothing is clever, and nothing is shared with the worker.
//! Ids of destination rows are left out: they are the worker's to choose.

mod agent_feedback;
mod campaign_prompt;
mod intelligence_event;
mod kpi_history;
mod logs;
mod prompt_performance;
mod sources;
mod task;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::compare::{Row, differences};
use crate::database::Database;
use crate::journal;
use crate::moment::{DAY, Moment};
use crate::source::{Kind, read};

pub use sources::Sources;

/// The units, in the plan's order.
pub const UNITS: [&str; 5] = [
    "campaign_prompt",
    "intelligence_event",
    "prompt_performance",
    "kpi_history",
    "agent_feedback",
];

/// Anything longer is a bad value.
const LONGEST: usize = 1_048_576;

/// What fixes the outcome of a run, besides the source.
#[derive(Clone, Debug)]
pub struct Question {
    /// The instant that the run stands for.
    pub as_of: Moment,
    /// The instant that it stood for when it began.
    pub begun: Moment,
    /// The window's length in days.
    pub window_days: i64,
    /// The log files, in the order in which they are given.
    pub logs: Vec<PathBuf>,
}

impl Question {
    /// Whether the window holds an instant.
    #[must_use]
    pub fn holds(&self, moment: Moment) -> bool {
        moment.0 >= self.begun.0 - self.window_days * DAY && moment <= self.as_of
    }
}

/// A unit's bad rows: those that the contract names, and those about which it can be read in two ways.
#[derive(Clone, Debug, Default)]
pub struct Bad {
    /// Where each one is.
    pub certain: Vec<String>,
    /// How many more may be set aside.
    pub arguable: usize,
}

/// Everything that a run must have written.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Every table with all rows that it must hold, without their ids.
    pub rows: BTreeMap<&'static str, Vec<Row>>,
    /// The bad rows of each unit.
    pub bad: BTreeMap<&'static str, Bad>,
}

/// The columns that are compared.
const COLUMNS: [(&str, &[(&str, Kind)]); 5] = [
    ("Campaign", &[("id", Kind::Text), ("prompt", Kind::Text)]),
    (
        "IntelligenceEvent",
        &[
            ("eventType", Kind::Text),
            ("entityType", Kind::Text),
            ("entityId", Kind::Text),
            ("payload", Kind::Json),
            ("severity", Kind::Text),
            ("createdAt", Kind::Moment),
            ("tenantId", Kind::Text),
        ],
    ),
    (
        "PromptPerformance",
        &[
            ("campaignId", Kind::Text),
            ("promptText", Kind::Text),
            ("variantId", Kind::Text),
            ("impressions", Kind::Int),
            ("clicks", Kind::Int),
            ("conversions", Kind::Int),
            ("ctr", Kind::Double),
            ("cvr", Kind::Double),
            ("avgTimeOnPage", Kind::Double),
            ("bounceRate", Kind::Double),
            ("rewardScore", Kind::Double),
            ("createdAt", Kind::Moment),
            ("updatedAt", Kind::Moment),
        ],
    ),
    (
        "KPIHistory",
        &[
            ("metricName", Kind::Text),
            ("metricValue", Kind::Double),
            ("period", Kind::Text),
            ("department", Kind::Text),
            ("metadata", Kind::Json),
            ("createdAt", Kind::Moment),
            ("tenantId", Kind::Text),
        ],
    ),
    (
        "AgentFeedback",
        &[
            ("agentType", Kind::Text),
            ("taskId", Kind::Text),
            ("feedbackType", Kind::Text),
            ("rating", Kind::Int),
            ("comment", Kind::Text),
            ("actionTaken", Kind::Text),
            ("createdAt", Kind::Moment),
            ("createdBy", Kind::Text),
        ],
    ),
];

/// Works out what a run over these sources must write.
pub fn expect(sources: &Sources, question: &Question) -> Result<Expected> {
    let mut expected = Expected::default();
    let (prompts, bad) = campaign_prompt::expect(sources);
    expected.add("Campaign", "campaign_prompt", prompts.rows(), bad);
    let (events, bad) = intelligence_event::expect(sources, question)?;
    expected.add("IntelligenceEvent", "intelligence_event", events, bad);
    let (performance, bad) = prompt_performance::expect(sources, question, &prompts);
    expected.add("PromptPerformance", "prompt_performance", performance, bad);
    let (indicators, bad) = kpi_history::expect(sources, question);
    expected.add("KPIHistory", "kpi_history", indicators, bad);
    let (feedback, bad) = agent_feedback::expect(sources, question);
    expected.add("AgentFeedback", "agent_feedback", feedback, bad);
    Ok(expected)
}

impl Expected {
    fn add(&mut self, table: &'static str, unit: &'static str, rows: Vec<Row>, bad: Bad) {
        self.rows.insert(table, rows);
        self.bad.insert(unit, bad);
    }

    /// Compares destinations and quarantine with what a database holds, and fails with the first differences.
    pub async fn check(&self, database: &Database) -> Result<()> {
        let mut wrong = self.row_differences(database).await?;
        wrong.extend(self.quarantine_differences(database).await?);
        ensure!(
            wrong.is_empty(),
            "the database is not as the oracle expects:\n{}",
            wrong.join("\n")
        );
        Ok(())
    }

    /// Compares the destinations only.
    pub async fn check_rows(&self, database: &Database) -> Result<()> {
        let wrong = self.row_differences(database).await?;
        ensure!(
            wrong.is_empty(),
            "the database is not as the oracle expects:\n{}",
            wrong.join("\n")
        );
        Ok(())
    }

    async fn row_differences(&self, database: &Database) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for (table, columns) in COLUMNS {
            let found = read(database, table, columns).await?;
            let expected = self.rows.get(table).map_or(&[][..], Vec::as_slice);
            wrong.extend(differences(table, expected, &found));
        }
        Ok(wrong)
    }

    async fn quarantine_differences(&self, database: &Database) -> Result<Vec<String>> {
        let found = journal::quarantined(database).await?;
        let mut wrong = Vec::new();
        for (unit, bad) in &self.bad {
            let count = found.get(*unit).copied().unwrap_or(0);
            let least = bad.certain.len();
            if count < least || count > least + bad.arguable {
                let keys = journal::quarantined_keys(database, unit).await?;
                wrong.push(format!(
                    "{unit} set {count} rows aside, expected were {least} to {}\n  expected: {}\n  found: {}",
                    least + bad.arguable,
                    shortened(&bad.certain),
                    shortened(&keys)
                ));
            }
        }
        Ok(wrong)
    }
}

fn shortened(lines: &[String]) -> String {
    let cut: Vec<String> = lines
        .iter()
        .take(60)
        .map(|line| line.chars().take(160).collect())
        .collect();
    cut.join("\n            ")
}

/// Whether a text can be stored as it is.
fn is_sound(text: &str) -> bool {
    text.len() <= LONGEST && !text.contains('\0')
}
