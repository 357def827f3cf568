//! SIGINT and SIGTERM, answered from a thread of its own: however busy the others are, a signal is heard. Nothing is
//! lost, whatever the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::exit;
use crate::shutdown::Shutdown;

/// How long the work in hand may take after somebody asked to stop.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a signal, or the time since one, calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The first signal: the work in hand is to be ended in order.
    Stop,
    /// Another signal: the process is to end now, with this exit code.
    StopNow(u8),
    /// The work in hand has taken too long since the first: the process is to end now, with this exit code.
    Overdue(u8),
}

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

/// Listens from here on: the first signal requests the shutdown; `answer` is told each call.
///
/// # Errors
/// The operating system's.
pub fn listen(shutdown: Shutdown, answer: fn(Call)) -> std::io::Result<Asked> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (interrupt, terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let asked = Asked(Arc::new(AtomicU8::new(exit::INTERRUPTED)));
    let heard = asked.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(hear(interrupt, terminate, &shutdown, &heard, answer)))?;
    Ok(asked)
}

async fn hear(
    mut interrupt: Signal,
    mut terminate: Signal,
    shutdown: &Shutdown,
    asked: &Asked,
    answer: fn(Call),
) {
    asked.0.store(
        either(&mut interrupt, &mut terminate).await,
        Ordering::Relaxed,
    );
    shutdown.request();
    answer(Call::Stop);
    let again = either(&mut interrupt, &mut terminate);
    answer(match tokio::time::timeout(PATIENCE, again).await {
        Ok(code) => Call::StopNow(code),
        Err(_) => Call::Overdue(asked.exit_code()),
    });
}

/// Waits for either signal; gives its exit code.
async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => exit::INTERRUPTED,
        _ = terminate.recv() => exit::TERMINATED,
    }
}
