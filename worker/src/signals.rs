//! SIGINT and SIGTERM: the first asks to stop, a second is the caller's to answer. Nothing is lost either way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::error::exit;
use crate::shutdown::Shutdown;

/// Which signal asked to stop.
#[derive(Clone, Debug)]
pub struct Asked(Arc<AtomicU8>);

impl Asked {
    /// The exit code that the signal stands for.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Listens from here on; `second` is told the exit code of a second signal.
///
/// # Errors
/// The operating system's.
pub fn listen(shutdown: Shutdown, second: fn(u8)) -> std::io::Result<Asked> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let asked = Asked(Arc::new(AtomicU8::new(exit::INTERRUPTED)));
    let listening = asked.clone();
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => exit::INTERRUPTED,
                _ = terminate.recv() => exit::TERMINATED,
            };
            if shutdown.is_requested() {
                second(code);
            }
            listening.0.store(code, Ordering::Relaxed);
            shutdown.request();
        }
    });
    Ok(asked)
}
