//! Executions that were kept as rows of `AgentTask`.

use sea_orm::{DbErr, QueryResult};

use super::task::{self, Fault, Optional, Task};
use super::{OUTSIDE, due};
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::source::{self, BYTES, Keyset, Source};
use crate::unit::{Item, MAX_VALUE_BYTES, Page, Range};

/// The texts of variable length that are carried over, and what they are selected as.
const TEXTS: [(&str, &str); 3] = [
    ("COALESCE(a.\"agentId\", a.\"agentType\")", "agent"),
    ("a.\"assetId\"", "assetId"),
    ("a.\"model\"", "model"),
];

/// The columns that hold integers.
const INTEGERS: [&str; 3] = ["tokensIn", "tokensOut", "latencyMs"];

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
    let dialect = source.dialect();
    let weights = TEXTS.map(|(text, _)| dialect.weight(text, MAX_VALUE_BYTES));
    let larges = TEXTS.map(|(text, _)| {
        let bytes = dialect.bytes(text);
        format!("COALESCE({bytes}, 0) > {MAX_VALUE_BYTES}")
    });
    let texts = TEXTS.map(|(text, name)| {
        let bytes = dialect.bytes(text);
        format!("CASE WHEN {bytes} <= {MAX_VALUE_BYTES} THEN {text} END AS \"{name}\"")
    });
    let integers = INTEGERS.map(|name| format!("CAST(a.\"{name}\" AS BIGINT) AS \"{name}\""));
    let are_integers = INTEGERS.map(|name| dialect.is_integer(&format!("a.\"{name}\"")));
    let keys = format!(
        "SELECT a.\"id\", a.\"campaignId\", {weight} AS \"{BYTES}\" FROM \"AgentTask\" a WHERE {condition} \
         ORDER BY a.\"campaignId\", a.\"id\" LIMIT {page_limit}",
        weight = weights.join(" + "),
    );
    let sql = format!(
        "SELECT a.\"id\", a.\"campaignId\", k.\"{BYTES}\", a.\"status\", {texts}, ({large}) AS \"large\", \
            {integers}, ({are_integers}) AS \"are_integers\", \
            CAST(a.\"costUsd\" AS TEXT) AS \"cost\", {completed} AS \"completed\", \
            c.\"tenantId\", {due} AS \"due\" \
         FROM ({keys}) k JOIN \"AgentTask\" a ON a.\"id\" = k.\"id\" \
         LEFT JOIN \"Campaign\" c ON c.\"id\" = a.\"campaignId\" ORDER BY a.\"campaignId\", a.\"id\"",
        texts = texts.join(", "),
        large = larges.join(" OR "),
        integers = integers.join(", "),
        are_integers = are_integers.join(" AND "),
        completed = dialect.millis("COALESCE(a.\"completedAt\", a.\"createdAt\")"),
        keys = source::bounded(&keys, "\"campaignId\", \"id\""),
    );
    let doing = "reading AgentTask";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let mut page = Page::new(after);
    for row in &rows {
        page.weigh(row).doing(doing)?;
        let (cursor, item) = item(row, source).doing(doing)?;
        page.push(cursor, item);
    }
    page.end(rows.len(), keyset.limit());
    Ok(page)
}

fn item(row: &QueryResult, source: &Source) -> Result<(Cursor, Item), DbErr> {
    let id: String = row.try_get("", "id")?;
    let campaign: String = row.try_get("", "campaignId")?;
    let due: bool = row.try_get("", "due")?;
    let cursor = vec![campaign.clone(), id.clone()];
    let key = format!("AgentTask/{id}");
    let bad = |key, reason: &str| {
        let reason = reason.into();
        Item::Bad { key, reason }
    };
    let status = match source::text(row, "status")? {
        Ok(status) => status.unwrap_or_default(),
        Err(reason) => return Ok((cursor, bad(key, reason))),
    };
    if !matches!(status.as_str(), "done" | "error") {
        return Ok((cursor, Item::Skip("execution not finished")));
    }
    let tenant = match source::text(row, "tenantId")? {
        Ok(Some(tenant)) => tenant,
        Ok(None) => return Ok((cursor, bad(key, "there is no such campaign"))),
        Err(reason) => return Ok((cursor, bad(key, reason))),
    };
    if !due {
        return Ok((cursor, Item::Skip(OUTSIDE)));
    }
    let task = task(row, status == "done")?.and_then(|task| Task::checked(task, source.as_of));
    let event = |task: Task, key| task.event(key, &campaign, &tenant);
    Ok((cursor, task::item(source, task, key, event)))
}

/// The execution that a row holds.
fn task(row: &QueryResult, success: bool) -> Result<Result<Task, Fault>, DbErr> {
    if row.try_get::<bool>("", "large")? {
        return Ok(Err(Fault::Bad("a value is over 1 MiB")));
    }
    if !row.try_get::<bool>("", "are_integers")? {
        return Ok(Err(Fault::Bad("a count is not an integer")));
    }
    let Some(completed_at) = row.try_get("", "completed")? else {
        return Ok(Err(Fault::Bad("completedAt is not a time")));
    };
    let (duration, tokens_in, tokens_out) = (
        row.try_get::<i64>("", "latencyMs")?,
        row.try_get::<i64>("", "tokensIn")?,
        row.try_get::<i64>("", "tokensOut")?,
    );
    let texts = (
        source::text(row, "agent")?,
        source::text(row, "assetId")?,
        source::text(row, "model")?,
        source::text(row, "cost")?,
    );
    let (Ok(agent), Ok(asset), Ok(model), Ok(cost)) = texts else {
        return Ok(Err(Fault::Bad(source::NOT_TEXT)));
    };
    let (Some(agent), Some(cost)) = (agent, cost) else {
        return Ok(Err(Fault::Bad("a required value is missing")));
    };
    Ok(Ok(Task {
        agent,
        asset,
        completed_at,
        success,
        duration: Optional::number(duration),
        tokens_in: Optional::number(tokens_in),
        tokens_out: Optional::number(tokens_out),
        cost: Optional::number(cost),
        model,
    }))
}
