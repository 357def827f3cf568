//! Executions in the campaigns' metadata, expanded by the database, so that a campaign of any size is read in pages.

use sea_orm::{DbErr, QueryResult};

use super::task::{self, Task};
use super::{NOT_A_TIME, OUTSIDE, due};
use crate::backend::Dialect;
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::source::{self, BYTES, Key, Keyset, PAGE_BYTES, Source, TOO_LARGE, Texts};
use crate::unit::{Item, MAX_VALUE_BYTES, Page, Range};

/// What a task of no more than 1 MiB may take as JSONB: `1, ` becomes an entry and a number of 12 bytes. One that takes
/// more is never made text.
const MAX_JSONB_BYTES: usize = 6 * MAX_VALUE_BYTES;

const TENANT: Texts<'_> = Texts(&[("c.\"tenantId\"", "tenantId")]);

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
    // How many of a campaign's tasks the cursor has passed, and what is left of the campaign.
    let (passed, rest) = match after.map(Vec::as_slice) {
        Some([id, ordinal]) => {
            let id = keyset.bind_key(id);
            let ordinal = keyset.bind(ordinal.parse().unwrap_or(i64::from(i32::MAX)));
            (
                format!("CASE WHEN c.\"id\" > {id} THEN 0 ELSE {ordinal} END"),
                format!("(c.\"id\" > {id} OR COALESCE({{ordinal}}, 0) > {ordinal})"),
            )
        }
        _ => ("0".into(), "TRUE".into()),
    };
    // The cursor's campaign weighs nothing: it may have no rows left, and the next must come along with it.
    let weighs = match after.and_then(|cursor| cursor.first()) {
        Some(id) => format!("c.\"due\" AND c.\"id\" <> {}", keyset.bind_key(id)),
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
    let dialect = source.dialect();
    let tasks = match dialect {
        Dialect::Postgres => in_postgres(&from, &passed, &rest, &page_limit),
        Dialect::Sqlite => in_sqlite(&from, &rest, &page_limit),
    };
    let sql = format!(
        "SELECT c.\"id\", {tenant}, c.\"due\", c.\"dated\", c.\"stored\", c.\"type\", c.\"ordinal\", \
            c.\"task_type\", c.\"task\", c.\"{BYTES}\" \
         FROM ({}) c ORDER BY c.\"id\", c.\"ordinal\"",
        source::bounded(&tasks, "\"id\", \"ordinal\""),
        tenant = TENANT.select(dialect),
    );
    let doing = "reading Campaign";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let cursor = after.and_then(|cursor| cursor.first()).cloned();
    let mut met = Met::default();
    let mut campaign: Option<Campaign> = None;
    let mut last = 0;
    for row in &rows {
        page.weigh(row).doing(doing)?;
        let ordinal: i64 = row.try_get("", "ordinal").doing(doing)?;
        // Within a campaign ordinals follow one another, and the next begins at 0 or 1.
        let of = match campaign.take() {
            Some(campaign) if last >= 1 && ordinal == last + 1 => campaign,
            _ => {
                let campaign = Campaign::read(row).doing(doing)?;
                if cursor.as_ref() != Some(&campaign.key.cursor) {
                    met.campaigns += 1;
                    met.stored += row.try_get::<i64>("", "stored").doing(doing)?;
                }
                campaign
            }
        };
        page.add(item(row, &of, ordinal, source).doing(doing)?);
        last = ordinal;
        campaign = Some(of);
    }
    if let Some(campaign) = campaign {
        page.to = Some(vec![campaign.key.cursor, last.to_string()]);
    }
    Ok(met)
}

/// What a campaign's rows have in common.
struct Campaign {
    key: Key,
    dated: bool,
    due: bool,
    tenant: Result<String, &'static str>,
    /// The type of its tasks.
    kind: Option<String>,
}

impl Campaign {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            key: source::key(row, "id")?,
            dated: row.try_get("", "dated")?,
            due: row.try_get("", "due")?,
            tenant: match TENANT.fault(row)? {
                Some(reason) => Err(reason),
                None => source::required(row, "tenantId")?,
            },
            kind: row.try_get("", "type")?,
        })
    }
}

