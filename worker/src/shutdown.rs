//! Shutdown as a value: handed in, looked at between batches, never a reason to drop a query midway.

use tokio_util::sync::CancellationToken;

/// Whether somebody asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Asks to stop.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// One that is asked where this one is, and may be asked alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until somebody asks.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Sleeps, but not past the request.
    pub async fn sleep(&self, duration: std::time::Duration) {
        let _ = tokio::time::timeout(duration, self.0.cancelled()).await;
    }
}
