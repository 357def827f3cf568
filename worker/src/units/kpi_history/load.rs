//! Reads the figures of several tenants at once: one query a table, whatever their number.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sea_orm::{DbErr, QueryResult, StreamTrait, Value};

use super::super::BAD_COUNT;
use super::calendar::Calendar;
use super::figures::{Figures, Metadata, Snapshot, slot};
use super::snapshots;
use crate::backend::statement;
use crate::error::{Doing, Result};
use crate::source::Source;
use crate::time::DAY;
use crate::unit::{Item, MAX_VALUE_BYTES};

/// Longer metadata of a snapshot is not kept: a tenant may have one for each day, period and metric.
const KEPT_BYTES: usize = 256;

/// The tenants' figures, in the tenants' order.
pub(super) async fn load(
    source: &Source,
    calendar: &Calendar,
    tenants: &[String],
) -> Result<Vec<Figures>> {
    let names: Vec<_> = tenants.iter().map(String::as_str).collect();
    let mut loading = Loading {
        source,
        calendar,
        tenants: source.dialect().texts(&names),
        places: names
            .iter()
            .enumerate()
            .map(|(place, name)| (*name, place))
            .collect(),
        figures: tenants.iter().map(|_| Figures::new(calendar)).collect(),
    };
    if source.has("Deal") {
        loading.read_deals().await?;
    }
    loading.read_jobs().await?;
    if source.has("KpiSnapshot") {
        loading.read_snapshots().await?;
    }
    let mut figures = loading.figures;
    figures.iter_mut().for_each(Figures::sum_up);
    Ok(figures)
}

struct Loading<'a> {
    source: &'a Source,
    calendar: &'a Calendar,
    /// All tenants, as they are bound.
    tenants: Value,
    /// Each tenant's place among the figures.
    places: HashMap<&'a str, usize>,
    figures: Vec<Figures>,
}

impl Loading<'_> {
    async fn read_deals(&mut self) -> Result<()> {
        let sql = format!(
            "SELECT d.\"tenantId\" AS \"tenant\", d.\"id\", d.\"kind\", d.\"stage\", d.\"acv\", d.\"closed\" \
             FROM (SELECT d.*, {closed} AS \"closed\" FROM \"Deal\" d WHERE {ours}) d \
             WHERE d.\"closed\" >= $2 AND d.\"closed\" < $3",
            closed = self.source.dialect().millis("d.\"closedAt\""),
            ours = self.source.dialect().is_any("d.\"tenantId\"", "$1"),
        );
        let (start, end) = self.calendar.covered();
        self.each("reading Deal", &sql, start, end, add_deal).await
    }

    async fn read_jobs(&mut self) -> Result<()> {
        // A bad job stands alone, so that one query tells the sums and the bad. Before 1970 the division would round
        // up: the calendar begins after.
        let sql = format!(
            "SELECT j.\"tenant\", j.\"day\", j.\"bad\", CAST(SUM(j.\"clicks\") AS BIGINT) AS \"clicks\", \
                CAST(SUM(j.\"impressions\") AS BIGINT) AS \"impressions\" \
             FROM (SELECT j.\"tenant\", j.\"at\" / {DAY} AS \"day\", j.\"clicks\", j.\"impressions\", \
                    CASE WHEN {BAD_COUNT} THEN j.\"id\" END AS \"bad\" \
                FROM (SELECT j.*, c.\"tenantId\" AS \"tenant\", {at} AS \"at\" FROM \"Campaign\" c \
                    JOIN \"Asset\" a ON a.\"campaignId\" = c.\"id\" \
                    JOIN \"PublishJob\" j ON j.\"assetId\" = a.\"id\" WHERE {ours}) j \
                WHERE j.\"at\" >= $2 AND j.\"at\" < $3) j \
             GROUP BY j.\"tenant\", j.\"day\", j.\"bad\" ORDER BY j.\"bad\"",
            at = self
                .source
                .dialect()
                .millis("COALESCE(j.\"postedAt\", j.\"createdAt\")"),
            ours = self.source.dialect().is_any("c.\"tenantId\"", "$1"),
        );
        let (start, end) = self.calendar.covered();
        self.each("reading PublishJob", &sql, start, end, add_jobs)
            .await
    }

    /// Of several snapshots for one slot, the latest captured counts, then the highest id: the order of ids is the
    /// database's, rows come in it, and a later one takes the place.
    async fn read_snapshots(&mut self) -> Result<()> {
        let dialect = self.source.dialect();
        let metadata = dialect.as_text("s.\"metadata\"");
        let bytes = dialect.bytes(&metadata);
        let sql = format!(
            "SELECT s.\"tenantId\" AS \"tenant\", s.\"id\", s.\"metricName\", s.\"period\", s.\"metricValue\", \
                s.\"captured\", CASE WHEN {bytes} <= {MAX_VALUE_BYTES} THEN {metadata} END AS \"metadata\", \
                COALESCE({bytes}, 0) > {MAX_VALUE_BYTES} AS \"large\" \
             FROM (SELECT s.*, {captured} AS \"captured\" FROM \"KpiSnapshot\" s WHERE {ours}) s \
             WHERE s.\"captured\" >= $2 AND s.\"captured\" < $3 \
                AND (s.\"department\" IS NULL OR s.\"department\" = 'executive') \
             ORDER BY s.\"captured\", s.\"id\"",
            captured = dialect.millis("s.\"capturedAt\""),
            ours = dialect.is_any("s.\"tenantId\"", "$1"),
        );
        let (start, end) = (self.calendar.first_day * DAY, self.calendar.covered().1);
        self.each("reading KpiSnapshot", &sql, start, end, add_snapshot)
            .await
    }

    /// Adds each row to its tenant's figures. Streamed: there may be more rows than fit in memory.
    async fn each(
        &mut self,
        doing: &str,
        sql: &str,
        start: i64,
        end: i64,
        add: fn(&mut Figures, &Calendar, &QueryResult) -> Result<(), DbErr>,
    ) -> Result<()> {
        let connection = self.source.database().connection();
        let values = [self.tenants.clone(), start.into(), end.into()];
        let query = statement(connection, sql, values);
        let mut rows = connection.stream_raw(query).await.doing(doing)?;
        while let Some(row) = rows.try_next().await.doing(doing)? {
            let tenant: String = row.try_get("", "tenant").doing(doing)?;
            if let Some(place) = self.places.get(tenant.as_str()) {
                add(&mut self.figures[*place], self.calendar, &row).doing(doing)?;
            }
        }
        Ok(())
    }
}

