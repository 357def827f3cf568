//! What a run will do, and what a rehearsal of it came to.

use std::fmt::Write;

use serde::Serialize;
use worker::core::event::PlanRehearsed;
use worker::engine::Plan;
use worker::forecast::{Change, Planned, Rehearsal, Statement, UnitPlanned};
use worker::report::{self, duration, number};
use worker::schema::locks::Lock;
use worker::{size, time};

use super::text::{count, line};

/// An approval, for programs.
#[derive(Serialize)]
pub(crate) struct Approved<'a> {
    /// The plan's fingerprint.
    pub(crate) plan: &'a str,
}

/// What an approval did.
pub(crate) fn approved(fingerprint: &str) -> String {
    format!(
        "the plan {} is approved; `worker run --require-approval` refuses any other",
        short(fingerprint)
    )
}

/// What a run will do.
pub(crate) fn planned(planned: &Planned) -> String {
    let mut text = format!(
        "plan {} as of {}, window {} days\n",
        short(&planned.plan),
        time::show(planned.as_of),
        planned.window_days
    );
    let _ = match &planned.approval {
        Some(approval) => {
            let note = approval
                .note
                .as_ref()
                .map(|note| format!(": {}", line(note)));
            writeln!(
                text,
                "approved by {} at {}{}",
                line(&approval.by),
                time::show(approval.at),
                note.unwrap_or_default()
            )
        }
        None => writeln!(text, "not approved: `cli plan approve --by NAME`"),
    };
    schema(&mut text, planned);
    let _ = writeln!(text, "\nunits, in this order:\n{}", units(planned));
    for unit in &planned.units {
        let _ = writeln!(text, "  {}", told(unit));
    }
    let _ = writeln!(
        text,
        "\nit needs about {} on disk for its rows, and writes about {} of log ({})",
        size::show(planned.need.rows),
        size::show(planned.need.wal),
        match planned.rehearsal {
            Some(_) => "as the rehearsal has measured it",
            None => "a rehearsal measures both",
        }
    );
    match &planned.rehearsal {
        Some((at, rehearsed)) => {
            let _ = writeln!(
                text,
                "\nrehearsed at {}:\n{}",
                time::show(*at),
                times(rehearsed)
            );
        }
        None => text.push_str("\nhow long it takes, a rehearsal tells: `cli plan --rehearse 5`\n"),
    }
    text
}

fn schema(text: &mut String, planned: &Planned) {
    if planned.schema.is_empty() {
        text.push_str("\nthe schema is applied: no statement of it is left\n");
        return;
    }
    text.push_str(
        "\nschema changes, all in one transaction. Each lock is held to its end; each waits at most 500 ms for it, and \
         is then given up, and tried again:\n",
    );
    for change in &planned.schema {
        let _ = writeln!(text, "\n-- {}", change.name);
        for statement in &change.statements {
            let _ = writeln!(text, "{};", statement.sql);
            for lock in locks(statement) {
                let _ = writeln!(text, "  -- {lock}");
            }
        }
    }
}

fn locks(statement: &Statement) -> Vec<String> {
    let told = |lock: &Lock| {
        format!(
            "{} on {} ({}): {}",
            lock.mode.name(),
            lock.table,
            lock.mode.blocks(),
            lock.work.lasts()
        )
    };
    match &statement.locks {
        Some(locks) if locks.is_empty() => vec!["locks no table".to_owned()],
        Some(locks) => locks.iter().map(told).collect(),
        None => Vec::new(),
    }
}

fn units(planned: &Planned) -> String {
    let header = [
        "unit",
        "writes",
        "source rows",
        "rows",
        "on disk",
        "bad in sample",
    ];
    let rows = planned.units.iter().map(|unit| {
        let sample = &unit.sample;
        let roughly = |text: String| match sample.is_sampled {
            true => text,
            false => format!("at most {text}"),
        };
        let at_least = if sample.is_at_least { "at least " } else { "" };
        [
            unit.unit.clone(),
            match unit.is_update {
                true => format!("values of {}", unit.table),
                false => format!("rows of {}", unit.table),
            },
            format!("{at_least}{}", number(sample.source_rows)),
            roughly(number(sample.rows)),
            roughly(size::show(sample.bytes)),
            match sample.is_sampled {
                true => format!("{} of {}", number(sample.bad), number(sample.read)),
                false => "-".into(),
            },
        ]
    });
    report::table(header, rows, &[2, 3, 4, 5])
}

fn told(unit: &UnitPlanned) -> String {
    let after = match unit.depends_on.as_slice() {
        [] => String::new(),
        units => format!(" (after {})", units.join(", ")),
    };
    format!("{}: {}{after}", unit.unit, unit.summary)
}

