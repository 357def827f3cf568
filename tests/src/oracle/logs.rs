//! Agent tasks in log files: a line's `message`, or a JSON object somewhere in the message's text.

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
        message => is_task(message).then(|| message.clone()),
    }
}

/// The first JSON object in a text that is a task.
fn task_in(text: &str) -> Option<Json> {
    let mut at = 0;
    while let Some(offset) = text[at..].find('{') {
        at += offset;
        match Json::parse_prefix(&text[at..]) {
            Ok((object, _)) if is_task(&object) => return Some(object),
            Ok((_, used)) => at += used,
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
