//! Executions in the campaigns' metadata, expanded by the database, so that a campaign of any size is read in pages.

use sea_orm::{DbErr, QueryResult};

use super::task::{self, Task};
use super::{NOT_A_TIME, OUTSIDE, due};
use crate::backend::Dialect;
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::source::{self, BYTES, Keyset, PAGE_BYTES, Source};
use crate::unit::{Item, MAX_VALUE_BYTES, Page, Range};

/// Campaigns that are expanded at first; how many then, their yield tells.
const FIRST_CAMPAIGNS: usize = 8;

/// Rows of the metadata section: a campaign with n tasks gives n, one without gives one; cursor [campaign, ordinal].
///
/// A few campaigns are expanded at a time: a database that sorts what it has expanded (SQLite does) would otherwise
/// expand the whole range for every page.
pub(super) async fn read(
    source: &Source,
    range: &Range,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut page = Page::new(after);
    let mut campaigns = FIRST_CAMPAIGNS;
    let mut seen = 0;
    while page.items.len() < limit && !page.last && !page.is_heavy() {
        let room = limit - page.items.len();
        let new = expand(source, range, &mut page, campaigns, room).await?;
        seen += new.campaigns;
        // Each campaign but the cursor's gives at least a row, so fewer of them than were asked for are the last, unless
        // it was for their bytes, or their tasks', that there are no more.
        page.last = page.items.len() < limit
            && new.campaigns < campaigns
            && new.stored < PAGE_BYTES
            && !page.is_heavy();
        let wanted = seen.max(1) * (limit - page.items.len()) / page.items.len().max(1);
        campaigns = wanted.clamp(FIRST_CAMPAIGNS, limit.max(FIRST_CAMPAIGNS));
    }
    Ok(page)
}

/// The campaigns beside the cursor's that an expansion met.
#[derive(Default)]
struct Met {
    campaigns: usize,
    /// What their metadata takes on disk.
    stored: i64,
}

/// Adds up to `room` rows of the next campaigns to a page.
async fn expand(
    source: &Source,
    range: &Range,
    page: &mut Page,
    campaigns: usize,
    room: usize,
) -> Result<Met> {
    let after = page.to.clone();
    let after = after.as_ref();
    let mut keyset = Keyset::inclusive("c.\"id\"", range, after);
    let condition = keyset.condition();
    let page_limit = keyset.bind(i64::try_from(room).unwrap_or(i64::MAX));
    // The cursor's campaign may have tasks left, or none: it comes on top.
    let campaigns = keyset.bind(i64::try_from(campaigns + 1).unwrap_or(i64::MAX));
    let due = due(source, &mut keyset);
    let rest = match after.map(Vec::as_slice) {
        Some([id, ordinal]) => {
            let id = keyset.bind(id.as_str());
            let ordinal = keyset.bind(ordinal.parse().unwrap_or(i64::MAX));
            format!("(c.\"id\" > {id} OR COALESCE({{ordinal}}, 0) > {ordinal})")
        }
        _ => "TRUE".into(),
    };
    // The cursor's campaign weighs nothing: it may have no rows left, and the next must come along with it.
    let weighs = match after.and_then(|cursor| cursor.first()) {
        Some(id) => format!("c.\"due\" AND c.\"id\" <> {}", keyset.bind(id.as_str())),
        None => "c.\"due\"".into(),
    };
    let created = source.dialect().millis("c.\"createdAt\"");
    let keys = format!(
        "SELECT c.\"id\", c.\"due\", c.\"dated\", CASE WHEN {weighs} THEN {stored} ELSE 0 END AS \"{BYTES}\" \
         FROM (SELECT c.\"id\", c.\"metadata\", {due} AS \"due\", {created} IS NOT NULL AS \"dated\" \
            FROM \"Campaign\" c WHERE {condition}) c ORDER BY c.\"id\" LIMIT {campaigns}",
        stored = source.dialect().stored("c.\"metadata\""),
    );
    let from = format!(
        "FROM ({}) k JOIN \"Campaign\" c ON c.\"id\" = k.\"id\" ORDER BY c.\"id\" LIMIT {campaigns}",
        source::bounded(&keys, "\"id\"")
    );
    // The campaign's tasks are taken out once a campaign, in the inner query, and made text once a task.
    let tasks = match source.dialect() {
        Dialect::Postgres => format!(
            "SELECT c.\"id\", c.\"tenantId\", c.\"due\", c.\"dated\", c.\"stored\", jsonb_typeof(c.\"tasks\") AS \"type\", \
                COALESCE(t.\"ordinal\", 0) AS \"ordinal\", jsonb_typeof(t.\"task\") AS \"task_type\", \
                CASE WHEN pg_column_size(t.\"task\") <= {bytes} THEN CAST(t.\"task\" AS TEXT) END AS \"task\" \
             FROM (SELECT c.\"id\", c.\"tenantId\", k.\"due\", k.\"dated\", k.\"{BYTES}\" AS \"stored\", \
                    CASE WHEN k.\"due\" THEN c.\"metadata\" -> 'agentTasks' END AS \"tasks\" \
                {from}) c \
             LEFT JOIN LATERAL jsonb_array_elements( \
                CASE WHEN jsonb_typeof(c.\"tasks\") = 'array' THEN c.\"tasks\" ELSE '[]' END) \
                WITH ORDINALITY t (\"task\", \"ordinal\") ON TRUE \
             WHERE {rest} ORDER BY c.\"id\", COALESCE(t.\"ordinal\", 0) LIMIT {page_limit}",
            bytes = 2 * MAX_VALUE_BYTES,
            rest = rest.replace("{ordinal}", "t.\"ordinal\""),
        ),
        Dialect::Sqlite => format!(
            "SELECT c.\"id\", c.\"tenantId\", c.\"due\", c.\"dated\", c.\"stored\", c.\"type\", \
                COALESCE(t.\"key\" + 1, 0) AS \"ordinal\", t.\"type\" AS \"task_type\", \
                CASE WHEN t.\"type\" = 'object' AND octet_length(t.\"value\") <= {bytes} THEN t.\"value\" END AS \"task\" \
             FROM (SELECT c.\"id\", c.\"tenantId\", k.\"due\", k.\"dated\", k.\"{BYTES}\" AS \"stored\", \
                    CASE WHEN NOT k.\"due\" OR c.\"metadata\" IS NULL THEN NULL \
                        WHEN json_valid(c.\"metadata\") THEN json_type(c.\"metadata\", '$.agentTasks') \
                        ELSE 'no JSON' END AS \"type\", \
                    CASE WHEN k.\"due\" AND json_valid(c.\"metadata\") \
                        THEN c.\"metadata\" -> '$.agentTasks' END AS \"tasks\" \
                {from}) c \
             LEFT JOIN json_each(CASE WHEN c.\"type\" = 'array' THEN c.\"tasks\" END) t \
             WHERE {rest} ORDER BY c.\"id\", COALESCE(t.\"key\" + 1, 0) LIMIT {page_limit}",
            bytes = 2 * MAX_VALUE_BYTES,
            rest = rest.replace("{ordinal}", "t.\"key\" + 1"),
        ),
    };
    let weighed = format!(
        "SELECT t.*, COALESCE({bytes}, 0) AS \"{BYTES}\" FROM ({tasks}) t",
        bytes = source.dialect().bytes("t.\"task\""),
    );
    let sql = format!(
        "SELECT r.* FROM ({}) r ORDER BY r.\"id\", r.\"ordinal\"",
        source::bounded(&weighed, "\"id\", \"ordinal\"")
    );
    let doing = "reading Campaign";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let mut last = after.and_then(|cursor| cursor.first()).cloned();
    let mut met = Met::default();
    for row in &rows {
        page.weigh(row).doing(doing)?;
        let (cursor, item) = item(row, source).doing(doing)?;
        if cursor.first() != last.as_ref() {
            last = cursor.first().cloned();
            met.campaigns += 1;
            met.stored += row.try_get::<i64>("", "stored").doing(doing)?;
        }
        page.push(cursor, item);
    }
    Ok(met)
}

