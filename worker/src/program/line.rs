//! A log line: plain words for people, or one JSON object with what it is about.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The run that the process works on.
static RUN: OnceLock<String> = OnceLock::new();

/// Says which run the process works on, so that each JSON line from here on names it.
pub fn about(run: &str) {
    // A process works on one run.
    RUN.get_or_init(|| run.to_owned());
}

/// The words alone.
pub(super) struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// One JSON object: time, level, what it is about (run, unit, partition, batch: from the spans that it was told in), message.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields::default();
        if let Some(run) = RUN.get() {
            fields.0.insert("run".into(), Value::from(run.as_str()));
        }
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            let extensions = span.extensions();
            let told = extensions.get::<FormattedFields<N>>();
            // An inner span knows better.
            if let Some(Ok(told)) = told.map(|told| serde_json::from_str::<Map<_, _>>(told)) {
                fields.0.extend(told);
            }
        }
        event.record(&mut fields);
        let head = [
            ("time", Value::from(time)),
            ("level", Value::from(event.metadata().level().as_str())),
        ];
        let line = serde_json::to_string(&Line(&head, &fields.0)).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// What comes first, and the rest by its names.
struct Line<'a>(&'a [(&'a str, Value)], &'a BTreeMap<String, Value>);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rest = self.1.iter().map(|(name, value)| (name.as_str(), value));
        let head = self.0.iter().map(|(name, value)| (*name, value));
        serializer.collect_map(head.chain(rest.filter(|(name, _)| !is_head(name))))
    }
}

/// Whether a name is one of the first.
fn is_head(name: &str) -> bool {
    matches!(name, "time" | "level")
}

#[derive(Default)]
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, Value::from(value));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_an_object_with_what_it_is_about() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Json)
            .finish();
        tracing::subscriber::with_default(log, || {
            let outer = tracing::error_span!("run", run = "r1", unit = "none");
            let _outer = outer.enter();
            let inner = tracing::error_span!(
                "partition",
                unit = "u",
                partition = "u/1.0.0",
                batch = tracing::field::Empty
            );
            let _inner = inner.enter();
            inner.record("batch", 1_u64);
            inner.record("batch", 2_u64);
            tracing::warn!(rows = 3, "a \"quoted\"\nline\u{1b}");
        });
        let text = String::from_utf8(kept.0.lock().expect("no panic").clone()).expect("UTF-8");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("{\"time\":\""), "{text}");
        let line: Map<String, Value> = serde_json::from_str(&text).expect("an object");
        for (name, value) in [
            ("level", Value::from("WARN")),
            ("run", Value::from("r1")),
            ("unit", Value::from("u")),
            ("partition", Value::from("u/1.0.0")),
            ("batch", Value::from(2)),
            ("rows", Value::from(3)),
            ("message", Value::from("a \"quoted\"\nline\u{1b}")),
        ] {
            assert_eq!(line.get(name), Some(&value), "{text}");
        }
    }
}
