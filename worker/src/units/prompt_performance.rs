//! `prompt_performance`: one row for each campaign of the window whose publish jobs were seen by somebody.

use async_trait::async_trait;
use sea_orm::{DbErr, QueryResult};

use super::{BAD_COUNT, NOT_A_TIME, Spec, bad_count, table};
use crate::core::event::Cursor;
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{self, BYTES, Key, Keyset, Source, Texts};
use crate::unit::{Cell, Check, Item, Page, Parts, Range, Row, SourceTable, Unit};

const NAME: &str = "prompt_performance";
const NO_PROMPT: &str = "Legacy campaign (no prompt recorded)";
const TEXTS: Texts<'_> = Texts(&[("c.\"prompt\"", "prompt")]);

pub(super) struct PromptPerformance {
    definition: Definition,
}

impl PromptPerformance {
    pub(super) fn new() -> Self {
        let definition = Spec {
            name: NAME,
            version: 1,
            summary: "sums up the publish jobs of each campaign",
            priority: "high",
            depends_on: &["campaign_prompt"],
            sections: &["campaigns"],
            table: "PromptPerformance",
            columns: &[
                ("id", ColumnType::Text),
                ("campaignId", ColumnType::Text),
                ("promptText", ColumnType::Text),
                ("impressions", ColumnType::Integer),
                ("clicks", ColumnType::Integer),
                ("conversions", ColumnType::Integer),
                ("ctr", ColumnType::Double),
                ("cvr", ColumnType::Double),
                ("rewardScore", ColumnType::Double),
                ("createdAt", ColumnType::Timestamp),
                ("updatedAt", ColumnType::Timestamp),
            ],
            write: Write::Insert,
        };
        Self {
            definition: definition.definition(),
        }
    }
}

#[async_trait]
impl Unit for PromptPerformance {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn tables(&self) -> Vec<SourceTable> {
        vec![
            table("Campaign", false, &["id", "createdAt"]),
            table("Asset", false, &["id", "campaignId"]),
            table(
                "PublishJob",
                false,
                &["id", "assetId", "impressions", "clicks", "conversions"],
            ),
        ]
    }

    fn tenant(&self) -> Option<&str> {
        Some("(SELECT c.\"tenantId\" FROM \"Campaign\" c WHERE c.\"id\" = t.\"campaignId\")")
    }

    async fn split(&self, source: &Source, _section: usize, parts: Parts) -> Result<Vec<Range>> {
        let mut ranges = source.split("Campaign", "id", parts).await?;
        let share = i64::try_from(ranges.len()).unwrap_or(1);
        let jobs = source.count("PublishJob").await? / share;
        for range in &mut ranges {
            range.estimate += jobs;
        }
        Ok(ranges)
    }

