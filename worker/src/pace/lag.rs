//! How far a replica is behind, in time, from nothing but positions in the write-ahead log.
//!
//! PostgreSQL's own `replay_lag` says nothing of a replica that stopped after it had caught up, and a heartbeat table
//! would be one more thing to write. Whoever notes where the log ends, again and again, knows since when a replica lacks
//! what it has not replayed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Ends of the log that are remembered at most; beyond, every other one is forgotten, which makes a lag coarser.
const MOST: usize = 1_024;

/// Where the log ended at some looks that the slowest replica has not come up with, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Lag(VecDeque<(Instant, i64)>);

impl Lag {
    /// Takes note of where the log ends now, in bytes from its beginning, and up to where the slowest replica has
    /// replayed it. Gives how long ago it was already true that the log ended beyond that: the replica is as far behind,
    /// or further by less than the time between two looks. What was before the first look is not known.
    pub(super) fn look(&mut self, now: Instant, end: i64, replayed: i64) -> Duration {
        // After a failover the log may end earlier than it did.
        while self.0.back().is_some_and(|(_, known)| *known > end) {
            self.0.pop_back();
        }
        if self.0.back().is_none_or(|(_, known)| *known < end) {
            self.0.push_back((now, end));
        }
        while self.0.front().is_some_and(|(_, known)| *known <= replayed) {
            self.0.pop_front();
        }
        if self.0.len() > MOST {
            let mut is_kept = false;
            self.0.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        let since = self.0.front().map(|(since, _)| *since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Lag, MOST};

    proptest! {
        /// Whatever is written and replayed, second by second: never more than the truth, and less by no more than the
        /// second between two looks.
        #[test]
        fn it_is_the_age_of_the_oldest_missing_byte(steps in prop::collection::vec((0..3_usize, 0..5_usize), 1..300)) {
            let began = Instant::now();
            let mut lag = Lag::default();
            // When each byte was written, and how many are replayed.
            let (mut written, mut replayed) = (Vec::new(), 0_usize);
            for (second, (writes, replays)) in (0_u64..).zip(steps) {
                written.extend((0..writes).map(|_| second));
                replayed = (replayed + replays).min(written.len());
                let end = i64::try_from(written.len()).expect("few");
                let found = lag.look(began + Duration::from_secs(second), end, i64::try_from(replayed).expect("few"));
                let truth = written.get(replayed).map_or(0, |since| second - since);
                prop_assert_eq!(found, Duration::from_secs(truth));
            }
        }
    }

    #[test]
    fn a_replica_that_stands_still_takes_no_memory() {
        let (began, mut lag) = (Instant::now(), Lag::default());
        let second = Duration::from_secs(1);
        for look in 0..100_000 {
            let end = i64::from(look) + 1;
            let found = lag.look(began + look * second, end, 0);
            assert_eq!(found, look * second);
        }
        assert!(lag.0.len() <= MOST);
        let now = began + 100_000 * second;
        let found = lag.look(now, 100_000, 99_999);
        assert!(found <= 1_024 * second, "{found:?} is far from a second");
        assert_eq!(lag.look(now, 100_000, 100_000), Duration::ZERO);
    }

    #[test]
    fn a_failover_to_a_shorter_log_is_no_lag() {
        let (began, mut lag) = (Instant::now(), Lag::default());
        lag.look(began, 1_000, 0);
        let later = began + Duration::from_secs(60);
        assert_eq!(lag.look(later, 500, 400), Duration::ZERO);
    }
}
