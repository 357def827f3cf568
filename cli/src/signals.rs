//! SIGINT and SIGTERM: the first asks to stop, a second ends the process at once. Nothing is lost either way.

use worker::shutdown::Shutdown;
use worker::signals::{self, Call};

pub(crate) use worker::signals::Asked;

use crate::output;
use crate::stop::{Result, Stop};

/// Listens from here on.
pub(crate) fn listen(shutdown: Shutdown) -> Result<Asked> {
    listen_with(shutdown, answer)
}

/// The same for a command that has words of its own.
pub(crate) fn listen_with(shutdown: Shutdown, answer: fn(Call)) -> Result<Asked> {
    // Without a handler, a signal would end the process in the middle of something.
    signals::listen(shutdown, answer)
        .map_err(|error| Stop::System("cannot listen to signals", error))
}

fn answer(call: Call) {
    match call {
        Call::Stop => {}
        Call::StopNow(code) | Call::Overdue(code) => {
            output::fail(&Stop::Asked(code).to_string());
            std::process::exit(i32::from(code));
        }
    }
}
