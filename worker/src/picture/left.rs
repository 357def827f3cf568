//! How long a run will still take, as a range: at the pace of its good stretches, and at that of its bad ones.

use super::buckets::Buckets;
use super::fold::Sample;
use crate::status;

/// A range of time from now on, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// Where all goes well.
    pub low: f64,
    /// Where it goes badly.
    pub high: f64,
    /// Whether units are left of which nobody has counted the rows yet: it may be more.
    pub is_at_least: bool,
}

/// How long a run that is under way will still take; none where nothing tells, as nothing was read in the last ten minutes.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
pub fn left(run: &status::Run, newest: &Buckets<Sample>, now: i64) -> Option<Left> {
    let under_way = |unit: &&status::Unit| matches!(unit.state, "running" | "stopped");
    let rows: i64 = run
        .units
        .iter()
        .filter(under_way)
        .map(|unit| (unit.pass_expected - unit.pass_read).max(0))
        .sum();
    // A unit that is in its first pass reads its source again, unless nothing has changed.
    let again: i64 = run
        .units
        .iter()
        .filter(under_way)
        .filter(|unit| unit.pass <= 1)
        .map(|unit| unit.expected)
        .sum();
    let is_at_least = run.units.iter().any(|unit| unit.state == "pending");
    if rows + again == 0 && !is_at_least {
        return None;
    }
    let (slow, fast) = rates(newest, now)?;
    Some(Left {
        low: rows as f64 / fast,
        high: (rows + again) as f64 / slow,
        is_at_least,
    })
}

/// Rows read a second in the slower and in the faster stretches since the work went on last.
#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn rates(newest: &Buckets<Sample>, now: i64) -> Option<(f64, f64)> {
    let width = newest.width();
    let seconds = width as f64 / 1_000.0;
    let mut rates: Vec<f64> = newest
        .iter()
        // A stretch that is not over, or has only begun, tells too little.
        .filter(|(from, _)| from + width <= now)
        .skip(1)
        .filter(|(_, sample)| sample.read > 0)
        .map(|(_, sample)| sample.read as f64 / seconds)
        .collect();
    if rates.is_empty() {
        let read: i64 = newest.iter().map(|(_, sample)| sample.read).sum();
        let first = newest.iter().next()?.0;
        let rate = read as f64 / ((now - first).max(1_000) as f64 / 1_000.0);
        return (rate > 0.0).then_some((rate, rate));
    }
    rates.sort_by(f64::total_cmp);
    let at = |percent: usize| rates[(rates.len() - 1) * percent / 100];
    Some((at(20), at(80)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(rows: &[i64]) -> Buckets<Sample> {
        let mut newest = Buckets::<Sample>::newest(10_000, 60);
        for (place, read) in (0_i64..).zip(rows) {
            newest.at(place * 10_000).expect("room").read = *read;
        }
        newest
    }

    #[test]
    fn the_range_is_that_of_the_stretches() {
        let (slow, fast) =
            rates(&newest(&[5, 1_000, 0, 2_000, 4_000, 3_000, 7]), 65_000).expect("rates");
        // The first and the last are cut off, and the third was a hold.
        assert!(
            (slow - 100.0).abs() < 0.1 && (fast - 300.0).abs() < 0.1,
            "{slow} {fast}"
        );
    }

    #[test]
    fn nothing_read_is_no_rate() {
        assert_eq!(rates(&newest(&[]), 10), None);
        assert_eq!(rates(&newest(&[0]), 10), None);
        assert!(rates(&newest(&[50]), 5_000).is_some());
    }
}
