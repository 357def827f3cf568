//! How long the units of a run have still to go, as a range: as a forecast has it, but from the batches that were committed
//! last.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;

use super::{RECENT, Run, of_run};
use crate::core::event::Event;
use crate::error::Result;
use crate::forecast::Range;
use crate::journal::{self, Filter};

/// Into so many parts of the same length the time of these batches is cut: the fastest and the slowest of them make the range.
const PARTS: i64 = 5;

/// What of each unit's pass is left, in milliseconds; of the units that are running and have gone on for a while.
///
/// # Errors
/// The database's.
pub async fn left(connection: &impl ConnectionTrait, run: &Run) -> Result<BTreeMap<String, Range>> {
    let mut left = BTreeMap::new();
    for unit in run.units.iter().filter(|unit| unit.seconds_left.is_some()) {
        let filter = Filter {
            unit: Some(unit.unit.clone()),
            ..of_run(&run.run, Some("BatchCommitted"))
        };
        let entries = journal::select(connection, &filter, RECENT, true).await?;
        let batches = entries
            .iter()
            .filter_map(|entry| match journal::event(entry) {
                Ok(Event::BatchCommitted(batch)) => Some((entry.at, batch.read)),
                _ => None,
            });
        let rows = (unit.pass_expected - unit.pass_read).max(0);
        if let Some(range) = range(rows, &batches.collect::<Vec<_>>(), unit.seconds_left) {
            left.insert(unit.unit.clone(), range);
        }
    }
    Ok(left)
}

/// The time for so many rows, from batches as (when, source rows) in their order, and what the unit's rate says.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "an estimate: not negative, far below 2^53, and a cast of more saturates"
)]
fn range(rows: i64, batches: &[(i64, i64)], likely: Option<f64>) -> Option<Range> {
    let likely = 1_000.0 * likely.filter(|likely| likely.is_finite())?;
    let ((first, _), (last, _)) = (batches.first()?, batches.last()?);
    let (mut low, mut high) = (likely, likely);
    let span = last - first;
    for part in 0..PARTS {
        let (from, to) = (
            first + span * part / PARTS,
            first + span * (part + 1) / PARTS,
        );
        // The first batch's own rows were read before it.
        let read: i64 = batches[1..]
            .iter()
            .filter(|(at, _)| (from < *at || from == *first) && *at <= to)
            .map(|(_, read)| read)
            .sum();
        // Where nothing went on there was a hold, which is told as such.
        if read > 0 && to > from {
            let took = rows as f64 * (to - from) as f64 / read as f64;
            (low, high) = (low.min(took), high.max(took));
        }
    }
    Some(Range {
        low: low.floor() as u64,
        likely: likely.round() as u64,
        high: high.ceil() as u64,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::range;
    use crate::forecast::Range;

    #[test]
    fn the_fastest_and_the_slowest_part_make_the_range() {
        // 100 rows a second, in the last of five seconds 200, in the one before 50.
        let batches = [
            (0, 7),
            (1_000, 100),
            (2_000, 100),
            (3_000, 100),
            (4_000, 50),
            (5_000, 200),
        ];
        let expected = Range {
            low: 5_000,
            likely: 9_100,
            high: 20_000,
        };
        assert_eq!(range(1_000, &batches, Some(9.1)), Some(expected));
        assert_eq!(range(1_000, &[], Some(9.1)), None);
        assert_eq!(range(1_000, &batches, None), None);
        let steady = Range {
            low: 9_100,
            likely: 9_100,
            high: 9_100,
        };
        assert_eq!(range(1_000, &batches[..1], Some(9.1)), Some(steady));
    }

    proptest! {
        #[test]
        fn what_is_likely_lies_in_between(
            rows in 0..1_000_000_i64,
            mut batches in prop::collection::vec((0..100_000_i64, 0..5_000_i64), 0..40),
            likely in 0.0..1e7_f64,
        ) {
            batches.sort_unstable();
            if let Some(range) = range(rows, &batches, Some(likely)) {
                prop_assert!(range.low <= range.likely && range.likely <= range.high, "{range:?}");
            }
        }
    }
}
