//! The history of a row.

use std::fmt::Write;

use worker::blame::{Deed, Fate, Found, RowHistory, Standing, Undone, Value, Wrote};
use worker::core::event::{Cursor, Purpose};
use worker::time;

use super::text::{line, short};

/// All that is known of a row, a paragraph for each batch that wrote it.
pub(crate) fn history(history: &RowHistory) -> String {
    let name = line(&format!("{} {}", history.table, history.key));
    let mut text = format!("{name}: {}\n", standing(history));
    if let Some(values) = &history.values {
        text.push_str(&self::values("now", values));
    }
    for wrote in &history.wrote {
        text.push('\n');
        text.push_str(&self::wrote(wrote));
    }
    if !history.set_aside.is_empty() {
        text.push('\n');
    }
    for aside in &history.set_aside {
        let _ = writeln!(
            text,
            "{}  run {}  {} set source row {} aside: {}",
            time::show(aside.at),
            line(short(&aside.run)),
            line(&aside.unit),
            line(&aside.source),
            line(&aside.reason)
        );
    }
    text
}

fn standing(history: &RowHistory) -> &'static str {
    let is_ours = !history.wrote.is_empty();
    match (history.standing, is_ours) {
        (Standing::AsWritten, _) => "stands as it was written last",
        (Standing::Edited, _) => "stands, and was edited since it was written last",
        (Standing::Deleted, _) => "does not stand: it was deleted, and no rollback did that",
        (Standing::TakenBack, _) => "does not stand: a rollback took it back",
        (Standing::PutBack, _) => "stands, and a rollback put back what was overwritten",
        (Standing::Foreign, true) => {
            "stands, and is the application's own: what was written was taken back"
        }
        (Standing::Foreign, false) => {
            "stands, and is the application's own: no run ever wrote a row of this key"
        }
        (Standing::Absent, _) => "does not stand, and no run ever wrote a row of this key",
    }
}

fn wrote(wrote: &Wrote) -> String {
    let purpose = match wrote.purpose {
        Purpose::Backfill => "",
        Purpose::Repair => " (a repair)",
        Purpose::Replay => " (a replay)",
        Purpose::Undo => " (a rollback of a part)",
        Purpose::Redo => " (a redo)",
    };
    let deed = match wrote.deed {
        Deed::Inserted => "wrote it",
        Deed::Overwrote => "overwrote columns of it",
        Deed::BroughtUpToDate => "brought it up to date, as its source had changed",
        Deed::Removed => "took it back: removed it",
        Deed::PutBack => "took back what it held: put back what stood before",
    };
    let mut text = format!(
        "{}  run {}{purpose} {deed}\n",
        time::show(wrote.at),
        line(short(&wrote.run))
    );
    let _ = writeln!(
        text,
        "  unit {} version {}, batch {} of {}, as of {}",
        line(&wrote.unit),
        wrote.version,
        wrote.seq,
        line(&wrote.stream),
        time::show(wrote.as_of)
    );
    let program = match &wrote.program {
        Some(program) => format!("release {}, process {}", program.release, program.process),
        None => "its stream does not say which release".to_owned(),
    };
    let _ = writeln!(
        text,
        "  worker {} ({})",
        line(&wrote.worker),
        line(&program)
    );
    let range = format!(
        "behind {}, up to {}",
        cursor(wrote.from.as_ref(), "the start"),
        cursor(wrote.to.as_ref(), "the end")
    );
    let _ = match &wrote.source {
        Found::Row { key } => writeln!(
            text,
            "  from source row {}, in the batch's part of the source: {range}",
            line(key)
        ),
        Found::InRange { why } => writeln!(
            text,
            "  from the batch's part of the source: {range}; which row nobody can tell now: {}",
            line(why)
        ),
    };
    if let Some(before) = &wrote.before {
        text.push_str(&values("before", before));
    }
    if let Some(undone) = &wrote.undone {
        text.push_str(&self::undone(undone));
    }
    text
}

fn cursor(cursor: Option<&Cursor>, none: &str) -> String {
    cursor.map_or_else(|| none.to_owned(), |parts| line(&parts.join(" / ")))
}

