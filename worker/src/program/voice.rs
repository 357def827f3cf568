//! What the command line says of how a program speaks, and the log that comes of it.

use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;
#[cfg(feature = "otel")]
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::line::{Json, Plain};
use super::screen::{self, Above};
use crate::credentials;

/// The target of what a program itself says.
pub(super) const PROGRAM: &str = "worker::program";

static VOICE: OnceLock<Voice> = OnceLock::new();

/// How a program speaks to people.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Voice {
    /// Print nothing on standard error but errors: no progress, no notes, no warnings. The result is printed as ever.
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// How lines on standard error are written: as text, or each as one JSON object, with run, unit, partition and batch.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub log_format: Format,
}

/// How lines on standard error are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends what is traced to standard error, as the command line wants it; and keeps the message of a panic to itself, as it
/// may quote a value: the place tells as much.
pub fn speak(voice: Voice) {
    // Whoever asks twice gets the first.
    let voice = *VOICE.get_or_init(|| voice);
    screen::set(match (voice.quiet, voice.log_format) {
        (true, _) => screen::Way::Nothing,
        (false, Format::Json) => screen::Way::Lines,
        (false, Format::Text) => screen::Way::of_stderr(),
    });
    // Whoever names a filter wants the whole line; everybody else wants plain words.
    let named = EnvFilter::try_from_default_env().ok();
    let is_plain = named.is_none();
    let filter = match (named, voice.quiet, voice.log_format) {
        (_, true, _) => EnvFilter::new("worker=error"),
        (Some(named), false, _) => named,
        (None, false, Format::Json) => EnvFilter::new("worker=info"),
        (None, false, Format::Text) => EnvFilter::new("worker=warn"),
    };
    let never = credentials::NEVER_LOGGED
        .iter()
        .flat_map(|target| target.parse());
    let filter = never.fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Above)
        // It would panic where standard error cannot be written to.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && screen::has_colour())
        .with_target(false);
    match (voice.log_format, is_plain) {
        (Format::Json, _) => {
            let log = log.fmt_fields(JsonFields::new()).event_format(Json);
            listen(log.finish());
        }
        (Format::Text, true) => listen(log.event_format(Plain).finish()),
        (Format::Text, false) => listen(log.finish()),
    }
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => tracing::error!("panicked at {place}"),
        None => tracing::error!("panicked"),
    }));
}

/// Sends what is traced to the log, and to OpenTelemetry where that is built in and wanted.
fn listen<S>(log: S)
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    #[cfg(feature = "otel")]
    let log = log.with(super::traces::layer());
    log.init();
}

/// How the program speaks; before it was told, as ever.
pub(super) fn current() -> Voice {
    VOICE.get().copied().unwrap_or_default()
}
