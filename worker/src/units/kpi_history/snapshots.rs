//! KPI snapshots of earlier reports: what is wrong with one, and the ones that are carried over as they are.

use sea_orm::{DbErr, QueryResult};

use super::NAME;
use super::calendar::Calendar;
use super::figures::slot;
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{Keyset, Source};
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
    let metadata = source.dialect().as_text("s.\"metadata\"");
    let bytes = source.dialect().bytes(&metadata);
    let sql = format!(
        "SELECT s.\"id\", s.\"tenantId\", s.\"metricName\", s.\"metricValue\", s.\"period\", s.\"department\", \
            {captured} AS \"captured\", CASE WHEN {bytes} <= {MAX_VALUE_BYTES} THEN {metadata} END AS \"metadata\", \
            COALESCE({bytes}, 0) > {MAX_VALUE_BYTES} AS \"large\" \
         FROM \"KpiSnapshot\" s WHERE {condition} ORDER BY s.\"id\" LIMIT {page_limit}",
        captured = source.dialect().millis("s.\"capturedAt\""),
    );
    let doing = "reading KpiSnapshot";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let calendar = Calendar::new(source.as_of, source.window_days);
    let mut page = Page::new(after);
    for row in &rows {
        let (id, item) = item(row, source, &calendar).doing(doing)?;
        page.push(vec![id], item);
    }
    page.end(rows.len(), keyset.limit());
    Ok(page)
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
