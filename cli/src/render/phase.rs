//! Where the whole migration stands, on one screen.

use std::fmt::Write;

use worker::runbook::phase::Phase;

use super::text::{line, short};

/// The screen.
pub(crate) fn text(phase: &Phase) -> String {
    let mut text = String::new();
    let width = phase.lists.iter().map(|list| list.list.len()).max();
    let width = width.unwrap_or(0);
    for list in &phase.lists {
        let bar = "█".repeat(list.done) + &"░".repeat(list.all - list.done);
        let _ = writeln!(
            text,
            "{:width$}  {bar}  {} of {}",
            list.list, list.done, list.all
        );
    }
    if let Some((run, state)) = &phase.run {
        let _ = writeln!(text, "\nrun {} is {state}", short(run));
    }
    for blocked in &phase.blocked_by {
        let _ = writeln!(text, "\n❌ {}", line(blocked));
    }
    let _ = match &phase.next {
        Some(step) => writeln!(text, "\nnext: {}\n      {}", step.text, step.command),
        None => writeln!(text, "\neverything is done, signed and certified"),
    };
    if !phase.unsigned.is_empty() {
        let _ = writeln!(text, "\nnot signed off yet: {}", phase.unsigned.join(", "));
    }
    text
}
