//! KPI snapshots of earlier reports: what is wrong with one, and the ones that are carried over as they are.

use std::collections::HashMap;

use sea_orm::{DbErr, QueryResult};

use super::super::json;
use super::calendar::Calendar;
use super::figures::{Figures, Metadata, slot};
use super::{METRICS, NAME, PERIODS};
use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{self, BYTES, Key, Keyset, Source, Texts};
use crate::time::DAY;
use crate::unit::{Cell, Item, MAX_VALUE_BYTES, Page, Range, Row};

/// The texts that are carried over, and what they are selected as.
const TEXTS: Texts<'_> = Texts(&[
    ("s.\"tenantId\"", "tenantId"),
    ("s.\"metricName\"", "metricName"),
    ("s.\"period\"", "period"),
    ("s.\"department\"", "department"),
    ("CAST(s.\"metadata\" AS TEXT)", "metadata"),
]);

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
    let keys = format!(
        "SELECT s.\"id\", {weight} AS \"{BYTES}\" FROM \"KpiSnapshot\" s WHERE {condition} \
         ORDER BY s.\"id\" LIMIT {page_limit}",
        weight = TEXTS.weight(dialect),
    );
    let sql = format!(
        "SELECT s.\"id\", {texts}, {value} AS \"metricValue\", \
            {captured} AS \"captured\", k.\"{BYTES}\" \
         FROM ({keys}) k JOIN \"KpiSnapshot\" s ON s.\"id\" = k.\"id\" ORDER BY s.\"id\"",
        keys = source::bounded(&keys, "\"id\""),
        texts = TEXTS.select(dialect),
        value = dialect.double("s.\"metricValue\""),
        captured = dialect.millis("s.\"capturedAt\""),
    );
    let doing = "reading KpiSnapshot";
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let calendar = Calendar::new(source);
    let mut page = Page::new(after);
    for row in &rows {
        page.weigh(row).doing(doing)?;
        let id = source::key(row, "id").doing(doing)?;
        let item = item(row, &id, source, &calendar).doing(doing)?;
        page.push(vec![id.cursor], item);
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
    let mut metadatas = HashMap::new();
    for row in &rows {
        // What has become no text meanwhile is as good as gone.
        if let Ok(metadata) = source::text(row, "metadata").doing(doing)? {
            metadatas.insert(row.try_get("", "id").doing(doing)?, metadata);
        }
    }
    Ok(metadatas)
}

fn item(row: &QueryResult, id: &Key, source: &Source, calendar: &Calendar) -> Result<Item, DbErr> {
    let key = format!("KpiSnapshot/{}", id.shown);
    let bad = |reason: &str| {
        let (key, reason) = (key.clone(), reason.into());
        Ok(Item::Bad { key, reason })
    };
    let captured: Option<i64> = row.try_get("", "captured")?;
    let Some(captured) = captured else {
        return bad("capturedAt is not a time");
    };
    let value: Option<f64> = row.try_get("", "metricValue")?;
    // What cannot be read as text has no place that it could take.
    let text = |name: &str| Ok::<_, DbErr>(source::text(row, name)?.ok().flatten());
    let (metric, period) = (text("metricName")?, text("period")?);
    let is_executive = match source::text(row, "department")? {
        Ok(department) => department.is_none_or(|name| name == "executive"),
        Err(_) => false,
    };
    let replaces = (metric.as_deref().zip(period.as_deref()))
        .is_some_and(|(metric, period)| slot(metric, period).is_some())
        && is_executive
        && (calendar.first_day..=calendar.last_day).contains(&captured.div_euclid(DAY));
    if replaces && text("tenantId")?.is_some() {
        return Ok(Item::Skip("took the place of a computed value"));
    }
    if !replaces && !(source.since()..=source.as_of).contains(&captured) {
        return Ok(Item::Skip("outside the window"));
    }
    if let Some(reason) = id.text.as_ref().err().copied().or(TEXTS.fault(row)?) {
        return bad(reason);
    }
    let metadata = text("metadata")?;
    if let Some(reason) = fault(value, metadata.as_deref()) {
        return bad(reason);
    }
    let (Some(metric), Some(period), Some(tenant)) = (metric, period, text("tenantId")?) else {
        return bad("a required value is missing");
    };
    let identity = identity::id(NAME, &id.shown, &[Some("snapshot")]);
    Ok(Item::Row(Row {
        source: key,
        key: identity,
        values: vec![
            Cell::Text(metric),
            Cell::Double(value.unwrap_or_default()),
            Cell::Text(period),
            text("department")?.into(),
            metadata.map_or(Cell::Null, Cell::Json),
            Cell::Timestamp(captured),
            Cell::Text(tenant),
        ],
        expects: None,
    }))
}

/// What is wrong with a snapshot, if anything.
pub(super) fn fault(value: Option<f64>, metadata: Option<&str>) -> Option<&'static str> {
    match value.is_some_and(f64::is_finite) {
        true => metadata.and_then(json::fault),
        false => Some("metricValue is not a finite number"),
    }
}
