//! `kpi_history`: for each tenant, day, period and metric a KPI, computed from deals and publish jobs or taken from a
//! snapshot; then all other snapshots as they are.
//!
//! "A deal closed in the window" is one whose `closedAt` lies in it, whatever its stage. Read count deals, publish jobs
//! and snapshots, each once: the computed rows are none of them.

mod calendar;
mod computed;
mod exact;
mod figures;
mod groups;
mod load;
mod snapshots;
mod tenants;

use async_trait::async_trait;

use self::groups::Groups;
use super::{Spec, table};
use crate::core::event::Cursor;
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::Result;
use crate::source::{Source, ranges};
use crate::unit::{Check, Page, Parts, Range, SourceTable, Unit};

const NAME: &str = "kpi_history";
const METRICS: [&str; 4] = [
    "arr_run_rate",
    "pipeline_velocity",
    "win_rate",
    "content_ctr",
];
const PERIODS: [&str; 5] = ["7d", "14d", "30d", "qtd", "ytd"];

pub(super) struct KpiHistory {
    definition: Definition,
    /// The figures of tenants of which days are still to come: else each page would read their rows again.
    groups: Groups,
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
            groups: Groups::default(),
        }
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

    async fn split(&self, source: &Source, section: usize, parts: Parts) -> Result<Vec<Range>> {
        if section == 1 {
            return match source.has("KpiSnapshot") {
                true => source.split("KpiSnapshot", "id", parts).await,
                false => Ok(ranges(Vec::new(), 0)),
            };
        }
        let mut rows = source.count("PublishJob").await?;
        if source.has("Deal") {
            rows += source.count("Deal").await?;
        }
        let tenants = tenants::all(source).await?;
        // Each group of tenants costs a reading of all jobs and deals, which no index tells by their tenant: more ranges
        // than there are groups would only be more readings. Two, so that two workers share the work.
        let groups = tenants.len().div_ceil(groups::TENANTS).max(2);
        let parts = usize::try_from(parts.of(rows)).unwrap_or(1).min(groups);
        let share = tenants.len().div_ceil(parts).max(1);
        let ends: Vec<String> = tenants
            .chunks(share)
            .filter_map(|chunk| Some(chunk.last()?.cursor.clone()))
            .collect();
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
            0 => computed::read(&self.groups, source, range, after, limit).await,
            _ if source.has("KpiSnapshot") => snapshots::read(source, range, after, limit).await,
            _ => Ok(Page {
                last: true,
                ..Page::new(after)
            }),
        }
    }

    fn is_refreshed(&self) -> bool {
        true
    }

    fn tenant(&self) -> Option<&str> {
        Some("t.\"tenantId\"")
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
