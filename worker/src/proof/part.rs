//! The part of a source that a batch covers, read once more.

use std::collections::{HashMap, HashSet};

use crate::core::event::{BatchCommitted, Cursor, PartitionPlanned};
use crate::error::Result;
use crate::source::Source;
use crate::unit::{Item, Page, Range, Row, Unit};

/// Pages of a batch's own range that are read at most to find the report that it wrote.
const MOST_PAGES: usize = 64;

/// The first report of each of these keys in the part of the source that a batch of a partition covers.
///
/// # Errors
/// The database's; an unreadable input.
pub(crate) async fn reports(
    unit: &dyn Unit,
    source: &Source,
    planned: &PartitionPlanned,
    batch: &BatchCommitted,
    keys: &HashSet<&str>,
) -> Result<HashMap<String, Row>> {
    let range = Range {
        lower: planned.lower.clone(),
        upper: planned.upper.clone(),
        estimate: planned.estimate,
    };
    let section = usize::try_from(planned.section).unwrap_or(0);
    // A batch of rows that are computed from others reads none.
    let rows = batch.read.max(batch.rows()).clamp(1, 2_000);
    let limit = u32::try_from(rows).unwrap_or(1);
    let mut reports: HashMap<String, Row> = HashMap::new();
    let mut cursor: Option<Cursor> = batch.from.clone();
    for _ in 0..MOST_PAGES {
        let page = unit.read(source, section, &range, cursor.as_ref(), limit);
        let Page {
            items, to, last, ..
        } = page.await?;
        for item in items {
            if let Item::Row(row) = item
                && keys.contains(row.key.as_str())
            {
                reports.entry(row.key.clone()).or_insert(row);
            }
        }
        if last || to == batch.to || reports.len() == keys.len() {
            break;
        }
        cursor = to;
    }
    Ok(reports)
}