/// The next rows of the campaigns in `from`, by campaign and ordinal, on PostgreSQL.
///
/// A campaign's tasks are taken out once: OFFSET 0 keeps the planner from doing so again wherever they are used. Only
/// those behind the cursor are looked at, and only those that may be within a page's bytes are made text, as that costs
/// most. JSONB says little about the text (a number of a few bytes may have thousands of digits), so a row weighs what
/// the larger of the two does.
fn in_postgres(from: &str, passed: &str, rest: &str, limit: &str) -> String {
    let dialect = Dialect::Postgres;
    let columns =
        "t.\"id\", t.\"tenantId\", t.\"due\", t.\"dated\", t.\"stored\", t.\"type\", t.\"ordinal\"";
    let tasks = format!(
        "SELECT c.\"id\", c.\"tenantId\", c.\"due\", c.\"dated\", c.\"stored\", c.\"type\", \
            COALESCE(t.\"ordinal\", 0) AS \"ordinal\", c.\"tasks\" -> CAST(t.\"ordinal\" - 1 AS INTEGER) AS \"json\" \
         FROM (SELECT c.*, jsonb_typeof(c.\"tasks\") AS \"type\", {passed} AS \"passed\" \
            FROM (SELECT c.\"id\", c.\"tenantId\", k.\"due\", k.\"dated\", k.\"{BYTES}\" AS \"stored\", \
                CASE WHEN k.\"due\" THEN c.\"metadata\" -> 'agentTasks' END AS \"tasks\" {from}) c OFFSET 0) c \
         LEFT JOIN LATERAL generate_series(c.\"passed\" + 1, LEAST(c.\"passed\" + {limit}, \
            CASE WHEN c.\"type\" = 'array' THEN jsonb_array_length(c.\"tasks\") ELSE 0 END)) t (\"ordinal\") ON TRUE \
         WHERE {rest} ORDER BY c.\"id\", COALESCE(t.\"ordinal\", 0) LIMIT {limit}",
        rest = rest.replace("{ordinal}", "t.\"ordinal\""),
    );
    let weighed = format!(
        "SELECT {columns}, t.\"json\", \
            CAST(COALESCE(pg_column_size(t.\"json\"), 0) AS BIGINT) + COALESCE({tenant}, 0) AS \"{BYTES}\" \
         FROM ({tasks}) t",
        tenant = dialect.weight("t.\"tenantId\"", MAX_VALUE_BYTES),
    );
    let texts = format!(
        "SELECT {columns}, t.\"{BYTES}\", jsonb_typeof(t.\"json\") AS \"task_type\", \
            CASE WHEN pg_column_size(t.\"json\") <= {MAX_JSONB_BYTES} THEN CAST(t.\"json\" AS TEXT) END AS \"text\" \
         FROM ({}) t OFFSET 0",
        source::bounded(&weighed, "\"id\", \"ordinal\"")
    );
    format!(
        "SELECT {columns}, t.\"task_type\", CASE WHEN {bytes} <= {MAX_VALUE_BYTES} THEN t.\"text\" END AS \"task\", \
            GREATEST(t.\"{BYTES}\", {weight}) AS \"{BYTES}\" FROM ({texts}) t",
        bytes = dialect.bytes("t.\"text\""),
        weight = dialect.weight("t.\"text\"", MAX_VALUE_BYTES),
    )
}

/// The same on SQLite, where `json_each` reads a campaign's tasks from the first on.
fn in_sqlite(from: &str, rest: &str, limit: &str) -> String {
    let dialect = Dialect::Sqlite;
    let tasks = format!(
        "SELECT c.\"id\", c.\"tenantId\", c.\"due\", c.\"dated\", c.\"stored\", c.\"type\", \
            COALESCE(t.\"key\" + 1, 0) AS \"ordinal\", t.\"type\" AS \"task_type\", \
            CASE WHEN t.\"type\" = 'object' AND octet_length(t.\"value\") <= {MAX_VALUE_BYTES} THEN t.\"value\" END AS \"task\" \
         FROM (SELECT c.\"id\", c.\"tenantId\", k.\"due\", k.\"dated\", k.\"{BYTES}\" AS \"stored\", \
                CASE WHEN NOT k.\"due\" OR c.\"metadata\" IS NULL THEN NULL \
                    WHEN json_valid(c.\"metadata\") THEN json_type({metadata}, '$.agentTasks') \
                    ELSE 'no JSON' END AS \"type\", \
                CASE WHEN k.\"due\" AND json_valid(c.\"metadata\") \
                    THEN ({metadata}) -> '$.agentTasks' END AS \"tasks\" \
            {from}) c \
         LEFT JOIN json_each(CASE WHEN c.\"type\" = 'array' THEN c.\"tasks\" END) t \
         WHERE {rest} ORDER BY c.\"id\", COALESCE(t.\"key\" + 1, 0) LIMIT {limit}",
        metadata = dialect.last_of_each_key("c.\"metadata\"", "agentTasks"),
        rest = rest.replace("{ordinal}", "t.\"key\" + 1"),
    );
    format!(
        "SELECT t.*, COALESCE({weight}, 0) AS \"{BYTES}\" FROM ({tasks}) t",
        weight = Texts(&[("t.\"task\"", ""), ("t.\"tenantId\"", "")]).weight(dialect),
    )
}

fn item(
    row: &QueryResult,
    campaign: &Campaign,
    ordinal: i64,
    source: &Source,
) -> Result<Item, DbErr> {
    let shown = &campaign.key.shown;
    let bad = |place: String, reason: &str| {
        Ok(Item::Bad {
            key: format!("{shown}{place}"),
            reason: reason.to_owned(),
        })
    };
    let whole = String::new;
    if !campaign.dated {
        return bad(whole(), NOT_A_TIME);
    }
    if !campaign.due {
        return Ok(Item::Skip(OUTSIDE));
    }
    let (id, tenant) = match (&campaign.key.text, &campaign.tenant) {
        (Ok(id), Ok(tenant)) => (id, tenant),
        // The campaign is set aside once, whatever the number of its tasks.
        _ if ordinal > 1 => return Ok(Item::Skip("its campaign is bad")),
        (Err(reason), _) | (_, Err(reason)) => return bad(whole(), reason),
    };
    let task_kind: Option<String> = row.try_get("", "task_type")?;
    let place = format!("/agentTasks/{}", ordinal - 1);
    match (campaign.kind.as_deref(), task_kind.as_deref()) {
        (None | Some("null"), _) | (Some("array"), None) => Ok(Item::Skip("no agent tasks")),
        (Some("no JSON"), _) => bad(whole(), "metadata is not JSON"),
        (Some("array"), Some("object")) => match source::text(row, "task")? {
            Ok(Some(task)) => {
                let task = Task::parse(&task, source.as_of);
                let event = |task: Task, key| task.event(key, id, tenant);
                let key = format!("{shown}{place}");
                Ok(task::item(source, task, key, event))
            }
            Ok(None) => bad(place, TOO_LARGE),
            Err(reason) => bad(place, reason),
        },
        (Some("array"), Some(_)) => bad(place, "the task is not an object"),
        (Some(_), _) => bad(
            "/agentTasks".into(),
            "agentTasks is neither an array nor null",
        ),
    }
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