/// What a rehearsal came to.
pub(crate) fn rehearsal(plan: &Plan, rehearsal: &Rehearsal) -> String {
    let event = &rehearsal.event;
    let mut text = format!(
        "plan {}: up to {} of each section written, each rolled back at once\n{}\n",
        short(&event.plan),
        match event.batches {
            1 => "1 batch".to_owned(),
            batches => format!("{batches} batches"),
        },
        times(event)
    );
    for unit in plan.iter().map(|unit| unit.definition()) {
        if !unit.depends_on.is_empty() {
            let _ = writeln!(
                text,
                "note: {} was rehearsed on the state as it stands, before {} has run",
                unit.name,
                unit.depends_on.join(", ")
            );
        }
    }
    for shown in &rehearsal.shown {
        if !shown.bad.is_empty() {
            let _ = writeln!(text, "\nbad rows of {}, for instance:", shown.unit);
        }
        for (key, reason) in &shown.bad {
            let _ = writeln!(text, "  {}: {}", line(key), line(reason));
        }
        for change in &shown.rows {
            row(&mut text, &shown.unit, change);
        }
    }
    let total: i64 = event.units.values().map(|unit| unit.bytes).sum();
    let _ = write!(
        text,
        "\nit needs about {} on disk{}. Nothing of what was written stays; what vacuum has to clean up are {}\n",
        size::show(total),
        match event
            .units
            .values()
            .map(|unit| unit.wal)
            .sum::<Option<i64>>()
        {
            Some(wal) => format!(", and writes about {} of log", size::show(wal)),
            None => String::new(),
        },
        count(
            event.units.values().map(|unit| unit.written).sum(),
            "dead row"
        )
    );
    text
}

/// A row, a column a line.
fn row(text: &mut String, unit: &str, change: &Change) {
    let _ = writeln!(text, "\na row of {unit}, {}:", line(&change.key));
    for column in &change.columns {
        let told = |value: &Option<String>| value.as_deref().map_or("nothing".into(), line);
        let _ = writeln!(
            text,
            "  {}: {} → {}",
            column.name,
            told(&column.before),
            told(&column.after)
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations for people")]
fn times(rehearsed: &PlanRehearsed) -> String {
    let seconds = |millis: u64| duration(millis as f64 / 1_000.0);
    let header = [
        "unit",
        "read",
        "would write",
        "bad",
        "took",
        "whole unit",
        "low",
        "likely",
        "high",
        "on disk",
    ];
    let mut rows: Vec<_> = rehearsed
        .units
        .iter()
        .map(|(name, unit)| {
            [
                name.clone(),
                number(unit.read),
                number(unit.written),
                number(unit.bad),
                seconds(unit.millis),
                count(unit.rows, "row"),
                seconds(unit.low_millis),
                seconds(unit.likely_millis),
                seconds(unit.high_millis),
                size::show(unit.bytes),
            ]
        })
        .collect();
    let sum = |of: fn(&worker::core::event::UnitRehearsed) -> u64| {
        seconds(
            rehearsed
                .units
                .values()
                .map(of)
                .fold(0, u64::saturating_add),
        )
    };
    rows.push([
        "all".into(),
        String::new(),
        String::new(),
        String::new(),
        sum(|unit| unit.millis),
        count(rehearsed.units.values().map(|unit| unit.rows).sum(), "row"),
        sum(|unit| unit.low_millis),
        sum(|unit| unit.likely_millis),
        sum(|unit| unit.high_millis),
        size::show(rehearsed.units.values().map(|unit| unit.bytes).sum()),
    ]);
    report::table(header, rows, &[1, 2, 3, 4, 5, 6, 7, 8, 9])
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use worker::schema::locks;

    use super::*;

    #[test]
    fn a_statement_has_its_locks_below_it() {
        let sql = "ALTER TABLE \"Campaign\" ADD COLUMN \"prompt\" TEXT";
        let mut statement = Statement {
            sql: sql.into(),
            locks: locks::lock(sql),
        };
        let told = locks(&statement);
        assert!(told[0].contains("ACCESS EXCLUSIVE on Campaign (who reads or writes waits)"));
        statement.locks = Some(Vec::new());
        assert_eq!(locks(&statement), ["locks no table"]);
        statement.locks = None;
        assert!(locks(&statement).is_empty());
    }

    #[test]
    fn values_cannot_speak_to_the_terminal() {
        let mut text = String::new();
        let change = Change {
            key: "k\u{1b}".into(),
            columns: vec![worker::forecast::Column {
                name: "prompt".into(),
                before: None,
                after: Some("\u{1b}[2J".into()),
            }],
        };
        row(&mut text, "u", &change);
        assert!(text.contains("prompt: nothing → ") && !text.contains('\u{1b}'));
    }
}
