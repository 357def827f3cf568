//! Executions that were kept as rows of `AgentTask`.

use sea_orm::{DbErr, QueryResult};

use super::task::{self, Fault, Optional, Task};
use super::{OUTSIDE, due};
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::source::{self, BYTES, Key, Keyset, Source, Texts};
use crate::unit::{Item, Page, Range};

/// The texts that are carried over, and what they are selected as.
const TEXTS: Texts<'_> = Texts(&[
    ("COALESCE(a.\"agentId\", a.\"agentType\")", "agent"),
    ("a.\"assetId\"", "assetId"),
    ("a.\"model\"", "model"),
    TENANT,
]);
/// The texts of the row itself.
const OWN: Texts<'_> = Texts(TEXTS.0.split_at(3).0);
const TENANT: (&str, &str) = ("c.\"tenantId\"", "tenantId");

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
        let campaign = keyset.bind_key(campaign);
        let id = keyset.bind_key(id);
        keyset.and(format!(
            "(a.\"campaignId\" > {campaign} OR a.\"id\" > {id})"
        ));
    }
    let condition = keyset.condition();
    let page_limit = keyset.bind_limit(limit);
    let due = due(source, &mut keyset);
    let dialect = source.dialect();
    let integers = INTEGERS.map(|name| format!("CAST(a.\"{name}\" AS BIGINT) AS \"{name}\""));
    let are_integers = INTEGERS.map(|name| dialect.is_integer(&format!("a.\"{name}\"")));
    let keys = format!(
        "SELECT a.\"id\", a.\"campaignId\", {weight} AS \"{BYTES}\" FROM \"AgentTask\" a WHERE {condition} \
         ORDER BY a.\"campaignId\", a.\"id\" LIMIT {page_limit}",
        weight = OWN.weight(dialect),
    );
    // Bounded twice: by the rows themselves, so that few campaigns are looked at, and with their tenants.
    let weighed = format!(
        "SELECT k.\"id\", k.\"campaignId\", k.\"{BYTES}\" + COALESCE({tenant}, 0) AS \"{BYTES}\" \
         FROM ({keys}) k LEFT JOIN \"Campaign\" c ON c.\"id\" = k.\"campaignId\"",
        tenant = Texts(&[TENANT]).weight(dialect),
        keys = source::bounded(&keys, "\"campaignId\", \"id\""),
    );
    let sql = format!(
        "SELECT a.\"id\", a.\"campaignId\", k.\"{BYTES}\", a.\"status\", {texts}, \
            {integers}, ({are_integers}) AS \"are_integers\", {is_number} AS \"is_number\", \
            CAST(a.\"costUsd\" AS TEXT) AS \"cost\", {completed} AS \"completed\", \
            c.\"id\" IS NOT NULL AS \"present\", {due} AS \"due\" \
         FROM ({keys}) k JOIN \"AgentTask\" a ON a.\"id\" = k.\"id\" \
         LEFT JOIN \"Campaign\" c ON c.\"id\" = a.\"campaignId\" ORDER BY a.\"campaignId\", a.\"id\"",
        texts = TEXTS.select(dialect),
        is_number = dialect.is_number("a.\"costUsd\""),
        integers = integers.join(", "),
        are_integers = are_integers.join(" AND "),
        completed = dialect.millis("COALESCE(a.\"completedAt\", a.\"createdAt\")"),
        keys = source::bounded(&weighed, "\"campaignId\", \"id\""),
    );
    let doing = "reading AgentTask";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let mut page = Page::new(after);
    for row in &rows {
        page.weigh(row).doing(doing)?;
        let id = source::key(row, "id").doing(doing)?;
        let campaign = source::key(row, "campaignId").doing(doing)?;
        let item = item(row, &id, &campaign, source).doing(doing)?;
        page.push(vec![campaign.cursor, id.cursor], item);
    }
    page.end(rows.len(), keyset.limit());
    Ok(page)
}

fn item(row: &QueryResult, id: &Key, campaign: &Key, source: &Source) -> Result<Item, DbErr> {
    let key = format!("AgentTask/{}", id.shown);
    let bad = |reason: &str| {
        let (key, reason) = (key.clone(), reason.into());
        Ok(Item::Bad { key, reason })
    };
    let status = match source::required(row, "status")? {
        Ok(status) => status,
        Err(reason) => return bad(reason),
    };
    if !matches!(status.as_str(), "done" | "error") {
        return Ok(Item::Skip("execution not finished"));
    }
    if !row.try_get::<bool>("", "present")? {
        return bad("there is no such campaign");
    }
    if !row.try_get::<bool>("", "due")? {
        return Ok(Item::Skip(OUTSIDE));
    }
    let campaign = match (&id.text, &campaign.text) {
        (Ok(_), Ok(campaign)) => campaign,
        (Err(reason), _) | (_, Err(reason)) => return bad(reason),
    };
    if let Some(reason) = TEXTS.fault(row)? {
        return bad(reason);
    }
    let tenant = match source::required(row, "tenantId")? {
        Ok(tenant) => tenant,
        Err(reason) => return bad(reason),
    };
    let task = task(row, status == "done")?.and_then(|task| Task::checked(task, source.as_of));
    let event = |task: Task, key| task.event(key, campaign, &tenant);
    Ok(task::item(source, task, key, event))
}

/// The execution that a row holds; its texts have no fault.
fn task(row: &QueryResult, success: bool) -> Result<Result<Task, Fault>, DbErr> {
    if !row.try_get::<bool>("", "are_integers")? {
        return Ok(Err(Fault::Bad("a count is not an integer")));
    }
    if !row.try_get::<bool>("", "is_number")? {
        return Ok(Err(Fault::Bad("costUsd is not a number")));
    }
    let Some(completed_at) = row.try_get("", "completed")? else {
        return Ok(Err(Fault::Bad("completedAt is not a time")));
    };
    let number = |name: &str| row.try_get::<Option<i64>>("", name);
    let (duration, tokens_in, tokens_out) = (
        number("latencyMs")?,
        number("tokensIn")?,
        number("tokensOut")?,
    );
    let (agent, cost): (Option<String>, Option<String>) =
        (row.try_get("", "agent")?, row.try_get("", "cost")?);
    let (Some(agent), Some(cost), Some(duration), Some(tokens_in), Some(tokens_out)) =
        (agent, cost, duration, tokens_in, tokens_out)
    else {
        return Ok(Err(Fault::Bad("a required value is missing")));
    };
    Ok(Ok(Task {
        agent,
        asset: row.try_get("", "assetId")?,
        completed_at,
        success,
        duration: Optional::number(duration),
        tokens_in: Optional::number(tokens_in),
        tokens_out: Optional::number(tokens_out),
        cost: Optional::number(cost),
        model: row.try_get("", "model")?,
    }))
}
