//! KPI snapshots of earlier reports: what is wrong with one, and the ones that are carried over as they are.

use std::collections::HashMap;

use sea_orm::{DbErr, QueryResult};

use super::calendar::Calendar;
use super::figures::{Figures, Metadata, slot};
use super::{METRICS, NAME, PERIODS};
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{self, BYTES, Keyset, Source};
use crate::time::DAY;
use crate::unit::{Cell, Item, MAX_VALUE_BYTES, Page, Range, Row};

/// Snapshots that take no computed value's place; cursor [id].
pub(super) async fn read(
    source: &Source,
    range: &Range,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let mut keyset = Keyset::new("s.\"id\"", range, after);
    let condition = keyset.condition();
    let page_limit = keyset.bind_limit(limit);
    let dialect = source.dialect();
    let metadata = dialect.as_text("s.\"metadata\"");
    let bytes = dialect.bytes(&metadata);
    let keys = format!(
        "SELECT s.\"id\", {weight} AS \"{BYTES}\" FROM \"KpiSnapshot\" s WHERE {condition} \
         ORDER BY s.\"id\" LIMIT {page_limit}",
        weight = dialect.weight(&metadata, MAX_VALUE_BYTES),
    );
    let sql = format!(
        "SELECT s.\"id\", s.\"tenantId\", s.\"metricName\", s.\"metricValue\", s.\"period\", s.\"department\", \
            {captured} AS \"captured\", CASE WHEN {bytes} <= {MAX_VALUE_BYTES} THEN {metadata} END AS \"metadata\", \
            COALESCE({bytes}, 0) > {MAX_VALUE_BYTES} AS \"large\", k.\"{BYTES}\" \
         FROM ({keys}) k JOIN \"KpiSnapshot\" s ON s.\"id\" = k.\"id\" ORDER BY s.\"id\"",
        keys = source::bounded(&keys, "\"id\""),
        captured = dialect.millis("s.\"capturedAt\""),
    );
    let doing = "reading KpiSnapshot";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let calendar = Calendar::new(source.as_of, source.window_days);
    let mut page = Page::new(after);
    for row in &rows {
        page.weigh(row).doing(doing)?;
        let (id, item) = item(row, source, &calendar).doing(doing)?;
        page.push(vec![id], item);
    }
    page.end(rows.len(), keyset.limit());
    Ok(page)
}

/// Metadata of snapshots by their ids.
pub(super) type Metadatas = HashMap<String, Option<String>>;

/// The metadata of a day's snapshots that were not kept among the figures.
pub(super) async fn metadatas(source: &Source, figures: &Figures, day: i64) -> Result<Metadatas> {
    let mut ids = Vec::new();
    for metric in 0..METRICS.len() {
        for period in 0..PERIODS.len() {
            let snapshot = figures.snapshots.get(&(metric, period, day));
            if let Some(Metadata::Large { id }) = snapshot.map(|snapshot| &snapshot.metadata) {
                ids.push(id.as_str());
            }
        }
    }
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let metadata = source.dialect().as_text("s.\"metadata\"");
    let sql = format!(
        "SELECT s.\"id\", {metadata} AS \"metadata\" FROM \"KpiSnapshot\" s \
         WHERE {ours} AND COALESCE({bytes}, 0) <= {MAX_VALUE_BYTES}",
        bytes = source.dialect().bytes(&metadata),
        ours = source.dialect().is_any("s.\"id\"", "$1"),
    );
    let doing = "reading the metadata of KpiSnapshot";
    let rows = source
        .all(doing, &sql, [source.dialect().texts(&ids)])
        .await?;
    let read = |row: &QueryResult| Ok((row.try_get("", "id")?, row.try_get("", "metadata")?));
    let metadatas: Result<_, DbErr> = rows.iter().map(read).collect();
    metadatas.doing(doing)
}

fn item(row: &QueryResult, source: &Source, calendar: &Calendar) -> Result<(String, Item), DbErr> {
    let id: String = row.try_get("", "id")?;
    let metric: String = row.try_get("", "metricName")?;
    let period: String = row.try_get("", "period")?;
    let department: Option<String> = row.try_get("", "department")?;
    let captured: Option<i64> = row.try_get("", "captured")?;
    let value: Option<f64> = row.try_get("", "metricValue")?;
    let metadata: Option<String> = row.try_get("", "metadata")?;
    let tenant: String = row.try_get("", "tenantId")?;
    let replaces = slot(&metric, &period).is_some()
        && department.as_deref().is_none_or(|name| name == "executive")
        && captured.is_some_and(|at| {
            (calendar.first_day..=calendar.last_day).contains(&at.div_euclid(DAY))
        });
    if replaces {
        return Ok((id, Item::Skip("took the place of a computed value")));
    }
    let Some(captured) = captured.filter(|at| (source.since()..=source.as_of).contains(at)) else {
        return Ok((id, Item::Skip("outside the window")));
    };
    let key = format!("KpiSnapshot/{id}");
    if let Some(reason) = fault(value, metadata.as_deref(), row.try_get("", "large")?) {
        let reason = reason.into();
        return Ok((id, Item::Bad { key, reason }));
    }
    let item = Item::Row(Row {
        source: key,
        key: identity::id(NAME, &id, &[Some("snapshot")]),
        values: vec![
            Cell::Text(metric),
            Cell::Double(value.unwrap_or_default()),
            Cell::Text(period),
            department.into(),
            metadata.map_or(Cell::Null, Cell::Json),
            Cell::Timestamp(captured),
            Cell::Text(tenant),
        ],
    });
    Ok((id, item))
}

/// What is wrong with a snapshot, if anything.
pub(super) fn fault(
    value: Option<f64>,
    metadata: Option<&str>,
    large: bool,
) -> Option<&'static str> {
    if large {
        return Some("metadata is over 1 MiB");
    }
    if value.is_none_or(|value| !value.is_finite()) {
        return Some("metricValue is not a finite number");
    }
    match metadata.map(serde_json::from_str::<&serde_json::value::RawValue>) {
        Some(Err(_)) => Some("metadata is not JSON"),
        _ => None,
    }
}
