//! Log files: NDJSON, plain or `.gz`, as a log drain writes them. A line's `message` is a task, or contains one.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sea_orm::{DbErr, QueryResult};

use super::OUTSIDE;
use super::task::{self, Fields, Task};
use crate::core::event::{Cursor, Input};
use crate::error::{Doing, Error, Result};
use crate::inputs;
use crate::source::{self, PAGE_BYTES, Source, Texts};
use crate::unit::{Item, MAX_VALUE_BYTES, Page};

/// How many objects in a message are looked at: enough for any log, and a bound on a line of nothing but braces.
const MAX_OBJECTS: usize = 1_000;
/// How many bytes of a message are looked at for that, those of an object within another once more: a message that was
/// cut off may begin a thousand objects, each of which would be read to its end.
const MAX_LOOKED_AT: usize = 32 * MAX_VALUE_BYTES;
/// What some programs write ahead of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const NO_TASK: &str = "log line without an agent task";

/// An open log file, before its next line.
pub(super) struct Reader {
    file: usize,
    line: u64,
    input: Box<dyn BufRead + Send>,
}

/// A line that may hold a task.
struct Line {
    file: usize,
    line: u64,
    /// None: over 1 MiB.
    text: Option<Vec<u8>>,
}

/// The next lines of all files, fewer where they or their tenants' ids come to [`PAGE_BYTES`] before; cursor [file, line], both counted from 1 in the order given.
pub(super) async fn read(
    source: &Source,
    logs: &[Input],
    reader: &Mutex<Option<Reader>>,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let lines = next_lines(logs, reader, after, limit)?;
    let texts: Vec<_> = lines.iter().map(|line| candidate(line, logs)).collect();
    let mut campaigns: Vec<&str> = Vec::new();
    for candidate in &texts {
        if let Candidate::Task { campaign, .. } = candidate {
            campaigns.push(campaign);
        }
    }
    let campaigns = campaigns_of(source, &campaigns).await?;
    let mut page = Page::new(after);
    for (line, candidate) in lines.iter().zip(texts) {
        if page.is_heavy() {
            break;
        }
        page.bytes += bytes(line);
        let item = match candidate {
            Candidate::None => Item::Skip(NO_TASK),
            Candidate::Bad(item) => item,
            Candidate::Task { campaign, json } => match campaigns.get(&campaign) {
                Some(Campaign { due: false, .. }) => Item::Skip(OUTSIDE),
                Some(Campaign {
                    tenant: Err(reason),
                    ..
                }) => bad(line, logs, reason),
                Some(Campaign {
                    tenant: Ok(tenant), ..
                }) => {
                    page.bytes += i64::try_from(tenant.len()).unwrap_or(i64::MAX);
                    let task = Task::parse(&json, source.as_of);
                    let event = |task: Task, key| task.event(key, &campaign, tenant);
                    task::item(source, task, key(line, logs), event)
                }
                None => bad(line, logs, "there is no such campaign"),
            },
        };
        page.push(vec![line.file.to_string(), line.line.to_string()], item);
    }
    page.end(lines.len(), usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(page)
}

enum Candidate {
    None,
    Bad(Item),
    Task { campaign: String, json: String },
}

fn candidate(line: &Line, logs: &[Input]) -> Candidate {
    let Some(text) = &line.text else {
        return Candidate::Bad(bad(line, logs, "the line is over 1 MiB"));
    };
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    // A line that is no text is looked at all the same, as only one with a task is bad.
    let json = find_task(&String::from_utf8_lossy(text));
    if json.is_some() && std::str::from_utf8(text).is_err() {
        return Candidate::Bad(bad(line, logs, "the line is not UTF-8"));
    }
    let Some(json) = json else {
        return Candidate::None;
    };
    match Fields::parse(&json).map(|fields| fields.campaign_id()) {
        Some(Ok(campaign)) => Candidate::Task { campaign, json },
        Some(Err(reason)) => Candidate::Bad(bad(line, logs, reason)),
        None => Candidate::None,
    }
}

/// The JSON text of the task that a line holds: its `message`, or an object within the message, be that JSON or text.
fn find_task(line: &str) -> Option<String> {
    let message = Fields::parse(line)?.message?.get();
    if message.starts_with(['{', '[']) {
        // Braces within its strings begin no task: the quotes behind them have backslashes.
        return first_task(message);
    }
    first_task(&serde_json::from_str::<String>(message).ok()?)
}

/// The first object in a text that is a task.
fn first_task(message: &str) -> Option<String> {
    let mut from = 0;
    let mut looked_at = 0;
    for _ in 0..MAX_OBJECTS {
        if looked_at > MAX_LOOKED_AT {
            break;
        }
        let Some(found) = message[from..].find('{') else {
            break;
        };
        let rest = &message[from + found..];
        let mut objects =
            serde_json::Deserializer::from_str(rest).into_iter::<&serde_json::value::RawValue>();
        match objects.next() {
            Some(Ok(object)) if is_task(object.get()) => return Some(object.get().to_owned()),
            Some(Ok(object)) => looked_at += object.get().len(),
            Some(Err(error)) if error.is_eof() => looked_at += rest.len(),
            Some(Err(_)) | None => {}
        }
        // An object that is no task may still hold one.
        from += found + 1;
    }
    None
}

fn bytes(line: &Line) -> i64 {
    let bytes = line.text.as_ref().map_or(0, Vec::len);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn is_task(json: &str) -> bool {
    Fields::parse(json).is_some_and(|fields| fields.is_task())
}

fn bad(line: &Line, logs: &[Input], reason: &str) -> Item {
    Item::Bad {
        key: key(line, logs),
        reason: reason.into(),
    }
}

fn key(line: &Line, logs: &[Input]) -> String {
    let path = logs.get(line.file - 1).map_or("", |log| log.path.as_str());
    format!("{path}:{}", line.line)
}

/// What a line's campaign tells about its event.
struct Campaign {
    tenant: Result<String, &'static str>,
    /// Whether it lies in the window.
    due: bool,
}

const TENANT: Texts<'_> = Texts(&[("c.\"tenantId\"", "tenantId")]);

async fn campaigns_of(source: &Source, ids: &[&str]) -> Result<HashMap<String, Campaign>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let dialect = source.dialect();
    let sql = format!(
        "SELECT c.\"id\", {}, COALESCE({} BETWEEN $2 AND $3, FALSE) AS \"due\" \
         FROM \"Campaign\" c WHERE {}",
        TENANT.select(dialect),
        dialect.millis("c.\"createdAt\""),
        dialect.is_any("c.\"id\"", "$1"),
    );
    let doing = "looking up the campaigns of log lines";
    let values = [
        dialect.texts(ids),
        source.since().into(),
        source.as_of.into(),
    ];
    let rows = source.all(doing, &sql, values).await?;
    let campaign = |row: &QueryResult| {
        let campaign = Campaign {
            tenant: match TENANT.fault(row)? {
                Some(reason) => Err(reason),
                None => source::required(row, "tenantId")?,
            },
            due: row.try_get("", "due")?,
        };
        Ok((row.try_get("", "id")?, campaign))
    };
    let found: Result<_, DbErr> = rows.iter().map(campaign).collect();
    found.doing(doing)
}

/// Up to `limit` lines behind the cursor, and fewer where they come to [`PAGE_BYTES`] before; goes on with the open file
/// where it stands there.
fn next_lines(
    logs: &[Input],
    reader: &Mutex<Option<Reader>>,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Vec<Line>> {
    let (file, line) = match after.map(Vec::as_slice) {
        Some([file, line]) => (file.parse().unwrap_or(1), line.parse().unwrap_or(0)),
        _ => (1, 0),
    };
    let mut slot = reader.lock().unwrap_or_else(PoisonError::into_inner);
    let mut reader = match slot.take() {
        Some(reader) if (reader.file, reader.line) == (file, line) => Some(reader),
        _ => open(logs, file, line)?,
    };
    let mut lines = Vec::new();
    let mut weight = 0;
    while let Some(open_file) = &mut reader
        && lines.len() < usize::try_from(limit).unwrap_or(usize::MAX)
        && weight < PAGE_BYTES
    {
        let failed = |error| unreadable(logs, open_file.file, &error);
        match read_line(&mut open_file.input).map_err(failed)? {
            Some(text) => {
                open_file.line += 1;
                lines.push(Line {
                    file: open_file.file,
                    line: open_file.line,
                    text,
                });
                weight += lines.last().map_or(0, bytes);
            }
            None => reader = open(logs, open_file.file + 1, 0)?,
        }
    }
    *slot = reader;
    Ok(lines)
}

/// A file, skipped to behind a line; none behind the last file.
fn open(logs: &[Input], file: usize, line: u64) -> Result<Option<Reader>> {
    let Some(log) = logs.get(file - 1) else {
        return Ok(None);
    };
    let failed = |error| unreadable(logs, file, &error);
    let mut input = inputs::open(Path::new(&log.path)).map_err(failed)?;
    for _ in 0..line {
        read_line(&mut input).map_err(failed)?;
    }
    Ok(Some(Reader { file, line, input }))
}

fn unreadable(logs: &[Input], file: usize, error: &std::io::Error) -> Error {
    let path = logs.get(file - 1).map_or("", |log| log.path.as_str());
    Error::Usage(format!(
        "cannot read the agent log {path}: {error}; give it back its rights and its content, then run the same command to \
         go on"
    ))
}

/// The next line without its end; none at the end of the file. Of a line over 1 MiB, only the fact is kept.
fn read_line(input: &mut Box<dyn BufRead + Send>) -> std::io::Result<Option<Option<Vec<u8>>>> {
    let mut line = Vec::new();
    let bound = MAX_VALUE_BYTES as u64 + 1;
    input.take(bound).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.ends_with(b"\n") {
        line.pop();
        return Ok(Some(Some(line)));
    }
    if line.len() <= MAX_VALUE_BYTES {
        return Ok(Some(Some(line)));
    }
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        input.consume(length);
        if end.is_some() {
            break;
        }
    }
    Ok(Some(None))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::io::{BufRead, BufReader, Read as _};

    use std::sync::Mutex;

    use super::{find_task, is_task, next_lines, read_line};
    use crate::fuzz::{bounded, nearly};
    use crate::unit::MAX_VALUE_BYTES;

    const TASK: &str =
        r#"{"campaignId":"c","agentId":"a","completedAt":"2025-11-03T00:00:00Z","success":true}"#;

    #[test]
    fn a_task_is_found_wherever_a_drain_puts_it() {
        let text = serde_json::json!(TASK).to_string();
        let within = serde_json::json!(format!("agent {{done}}: {TASK} in 3 s")).to_string();
        let object = format!(r#"{{"level":"{{","task":[1,{{"deep":{TASK}}}]}}"#);
        let array = format!("[{TASK}]");
        let nested = serde_json::json!(object).to_string();
        for message in [TASK, &text, &within, &nested, &object, &array] {
            let line = format!(r#"{{"level":"info","message":{message}}}"#);
            assert_eq!(find_task(&line).as_deref(), Some(TASK), "{line}");
        }
    }

    #[test]
    fn other_lines_are_passed_over() {
        for line in [
            "",
            "no JSON",
            "[]",
            r#"{"message":"plain"}"#,
            r#"{"message":{"campaignId":"c","agentId":"a"}}"#,
            r#"{"message":{"text":"{\"campaignId\":\"c\",\"agentId\":\"a\",\"success\":true}"}}"#,
            r#"{"message":null}"#,
            TASK,
        ] {
            assert_eq!(find_task(line), None, "{line}");
        }
    }

    /// Lines as a drain writes them.
    fn lines() -> Vec<String> {
        let text = serde_json::json!(TASK).to_string();
        let within = serde_json::json!(format!("agent {{done}}: {TASK} in 3 s")).to_string();
        let nested = serde_json::json!(format!("{{\"task\":{TASK}}}")).to_string();
        let messages = [TASK, &text, &within, &nested];
        let line =
            |message: &str| format!(r#"{{"level":"info","message":{message},"more":[{{}}]}}"#);
        messages.into_iter().map(line).collect()
    }

    /// A line without an end is read to its end and not held.
    #[test]
    fn a_line_of_any_length_takes_the_memory_of_one() {
        let endless = std::io::repeat(b'x').take(64 << 20);
        let input = endless.chain(&b"\nnext\n"[..]);
        let mut input: Box<dyn BufRead + Send> = Box::new(BufReader::new(input));
        let mut next =
            || bounded(MAX_VALUE_BYTES, 4, || read_line(&mut input)).expect("it can be read");
        assert_eq!(next(), Some(None));
        assert_eq!(next(), Some(Some(b"next".to_vec())));
        assert_eq!(next(), None);
    }

    /// Pages of long lines are short, and together they are the file.
    #[test]
    fn a_page_of_long_lines_is_bounded_in_bytes() {
        let line = "x".repeat(MAX_VALUE_BYTES);
        let lines = vec![line.as_str(); 20].join("\n") + "\n";
        let path = std::env::temp_dir().join(format!("backstitch-lines-{}", std::process::id()));
        std::fs::write(&path, &lines).expect("a temporary file");
        let logs = crate::inputs::pin(&[&path]).expect("it is there");
        let reader = Mutex::new(None);
        let mut cursor = None;
        let mut pages = Vec::new();
        loop {
            let read =
                || next_lines(&logs, &reader, cursor.as_ref(), 1_000).expect("it can be read");
            let page = bounded(8 * MAX_VALUE_BYTES, 3, read);
            let Some(last) = page.last() else {
                break;
            };
            cursor = Some(vec![last.file.to_string(), last.line.to_string()]);
            pages.push(page.len());
        }
        std::fs::remove_file(&path).expect("it is still there");
        assert_eq!(pages, [8, 8, 4]);
    }

    /// Objects that are cut off, one in the other, would each be read to the end of the line.
    #[test]
    fn a_line_of_nothing_but_beginnings_is_given_up() {
        for beginning in ["{", r#"{"a":"#, r#"{"a":["#] {
            let message = beginning.repeat((1 << 19) / beginning.len());
            let line = serde_json::json!({ "message": message }).to_string();
            // Each attempt allocates an error, and a little more the deeper it went.
            let mut found = None;
            let info = allocation_counter::measure(|| found = find_task(&line));
            assert_eq!(found, None);
            assert!(info.count_total < 2_000, "{beginning}: {info:?}");
            assert!(
                info.bytes_max < 4 * line.len() as u64,
                "{beginning}: {info:?}"
            );
        }
    }

    proptest! {
        /// What is nearly a line: no panic, memory in proportion, and what is found is a task.
        #[test]
        fn no_line_of_a_drain_panics(bytes in nearly(lines())) {
            let line = String::from_utf8_lossy(&bytes);
            if let Some(task) = bounded(line.len(), 8, || find_task(&line)) {
                prop_assert!(is_task(&task), "{task}");
            }
        }

        /// Lines are what stands between line feeds, whatever the bytes.
        #[test]
        fn lines_are_what_stands_between_line_feeds(bytes in nearly(lines())) {
            let mut input: Box<dyn BufRead + Send> = Box::new(std::io::Cursor::new(bytes.clone()));
            let mut read = Vec::new();
            while let Some(line) = read_line(&mut input).expect("memory can be read") {
                read.push(line.expect("a short line"));
            }
            let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            if lines.last().is_some_and(Vec::is_empty) {
                lines.pop();
            }
            prop_assert_eq!(read, lines);
        }

        #[test]
        fn no_line_panics(line in "\\PC{0,80}", message in "[{}\":,a\\\\]{0,60}") {
            let _ = find_task(&line);
            let _ = find_task(&format!(r#"{{"message":{}}}"#, serde_json::json!(message)));
        }
    }
}
