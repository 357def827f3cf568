//! Events as NDJSON: for programs, and for safekeeping.

use serde::Serialize;
use serde_json::value::RawValue;
use worker::journal::Entry;

/// What `cli journal show --json` prints, one a line.
#[derive(Serialize)]
struct Shown<'a> {
    /// The order in which the database took the events; for display alone.
    position: i64,
    /// The run.
    run: &'a str,
    /// Events of one stream are ordered among themselves, by `seq`.
    stream: &'a str,
    /// The place within the stream, from 1.
    seq: i64,
    /// What happened.
    kind: &'a str,
    /// The format of the payload.
    version: i32,
    /// The unit concerned, where it is one.
    unit: Option<&'a str>,
    /// The source key concerned, where it is one.
    key: Option<&'a str>,
    /// The payload; text that is no JSON, which only a damaged journal holds, as a string.
    payload: Payload<'a>,
    /// Who appended it.
    worker: &'a str,
    /// When, by the database's clock: milliseconds since 1970, UTC.
    at: i64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// What `cli journal export` prints, one a line: all columns, as they are stored.
#[derive(Serialize)]
struct Exported<'a> {
    position: i64,
    run: &'a str,
    stream: &'a str,
    seq: i64,
    kind: &'a str,
    version: i32,
    unit: Option<&'a str>,
    key: Option<&'a str>,
    /// The exact text that was hashed.
    payload: &'a str,
    worker: &'a str,
    at: i64,
    /// The hash of the stream's event before.
    prev: &'a str,
    /// BLAKE3 over the rest, but `position`.
    hash: &'a str,
}

/// Events for programs, a line each.
pub(super) fn show(entries: &[Entry]) -> String {
    entries.iter().map(|entry| ndjson(&shown(entry))).collect()
}

fn shown(entry: &Entry) -> Shown<'_> {
    let payload = serde_json::from_str(&entry.payload);
    Shown {
        position: entry.position,
        run: &entry.run,
        stream: &entry.stream,
        seq: entry.seq,
        kind: &entry.kind,
        version: entry.version,
        unit: entry.unit.as_deref(),
        key: entry.key.as_deref(),
        payload: payload.map_or(Payload::Text(&entry.payload), Payload::Json),
        worker: &entry.worker,
        at: entry.at,
    }
}

/// Events for safekeeping, a line each.
pub(crate) fn export(entries: &[Entry]) -> String {
    let exported = |entry: &Entry| {
        ndjson(&Exported {
            position: entry.position,
            run: &entry.run,
            stream: &entry.stream,
            seq: entry.seq,
            kind: &entry.kind,
            version: entry.version,
            unit: entry.unit.as_deref(),
            key: entry.key.as_deref(),
            payload: &entry.payload,
            worker: &entry.worker,
            at: entry.at,
            prev: &entry.prev,
            hash: &entry.hash,
        })
    };
    entries.iter().map(exported).collect()
}

/// One line; plain data always serialises.
fn ndjson(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string(document).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;

    #[test]
    fn json_embeds_the_payload_and_an_export_keeps_its_text() {
        let payload = r#"{"written":2.50,"quarantined":0}"#;
        let shown = show(&[entry(payload)]);
        assert!(shown.contains(&format!("\"payload\":{payload}")), "{shown}");
        let exported: serde_json::Value =
            serde_json::from_str(&export(&[entry(payload)])).expect("one document a line");
        assert_eq!(exported["payload"], payload);
        assert_eq!(exported["hash"], "f".repeat(64));
    }

    #[test]
    fn a_damaged_payload_is_still_shown() {
        let shown = show(&[entry("{oops")]);
        assert!(shown.contains(r#""payload":"{oops""#), "{shown}");
    }
}
