//! How long batches took: counts by stretches that grow with the time, so that a million of them take no room and a
//! percentile is off by a sixteenth at most.

use std::collections::BTreeMap;

/// Stretches from one power of two to the next.
const STEPS: u64 = 8;

/// The upper ends of the histogram that `/metrics` shows, milliseconds.
pub const BOUNDS: [u64; 12] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
];

/// Counts of times.
#[derive(Clone, Debug, Default)]
pub struct Took {
    counts: BTreeMap<u16, u64>,
}

impl Took {
    /// Counts one in.
    pub fn note(&mut self, millis: u64) {
        *self.counts.entry(place(millis)).or_default() += 1;
    }

    /// Counts in what another holds.
    pub fn add(&mut self, other: Self) {
        for (place, count) in other.counts {
            *self.counts.entry(place).or_default() += count;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The time that so many of a hundred do not exceed, milliseconds; none where there are none.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|(place, count)| {
            seen += count;
            (seen >= rank).then(|| middle(*place))
        })
    }
}

/// Exact counts of a unit's batches by [`BOUNDS`], and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many took no longer than each bound, and longer than the one before.
    pub counts: [u64; BOUNDS.len()],
    /// How many took longer than the last bound.
    pub over: u64,
    /// How long all took, milliseconds.
    pub millis: u64,
}

impl Histogram {
    /// Counts one in.
    pub fn note(&mut self, millis: u64) {
        match BOUNDS.iter().position(|bound| millis <= *bound) {
            Some(place) => self.counts[place] += 1,
            None => self.over += 1,
        }
        self.millis = self.millis.saturating_add(millis);
    }
}

fn place(millis: u64) -> u16 {
    let place = match millis.checked_ilog2() {
        None | Some(0..=2) => millis,
        Some(power) => {
            let shift = u64::from(power) - 3;
            (shift + 1) * STEPS + ((millis >> shift) & (STEPS - 1))
        }
    };
    u16::try_from(place).unwrap_or(u16::MAX)
}

/// The middle of a stretch.
fn middle(place: u16) -> u64 {
    let place = u64::from(place);
    match place / STEPS {
        0 => place,
        steps => {
            let shift = steps - 1;
            ((STEPS + place % STEPS) << shift) + ((1 << shift) >> 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Took, middle, place};

    proptest! {
        #[test]
        fn a_time_is_off_by_a_sixteenth_at_most(millis in 0_u64..100_000_000) {
            let shown = middle(place(millis));
            prop_assert!(shown.abs_diff(millis) * 16 <= millis, "{millis} is shown as {shown}");
        }

        #[test]
        fn percentiles_are_those_of_the_sorted_times(mut times in prop::collection::vec(0_u64..100_000, 1..300)) {
            let mut took = Took::default();
            for millis in &times {
                took.note(*millis);
            }
            times.sort_unstable();
            for percent in [50, 95, 99, 100] {
                let exact = times[((times.len() * percent).div_ceil(100)).max(1) - 1];
                let shown = took.percentile(percent as u64).expect("one at least");
                prop_assert!(shown.abs_diff(exact) * 16 <= exact, "p{percent}: {shown} for {exact}");
            }
        }
    }
}
