//! A sample of each unit's source: a page from a few places of it, read and transformed, and written nowhere.

use super::Sample;
use crate::core::plan::Write;
use crate::engine::Plan;
use crate::error::{Error, Result};
use crate::source::Source;
use crate::unit::{Cell, Item, Parts, Range, Row, Unit};

/// Places that a section is looked at, and source rows at each.
const PARTS: Parts = Parts {
    most: 4,
    rows: PAGE,
};
const PAGE: u32 = 500;
/// Pages at each place at most.
const PAGES: u32 = 8;

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
        let sample = match !has_schema && reads_what_is_to_come(plan, unit.as_ref()) {
            true => unsampled(source, unit.as_ref()).await?,
            false => match unit_sample(source, unit.as_ref()).await {
                Err(error @ Error::Database { .. }) if !has_schema && !error.is_transient() => {
                    unsampled(source, unit.as_ref()).await?
                }
                sample => sample?,
            },
        };
        samples.push(sample);
    }
    Ok(samples)
}

/// Whether a unit may read columns that the schema is still to bring: those that it, or one that it depends on, fills. The
/// server would log an error with the whole query.
fn reads_what_is_to_come(plan: &Plan, unit: &dyn Unit) -> bool {
    let definition = unit.definition();
    let updates = |unit: &dyn Unit| {
        let write = &unit.definition().destination.write;
        matches!(write, Write::Update { .. })
    };
    let mut others = plan.iter();
    let follows_one = others.any(|other| {
        definition.depends_on.contains(&other.definition().name) && updates(other.as_ref())
    });
    updates(unit) || follows_one
}

async fn unit_sample(source: &Source, unit: &dyn Unit) -> Result<Sample> {
    let mut sample = empty(unit);
    sample.is_sampled = true;
    for section in 0..unit.definition().sections.len() {
        for range in unit.split(source, section, PARTS).await? {
            let place = look_at(source, unit, section, &range).await?;
            let all = match place.is_whole {
                true => place.read,
                false => range.estimate.max(place.read),
            };
            let share = |part: i64| match place.read {
                0 => part,
                read => scaled(part, all, read),
            };
            sample.is_at_least |= !place.is_whole && range.upper.is_none();
            sample.source_rows += all;
            sample.read += place.read;
            sample.bad += place.bad;
            sample.rows += share(place.rows);
            sample.bytes += share(place.bytes);
        }
    }
    Ok(sample)
}

/// What was read of a range, from its beginning.
#[derive(Default)]
struct Place {
    read: i64,
    rows: i64,
    bytes: i64,
    bad: i64,
    is_whole: bool,
}

/// A page, and more where that has read as much as there is and has not come to the end: of rows that are computed from many
/// source rows, it holds a part.
async fn look_at(source: &Source, unit: &dyn Unit, section: usize, range: &Range) -> Result<Place> {
    let mut place = Place::default();
    let mut cursor = None;
    for _ in 0..PAGES {
        let page = unit
            .read(source, section, range, cursor.as_ref(), PAGE)
            .await?;
        place.read += page.read;
        for item in &page.items {
            match item {
                Item::Row(row) => {
                    place.rows += 1;
                    place.bytes += bytes(row);
                }
                Item::Bad { .. } => place.bad += 1,
                Item::Skip(_) => {}
            }
        }
        place.is_whole = page.last;
        if page.last || place.read < range.estimate {
            break;
        }
        cursor = page.to;
    }
    Ok(place)
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
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let text = |text: &str| 4 + length(text);
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
    2 * (ROW_BYTES + text(&row.key) + values) + PROVENANCE_BYTES + length(&row.key)
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
