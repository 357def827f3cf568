//! SIGINT and SIGTERM: the first asks to stop, a second ends the process at once. Nothing is lost either way.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use worker::error::exit;
use worker::shutdown::Shutdown;

/// Which signal asked to stop.
#[derive(Clone, Debug)]
pub(super) struct Asked(Arc<AtomicU8>);

impl Asked {
    /// The exit code that the signal stands for.
    pub(super) fn exit_code(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Listens from here on.
pub(super) fn listen(shutdown: Shutdown) -> std::io::Result<Asked> {
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
                process::exit(i32::from(code));
            }
            listening.0.store(code, Ordering::Relaxed);
            shutdown.request();
        }
    });
    Ok(asked)
}