    async fn read(
        &self,
        source: &Source,
        _section: usize,
        range: &Range,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page> {
        let mut keyset = Keyset::new("c.\"id\"", range, after);
        let condition = keyset.condition();
        let page_limit = keyset.bind_limit(limit);
        let since = keyset.bind(source.since());
        let as_of = keyset.bind(source.as_of);
        let created = source.dialect().millis("c.\"createdAt\"");
        let is_bad = bad_count(source.dialect());
        let sum = |column: &str| {
            format!(
                "CAST(SUM(j.\"{column}\") FILTER (WHERE NOT {is_bad}) AS BIGINT) AS \"{column}\""
            )
        };
        let keys = format!(
            "SELECT c.\"id\", {weight} AS \"{BYTES}\" FROM \"Campaign\" c WHERE {condition} \
             ORDER BY c.\"id\" LIMIT {page_limit}",
            weight = TEXTS.weight(source.dialect()),
        );
        let sql = format!(
            "WITH page AS ( \
                SELECT c.\"id\", k.\"{BYTES}\", {created} AS \"created\", \
                    COALESCE({created} BETWEEN {since} AND {as_of}, FALSE) AS \"due\", \
                    {prompt} \
                FROM ({keys}) k JOIN \"Campaign\" c ON c.\"id\" = k.\"id\"), \
             sums AS ( \
                SELECT a.\"campaignId\", COUNT(*) FILTER (WHERE NOT {is_bad}) AS \"jobs\", \
                    COUNT(*) FILTER (WHERE {is_bad}) AS \"bad\", \
                    {impressions}, {clicks}, {conversions} \
                FROM page p JOIN \"Asset\" a ON a.\"campaignId\" = p.\"id\" \
                JOIN \"PublishJob\" j ON j.\"assetId\" = a.\"id\" \
                WHERE p.\"due\" GROUP BY a.\"campaignId\") \
             SELECT p.*, COALESCE(s.\"jobs\", 0) AS \"jobs\", COALESCE(s.\"bad\", 0) AS \"bad\", \
                COALESCE(s.\"impressions\", 0) AS \"impressions\", \
                COALESCE(s.\"clicks\", 0) AS \"clicks\", COALESCE(s.\"conversions\", 0) AS \"conversions\" \
             FROM page p LEFT JOIN sums s ON s.\"campaignId\" = p.\"id\" ORDER BY p.\"id\"",
            keys = source::bounded(&keys, "\"id\""),
            prompt = TEXTS.select(source.dialect()),
            impressions = sum("impressions"),
            clicks = sum("clicks"),
            conversions = sum("conversions"),
        );
        let doing = "reading Campaign and PublishJob";
        let rows = source.all(doing, &sql, keyset.values()).await?;
        let mut page = Page::new(after);
        let mut with_bad = Vec::new();
        for row in &rows {
            page.weigh(row).doing(doing)?;
            let campaign = campaign(row).doing(doing)?;
            let item = campaign.item(source.as_of);
            page.push(vec![campaign.id.cursor], item);
            page.skip("summed up", campaign.jobs);
            if let (1.., Ok(id)) = (campaign.bad, campaign.id.text) {
                with_bad.push(id);
            }
        }
        page.end(rows.len(), keyset.limit());
        for item in bad_jobs(source, &with_bad).await? {
            page.add(item);
        }
        Ok(page)
    }

    fn is_refreshed(&self) -> bool {
        true
    }

    fn dated(&self) -> &[&str] {
        &["updatedAt"]
    }

    fn checks(&self) -> Vec<Check> {
        vec![Check {
            counts: "orphaned PromptPerformance rows",
            is_error: true,
            note: "their campaign does not exist",
            sql: r#"SELECT count(*) AS "count" FROM "PromptPerformance" p
                WHERE NOT EXISTS (SELECT 1 FROM "Campaign" c WHERE c."id" = p."campaignId")"#,
        }]
    }
}

/// A campaign with the sums of its jobs.
struct Campaign {
    id: Key,
    created: Option<i64>,
    due: bool,
    prompt: Result<Option<String>, &'static str>,
    /// Jobs that are summed up, and those that count nowhere.
    jobs: i64,
    bad: i64,
    impressions: i64,
    clicks: i64,
    conversions: i64,
}

fn campaign(row: &QueryResult) -> Result<Campaign, DbErr> {
    Ok(Campaign {
        id: source::key(row, "id")?,
        created: row.try_get("", "created")?,
        due: row.try_get("", "due")?,
        prompt: match TEXTS.fault(row)? {
            Some(reason) => Err(reason),
            None => Ok(row.try_get("", "prompt")?),
        },
        jobs: row.try_get("", "jobs")?,
        bad: row.try_get("", "bad")?,
        impressions: row.try_get("", "impressions")?,
        clicks: row.try_get("", "clicks")?,
        conversions: row.try_get("", "conversions")?,
    })
}

impl Campaign {
    fn item(&self, as_of: i64) -> Item {
        let bad = |reason: &str| Item::Bad {
            key: self.id.shown.clone(),
            reason: reason.into(),
        };
        let Some(created) = self.created else {
            return bad(NOT_A_TIME);
        };
        if !self.due {
            return Item::Skip("campaign outside the window");
        }
        if self.impressions <= 0 {
            return Item::Skip("no impressions");
        }
        let id = match &self.id.text {
            Ok(id) => id,
            Err(reason) => return bad(reason),
        };
        let prompt = match &self.prompt {
            Ok(prompt) => prompt.as_deref().unwrap_or(NO_PROMPT),
            Err(reason) => return bad(reason),
        };
        let sums = [self.impressions, self.clicks, self.conversions].map(i32::try_from);
        let [Ok(impressions), Ok(clicks), Ok(conversions)] = sums else {
            return bad("a sum does not fit the column");
        };
        let ratio = |numerator: i32, denominator: i32| {
            Cell::Double(f64::from(numerator) / f64::from(denominator))
        };
        Item::Row(Row {
            source: id.clone(),
            key: identity::id(NAME, id, &[]),
            values: vec![
                Cell::from(id.as_str()),
                Cell::from(prompt),
                Cell::Integer(impressions),
                Cell::Integer(clicks),
                Cell::Integer(conversions),
                ratio(clicks, impressions),
                ratio(conversions, clicks.max(1)),
                Cell::Double(0.0),
                Cell::Timestamp(created),
                Cell::Timestamp(as_of),
            ],
            expects: None,
        })
    }
}

/// The jobs of these campaigns that count nowhere.
async fn bad_jobs(source: &Source, campaigns: &[String]) -> Result<Vec<Item>> {
    if campaigns.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = source.dialect();
    let campaigns: Vec<_> = campaigns.iter().map(String::as_str).collect();
    let sql = format!(
        "SELECT j.\"id\" FROM \"PublishJob\" j JOIN \"Asset\" a ON a.\"id\" = j.\"assetId\" \
         WHERE {} AND {} ORDER BY j.\"id\"",
        bad_count(dialect),
        dialect.is_any("a.\"campaignId\"", "$1")
    );
    let doing = "reading PublishJob";
    let rows = source.all(doing, &sql, [dialect.texts(&campaigns)]).await?;
    let bad = |row: &QueryResult| {
        Ok(Item::Bad {
            key: format!("PublishJob/{}", source::key(row, "id")?.shown),
            reason: BAD_COUNT.into(),
        })
    };
    let items: Result<_, DbErr> = rows.iter().map(bad).collect();
    items.doing(doing)
}
