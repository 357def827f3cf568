//! The speed that is set, and the rows that it allows. Another may be set at any time, also while the work holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::bucket::Bucket;
use super::options::Speed;
use crate::shutdown::Shutdown;

/// A wait is slept in steps of this, so that another speed ends it.
const STEP: Duration = Duration::from_millis(200);

/// Batches a second at a fixed rate: many small ones, so that nobody meets seconds of load and seconds of none.
const PARTS: u32 = 10;

/// The speed that is set.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<Set>);

#[derive(Debug)]
struct Set {
    speed: Speed,
    bucket: Option<Bucket>,
    /// How often it was set.
    times: u64,
}

impl Set {
    fn new(speed: Speed, times: u64) -> Self {
        let bucket = match speed {
            Speed::Rows(rows) => Some(Bucket::new(rows, Instant::now())),
            Speed::Auto | Speed::Off => None,
        };
        Self {
            speed,
            bucket,
            times,
        }
    }
}

impl Throttle {
    pub(super) fn new(speed: Speed) -> Self {
        Self(Mutex::new(Set::new(speed, 0)))
    }

    pub(super) fn speed(&self) -> Speed {
        self.lock().speed
    }

    /// How many source rows a batch may have, where somebody wants so many.
    pub(super) fn batch_rows(&self, wanted: u32) -> u32 {
        match self.speed() {
            Speed::Rows(rows) => wanted.min((rows / PARTS).max(1)),
            Speed::Auto | Speed::Off => wanted,
        }
    }

    /// Takes note of rows that were read, and waits where these are more than may be read by now: until they are not, until
    /// another speed is set, or until somebody asks to stop.
    pub(super) async fn wrote(&self, rows: u64, shutdown: &Shutdown) {
        let (due, times) = {
            let mut set = self.lock();
            let times = set.times;
            let Some(bucket) = &mut set.bucket else {
                return;
            };
            bucket.take(Instant::now(), rows);
            (bucket.due(Instant::now()), times)
        };
        let began = Instant::now();
        while let Some(left) = due.checked_sub(began.elapsed())
            && !left.is_zero()
            && self.times() == times
            && !shutdown.is_requested()
        {
            shutdown.sleep(left.min(STEP)).await;
        }
    }

    fn times(&self) -> u64 {
        self.lock().times
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets the speed of a pace from elsewhere.
#[derive(Clone, Debug)]
pub struct Dial(pub(super) Arc<Shared>);

impl Dial {
    /// Sets a speed; nothing where it is set already.
    pub fn set(&self, speed: Speed) {
        let mut set = self.0.throttle.lock();
        if set.speed != speed {
            *set = Set::new(speed, set.times + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Limits, Pace, Speed};
    use crate::shutdown::Shutdown;

    /// At one row a second a batch of a thousand is waited for a quarter of an hour; another speed ends that.
    #[tokio::test]
    async fn another_speed_ends_the_wait() {
        let pace = Pace::new(Limits {
            speed: Speed::Rows(1),
            ..Limits::default()
        });
        let dial = pace.dial();
        assert_eq!(pace.batch_rows(2_000), 1);
        let waiting = tokio::spawn(async move {
            pace.wrote(1_000, &Shutdown::default()).await;
            pace.batch_rows(2_000)
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        dial.set(Speed::Rows(1));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!waiting.is_finished(), "it is no other speed");
        dial.set(Speed::Off);
        assert_eq!(waiting.await.expect("it ended"), 2_000);
    }
}