fn item(row: &QueryResult, source: &Source) -> Result<(Cursor, Item), DbErr> {
    let campaign: String = row.try_get("", "id")?;
    let due: bool = row.try_get("", "due")?;
    let kind: Option<String> = row.try_get("", "type")?;
    let ordinal: i64 = row.try_get("", "ordinal")?;
    let task_kind: Option<String> = row.try_get("", "task_type")?;
    let is_dated: bool = row.try_get("", "dated")?;
    let task = source::text(row, "task")?;
    let cursor = vec![campaign.clone(), ordinal.to_string()];
    let bad = |key: String, reason: &str| Item::Bad {
        key,
        reason: reason.to_owned(),
    };
    if !is_dated {
        return Ok((cursor, bad(campaign, NOT_A_TIME)));
    }
    if !due {
        return Ok((cursor, Item::Skip(OUTSIDE)));
    }
    let tenant = match source::text(row, "tenantId")? {
        Ok(tenant) => tenant.unwrap_or_default(),
        Err(reason) => return Ok((cursor, bad(campaign, reason))),
    };
    let key = format!("{campaign}/agentTasks");
    let item = match (kind.as_deref(), task_kind.as_deref()) {
        (None | Some("null"), _) | (Some("array"), None) => Item::Skip("no agent tasks"),
        (Some("no JSON"), _) => bad(campaign, "metadata is not JSON"),
        (Some("array"), Some("object")) => {
            let key = format!("{key}/{}", ordinal - 1);
            match task {
                Ok(Some(task)) if task.len() <= MAX_VALUE_BYTES => {
                    let task = Task::parse(&task, source.as_of);
                    let event = |task: Task, key| task.event(key, &campaign, &tenant);
                    task::item(source, task, key, event)
                }
                Ok(_) => bad(key, "the task is over 1 MiB"),
                Err(reason) => bad(key, reason),
            }
        }
        (Some("array"), Some(_)) => bad(
            format!("{key}/{}", ordinal - 1),
            "the task is not an object",
        ),
        (Some(_), _) => bad(key, "agentTasks is neither an array nor null"),
    };
    Ok((cursor, item))
}

/// Tasks a campaign has on average, from a few of them; at least one, as one without still counts as read.
pub(super) async fn tasks_per_campaign(source: &Source) -> Result<i64> {
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
         FROM (SELECT {length} AS \"tasks\" FROM \"Campaign\" c LIMIT 100) s"
    );
    let doing = "sampling Campaign";
    let rows = source.all(doing, &sql, []).await?;
    let tasks = rows.first().map_or(Ok(1), |row| row.try_get("", "tasks"));
    tasks.doing(doing)
}
