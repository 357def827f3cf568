//! `intelligence_event`: one event for each agent execution, from three sources in order of precedence: the
//! campaigns' metadata, the `AgentTask` rows, the log files. An execution that is reported twice has one id, so the
//! first report wins and the others meet it.

mod log;
mod task;

use std::sync::Mutex;

use async_trait::async_trait;
use sea_orm::{DbErr, QueryResult};

use self::log::Reader;
use self::task::{Optional, Task};
use super::{Spec, table};
use crate::backend::{Dialect, quote};
use crate::core::event::{Cursor, Input};
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{Keyset, Source, ranges};
use crate::unit::{Cell, Item, MAX_VALUE_BYTES, Page, Range, Row, SourceTable, Unit};

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

    async fn split(&self, source: &Source, section: usize, parts: u32) -> Result<Vec<Range>> {
        match section {
            METADATA => {
                let mut ranges = source.split("Campaign", "id", parts).await?;
                let tasks = tasks_per_campaign(source).await?;
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
            METADATA => read_metadata(source, range, after, limit).await,
            AGENT_TASK if source.has("AgentTask") => {
                read_agent_tasks(source, range, after, limit).await
            }
            AGENT_TASK => Ok(Page {
                last: true,
                ..Page::new(after)
            }),
            _ => log::read(source, &self.logs, &self.reader, after, limit).await,
        }
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

/// Rows of the metadata section: a campaign with n tasks gives n, one without gives one; cursor [campaign, ordinal].
async fn read_metadata(
    source: &Source,
    range: &Range,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let mut keyset = Keyset::inclusive("c.\"id\"", range, after);
    let condition = keyset.condition();
    let page_limit = keyset.bind_limit(limit);
    // The cursor's campaign may have no task left, every other one gives at least a row: with one campaign more than
    // the page has rows, a page that is not full is the range's last.
    let campaigns = keyset.bind(i64::from(limit) + 1);
    let due = due(source, &mut keyset);
    let rest = match after.map(Vec::as_slice) {
        Some([id, ordinal]) => {
            let id = keyset.bind(id.as_str());
            let ordinal = keyset.bind(ordinal.parse().unwrap_or(i64::MAX));
            format!("(c.\"id\" > {id} OR COALESCE({{ordinal}}, 0) > {ordinal})")
        }
        _ => "TRUE".into(),
    };
    // The campaign's tasks are taken out once a campaign, in the inner query; the limit on it bounds how many
    // campaigns a page looks at, the outer one how many tasks.
    let sql = match source.dialect() {
        Dialect::Postgres => format!(
            "SELECT c.\"id\", c.\"tenantId\", c.\"due\", jsonb_typeof(c.\"tasks\") AS \"type\", \
                COALESCE(t.\"ordinal\", 0) AS \"ordinal\", jsonb_typeof(t.\"task\") AS \"task_type\", \
                CASE WHEN pg_column_size(t.\"task\") <= {bytes} THEN CAST(t.\"task\" AS TEXT) END AS \"task\" \
             FROM (SELECT c.\"id\", c.\"tenantId\", c.\"due\", \
                    CASE WHEN c.\"due\" THEN c.\"metadata\" -> 'agentTasks' END AS \"tasks\" \
                FROM (SELECT c.*, {due} AS \"due\" FROM \"Campaign\" c WHERE {condition}) c \
                ORDER BY c.\"id\" LIMIT {campaigns}) c \
             LEFT JOIN LATERAL jsonb_array_elements( \
                CASE WHEN jsonb_typeof(c.\"tasks\") = 'array' THEN c.\"tasks\" ELSE '[]' END) \
                WITH ORDINALITY t (\"task\", \"ordinal\") ON TRUE \
             WHERE {rest} ORDER BY c.\"id\", COALESCE(t.\"ordinal\", 0) LIMIT {page_limit}",
            bytes = 2 * MAX_VALUE_BYTES,
            rest = rest.replace("{ordinal}", "t.\"ordinal\""),
        ),
        Dialect::Sqlite => format!(
            "SELECT c.\"id\", c.\"tenantId\", c.\"due\", c.\"type\", \
                COALESCE(t.\"key\" + 1, 0) AS \"ordinal\", t.\"type\" AS \"task_type\", \
                CASE WHEN t.\"type\" = 'object' AND length(t.\"value\") <= {bytes} THEN t.\"value\" END AS \"task\" \
             FROM (SELECT c.\"id\", c.\"tenantId\", c.\"due\", \
                    CASE WHEN NOT c.\"due\" OR c.\"metadata\" IS NULL THEN NULL \
                        WHEN json_valid(c.\"metadata\") THEN json_type(c.\"metadata\", '$.agentTasks') \
                        ELSE 'no JSON' END AS \"type\", \
                    CASE WHEN c.\"due\" AND json_valid(c.\"metadata\") \
                        THEN c.\"metadata\" -> '$.agentTasks' END AS \"tasks\" \
                FROM (SELECT c.*, {due} AS \"due\" FROM \"Campaign\" c WHERE {condition}) c \
                ORDER BY c.\"id\" LIMIT {campaigns}) c \
             LEFT JOIN json_each(CASE WHEN c.\"type\" = 'array' THEN c.\"tasks\" END) t \
             WHERE {rest} ORDER BY c.\"id\", COALESCE(t.\"key\" + 1, 0) LIMIT {page_limit}",
            bytes = 2 * MAX_VALUE_BYTES,
            rest = rest.replace("{ordinal}", "t.\"key\" + 1"),
        ),
    };
    let doing = "reading Campaign";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let mut page = Page::new(after);
    for row in &rows {
        let (cursor, item) = metadata_item(row, source).doing(doing)?;
        page.push(cursor, item);
    }
    page.end(rows.len(), keyset.limit());
    Ok(page)
}

fn metadata_item(row: &QueryResult, source: &Source) -> Result<(Cursor, Item), DbErr> {
    let campaign: String = row.try_get("", "id")?;
    let tenant: String = row.try_get("", "tenantId")?;
    let due: bool = row.try_get("", "due")?;
    let kind: Option<String> = row.try_get("", "type")?;
    let ordinal: i64 = row.try_get("", "ordinal")?;
    let task_kind: Option<String> = row.try_get("", "task_type")?;
    let task: Option<String> = row.try_get("", "task")?;
    let cursor = vec![campaign.clone(), ordinal.to_string()];
    let bad = |key: String, reason: &str| Item::Bad {
        key,
        reason: reason.to_owned(),
    };
    let key = format!("{campaign}/agentTasks");
    let item = match (due, kind.as_deref(), task_kind.as_deref()) {
        (false, _, _) => Item::Skip(OUTSIDE),
        (true, None | Some("null"), _) | (true, Some("array"), None) => {
            Item::Skip("no agent tasks")
        }
        (true, Some("no JSON"), _) => bad(campaign, "metadata is not JSON"),
        (true, Some("array"), Some("object")) => {
            let key = format!("{key}/{}", ordinal - 1);
            match task {
                Some(task) if task.len() <= MAX_VALUE_BYTES => {
                    let task = Task::parse(&task, source.as_of);
                    let event = |task: Task, key| task.event(key, &campaign, &tenant);
                    task::item(source, task, key, event)
                }
                _ => bad(key, "the task is over 1 MiB"),
            }
        }
        (true, Some("array"), Some(_)) => bad(
            format!("{key}/{}", ordinal - 1),
            "the task is not an object",
        ),
        (true, Some(_), _) => bad(key, "agentTasks is neither an array nor null"),
    };
    Ok((cursor, item))
}

/// Rows of the `AgentTask` section; cursor [campaign, id].
async fn read_agent_tasks(
    source: &Source,
    range: &Range,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let mut keyset = Keyset::inclusive("a.\"campaignId\"", range, after);
    if let Some([campaign, id]) = after.map(Vec::as_slice) {
        let campaign = keyset.bind(campaign.as_str());
        let id = keyset.bind(id.as_str());
        keyset.and(format!(
            "(a.\"campaignId\" > {campaign} OR a.\"id\" > {id})"
        ));
    }
    let condition = keyset.condition();
    let page_limit = keyset.bind_limit(limit);
    let due = due(source, &mut keyset);
    let sql = format!(
        "SELECT a.\"id\", a.\"campaignId\", a.\"assetId\", COALESCE(a.\"agentId\", a.\"agentType\") AS \"agent\", \
            a.\"status\", CAST(a.\"tokensIn\" AS BIGINT) AS \"tokensIn\", \
            CAST(a.\"tokensOut\" AS BIGINT) AS \"tokensOut\", CAST(a.\"latencyMs\" AS BIGINT) AS \"latencyMs\", \
            a.\"model\", CAST(a.\"costUsd\" AS TEXT) AS \"cost\", {completed} AS \"completed\", \
            c.\"tenantId\", {due} AS \"due\" \
         FROM (SELECT a.* FROM \"AgentTask\" a WHERE {condition} \
            ORDER BY a.\"campaignId\", a.\"id\" LIMIT {page_limit}) a \
         LEFT JOIN \"Campaign\" c ON c.\"id\" = a.\"campaignId\" ORDER BY a.\"campaignId\", a.\"id\"",
        completed = source
            .dialect()
            .millis("COALESCE(a.\"completedAt\", a.\"createdAt\")"),
    );
    let doing = "reading AgentTask";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let mut page = Page::new(after);
    for row in &rows {
        let (cursor, item) = agent_task_item(row, source).doing(doing)?;
        page.push(cursor, item);
    }
    page.end(rows.len(), keyset.limit());
    Ok(page)
}

fn agent_task_item(row: &QueryResult, source: &Source) -> Result<(Cursor, Item), DbErr> {
    let id: String = row.try_get("", "id")?;
    let campaign: String = row.try_get("", "campaignId")?;
    let status: String = row.try_get("", "status")?;
    let due: bool = row.try_get("", "due")?;
    let cursor = vec![campaign.clone(), id.clone()];
    if !matches!(status.as_str(), "done" | "error") {
        return Ok((cursor, Item::Skip("execution not finished")));
    }
    let source_key = format!("AgentTask/{id}");
    let Some(tenant) = row.try_get::<Option<String>>("", "tenantId")? else {
        let item = Item::Bad {
            key: source_key,
            reason: "there is no such campaign".into(),
        };
        return Ok((cursor, item));
    };
    if !due {
        return Ok((cursor, Item::Skip(OUTSIDE)));
    }
    let task = Task::checked(
        Task {
            agent: row.try_get("", "agent")?,
            asset: row.try_get("", "assetId")?,
            completed_at: row
                .try_get::<Option<i64>>("", "completed")?
                .unwrap_or(i64::MAX),
            success: status == "done",
            duration: Optional::number(row.try_get::<i64>("", "latencyMs")?),
            tokens_in: Optional::number(row.try_get::<i64>("", "tokensIn")?),
            tokens_out: Optional::number(row.try_get::<i64>("", "tokensOut")?),
            cost: Optional::number(row.try_get::<String>("", "cost")?),
            model: row.try_get("", "model")?,
        },
        source.as_of,
    );
    let event = |task: Task, key| task.event(key, &campaign, &tenant);
    let item = task::item(source, task, source_key, event);
    Ok((cursor, item))
}

/// The condition that campaign `c` lies in the window.
fn due(source: &Source, keyset: &mut Keyset) -> String {
    let since = keyset.bind(source.since());
    let as_of = keyset.bind(source.as_of);
    let created = source.dialect().millis("c.\"createdAt\"");
    format!("COALESCE({created} BETWEEN {since} AND {as_of}, FALSE)")
}

/// Tasks a campaign has on average, from a few of them; at least one, as one without still counts as read.
async fn tasks_per_campaign(source: &Source) -> Result<i64> {
    let length = match source.dialect() {
        Dialect::Postgres => {
            "CASE WHEN jsonb_typeof(c.\"metadata\" -> 'agentTasks') = 'array' \
             THEN jsonb_array_length(c.\"metadata\" -> 'agentTasks') ELSE 0 END"
        }
        Dialect::Sqlite => {
            "CASE WHEN json_valid(c.\"metadata\") \
             THEN COALESCE(json_array_length(c.\"metadata\", '$.agentTasks'), 0) ELSE 0 END"
        }
    };
    let sql = format!(
        "SELECT CAST(COALESCE(avg(CASE WHEN s.\"tasks\" > 1 THEN s.\"tasks\" ELSE 1 END), 1) AS BIGINT) \
            AS \"tasks\" \
         FROM (SELECT {length} AS \"tasks\" FROM {} c LIMIT 100) s",
        quote("Campaign")
    );
    let doing = "sampling Campaign";
    let rows = source.all(doing, &sql, []).await?;
    let tasks = rows.first().map_or(Ok(1), |row| row.try_get("", "tasks"));
    tasks.doing(doing)
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
        }
    }
}
