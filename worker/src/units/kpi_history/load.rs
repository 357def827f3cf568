//! Reads the figures of several tenants at once: one query a table, whatever their number.

use std::collections::HashMap;

use sea_orm::{DbErr, QueryResult, Value};

use super::super::{BAD_COUNT, bad_count};
use super::calendar::Calendar;
use super::figures::{Figures, Metadata, Snapshot, slot};
use super::{METRICS, PERIODS, snapshots};
use crate::backend::statement;
use crate::error::{Doing, Result};
use crate::source::{self, Source, Texts};
use crate::time::DAY;
use crate::unit::Item;

/// Longer metadata of a snapshot is not kept: a tenant may have one for each day, period and metric.
const KEPT_BYTES: usize = 256;

/// The texts of a deal that are looked at, and what they are selected as.
const DEAL: Texts<'_> = Texts(&[("d.\"kind\"", "kind"), ("d.\"stage\"", "stage")]);

/// A snapshot's metadata as text.
const METADATA: Texts<'_> = Texts(&[("CAST(s.\"metadata\" AS TEXT)", "metadata")]);

/// The tenants' figures, in the tenants' order.
pub(super) async fn load(
    source: &Source,
    calendar: &Calendar,
    tenants: &[&str],
) -> Result<Vec<Figures>> {
    let mut loading = Loading {
        source,
        calendar,
        tenants: source.dialect().texts(tenants),
        places: tenants
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
        let dialect = self.source.dialect();
        let sql = format!(
            "SELECT d.* FROM (SELECT d.\"tenantId\" AS \"tenant\", d.\"id\", {texts}, {acv} AS \"acv\", \
                    {closed} AS \"closed\" \
                FROM \"Deal\" d WHERE {ours} AND d.\"closedAt\" IS NOT NULL) d \
             WHERE (d.\"closed\" >= $2 AND d.\"closed\" < $3) OR d.\"closed\" IS NULL",
            texts = DEAL.select(dialect),
            acv = dialect.double("d.\"acv\""),
            closed = dialect.millis("d.\"closedAt\""),
            ours = dialect.is_any("d.\"tenantId\"", "$1"),
        );
        let (start, end) = self.calendar.covered();
        self.each("reading Deal", &sql, start, end, add_deal).await
    }

    async fn read_jobs(&mut self) -> Result<()> {
        // A bad job stands alone, so that one query tells the sums and the bad. Before 1970 the division would round
        // up: the calendar begins after.
        let dialect = self.source.dialect();
        let sql = format!(
            "SELECT j.\"tenant\", j.\"day\", j.\"bad\", j.\"bad\" IS NOT NULL AS \"is_bad\", COUNT(*) AS \"jobs\", \
                CAST(SUM(j.\"clicks\") AS BIGINT) AS \"clicks\", \
                CAST(SUM(j.\"impressions\") AS BIGINT) AS \"impressions\" \
             FROM (SELECT j.\"tenant\", j.\"at\" / {DAY} AS \"day\", j.\"clicks\", j.\"impressions\", \
                    CASE WHEN j.\"bad\" OR j.\"at\" IS NULL THEN j.\"id\" END AS \"bad\" \
                FROM (SELECT j.\"id\", c.\"tenantId\" AS \"tenant\", {at} AS \"at\", {bad} AS \"bad\", \
                        CASE WHEN NOT {bad} THEN j.\"clicks\" END AS \"clicks\", \
                        CASE WHEN NOT {bad} THEN j.\"impressions\" END AS \"impressions\" \
                    FROM \"Campaign\" c \
                    JOIN \"Asset\" a ON a.\"campaignId\" = c.\"id\" \
                    JOIN \"PublishJob\" j ON j.\"assetId\" = a.\"id\" WHERE {ours}) j \
                WHERE (j.\"at\" >= $2 AND j.\"at\" < $3) OR j.\"at\" IS NULL) j \
             GROUP BY j.\"tenant\", j.\"day\", j.\"bad\" ORDER BY j.\"bad\"",
            at = dialect.millis("COALESCE(j.\"postedAt\", j.\"createdAt\")"),
            bad = bad_count(dialect),
            ours = dialect.is_any("c.\"tenantId\"", "$1"),
        );
        let (start, end) = self.calendar.covered();
        self.each("reading PublishJob", &sql, start, end, add_jobs)
            .await
    }

    /// Of several snapshots for one slot, the latest captured counts, then the highest id: the order of ids is the
    /// database's, rows come in it, and a later one takes the place.
    async fn read_snapshots(&mut self) -> Result<()> {
        let dialect = self.source.dialect();
        let named = |names: &[&str]| format!("'{}'", names.join("', '"));
        let sql = format!(
            "SELECT s.* FROM (SELECT s.\"tenantId\" AS \"tenant\", s.\"id\", s.\"metricName\", s.\"period\", \
                    {value} AS \"metricValue\", {captured} AS \"captured\", {metadata} \
                FROM \"KpiSnapshot\" s WHERE {ours} \
                    AND s.\"metricName\" IN ({metrics}) AND s.\"period\" IN ({periods}) \
                    AND (s.\"department\" IS NULL OR s.\"department\" = 'executive')) s \
             WHERE s.\"captured\" >= $2 AND s.\"captured\" < $3 ORDER BY s.\"captured\", s.\"id\"",
            value = dialect.double("s.\"metricValue\""),
            captured = dialect.millis("s.\"capturedAt\""),
            metadata = METADATA.select(dialect),
            ours = dialect.is_any("s.\"tenantId\"", "$1"),
            metrics = named(&METRICS),
            periods = named(&PERIODS),
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
        let (places, figures, calendar) = (&self.places, &mut self.figures, self.calendar);
        let add = |row: &QueryResult| {
            let tenant: String = row.try_get("", "tenant")?;
            match places.get(tenant.as_str()) {
                Some(place) => add(&mut figures[*place], calendar, row),
                None => Ok(()),
            }
        };
        connection.each(query, add).await.doing(doing)
    }
}

fn add_deal(figures: &mut Figures, calendar: &Calendar, row: &QueryResult) -> Result<(), DbErr> {
    let key = source::key(row, "id")?;
    let acv: Option<f64> = row.try_get("", "acv")?;
    let acv = acv.filter(|acv| acv.is_finite());
    let closed: Option<i64> = row.try_get("", "closed")?;
    let fault = key.text.as_ref().err().copied().or(DEAL.fault(row)?);
    let (acv, closed) = match (acv, closed, fault) {
        (Some(acv), Some(closed), None) => (acv, closed),
        (acv, closed, fault) => {
            let reason = match (fault, closed, acv) {
                (Some(reason), _, _) => reason,
                (None, None, _) => "closedAt is not a time",
                // SQLite stores NaN as NULL.
                _ => "acv is not a finite number",
            };
            figures.bad.push(bad("Deal", &key.shown, reason));
            return Ok(());
        }
    };
    let kind: Option<String> = row.try_get("", "kind")?;
    let stage: Option<String> = row.try_get("", "stage")?;
    figures.summed += 1;
    let day = figures.day(calendar, closed.div_euclid(DAY));
    day.closed += 1;
    match (
        kind.as_deref().unwrap_or_default(),
        stage.as_deref().unwrap_or_default(),
    ) {
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
    let day: Option<i64> = row.try_get("", "day")?;
    let is_bad = row.try_get::<bool>("", "is_bad")?;
    if is_bad {
        let key = source::key(row, "bad")?;
        let reason = match day {
            Some(_) => BAD_COUNT,
            None => "its date is not a time",
        };
        figures.bad.push(bad("PublishJob", &key.shown, reason));
        return Ok(());
    }
    let clicks: Option<i64> = row.try_get("", "clicks")?;
    let impressions: Option<i64> = row.try_get("", "impressions")?;
    figures.summed += row.try_get::<i64>("", "jobs")?;
    let day = figures.day(calendar, day.unwrap_or_default());
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
    let key = source::key(row, "id")?;
    let value: Option<f64> = row.try_get("", "metricValue")?;
    let captured: i64 = row.try_get("", "captured")?;
    let fault = match (&key.text, METADATA.fault(row)?) {
        (Err(reason), _) => Some(*reason),
        (Ok(_), Some(reason)) => Some(reason),
        (Ok(_), None) => {
            let metadata: Option<String> = row.try_get("", "metadata")?;
            snapshots::fault(value, metadata.as_deref())
        }
    };
    if let Some(reason) = fault {
        let bad = bad("KpiSnapshot", &key.shown, reason);
        figures.bad_snapshots.push(bad);
        return Ok(());
    }
    let metadata: Option<String> = row.try_get("", "metadata")?;
    let is_short = metadata
        .as_ref()
        .is_none_or(|text| text.len() <= KEPT_BYTES);
    let metadata = if is_short {
        Metadata::Kept(metadata)
    } else {
        Metadata::Large { id: key.shown }
    };
    let snapshot = Snapshot {
        value: value.unwrap_or_default(),
        metadata,
    };
    let day = captured.div_euclid(DAY);
    figures.snapshots.insert((metric, period, day), snapshot);
    Ok(())
}

fn bad(table: &str, key: &str, reason: &str) -> Item {
    Item::Bad {
        key: format!("{table}/{key}"),
        reason: reason.into(),
    }
}