fn add_deal(figures: &mut Figures, calendar: &Calendar, row: &QueryResult) -> Result<(), DbErr> {
    let id: String = row.try_get("", "id")?;
    let kind: String = row.try_get("", "kind")?;
    let stage: String = row.try_get("", "stage")?;
    let acv: Option<f64> = row.try_get("", "acv")?;
    let closed: i64 = row.try_get("", "closed")?;
    // SQLite stores NaN as NULL.
    let Some(acv) = acv.filter(|acv| acv.is_finite()) else {
        figures.bad.push(Item::Bad {
            key: format!("Deal/{id}"),
            reason: "acv is not a finite number".into(),
        });
        return Ok(());
    };
    let day = figures.day(calendar, closed.div_euclid(DAY));
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
    Ok(())
}

fn add_jobs(figures: &mut Figures, calendar: &Calendar, row: &QueryResult) -> Result<(), DbErr> {
    if let Some(id) = row.try_get::<Option<String>>("", "bad")? {
        figures.bad.push(Item::Bad {
            key: format!("PublishJob/{id}"),
            reason: "a count is negative or out of range".into(),
        });
        return Ok(());
    }
    let clicks: Option<i64> = row.try_get("", "clicks")?;
    let impressions: Option<i64> = row.try_get("", "impressions")?;
    let day = figures.day(calendar, row.try_get("", "day")?);
    day.clicks += clicks.unwrap_or(0);
    day.impressions += impressions.unwrap_or(0);
    Ok(())
}

fn add_snapshot(figures: &mut Figures, _: &Calendar, row: &QueryResult) -> Result<(), DbErr> {
    let metric: String = row.try_get("", "metricName")?;
    let period: String = row.try_get("", "period")?;
    let Some((metric, period)) = slot(&metric, &period) else {
        return Ok(());
    };
    let id: String = row.try_get("", "id")?;
    let value: Option<f64> = row.try_get("", "metricValue")?;
    let metadata: Option<String> = row.try_get("", "metadata")?;
    let captured: i64 = row.try_get("", "captured")?;
    let fault = snapshots::fault(value, metadata.as_deref(), row.try_get("", "large")?);
    if let Some(reason) = fault {
        figures.bad.push(Item::Bad {
            key: format!("KpiSnapshot/{id}"),
            reason: reason.into(),
        });
        return Ok(());
    }
    let is_short = metadata
        .as_ref()
        .is_none_or(|text| text.len() <= KEPT_BYTES);
    let metadata = if is_short {
        Metadata::Kept(metadata)
    } else {
        Metadata::Large { id }
    };
    let snapshot = Snapshot {
        value: value.unwrap_or_default(),
        metadata,
    };
    let day = captured.div_euclid(DAY);
    figures.snapshots.insert((metric, period, day), snapshot);
    Ok(())
}
