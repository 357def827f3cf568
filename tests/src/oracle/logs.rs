//! Agent tasks in log files: a line's `message`, or a JSON object somewhere within it, be that JSON or text.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;

use super::LONGEST;
use crate::json::Json;

/// A line that holds a task, or that is too long for anybody to have to look.
pub(super) struct Line {
    pub(super) place: String,
    pub(super) task: Option<Json>,
    pub(super) is_too_long: bool,
}

/// The lines of a file, without those that are no agent task.
pub(super) fn lines(path: &Path) -> Result<Vec<Line>> {
    let mut bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    if path.extension().is_some_and(|end| end == "gz") {
        let mut plain = Vec::new();
        MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain)?;
        bytes = plain;
    }
    let numbered = bytes.split(|byte| *byte == b'\n').enumerate();
    let lines = numbered.map(|(number, line)| Line {
        place: format!("{}:{}", path.display(), number + 1),
        task: std::str::from_utf8(line).ok().and_then(task_of),
        is_too_long: line.len() > LONGEST,
    });
    Ok(lines
        .filter(|line| line.task.is_some() || line.is_too_long)
        .collect())
}

fn task_of(line: &str) -> Option<Json> {
    match Json::parse(line).ok()?.get("message")? {
        Json::Text(text) => task_in(text),
        message => task_within(message),
    }
}

/// The outermost task in a value.
fn task_within(value: &Json) -> Option<Json> {
    match value {
        Json::Object(_) if is_task(value) => Some(value.clone()),
        Json::Object(fields) => fields.values().find_map(task_within),
        Json::Array(items) => items.iter().find_map(task_within),
        _ => None,
    }
}

/// The first JSON object in a text that is a task, or holds one.
fn task_in(text: &str) -> Option<Json> {
    let mut at = 0;
    while let Some(offset) = text[at..].find('{') {
        at += offset;
        match Json::parse_prefix(&text[at..]) {
            Ok((object, used)) => match task_within(&object) {
                Some(task) => return Some(task),
                None => at += used,
            },
            Err(_) => at += 1,
        }
    }
    None
}

fn is_task(object: &Json) -> bool {
    let has = |key: &&str| object.get(key).is_some();
    has(&"campaignId")
        && ["agentId", "completedAt", "success"]
            .iter()
            .filter(|key| has(key))
            .count()
            >= 2
}

#[cfg(test)]
mod tests {
    use super::task_of;
    use crate::json::quoted;

    const TASK: &str = "{\"campaignId\": \"c\", \"agentId\": \"}{\", \"success\": true}";

    #[test]
    fn tasks_are_found_in_every_wrapping() {
        for line in [
            format!("{{\"message\": {TASK}}}"),
            format!("{{\"message\": {}}}", quoted(TASK)),
            format!(
                "{{\"message\": {}}}\r",
                quoted(&format!("a {{b}} {{\"c\": 1}} {TASK} in 3 ms"))
            ),
            format!("{{\"message\": {{\"a\": [1, {{\"b\": {TASK}}}]}}}}"),
            format!("{{\"message\": [{TASK}]}}"),
            format!(
                "{{\"message\": {}}}",
                quoted(&format!("done {{\"tasks\": [{TASK}]}}"))
            ),
        ] {
            assert!(task_of(&line).is_some(), "{line}");
        }
    }

    #[test]
    fn other_lines_are_passed_over() {
        for line in [
            "",
            "{}",
            "nonsense",
            "{\"message\": \"{\"}",
            TASK,
            &TASK[1..],
            &TASK[..20],
        ] {
            assert!(task_of(line).is_none(), "{line}");
        }
    }
}
