//! Executions in the campaigns' metadata, expanded by the database, so that a campaign of any size is read in pages.

use sea_orm::{DbErr, QueryResult};

use super::task::{self, Task};
use super::{OUTSIDE, due};
use crate::backend::Dialect;
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::source::{Keyset, Source};
use crate::unit::{Item, MAX_VALUE_BYTES, Page, Range};

/// Rows of the metadata section: a campaign with n tasks gives n, one without gives one; cursor [campaign, ordinal].
pub(super) async fn read(
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
        let (cursor, item) = item(row, source).doing(doing)?;
        page.push(cursor, item);
    }
    page.end(rows.len(), keyset.limit());
    Ok(page)
}

fn item(row: &QueryResult, source: &Source) -> Result<(Cursor, Item), DbErr> {
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
