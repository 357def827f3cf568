//! `intelligence_event`: one event for each agent execution, from three sources in order of precedence: the
//! campaigns' metadata, the `AgentTask` rows, the log files. An execution that is reported twice has one id, so the
//! first report wins and the others meet it.

mod agent_task;
mod log;
mod metadata;
mod task;

use std::sync::Mutex;

use async_trait::async_trait;

use self::log::Reader;
use self::task::Task;
use super::{NOT_A_TIME, Spec, table};
use crate::core::event::{Cursor, Input};
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::Result;
use crate::identity;
use crate::source::{Keyset, Source, ranges};
use crate::unit::{Cell, Page, Parts, Range, Row, SourceTable, Unit};

const NAME: &str = "intelligence_event";
const OUTSIDE: &str = "campaign outside the window";
const SECTIONS: &[&str] = &["campaign metadata", "AgentTask", "log files"];
const METADATA: usize = 0;
const AGENT_TASK: usize = 1;

pub(super) struct IntelligenceEvent {
    definition: Definition,
    logs: Vec<Input>,
    /// Where the last page of the logs ended, so that the next need not skip all lines before it.
    reader: Mutex<Option<Reader>>,
}

impl IntelligenceEvent {
    pub(super) fn new(logs: Vec<Input>) -> Self {
        let definition = Spec {
            name: NAME,
            version: 1,
            summary: "writes an IntelligenceEvent for each agent execution",
            priority: "high",
            depends_on: &[],
            sections: SECTIONS,
            table: "IntelligenceEvent",
            columns: &[
                ("id", ColumnType::Text),
                ("eventType", ColumnType::Text),
                ("entityType", ColumnType::Text),
                ("entityId", ColumnType::Text),
                ("payload", ColumnType::Json),
                ("severity", ColumnType::Text),
                ("createdAt", ColumnType::Timestamp),
                ("tenantId", ColumnType::Text),
            ],
            write: Write::Insert,
        };
        Self {
            definition: definition.definition(),
            logs,
            reader: Mutex::new(None),
        }
    }
}

#[async_trait]
impl Unit for IntelligenceEvent {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn tables(&self) -> Vec<SourceTable> {
        vec![
            table(
                "Campaign",
                false,
                &["id", "tenantId", "metadata", "createdAt"],
            ),
            table(
                "AgentTask",
                true,
                &[
                    "id",
                    "campaignId",
                    "assetId",
                    "agentId",
                    "agentType",
                    "status",
                    "tokensIn",
                    "tokensOut",
                    "latencyMs",
                    "model",
                    "costUsd",
                    "createdAt",
                    "completedAt",
                ],
            ),
        ]
    }

    fn inputs(&self) -> &[Input] {
        &self.logs
    }

    async fn split(&self, source: &Source, section: usize, parts: Parts) -> Result<Vec<Range>> {
        match section {
            METADATA => {
                let tasks = metadata::tasks_per_campaign(source).await?;
                let parts = parts.holding(tasks);
                let mut ranges = source.split("Campaign", "id", parts).await?;
                for range in &mut ranges {
                    range.estimate *= tasks;
                }
                Ok(ranges)
            }
            AGENT_TASK if source.has("AgentTask") => {
                source.split("AgentTask", "campaignId", parts).await
            }
            // One part: of two reports of an execution, the first line wins.
            _ => Ok(ranges(Vec::new(), 0)),
        }
    }

    async fn read(
        &self,
        source: &Source,
        section: usize,
        range: &Range,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page> {
        match section {
            METADATA => metadata::read(source, range, after, limit).await,
            AGENT_TASK if source.has("AgentTask") => {
                agent_task::read(source, range, after, limit).await
            }
            AGENT_TASK => Ok(Page {
                last: true,
                ..Page::new(after)
            }),
            _ => log::read(source, &self.logs, &self.reader, after, limit).await,
        }
    }

    fn tenant(&self) -> Option<&str> {
        Some("t.\"tenantId\"")
    }

    fn checks(&self) -> Vec<crate::unit::Check> {
        vec![crate::unit::Check {
            counts: "future-dated events",
            is_error: true,
            note: "dated after the database's clock",
            sql: r#"SELECT count(*) AS "count" FROM "IntelligenceEvent" WHERE {millis:"createdAt"} > {now}"#,
        }]
    }
}

/// The condition that campaign `c` lies in the window.
fn due(source: &Source, keyset: &mut Keyset) -> String {
    let since = keyset.bind(source.since());
    let as_of = keyset.bind(source.as_of);
    let created = source.dialect().millis("c.\"createdAt\"");
    format!("COALESCE({created} BETWEEN {since} AND {as_of}, FALSE)")
}

impl Task {
    /// The event of an execution, by the contract's mapping.
    fn event(self, source: String, campaign: &str, tenant: &str) -> Row {
        let completed = self.completed_at.to_string();
        let key = identity::id(
            NAME,
            campaign,
            &[
                Some(self.agent.as_str()),
                self.asset.as_deref(),
                Some(&completed),
            ],
        );
        let payload = self.payload(campaign);
        let severity = if self.success { "info" } else { "high" };
        Row {
            source,
            key,
            values: vec![
                Cell::from("AgentTaskCompleted"),
                Cell::from("agent"),
                Cell::Text(self.agent),
                Cell::Json(payload),
                Cell::from(severity),
                Cell::Timestamp(self.completed_at),
                Cell::from(tenant),
            ],
            expects: None,
        }
    }
}
