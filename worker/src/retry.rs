//! Trying again: bounded, with growing pauses and jitter, and only after errors that may pass.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::{Error, Result};
use crate::shutdown::Shutdown;

/// Attempts at one thing. The pauses add up to about a minute: long enough for a server to restart.
#[derive(Debug)]
pub struct Retry(ExponentialBackoff);

impl Default for Retry {
    fn default() -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(10))
            .with_max_times(12)
            .with_jitter();
        Self(pauses.build())
    }
}

impl Retry {
    /// A few attempts within a second or two: for what others wait behind.
    #[must_use]
    pub fn brief() -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_millis(500))
            .with_max_times(4)
            .with_jitter();
        Self(pauses.build())
    }

    /// How long to pause before the next attempt; none where there were enough.
    pub fn next_pause(&mut self) -> Option<Duration> {
        self.0.next()
    }

    /// Pauses after an error that may pass.
    ///
    /// # Errors
    /// The error itself, where it will not pass or was met too often, or where somebody asked to stop.
    pub async fn pause(&mut self, error: Error, shutdown: &Shutdown) -> Result<()> {
        if !error.is_transient() || shutdown.is_requested() {
            return Err(error);
        }
        match self.next_pause() {
            Some(pause) => {
                tracing::warn!("{error}; trying again in {:.1} s", pause.as_secs_f64());
                shutdown.sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }
}
