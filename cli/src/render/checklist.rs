//! The checklist and its signatures, for people and for a change ticket.

use std::fmt::Write;

use worker::runbook::checklist::{Checklist, Done, Signature, Standing};
use worker::time;

use super::text::{line, short};

/// The whole checklist.
pub(crate) fn text(checklist: &Checklist) -> String {
    let mut text = String::new();
    let width = checklist.items.iter().map(|item| item.id.len()).max();
    let width = width.unwrap_or(0);
    for (list, items) in lists(checklist) {
        let _ = writeln!(text, "{list}");
        for item in items {
            let tick = if item.done.is_some() { 'x' } else { ' ' };
            let _ = writeln!(text, "  [{tick}] {:width$}  {}", item.id, item.text);
            let proof = item.done.as_ref().map_or_else(|| advice(item), done);
            let _ = writeln!(text, "      {:width$}  {proof}", "");
        }
        text.push('\n');
    }
    text.push_str(&signatures(checklist));
    text.push('\n');
    text.push_str(&left(checklist));
    text
}

/// The same as Markdown.
pub(crate) fn markdown(checklist: &Checklist) -> String {
    let mut text = String::from("## Migration checklist\n");
    for (list, items) in lists(checklist) {
        let _ = writeln!(text, "\n### {list}\n");
        for item in items {
            let tick = if item.done.is_some() { 'x' } else { ' ' };
            let _ = write!(text, "- [{tick}] {}", item.text);
            if let Some(proof) = &item.done {
                let _ = write!(text, " — {}", escaped(&done(proof)));
            }
            text.push('\n');
        }
    }
    text.push_str("\n### Sign-off\n\n| Role | Name | Date | Note |\n|---|---|---|---|\n");
    for Signature { role, signed } in &checklist.signatures {
        let _ = match signed {
            Some(signed) => writeln!(
                text,
                "| {role} | {} | {} | {} |",
                escaped(&signed.by),
                time::show(signed.at),
                signed.note.as_deref().map_or(String::new(), escaped)
            ),
            None => writeln!(text, "| {role} | – | – | pending |"),
        };
    }
    text
}

/// Who signed.
pub(crate) fn signatures(checklist: &Checklist) -> String {
    let mut text = String::from("Sign-off\n");
    for Signature { role, signed } in &checklist.signatures {
        let _ = match signed {
            Some(signed) => writeln!(
                text,
                "  [x] {role}: {}, {}{}",
                line(&signed.by),
                time::show(signed.at),
                remark(signed.note.as_deref())
            ),
            None => writeln!(text, "  [ ] {role}: pending"),
        };
    }
    text
}

/// How much is left, in one line.
pub(crate) fn left(checklist: &Checklist) -> String {
    let pending = checklist.signatures.iter();
    let pending = pending.filter(|role| role.signed.is_none()).count();
    let (done, all) = (checklist.done(), checklist.items.len());
    if checklist.is_complete() {
        return format!("complete: {all} items done, every role has signed\n");
    }
    let signatures = match pending {
        0 => "every role has signed".to_owned(),
        1 => "1 signature is pending".to_owned(),
        pending => format!("{pending} signatures are pending"),
    };
    format!("{done} of {all} items done, {signatures}\n")
}

/// The lists in their order, each with its items.
fn lists(checklist: &Checklist) -> Vec<(&'static str, Vec<&Standing>)> {
    let mut lists: Vec<(&str, Vec<&Standing>)> = Vec::new();
    for item in &checklist.items {
        match lists.last_mut() {
            Some((list, items)) if *list == item.list => items.push(item),
            _ => lists.push((item.list, vec![item])),
        }
    }
    lists
}

/// What ticks an item.
fn done(done: &Done) -> String {
    match done {
        Done::Proven {
            event,
            run,
            stream,
            seq,
            at,
        } => {
            let place = match run == stream {
                true => run.clone(),
                false => format!("{} {stream}", short(run)),
            };
            format!("{event}, {place} #{seq}, {}", time::show(*at))
        }
        Done::Vouched { by, note, at } => format!(
            "{}, {}{}",
            line(by),
            time::show(*at),
            remark(note.as_deref())
        ),
    }
}

/// How an open item is done.
fn advice(item: &Standing) -> String {
    match item.command {
        "" => format!("`cli checklist tick {} --by NAME`", item.id),
        command => format!("`{command}`"),
    }
}

fn remark(note: Option<&str>) -> String {
    note.map_or(String::new(), |note| format!(": {}", line(note)))
}

/// Text that Markdown takes as it is: what people write must not become a link, a tag or another cell.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in line(text).chars() {
        if "\\`*_{}[]<>|#!~@".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checklist {
        let item = |id, done| Standing {
            id,
            list: "Day 0",
            text: "Do it",
            command: "",
            is_provable: false,
            done,
        };
        let vouched = Done::Vouched {
            by: "Ada <a|b>".into(),
            note: Some("see\nmail".into()),
            at: 0,
        };
        Checklist {
            items: vec![item("one", Some(vouched)), item("two", None)],
            signatures: vec![Signature {
                role: "QA Lead",
                signed: None,
            }],
        }
    }

    #[test]
    fn an_open_item_says_how_it_is_done() {
        let text = text(&sample());
        assert!(text.contains("[x] one  Do it"), "{text}");
        assert!(
            text.contains("`cli checklist tick two --by NAME`"),
            "{text}"
        );
        assert!(
            text.contains("1 of 2 items done, 1 signature is pending"),
            "{text}"
        );
    }

    #[test]
    fn a_name_cannot_break_the_ticket() {
        let text = markdown(&sample());
        assert!(text.contains("Ada \\<a\\|b\\>"), "{text}");
        assert!(text.contains("see mail"), "{text}");
        assert!(text.contains("- [ ] Do it"), "{text}");
    }
}
