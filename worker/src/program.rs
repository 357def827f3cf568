//! What both programs begin with; the library itself never calls it.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::credentials;

/// Arms the crash points, where the program has any; sends what is traced to standard error; and keeps the message of a
/// panic to itself, as it may quote a value: the place tells as much.
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
    // Whoever names a filter wants the whole line; everybody else wants plain words.
    let (filter, is_plain) = match EnvFilter::try_from_default_env() {
        Ok(filter) => (filter, false),
        Err(_) => (EnvFilter::new("worker=warn"), true),
    };
    let quiet = credentials::NEVER_LOGGED
        .iter()
        .flat_map(|target| target.parse());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would panic where standard error cannot be written to.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match is_plain {
        true => log.without_time().with_level(false).init(),
        false => log.init(),
    }
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => tracing::error!("panicked at {place}"),
        None => tracing::error!("panicked"),
    }));
}
