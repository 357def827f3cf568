//! How long a small question takes while a batch of ours is under way, against how long it takes while none is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Answers in quiet that are remembered: those of the last two minutes or so.
const QUIET: usize = 64;
/// Fewer say nothing.
const ENOUGH: usize = 8;
/// How long an answer beside a batch counts.
const RECENT: Duration = Duration::from_secs(3);
/// A difference of less than this nobody notices: it is the scheduler's.
const NOTABLE: Duration = Duration::from_micros(300);

/// What was measured lately.
#[derive(Debug, Default)]
pub(super) struct Latency {
    quiet: VecDeque<Duration>,
    beside: VecDeque<(Instant, Duration)>,
}

/// How long three of four answers take at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Compared {
    /// Beside a batch.
    pub(super) now: Duration,
    /// In quiet.
    pub(super) usual: Duration,
}

impl Compared {
    /// By how much it is longer than usual.
    pub(super) fn longer(self) -> Duration {
        self.now.saturating_sub(self.usual)
    }

    /// How many times as long as usual; 1 where nobody notices.
    pub(super) fn ratio(self) -> f64 {
        if self.longer() < NOTABLE {
            return 1.0;
        }
        self.now.as_secs_f64() / self.usual.as_secs_f64().max(0.000_05)
    }
}

impl Latency {
    /// An answer while no batch of this process was under way.
    pub(super) fn quiet(&mut self, took: Duration) {
        self.quiet.push_front(took);
        self.quiet.truncate(QUIET);
    }

    /// An answer while one was.
    pub(super) fn beside(&mut self, now: Instant, took: Duration) {
        self.beside.push_front((now, took));
        self.beside.truncate(QUIET);
    }

    /// Whether it is known what is usual.
    pub(super) fn is_known(&self) -> bool {
        self.quiet.len() >= ENOUGH
    }

    /// Forgets all: somebody else is here now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What was measured beside a batch counts no more: batches are others now.
    pub(super) fn forget_beside(&mut self) {
        self.beside.clear();
    }

    /// The two compared; none while too little is known.
    pub(super) fn compare(&self, now: Instant) -> Option<Compared> {
        let recent = self
            .beside
            .iter()
            .take_while(|(at, _)| now.saturating_duration_since(*at) <= RECENT);
        let beside: Vec<_> = recent.map(|(_, took)| *took).collect();
        if beside.len() < ENOUGH || !self.is_known() {
            return None;
        }
        Some(Compared {
            now: third_quartile(beside),
            usual: third_quartile(self.quiet.iter().copied().collect()),
        })
    }
}

fn third_quartile(mut answers: Vec<Duration>) -> Duration {
    answers.sort_unstable();
    answers
        .get(answers.len() * 3 / 4)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Compared, Latency};

    const MS: Duration = Duration::from_millis(1);

    fn measured(usual: Duration, now: Duration) -> Option<Compared> {
        let (mut latency, at) = (Latency::default(), Instant::now());
        for _ in 0..20 {
            latency.quiet(usual);
            latency.beside(at, now);
        }
        latency.compare(at)
    }

    #[test]
    fn too_little_says_nothing_and_what_is_old_is_nothing() {
        let (mut latency, at) = (Latency::default(), Instant::now());
        for _ in 0..7 {
            latency.quiet(MS);
            latency.beside(at, 5 * MS);
        }
        assert_eq!(latency.compare(at), None);
        latency.quiet(MS);
        latency.beside(at, 5 * MS);
        let compared = latency.compare(at).expect("enough");
        assert!((compared.ratio() - 5.0).abs() < 1e-9);
        assert_eq!(latency.compare(at + 4_000 * MS), None);
    }

    #[test]
    fn what_nobody_notices_is_no_difference() {
        let compared = measured(MS / 10, MS / 4).expect("enough");
        assert!((compared.ratio() - 1.0).abs() < 1e-9);
    }

    proptest! {
        /// One in ten may be as slow as it likes: a hiccup of the machine is not ours.
        #[test]
        fn a_few_slow_answers_change_nothing(slow in 1_u32..10_000) {
            let (mut latency, at) = (Latency::default(), Instant::now());
            for look in 0..30_u32 {
                latency.quiet(MS);
                latency.beside(at, if look % 10 == 0 { slow * MS } else { MS });
            }
            prop_assert!((latency.compare(at).expect("enough").ratio() - 1.0).abs() < 1e-9);
        }
    }
}
