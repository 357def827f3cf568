//! SIGINT and SIGTERM: the first asks to stop, a second ends the process at once. Nothing is lost either way.

use worker::shutdown::Shutdown;
use worker::signals::{self, Asked};

use crate::stop::{Result, Stop};

/// Listens from here on.
pub(crate) fn listen(shutdown: Shutdown) -> Result<Asked> {
    let end_at_once = |code| std::process::exit(i32::from(code));
    // Without a handler, a signal would end the process in the middle of something.
    signals::listen(shutdown, end_at_once)
        .map_err(|error| Stop::System("cannot listen to signals", error))
}
