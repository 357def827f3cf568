//! Medians, percentiles and ratios: pure.

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
#[must_use]
pub(crate) fn number(count: i64) -> f64 {
    count as f64
}

/// The value that a share of all (0 to 1) do not exceed, by linear interpolation between its neighbours; none of none.
#[must_use]
pub(crate) fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * number(i64::try_from(last).ok()?);
    let below: usize = format!("{:.0}", place.floor()).parse().ok()?;
    let above = (below + 1).min(last);
    let part = place - place.floor();
    Some(sorted[below] + (sorted[above] - sorted[below]) * part)
}

/// The middle value; none of none.
#[must_use]
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 0.5)
}

/// The least and the greatest; none of none.
#[must_use]
pub(crate) fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let greatest = values.iter().copied().max_by(f64::total_cmp)?;
    Some((least, greatest))
}

/// Each value over the one beside it, for as many as there are of both.
#[must_use]
pub(crate) fn ratios(values: &[f64], over: &[f64]) -> Vec<f64> {
    values
        .iter()
        .zip(over)
        .map(|(value, over)| value / over)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{median, percentile, range, ratios};

    #[test]
    fn a_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn percentiles_interpolate() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.95), Some(95.0));
        assert_eq!(percentile(&values, 0.0), Some(0.0));
        assert_eq!(percentile(&values, 1.0), Some(100.0));
        assert_eq!(percentile(&[0.0, 10.0], 0.25), Some(2.5));
    }

    #[test]
    fn ratios_go_by_pairs() {
        assert_eq!(ratios(&[2.0, 9.0, 5.0], &[1.0, 3.0]), [2.0, 3.0]);
        assert_eq!(range(&[2.0, 1.0, 3.0]), Some((1.0, 3.0)));
        assert_eq!(range(&[]), None);
    }
}
