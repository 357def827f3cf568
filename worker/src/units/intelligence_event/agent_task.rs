//! Executions that were kept as rows of `AgentTask`.

use sea_orm::{DbErr, QueryResult};

use super::task::{self, Optional, Task};
use super::{OUTSIDE, due};
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::source::{Keyset, Source};
use crate::unit::{Item, Page, Range};

/// Rows of the `AgentTask` section; cursor [campaign, id].
pub(super) async fn read(
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
        let (cursor, item) = item(row, source).doing(doing)?;
        page.push(cursor, item);
    }
    page.end(rows.len(), keyset.limit());
    Ok(page)
}

fn item(row: &QueryResult, source: &Source) -> Result<(Cursor, Item), DbErr> {
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
