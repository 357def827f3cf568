//! `kpi_history`: for each tenant, day, period and metric a KPI, computed from deals and publish jobs or taken from a
//! snapshot; then all other snapshots as they are.
//!
//! "A deal closed in the window" is one whose `closedAt` lies in it, whatever its stage.

mod calendar;
mod exact;
mod figures;
mod snapshots;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sea_orm::DbErr;

use self::calendar::{Calendar, window_start};
use self::figures::Figures;
use super::{Spec, table};
use crate::core::event::Cursor;
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{Keyset, Source, ranges};
use crate::time::{self, DAY};
use crate::unit::{Cell, Check, Item, Page, Range, Row, SourceTable, Unit};

const NAME: &str = "kpi_history";
const METRICS: [&str; 4] = [
    "arr_run_rate",
    "pipeline_velocity",
    "win_rate",
    "content_ctr",
];
const PERIODS: [&str; 5] = ["7d", "14d", "30d", "qtd", "ytd"];
const COMPUTED: &str = r#"{"source":"computed"}"#;
/// How many tenants' figures are kept while their days are written.
const KEPT_FIGURES: usize = 8;

pub(super) struct KpiHistory {
    definition: Definition,
    /// The figures of tenants of which days are still to come: else each page would read the tenant's rows again.
    figures: Mutex<Vec<(String, Arc<Figures>)>>,
}

impl KpiHistory {
    pub(super) fn new() -> Self {
        let definition = Spec {
            name: NAME,
            version: 1,
            summary: "computes each tenant's KPIs for each day, and carries snapshots over",
            priority: "medium",
            depends_on: &[],
            sections: &["computed", "snapshots"],
            table: "KPIHistory",
            columns: &[
                ("id", ColumnType::Text),
                ("metricName", ColumnType::Text),
                ("metricValue", ColumnType::Double),
                ("period", ColumnType::Text),
                ("department", ColumnType::Text),
                ("metadata", ColumnType::Json),
                ("createdAt", ColumnType::Timestamp),
                ("tenantId", ColumnType::Text),
            ],
            write: Write::Insert,
        };
        Self {
            definition: definition.definition(),
            figures: Mutex::new(Vec::new()),
        }
    }

    /// A tenant's figures: kept ones in the middle of a tenant, fresh ones at its first day.
    async fn figures(
        &self,
        source: &Source,
        calendar: &Calendar,
        tenant: &str,
        day: i64,
    ) -> Result<Arc<Figures>> {
        let kept = {
            let mut kept = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
            let place = kept.iter().position(|(name, _)| name == tenant);
            place.map(|place| kept.remove(place).1)
        };
        match kept.filter(|_| day > calendar.first_day) {
            Some(figures) => Ok(figures),
            None => Ok(Arc::new(Figures::load(source, calendar, tenant).await?)),
        }
    }

    fn keep(&self, tenant: &str, figures: Arc<Figures>) {
        let mut kept = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_FIGURES {
            kept.remove(0);
        }
        kept.push((tenant.to_owned(), figures));
    }