/// What columns hold; the names alone where values are not told.
fn values(when: &str, values: &[Value]) -> String {
    if values.iter().any(|value| value.text.is_none()) {
        let names: Vec<_> = values.iter().map(|value| line(&value.column)).collect();
        return format!("  {when}: {} (--values shows them)\n", names.join(", "));
    }
    let mut text = String::new();
    for value in values {
        let held = match value.text.iter().flatten().next() {
            Some(held) => line(&format!("{held:?}")),
            None => "NULL".to_owned(),
        };
        let _ = writeln!(text, "  {when}: {} = {held}", line(&value.column));
    }
    text
}

fn undone(undone: &Undone) -> String {
    let fate = match &undone.fate {
        Fate::Removed => "removed it".to_owned(),
        Fate::PutBack => "put back what it held before".to_owned(),
        Fate::Kept { why } => format!("kept it: {}", line(why)),
        Fate::Gone => "found it gone".to_owned(),
        Fate::RemovedOrGone => {
            "removed it, or found it gone: the event counts both together".to_owned()
        }
        Fate::PutBackOrGone => {
            "put back what it held before, or found it gone: the event counts both together"
                .to_owned()
        }
        Fate::PutBackIfUnchanged => {
            "put back what it held before where it stood as written: the event counts those"
                .to_owned()
        }
        Fate::LeftAsItWas => "left it as it was: it stood as written no more".to_owned(),
    };
    format!(
        "  {}  a rollback {fate} (event {}, worker {})\n",
        time::show(undone.at),
        undone.seq,
        line(&undone.worker)
    )
}

#[cfg(test)]
mod tests {
    use worker::blame::Program;

    use super::*;

    fn value(text: Option<Option<&str>>) -> Value {
        Value {
            column: "rating".into(),
            text: text.map(|text| text.map(Into::into)),
        }
    }

    fn of(standing: Standing, values: Option<Vec<Value>>) -> RowHistory {
        let at = 1_762_214_400_000;
        RowHistory {
            table: "AgentFeedback".into(),
            key: "k1\u{1b}".into(),
            standing,
            values,
            wrote: vec![Wrote {
                run: "0199f3a2-7c41-7d2e-8000-000000000000".into(),
                purpose: Purpose::Repair,
                as_of: at,
                unit: "agent_feedback.rewritten".into(),
                version: 1,
                stream: "agent_feedback.rewritten/1.0.0".into(),
                seq: 2,
                at,
                worker: "w-1".into(),
                program: Some(Program {
                    release: "1.2.3".into(),
                    process: 42,
                }),
                deed: Deed::Overwrote,
                before: Some(vec![value(Some(None))]),
                from: None,
                to: Some(vec!["a".into(), "b".into()]),
                source: Found::Row { key: "s1".into() },
                undone: Some(Undone {
                    seq: 3,
                    at,
                    worker: "cli-1".into(),
                    fate: Fate::Kept {
                        why: "edited since it was written".into(),
                    },
                }),
            }],
            set_aside: Vec::new(),
        }
    }

    #[test]
    fn values_are_shown_where_they_are_told() {
        let told = of(Standing::Edited, Some(vec![value(Some(Some("a\"b")))]));
        let expected = "\
            AgentFeedback k1\\u{1b}: stands, and was edited since it was written last\n  \
            now: rating = \"a\\\"b\"\n\n\
            2025-11-04T00:00:00.000Z  run 0199f3a2-7c41 (a repair) overwrote columns of it\n  \
            unit agent_feedback.rewritten version 1, batch 2 of agent_feedback.rewritten/1.0.0, as of \
            2025-11-04T00:00:00.000Z\n  \
            worker w-1 (release 1.2.3, process 42)\n  \
            from source row s1, in the batch's part of the source: behind the start, up to a / b\n  \
            before: rating = NULL\n  \
            2025-11-04T00:00:00.000Z  a rollback kept it: edited since it was written (event 3, worker cli-1)\n";
        assert_eq!(history(&told), expected);
        let untold = history(&told.without_values());
        assert!(
            untold.contains("before: rating (--values shows them)"),
            "{untold}"
        );
        assert!(
            !untold.contains("NULL") && !untold.contains("a\\\"b"),
            "{untold}"
        );
    }
}
