//! Events as CSV, as RFC 4180 has it: a header row, fields in quotes where they need any, lines that end with CR and LF.

use worker::journal::Entry;

const COLUMNS: [&str; 13] = [
    "position", "run", "stream", "seq", "kind", "version", "unit", "key", "payload", "worker",
    "at", "prev", "hash",
];

/// The header row.
pub(crate) fn header() -> String {
    row(&COLUMNS)
}

/// Events for safekeeping, a row each: all columns, as they are stored; no unit or key is an empty field. Nothing is put
/// before a field that a spreadsheet would take for a formula: it would not be what is stored.
pub(crate) fn export(entries: &[Entry]) -> String {
    entries.iter().map(exported).collect()
}

fn exported(entry: &Entry) -> String {
    let numbers = [
        entry.position.to_string(),
        entry.seq.to_string(),
        entry.version.to_string(),
        entry.at.to_string(),
    ];
    let [position, seq, version, at] = numbers.each_ref().map(String::as_str);
    row(&[
        position,
        &entry.run,
        &entry.stream,
        seq,
        &entry.kind,
        version,
        entry.unit.as_deref().unwrap_or_default(),
        entry.key.as_deref().unwrap_or_default(),
        &entry.payload,
        &entry.worker,
        at,
        &entry.prev,
        &entry.hash,
    ])
}

/// Fields as a row.
pub(crate) fn row(fields: &[&str]) -> String {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    // Into memory, and with as many fields as ever: neither fails.
    let _ = writer.write_record(fields);
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;

    #[test]
    fn fields_are_quoted_and_not_changed() {
        let mut event = entry("{\"a\":\"x,y\",\"b\":2}");
        event.key = Some("=1+1\n\"k\"".into());
        event.unit = None;
        let text = export(&[event]);
        let expected = format!(
            "7,0199f3a2-7c41-7d2e-8000-000000000000,run,1000,RunCompleted,1,,\"=1+1\n\"\"k\"\"\",\
             \"{{\"\"a\"\":\"\"x,y\"\",\"\"b\"\":2}}\",w-1,1762214400000,{},{}\r\n",
            "0".repeat(64),
            "f".repeat(64)
        );
        assert_eq!(text, expected);
        assert!(
            header().starts_with("position,run,stream,seq,kind,") && header().ends_with("hash\r\n")
        );
    }
}
