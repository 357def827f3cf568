//! How long a unit is likely to take, from how long a few of its batches took.

use serde::Serialize;

/// A batch that was rehearsed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timed {
    /// Source rows read.
    pub(super) rows: i64,
    /// How long reading and transforming them took, in milliseconds.
    pub(super) reading: f64,
    /// How long writing took what came of them, in milliseconds.
    pub(super) writing: f64,
}

/// A section of a unit's source: its batches, and the source rows of all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Section {
    pub(super) batches: Vec<Timed>,
    pub(super) rows: i64,
}

/// A range of time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Range {
    /// With every batch as fast as the fastest, and this many workers that do not get into each other's way.
    pub low: u64,
    /// One worker, batches as fast as they were together.
    pub likely: u64,
    /// Every batch as slow as the slowest, and the next page read only once it is written.
    pub high: u64,
}

impl Range {
    /// The time of one thing after the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            low: self.low.saturating_add(other.low),
            likely: self.likely.saturating_add(other.likely),
            high: self.high.saturating_add(other.high),
        }
    }
}

/// The time for a unit: a pass that writes while it reads the next page, and one that reads again and finds nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "an estimate: not negative, far below 2^53, and a cast of more saturates"
)]
pub(super) fn range(sections: &[Section], workers: u32) -> Range {
    let (mut low, mut likely, mut high) = (0.0, 0.0, 0.0);
    for section in sections {
        let filled: Vec<_> = section
            .batches
            .iter()
            .filter(|batch| batch.rows > 0)
            .collect();
        if filled.is_empty() {
            continue;
        }
        let all = section.rows as f64;
        let rows: f64 = filled.iter().map(|batch| batch.rows as f64).sum();
        let both = |batch: &&Timed| batch.reading.max(batch.writing) + batch.reading;
        let fastest = filled.iter().map(|batch| both(batch) / batch.rows as f64);
        low += all * fastest.fold(f64::INFINITY, f64::min);
        likely += all * filled.iter().map(both).sum::<f64>() / rows;
        let each = |batch: &&Timed| (2.0 * batch.reading + batch.writing) / batch.rows as f64;
        high += all * filled.iter().map(each).fold(0.0, f64::max);
    }
    Range {
        low: (low / f64::from(workers.max(1))).floor() as u64,
        likely: likely.round() as u64,
        high: high.ceil() as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Range, Section, Timed, range};

    fn timed(rows: i64, reading: f64, writing: f64) -> Timed {
        Timed {
            rows,
            reading,
            writing,
        }
    }

    #[test]
    fn a_pass_that_writes_and_one_that_reads_again() {
        let section = Section {
            batches: vec![timed(100, 10.0, 30.0), timed(0, 5.0, 0.0)],
            rows: 1_000,
        };
        let expected = Range {
            low: 200,
            likely: 400,
            high: 500,
        };
        assert_eq!(range(&[section], 2), expected);
        assert_eq!(range(&[Section::default()], 2), Range::default());
    }

    proptest! {
        #[test]
        fn low_is_low_and_high_is_high(
            batches in prop::collection::vec((0..5_000_i64, 0.0..1e5_f64, 0.0..1e5_f64), 0..20),
            rows in 0..1_000_000_i64,
            workers in 0..8_u32,
        ) {
            let batches = batches.into_iter();
            let batches = batches.map(|(rows, reading, writing)| timed(rows, reading, writing));
            let section = Section { batches: batches.collect(), rows };
            let range = range(&[section], workers);
            prop_assert!(range.low <= range.likely && range.likely <= range.high, "{range:?}");
        }
    }
}
