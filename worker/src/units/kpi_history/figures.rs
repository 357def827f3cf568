//! What a tenant's windows are made of: a prefix sum a day, from one read of its deals, jobs and snapshots. A window
//! of any length is then a difference of two days.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sea_orm::{DbErr, StreamTrait};

use super::super::NEGATIVE;
use super::calendar::Calendar;
use super::exact::Sum;
use super::snapshots;
use super::{METRICS, PERIODS};
use crate::backend::statement;
use crate::error::{Doing, Result};
use crate::source::Source;
use crate::time::DAY;
use crate::unit::{Item, MAX_VALUE_BYTES};

/// A tenant's figures, by day.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// For each day of the calendar, what came before its end; one more at the front, before the first.
    days: Vec<Day>,
    /// Snapshots that take a computed value's place, by (metric, period, day).
    pub(super) snapshots: HashMap<(usize, usize, i64), Snapshot>,
    /// Source rows that count nowhere.
    pub(super) bad: Vec<Item>,
}

/// Sums up to the end of a day.
#[derive(Clone, Debug, Default)]
struct Day {
    /// Yearly value of won deals, new and expansion.
    won_value: Sum,
    /// Yearly value of churned deals.
    churned_value: Sum,
    closed: i64,
    won: i64,
    lost: i64,
    clicks: i64,
    impressions: i64,
}

/// A KPI as an earlier report captured it.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) value: f64,
    pub(super) metadata: Option<String>,
}

impl Figures {
    /// Reads a tenant's rows once.
    pub(super) async fn load(source: &Source, calendar: &Calendar, tenant: &str) -> Result<Self> {
        let days = usize::try_from(calendar.days_covered()).unwrap_or(0) + 1;
        let mut figures = Self {
            days: vec![Day::default(); days],
            ..Self::default()
        };
        if source.has("Deal") {
            figures.read_deals(source, calendar, tenant).await?;
        }
        figures.read_jobs(source, calendar, tenant).await?;
        if source.has("KpiSnapshot") {
            figures.read_snapshots(source, calendar, tenant).await?;
        }
        for day in 1..figures.days.len() {
            let (before, rest) = figures.days.split_at_mut(day);
            rest[0].add(&before[day - 1]);
        }
        Ok(figures)
    }

