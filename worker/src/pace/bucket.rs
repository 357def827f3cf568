//! So many rows a second: what is over is waited for after it was read, and what was not used is good for one second.

use std::time::{Duration, Instant};

/// Rows that may be read, as time goes by.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Rows a second.
    rate: f64,
    /// Rows that may be read now; below zero: that were read ahead of their time.
    left: f64,
    at: Instant,
}

impl Bucket {
    /// An empty one.
    pub(super) fn new(rows_per_second: u32, now: Instant) -> Self {
        Self {
            rate: f64::from(rows_per_second.max(1)),
            left: 0.0,
            at: now,
        }
    }

    /// Takes rows out that were read.
    pub(super) fn take(&mut self, now: Instant, rows: u64) {
        self.fill(now);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a batch has far fewer rows than 2^53"
        )]
        let rows = rows as f64;
        self.left -= rows;
    }

    /// How long it is until rows may be read.
    pub(super) fn due(&mut self, now: Instant) -> Duration {
        self.fill(now);
        // A rate of one row a second and the largest batch there is are hours, which fit.
        Duration::try_from_secs_f64((-self.left / self.rate).max(0.0)).unwrap_or(Duration::MAX)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.left = (self.left + passed.as_secs_f64() * self.rate).min(self.rate);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::Bucket;

    proptest! {
        /// Over any interval: no more rows than the rate gives in it, a second's worth, and the batch in hand. And who
        /// reads whenever it is allowed loses nothing: no fewer than the rate gives, but for the last wait.
        #[test]
        fn the_rate_holds_over_any_interval(
            rate in 1_u32..100_000,
            batches in prop::collection::vec((1_u32..5_000, 0_u64..3_000), 2..60),
        ) {
            let began = Instant::now();
            let mut now = began;
            let mut bucket = Bucket::new(rate, now);
            let mut read: Vec<(Instant, u32)> = Vec::new();
            for (rows, idle) in batches {
                now += Duration::from_millis(idle);
                now += bucket.due(now);
                bucket.take(now, u64::from(rows));
                read.push((now, rows));
            }
            for (first, (from, _)) in read.iter().enumerate() {
                let mut before = 0.0;
                for (to, rows) in &read[first..] {
                    let allowed = f64::from(rate) * ((*to - *from).as_secs_f64() + 1.0);
                    prop_assert!(before <= allowed + 1.0, "{} rows rather than {}", before, allowed);
                    before += f64::from(*rows);
                }
            }
        }

        #[test]
        fn who_reads_when_it_is_due_has_the_whole_rate(rate in 1_u32..100_000, rows in 1_u32..5_000) {
            let began = Instant::now();
            let mut now = began;
            let mut bucket = Bucket::new(rate, now);
            for _ in 0..50 {
                bucket.take(now, u64::from(rows));
                now += bucket.due(now);
            }
            let due = 50.0 * f64::from(rows) / f64::from(rate);
            let took = (now - began).as_secs_f64();
            prop_assert!((took - due).abs() <= due * 0.001 + 0.001, "{} rather than {}", took, due);
        }
    }
}
