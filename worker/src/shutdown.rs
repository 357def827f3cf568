//! Shutdown as a value: handed in, looked at between batches, never a reason to drop a query midway. It knows when it was
//! looked at last, so that others can tell whether the work still goes round.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// How often one that sleeps looks.
const LOOK: Duration = Duration::from_secs(1);

/// Whether somebody asked to stop.
#[derive(Clone, Debug)]
pub struct Shutdown {
    asked: CancellationToken,
    /// When the work looked at it last: batch by batch, and all the time while it holds or waits.
    looked_at: Arc<Mutex<Instant>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            asked: CancellationToken::default(),
            looked_at: Arc::new(Mutex::new(Instant::now())),
        }
    }
}

impl Shutdown {
    /// Asks to stop.
    pub fn request(&self) {
        self.asked.cancel();
    }

    /// One that is asked where this one is, and may be asked alone. Who looks at it has looked at both.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            asked: self.asked.child_token(),
            looked_at: self.looked_at.clone(),
        }
    }

    /// Whether somebody asked. For the work itself: others, who only watch, wait with [`Self::requested`].
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.look();
        self.asked.is_cancelled()
    }

    /// Waits until somebody asks. Who waits so does not look.
    pub async fn requested(&self) {
        self.asked.cancelled().await;
    }

    /// Sleeps, but not past the request, and looks meanwhile.
    pub async fn sleep(&self, duration: Duration) {
        let mut left = duration;
        loop {
            self.look();
            let step = left.min(LOOK);
            let is_asked = tokio::time::timeout(step, self.asked.cancelled()).await;
            left -= step;
            if is_asked.is_ok() || left.is_zero() {
                return;
            }
        }
    }

    /// Whether the work has looked at it within so long.
    #[must_use]
    pub fn looked_at_within(&self, duration: Duration) -> bool {
        let looked_at = self.looked_at.lock();
        looked_at.unwrap_or_else(PoisonError::into_inner).elapsed() <= duration
    }

    /// Looks. What takes long and has nobody to ask (an index that is being built) says so that it still goes on.
    pub fn look(&self) {
        let looked_at = self.looked_at.lock();
        *looked_at.unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sleep_ends_when_it_is_over_or_somebody_asks() {
        let (shutdown, began) = (Shutdown::default(), tokio::time::Instant::now());
        shutdown.sleep(Duration::from_millis(2_500)).await;
        assert_eq!(began.elapsed(), Duration::from_millis(2_500));
        shutdown.sleep(Duration::ZERO).await;
        let asks = shutdown.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            asks.request();
        });
        shutdown.child().sleep(Duration::from_secs(3_600)).await;
        assert_eq!(began.elapsed(), Duration::from_millis(3_700));
        assert!(shutdown.is_requested());
    }

    #[test]
    fn who_looks_at_a_child_has_looked_and_who_waits_has_not() {
        let long_ago = Duration::from_millis(20);
        let shutdown = Shutdown::default();
        let child = shutdown.child();
        std::thread::sleep(2 * long_ago);
        assert!(!shutdown.looked_at_within(long_ago));
        drop(child.requested());
        assert!(!shutdown.looked_at_within(long_ago));
        let _ = child.is_requested();
        assert!(shutdown.looked_at_within(Duration::from_secs(60)));
        std::thread::sleep(2 * long_ago);
        child.look();
        assert!(shutdown.looked_at_within(Duration::from_secs(60)));
    }
}
