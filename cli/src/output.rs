//! The only place that prints: results on standard output, notes and progress on standard error.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use worker::program;

use crate::stop::{self, Result};

/// Whoever reads our results has had enough (`| head`).
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Prints a result that ends with a line's end, or gets one. A reader that has gone away is no error: what a command
/// does, and its exit code, never depend on who listens.
pub(crate) fn result(text: &str) -> Result {
    if is_closed() || text.is_empty() {
        return Ok(());
    }
    let mut out = anstream::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.map_err(stop::unwritten),
    }
}

/// Prints lines to the byte, also what a terminal would take for a command: they are for a program. A reader that has gone
/// away is no error.
pub(crate) fn exactly(lines: &str) -> Result {
    if is_closed() || lines.is_empty() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.map_err(stop::unwritten),
    }
}

/// Prints a result that was made for another program.
pub(crate) fn bytes(text: &[u8]) -> Result {
    result(&String::from_utf8_lossy(text))
}

/// Prints a result as one JSON document.
pub(crate) fn json(document: &impl Serialize) -> Result {
    let text = serde_json::to_string_pretty(document);
    result(&text.map_err(|error| stop::unwritten(error.into()))?)
}

/// Whether nobody reads on, so that a command that only prints may end.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Whether nobody reads on, asked without printing: a command that waits for something to print would otherwise wait
/// for ever.
pub(crate) fn is_abandoned() -> bool {
    let stdout = std::io::stdout();
    // No events are asked for: an end that is gone is told all the same.
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec::default();
    let is_gone = poll(&mut asked, Some(&at_once)).is_ok()
        && asked[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP);
    is_gone || is_closed()
}

/// Hands on what another program printed, byte by byte.
pub(crate) fn pass(to_error: bool, bytes: &[u8]) {
    // The other program goes on, and its end counts, whoever listens.
    let _ = match to_error {
        true => std::io::stderr().lock().write_all(bytes),
        false => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
    };
}

/// Prints a line for people on standard error, unless they want it quiet; nothing depends on whether it can be read.
pub(crate) fn note(text: &str) {
    if !text.is_empty() {
        program::note(text);
    }
}

/// The same for why the command ends, which is told in any case.
pub(crate) fn fail(text: &str) {
    if !text.is_empty() {
        program::fail(text);
    }
}