    /// A metric's value over the window from one day to another, both included; none where it has none.
    pub(super) fn value(
        &self,
        metric: usize,
        calendar: &Calendar,
        from: i64,
        to: i64,
    ) -> Option<f64> {
        let before = &self.days[calendar.place(from)];
        let upto = &self.days[calendar.place(to) + 1];
        #[expect(
            clippy::cast_precision_loss,
            reason = "a window has far fewer than 2^53 days"
        )]
        let days = (to - from + 1) as f64;
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts are far below 2^53, and a ratio of larger ones is rounded anyway"
        )]
        let ratio = |numerator: i64, denominator: i64| numerator as f64 / denominator as f64;
        let won = upto.won - before.won;
        let lost = upto.lost - before.lost;
        match METRICS[metric] {
            "arr_run_rate" => {
                let value = upto.won_value.since(&before.won_value).to_f64();
                (won > 0).then(|| value * 12.0 / (days / 30.0))
            }
            "pipeline_velocity" => {
                let mut value = upto.won_value.since(&before.won_value);
                let churned = upto.churned_value.since(&before.churned_value);
                value = value.since(&churned);
                (upto.closed > before.closed).then(|| value.to_f64() / 12.0 / days)
            }
            "win_rate" => (won + lost > 0).then(|| ratio(won, won + lost)),
            _ => {
                let impressions = upto.impressions - before.impressions;
                (impressions > 0).then(|| ratio(upto.clicks - before.clicks, impressions))
            }
        }
    }

    /// Streamed: a tenant may have more deals than fit in memory.
    async fn read_deals(
        &mut self,
        source: &Source,
        calendar: &Calendar,
        tenant: &str,
    ) -> Result<()> {
        let doing = "reading Deal";
        let sql = format!(
            "SELECT d.\"id\", d.\"kind\", d.\"stage\", d.\"acv\", d.\"closed\" FROM ( \
                SELECT d.*, {closed} AS \"closed\" FROM \"Deal\" d WHERE d.\"tenantId\" = $1) d \
             WHERE d.\"closed\" >= $2 AND d.\"closed\" < $3",
            closed = source.dialect().millis("d.\"closedAt\""),
        );
        let (start, end) = calendar.covered();
        let connection = source.database().connection();
        let query = statement(connection, &sql, [tenant.into(), start.into(), end.into()]);
        let mut rows = connection.stream_raw(query).await.doing(doing)?;
        while let Some(row) = rows.try_next().await.doing(doing)? {
            let read = || {
                let id: String = row.try_get("", "id")?;
                let kind: String = row.try_get("", "kind")?;
                let stage: String = row.try_get("", "stage")?;
                let acv: Option<f64> = row.try_get("", "acv")?;
                let closed: i64 = row.try_get("", "closed")?;
                Ok((id, kind, stage, acv, closed))
            };
            let (id, kind, stage, acv, closed) = read().doing(doing)?;
            // SQLite stores NaN as NULL.
            let Some(acv) = acv.filter(|acv| acv.is_finite()) else {
                self.bad.push(Item::Bad {
                    key: format!("Deal/{id}"),
                    reason: "acv is not a finite number".into(),
                });
                continue;
            };
            let day = &mut self.days[calendar.place(closed.div_euclid(DAY)) + 1];
            day.closed += 1;
            match (kind.as_str(), stage.as_str()) {
                ("churn", _) => day.churned_value.add(acv),
                ("new" | "expansion", "ClosedWon") => {
                    day.won += 1;
                    day.won_value.add(acv);
                }
                ("new" | "expansion", "ClosedLost") => day.lost += 1,
                _ => {}
            }
        }
        Ok(())
    }

    async fn read_jobs(
        &mut self,
        source: &Source,
        calendar: &Calendar,
        tenant: &str,
    ) -> Result<()> {
        let doing = "reading PublishJob";
        let (start, end) = calendar.covered();
        let jobs = format!(
            "SELECT j.*, {at} AS \"at\" FROM \"Campaign\" c \
             JOIN \"Asset\" a ON a.\"campaignId\" = c.\"id\" JOIN \"PublishJob\" j ON j.\"assetId\" = a.\"id\" \
             WHERE c.\"tenantId\" = $1",
            at = source
                .dialect()
                .millis("COALESCE(j.\"postedAt\", j.\"createdAt\")"),
        );
        // Before 1970 the division would round up: the calendar begins after.
        let sql = format!(
            "SELECT j.\"at\" / {DAY} AS \"day\", CAST(SUM(j.\"clicks\") AS BIGINT) AS \"clicks\", \
                CAST(SUM(j.\"impressions\") AS BIGINT) AS \"impressions\" FROM ({jobs}) j \
             WHERE j.\"at\" >= $2 AND j.\"at\" < $3 AND NOT COALESCE({NEGATIVE}, FALSE) \
             GROUP BY j.\"at\" / {DAY}"
        );
        let values = || [tenant.into(), start.into(), end.into()];
        for row in source.all(doing, &sql, values()).await? {
            let read = || {
                let day: i64 = row.try_get("", "day")?;
                let clicks: Option<i64> = row.try_get("", "clicks")?;
                let impressions: Option<i64> = row.try_get("", "impressions")?;
                Ok((day, clicks.unwrap_or(0), impressions.unwrap_or(0)))
            };
            let (day, clicks, impressions) = read().doing(doing)?;
            let day = &mut self.days[calendar.place(day) + 1];
            day.clicks += clicks;
            day.impressions += impressions;
        }
        let sql = format!(
            "SELECT j.\"id\" FROM ({jobs}) j WHERE j.\"at\" >= $2 AND j.\"at\" < $3 AND {NEGATIVE} ORDER BY j.\"id\""
        );
        for row in source.all(doing, &sql, values()).await? {
            let id: String = row.try_get("", "id").doing(doing)?;
            self.bad.push(Item::Bad {
                key: format!("PublishJob/{id}"),
                reason: "a count is negative".into(),
            });
        }
        Ok(())
    }

    /// Of several snapshots for one slot, the latest captured counts, then the highest id.
    async fn read_snapshots(
        &mut self,
        source: &Source,
        calendar: &Calendar,
        tenant: &str,
    ) -> Result<()> {
        let doing = "reading KpiSnapshot";
        let metadata = source.dialect().as_text("s.\"metadata\"");
        let bytes = source.dialect().bytes(&metadata);
        let sql = format!(
            "SELECT s.\"id\", s.\"metricName\", s.\"period\", s.\"metricValue\", s.\"captured\", \
                CASE WHEN {bytes} <= {MAX_VALUE_BYTES} THEN {metadata} END AS \"metadata\", \
                COALESCE({bytes}, 0) > {MAX_VALUE_BYTES} AS \"large\" \
             FROM (SELECT s.*, {captured} AS \"captured\" FROM \"KpiSnapshot\" s WHERE s.\"tenantId\" = $1) s \
             WHERE s.\"captured\" >= $2 AND s.\"captured\" < $3 \
                AND (s.\"department\" IS NULL OR s.\"department\" = 'executive') \
             ORDER BY s.\"captured\", s.\"id\"",
            captured = source.dialect().millis("s.\"capturedAt\""),
        );
        let values = [
            tenant.into(),
            (calendar.first_day * DAY).into(),
            calendar.covered().1.into(),
        ];
        for row in source.all(doing, &sql, values).await? {
            let metric: String = row.try_get("", "metricName").doing(doing)?;
            let period: String = row.try_get("", "period").doing(doing)?;
            let Some(slot) = slot(&metric, &period) else {
                continue;
            };
            let read = || {
                let id: String = row.try_get("", "id")?;
                let value: Option<f64> = row.try_get("", "metricValue")?;
                let metadata: Option<String> = row.try_get("", "metadata")?;
                let captured: i64 = row.try_get("", "captured")?;
                let large: bool = row.try_get("", "large")?;
                Ok((id, value, metadata, captured, large))
            };
            let (id, value, metadata, captured, large): (_, _, _, _, _) =
                read().map_err(|error: DbErr| error).doing(doing)?;
            match snapshots::fault(value, metadata.as_deref(), large) {
                Some(reason) => self.bad.push(Item::Bad {
                    key: format!("KpiSnapshot/{id}"),
                    reason: reason.into(),
                }),
                None => {
                    // The order of ids is the database's, and rows come in it: a later one takes the place.
                    let snapshot = Snapshot {
                        value: value.unwrap_or_default(),
                        metadata,
                    };
                    let place = (slot.0, slot.1, captured.div_euclid(DAY));
                    self.snapshots.insert(place, snapshot);
                }
            }
        }
        Ok(())
    }
}

impl Day {
    fn add(&mut self, before: &Self) {
        self.won_value.add_sum(&before.won_value);
        self.churned_value.add_sum(&before.churned_value);
        self.closed += before.closed;
        self.won += before.won;
        self.lost += before.lost;
        self.clicks += before.clicks;
        self.impressions += before.impressions;
    }
}

/// The place of a metric and period in the contract's table; none where they are not in it.
pub(super) fn slot(metric: &str, period: &str) -> Option<(usize, usize)> {
    let metric = METRICS.iter().position(|name| *name == metric)?;
    let period = PERIODS.iter().position(|name| *name == period)?;
    Some((metric, period))
}
