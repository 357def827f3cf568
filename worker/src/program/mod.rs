//! What both programs begin with, and how they speak to people; the library itself never calls it.
//!
//! - `voice` is what the command line says of it, `line` how a log line is written.
//! - `screen` is the block at the bottom of a terminal that is redrawn in place, `paint` what it is made of.
//! - `traces` sends spans to OpenTelemetry, a feature.
//! - `shipped` is what a package has beside the program.

mod line;
pub mod paint;
pub mod screen;
pub mod shipped;
#[cfg(feature = "otel")]
mod traces;
mod voice;

use std::io::Write;

pub use self::line::about;
pub use self::voice::{Format, Voice, speak};

/// Arms the crash points, where the program has any.
///
/// # Panics
/// The files for the crash points cannot be opened.
pub fn begin() {
    #[cfg(feature = "fault")]
    crate::fault::arm(
        std::env::var("BACKSTITCH_FAULT").ok().as_deref(),
        std::env::var("BACKSTITCH_FAULT_TRACE").ok().as_deref(),
    )
    .expect("files for the crash points");
}

/// Ends what was begun: nothing is told any more.
pub fn end() {
    #[cfg(feature = "otel")]
    traces::end();
}

/// A line for people on standard error, above what is redrawn there. That nobody can read it, or that its disk is full, is no
/// reason to stop.
pub fn note(text: &str) {
    let voice = voice::current();
    match voice.log_format {
        Format::Json => tracing::info!(target: voice::PROGRAM, "{}", text.trim_end()),
        Format::Text if voice.quiet => {}
        Format::Text => say(text),
    }
}

/// The same for what is told whoever wants it quiet: why the program ends.
pub fn fail(text: &str) {
    match voice::current().log_format {
        Format::Json => tracing::error!(target: voice::PROGRAM, "{}", text.trim_end()),
        Format::Text => say(text),
    }
}

fn say(text: &str) {
    let text = text.trim_end();
    if !text.is_empty() {
        let _ = screen::Above.write_all(format!("{text}\n").as_bytes());
    }
}
