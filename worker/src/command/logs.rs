//! What the log files held, in one line: whoever named the wrong file would otherwise not notice.

use worker::backend::Database;
use worker::core::event::Event;
use worker::engine::Plan;
use worker::error::Error;
use worker::journal;
use worker::report::number;

/// The section of a unit that reads files, as the unit names it.
const SECTION: &str = "log files";

/// Why the unit passes a line over.
const NO_TASK: &str = "log line without an agent task";

/// Events in a page.
const PAGE: u64 = 1_000;

/// Lines of the log files, from the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    read: i64,
    /// Lines without an agent task.
    without: i64,
}

/// How many lines the log files of a run had, and how many of them told of an agent execution; none where the run reads
/// no files, or has not come to them.
pub(super) async fn summary(
    database: &Database,
    run: &str,
    plan: &Plan,
) -> Result<Option<String>, Error> {
    let Some(unit) = plan.iter().find(|unit| !unit.inputs().is_empty()) else {
        return Ok(None);
    };
    let definition = unit.definition();
    let section = definition.sections.iter().position(|name| name == SECTION);
    let Some(section) = section else {
        return Ok(None);
    };
    // Its one part in the first pass: the lines are read in their order.
    let stream = format!("{}/1.{section}.0", definition.name);
    let mut lines = Lines::default();
    let mut seq = 0;
    loop {
        let page = journal::stream_after(database.connection(), run, &stream, seq, PAGE).await?;
        for entry in &page {
            if let Event::BatchCommitted(batch) = journal::event(entry)? {
                lines.read += batch.read;
                lines.without += batch.skipped.get(NO_TASK).copied().unwrap_or_default();
            }
        }
        match page.last() {
            Some(last) => seq = last.seq,
            None => break,
        }
    }
    if seq == 0 {
        return Ok(None);
    }
    let paths = unit.inputs().iter().map(|input| input.path.as_str());
    Ok(Some(text(&paths.collect::<Vec<_>>(), lines)))
}

fn text(paths: &[&str], lines: Lines) -> String {
    let files = match paths {
        [path] => (*path).to_owned(),
        paths => format!("{} log files", paths.len()),
    };
    let tasks = lines.read - lines.without;
    let mut text = format!(
        "{files}: {} lines, {} with an agent task, {} without\n",
        number(lines.read),
        number(tasks),
        number(lines.without)
    );
    if tasks == 0 {
        text.push_str(
            "⚠️  no line of them holds an agent task: are these the right files? Each line must be a JSON object whose \
             `message` is, or contains, the task\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_task_are_told() {
        let some = Lines {
            read: 9,
            without: 3,
        };
        assert_eq!(
            text(&["/a.ndjson"], some),
            "/a.ndjson: 9 lines, 6 with an agent task, 3 without\n"
        );
        let none = Lines {
            read: 2,
            without: 2,
        };
        let told = text(&["/a", "/b"], none);
        assert!(
            told.starts_with("2 log files: 2 lines, 0") && told.contains("right files"),
            "{told}"
        );
    }
}
