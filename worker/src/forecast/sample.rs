//! A sample of each unit's source: a page from a few places of it, read and transformed, and written nowhere.

use super::Sample;
use crate::engine::Plan;
use crate::error::{Error, Result};
use crate::source::Source;
use crate::unit::{Cell, Item, Parts, Row, Unit};

/// Places that a section is looked at, and source rows at each.
const PARTS: Parts = Parts {
    most: 4,
    rows: PAGE,
};
const PAGE: u32 = 500;

/// What a row takes beside its values: PostgreSQL's header, its pointer, and what rounding up costs.
const ROW_BYTES: i64 = 32;
/// What a row of provenance takes beside the key.
const PROVENANCE_BYTES: i64 = 12;
/// What a row that could not be looked at is taken for.
const UNKNOWN_BYTES: i64 = 1_024;

/// Samples each unit. `has_schema`: whether all schema changes are applied.
///
/// # Errors
/// The database's.
pub async fn sample(source: &Source, plan: &Plan, has_schema: bool) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for unit in plan.iter() {
        let sample = match unit_sample(source, unit.as_ref()).await {
            Err(error @ Error::Database { .. }) if !has_schema && !error.is_transient() => {
                unsampled(source, unit.as_ref()).await?
            }
            sample => sample?,
        };
        samples.push(sample);
    }
    Ok(samples)
}

async fn unit_sample(source: &Source, unit: &dyn Unit) -> Result<Sample> {
    let mut sample = empty(unit);
    sample.is_sampled = true;
    for section in 0..unit.definition().sections.len() {
        for range in unit.split(source, section, PARTS).await? {
            let page = unit.read(source, section, &range, None, PAGE).await?;
            let rows = page.items.iter().filter_map(|item| match item {
                Item::Row(row) => Some(bytes(row)),
                Item::Skip(_) | Item::Bad { .. } => None,
            });
            let (count, size) = rows.fold((0, 0), |(count, sum), row| (count + 1, sum + row));
            let all = match page.last {
                true => page.read,
                false => range.estimate.max(page.read),
            };
            let share = |part: i64| match page.read {
                0 => part,
                read => scaled(part, all, read),
            };
            sample.is_at_least |= !page.last && range.estimate <= page.read;
            sample.source_rows += all;
            sample.read += page.read;
            let is_bad = |item: &&Item| matches!(item, Item::Bad { .. });
            sample.bad += page.items.iter().filter(is_bad).count() as i64;
            sample.rows += share(count);
            sample.bytes += share(size);
        }
    }
    Ok(sample)
}

/// What is known of a unit that reads what is not there yet.
async fn unsampled(source: &Source, unit: &dyn Unit) -> Result<Sample> {
    let mut sample = empty(unit);
    for section in 0..unit.definition().sections.len() {
        for range in unit.split(source, section, PARTS).await? {
            sample.source_rows += range.estimate;
        }
    }
    sample.rows = sample.source_rows;
    sample.bytes = sample.rows.saturating_mul(UNKNOWN_BYTES);
    Ok(sample)
}

fn empty(unit: &dyn Unit) -> Sample {
    Sample {
        unit: unit.definition().name.clone(),
        source_rows: 0,
        is_at_least: false,
        is_sampled: false,
        read: 0,
        bad: 0,
        rows: 0,
        bytes: 0,
    }
}

/// `part` of `read` as the same share of `all`; rounded up.
pub(super) fn scaled(part: i64, all: i64, read: i64) -> i64 {
    let scaled =
        (i128::from(part) * i128::from(all) + i128::from(read) - 1) / i128::from(read.max(1));
    i64::try_from(scaled).unwrap_or(i64::MAX)
}

/// About what a row takes in its table, as much again in that table's indexes, and its provenance.
fn bytes(row: &Row) -> i64 {
    let text = |text: &String| 4 + text.len() as i64;
    let values: i64 = row
        .values
        .iter()
        .map(|cell| match cell {
            Cell::Null => 0,
            Cell::Text(value) | Cell::Json(value) => text(value),
            Cell::Integer(_) => 4,
            Cell::Double(_) | Cell::Timestamp(_) => 8,
        })
        .sum();
    2 * (ROW_BYTES + text(&row.key) + values) + PROVENANCE_BYTES + row.key.len() as i64
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn a_share_is_rounded_up() {
        assert_eq!(scaled(1, 1_000, 3), 334);
        assert_eq!(scaled(0, 1_000, 3), 0);
        assert_eq!(scaled(5, 10, 10), 5);
        assert_eq!(scaled(i64::MAX, i64::MAX, 1), i64::MAX);
    }
}
