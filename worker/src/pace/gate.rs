//! A threshold with hysteresis: what goes over it must stay over it for a while before the work holds, and what comes back
//! must be well below it for a while before the work goes on.

use std::time::{Duration, Instant};

/// When to hold, and when to go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// What is more than this makes the work hold.
    pub(super) over: f64,
    /// What is no more than this lets it go on.
    pub(super) under: f64,
    /// For how long it must have been over.
    pub(super) patience: Duration,
    /// For how long it must have been under.
    pub(super) calm: Duration,
}

/// One threshold's standing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gate {
    is_shut: bool,
    /// Since when what was measured has asked for the other standing.
    since: Option<Instant>,
}

impl Gate {
    /// Whether the work holds.
    pub(super) fn is_shut(self) -> bool {
        self.is_shut
    }

    /// Takes note of what was measured; gives whether the work holds.
    pub(super) fn look(&mut self, now: Instant, value: f64, bounds: Bounds) -> bool {
        let (is_other, wait) = match self.is_shut {
            false => (value > bounds.over, bounds.patience),
            true => (value <= bounds.under, bounds.calm),
        };
        if !is_other {
            self.since = None;
            return self.is_shut;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= wait {
            self.is_shut = !self.is_shut;
            self.since = None;
        }
        self.is_shut
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Bounds, Gate};

    proptest! {
        /// Whatever is measured: it never holds for less than the calm, nor goes on for less than the patience, and it
        /// never turns against what it has just seen.
        #[test]
        fn it_never_flaps(
            values in prop::collection::vec((0_u32..100, 1_u64..1_000), 1..300),
            patience in 0_u64..3_000,
            calm in 1_u64..3_000,
        ) {
            let bounds = Bounds {
                over: 60.0,
                under: 30.0,
                patience: Duration::from_millis(patience),
                calm: Duration::from_millis(calm),
            };
            let (mut gate, mut now) = (Gate::default(), Instant::now());
            let (mut was_shut, mut turned) = (false, None);
            for (value, step) in values {
                now += Duration::from_millis(step);
                let is_shut = gate.look(now, f64::from(value), bounds);
                if is_shut != was_shut {
                    prop_assert!(if is_shut { value > 60 } else { value <= 30 }, "turned at {}", value);
                    let least = if is_shut { bounds.patience } else { bounds.calm };
                    if let Some(turned) = turned {
                        prop_assert!(now - turned >= least, "it stayed for {:?} only", now - turned);
                    }
                    turned = Some(now);
                }
                was_shut = is_shut;
            }
        }

        /// Between the two bounds nothing changes.
        #[test]
        fn in_between_nothing_changes(values in prop::collection::vec(31_u32..=60, 1..100), begins_shut: bool) {
            let bounds = Bounds { over: 60.0, under: 30.0, patience: Duration::ZERO, calm: Duration::ZERO };
            let (mut gate, now) = (Gate::default(), Instant::now());
            gate.look(now, if begins_shut { 100.0 } else { 0.0 }, bounds);
            for value in values {
                prop_assert_eq!(gate.look(now, f64::from(value), bounds), begins_shut);
            }
        }
    }
}