    /// The days of the tenants behind the cursor; cursor [tenant, day].
    async fn read_computed(
        &self,
        source: &Source,
        range: &Range,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page> {
        let calendar = Calendar::new(source.as_of, source.window_days);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut page = Page::new(after);
        while page.items.len() < limit {
            let (tenant, mut day) = match page.to.as_deref() {
                Some([tenant, day]) if day.parse() != Ok(calendar.last_day) => {
                    (tenant.clone(), day.parse().unwrap_or(0) + 1)
                }
                _ => match next_tenant(source, range, page.to.as_ref()).await? {
                    Some(tenant) => (tenant, calendar.first_day),
                    None => {
                        page.last = true;
                        break;
                    }
                },
            };
            let figures = self.figures(source, &calendar, &tenant, day).await?;
            if day == calendar.first_day {
                page.items.extend(figures.bad.iter().cloned());
            }
            while day <= calendar.last_day {
                page.items
                    .extend(day_items(&figures, &calendar, &tenant, day));
                page.to = Some(vec![tenant.clone(), day.to_string()]);
                day += 1;
                if page.items.len() >= limit {
                    break;
                }
            }
            if day <= calendar.last_day {
                self.keep(&tenant, figures);
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl Unit for KpiHistory {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn tables(&self) -> Vec<SourceTable> {
        vec![
            table("Campaign", false, &["id", "tenantId"]),
            table("Asset", false, &["id", "campaignId"]),
            table(
                "PublishJob",
                false,
                &[
                    "id",
                    "assetId",
                    "impressions",
                    "clicks",
                    "conversions",
                    "postedAt",
                    "createdAt",
                ],
            ),
            table(
                "Deal",
                true,
                &["id", "tenantId", "kind", "stage", "acv", "closedAt"],
            ),
            table(
                "KpiSnapshot",
                true,
                &[
                    "id",
                    "tenantId",
                    "metricName",
                    "metricValue",
                    "period",
                    "department",
                    "metadata",
                    "capturedAt",
                ],
            ),
        ]
    }

    async fn split(&self, source: &Source, section: usize, parts: u32) -> Result<Vec<Range>> {
        if section == 1 {
            return match source.has("KpiSnapshot") {
                true => source.split("KpiSnapshot", "id", parts).await,
                false => Ok(ranges(Vec::new(), 0)),
            };
        }
        let doing = "listing the tenants";
        let sql = format!(
            "SELECT \"tenant\" FROM ({}) t ORDER BY \"tenant\"",
            tenants(source)
        );
        let rows = source.all(doing, &sql, []).await?;
        let tenants: Result<Vec<String>, DbErr> =
            rows.iter().map(|row| row.try_get("", "tenant")).collect();
        let tenants = tenants.doing(doing)?;
        let share = tenants
            .len()
            .div_ceil(usize::try_from(parts).unwrap_or(1).max(1))
            .max(1);
        let ends: Vec<String> = tenants
            .chunks(share)
            .filter_map(|chunk| chunk.last().cloned())
            .collect();
        let slots = METRICS.len() * PERIODS.len() * tenants.len();
        let rows = i64::try_from(slots).unwrap_or(i64::MAX) * i64::from(source.window_days);
        Ok(ranges(ends, rows))
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
            0 => self.read_computed(source, range, after, limit).await,
            _ if source.has("KpiSnapshot") => snapshots::read(source, range, after, limit).await,
            _ => Ok(Page {
                last: true,
                ..Page::new(after)
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        vec![Check {
            counts: "negative KPI values",
            is_error: false,
            note: "may be valid",
            sql: r#"SELECT count(*) AS "count" FROM "KPIHistory" WHERE "metricValue" < 0"#,
        }]
    }
}

/// The tenants of all sources: those of snapshots may be in no other.
fn tenants(source: &Source) -> String {
    let mut tables = vec!["Campaign"];
    tables.extend(
        ["Deal", "KpiSnapshot"]
            .into_iter()
            .filter(|table| source.has(table)),
    );
    let queries: Vec<_> = tables
        .iter()
        .map(|table| format!("SELECT \"tenantId\" AS \"tenant\" FROM \"{table}\""))
        .collect();
    queries.join(" UNION ")
}

async fn next_tenant(
    source: &Source,
    range: &Range,
    after: Option<&Cursor>,
) -> Result<Option<String>> {
    let keyset = Keyset::new("t.\"tenant\"", range, after);
    let sql = format!(
        "SELECT t.\"tenant\" FROM ({}) t WHERE {} ORDER BY t.\"tenant\" LIMIT 1",
        tenants(source),
        keyset.condition()
    );
    let doing = "looking for the next tenant";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let tenant = rows.first().map(|row| row.try_get("", "tenant"));
    tenant.transpose().doing(doing)
}

/// One item for each metric and period of a tenant's day.
fn day_items(figures: &Figures, calendar: &Calendar, tenant: &str, day: i64) -> Vec<Item> {
    let mut items = Vec::with_capacity(METRICS.len() * PERIODS.len());
    for (period, period_name) in PERIODS.iter().enumerate() {
        for (metric, metric_name) in METRICS.iter().enumerate() {
            let from = window_start(period, day);
            let (value, metadata) = match figures.snapshots.get(&(metric, period, day)) {
                Some(snapshot) => (Some(snapshot.value), snapshot.metadata.clone()),
                None => (
                    figures.value(metric, calendar, from, day),
                    Some(COMPUTED.to_owned()),
                ),
            };
            let source = format!(
                "{tenant}/{metric_name}/{period_name}/{}",
                time::show(day * DAY)
            );
            items.push(match value {
                None => Item::Skip("nothing to compute from"),
                Some(value) if !value.is_finite() => Item::Bad {
                    key: source,
                    reason: "the value does not fit the column".into(),
                },
                Some(value) => Item::Row(Row {
                    source,
                    key: identity::id(
                        NAME,
                        // Behind the tenant stands the day, so that ids ascend as they are written.
                        &format!("{}-{day:08}", shortened(tenant)),
                        &[Some(tenant), Some(period_name), Some(metric_name)],
                    ),
                    values: vec![
                        Cell::from(*metric_name),
                        Cell::Double(value),
                        Cell::from(*period_name),
                        Cell::from("executive"),
                        metadata.map_or(Cell::Null, Cell::Json),
                        Cell::Timestamp(day * DAY),
                        Cell::from(tenant),
                    ],
                }),
            });
        }
    }
    items
}

/// The first characters of a tenant's id, so that the day behind it is still part of the lead.
fn shortened(tenant: &str) -> String {
    let mut short = String::new();
    for character in tenant.chars() {
        if short.len() + character.len_utf8() > 26 {
            break;
        }
        short.push(character);
    }
    short
}
