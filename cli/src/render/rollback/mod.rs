//! A rollback: what it will do, what it did, and which rows it leaves alone.

mod document;
mod nothing;

use std::fmt::Write;

use serde::Serialize;
use worker::core::event::Kept;
use worker::core::plan;
use worker::core::state::{RunState, RunStatus, UnitStatus};
use worker::report::number;
use worker::undo::UnitUndo;

pub(crate) use document::Outcome;
pub(crate) use nothing::{Nothing, holds_rows, nothing};

use super::text::{count, length, line};

/// Kept rows that the text names.
const LISTED: usize = 50;

/// A rollback of units of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    run: String,
    /// Whether it had begun before.
    is_resumed: bool,
    /// Whether a worker may be at the run.
    is_running: bool,
    units: Vec<Unit>,
    /// Rows that are left alone, with their units; of a plan, perhaps only the first.
    kept: Vec<(String, Kept)>,
    /// Units that stay, though they were computed from one that does not: (stays, computed from).
    dependents: Vec<(String, String)>,
}

#[derive(Debug)]
struct Unit {
    verb: Verb,
    undo: UnitUndo,
}

/// What a rollback does with a unit's rows.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    /// It removes rows that the unit inserted.
    Remove,
    /// It puts back the values that the unit overwrote.
    Restore,
}

impl Plan {
    /// From a preview.
    pub(crate) fn new(
        run: &str,
        state: &RunState,
        previews: Vec<UnitUndo>,
        kept: Vec<(String, Kept)>,
    ) -> Self {
        let verb = |unit: &str| match state.started.destination(unit).map(|place| &place.write) {
            Some(plan::Write::Update { .. }) => Verb::Restore,
            Some(plan::Write::Insert) | None => Verb::Remove,
        };
        Self {
            run: run.to_owned(),
            is_resumed: state.status == RunStatus::Undoing,
            is_running: state.status == RunStatus::Running,
            dependents: dependents(state, &previews),
            units: previews
                .into_iter()
                .map(|undo| Unit {
                    verb: verb(&undo.unit),
                    undo,
                })
                .collect(),
            kept,
        }
    }

    /// The same with what was done to each unit, and the rows that were left alone.
    pub(crate) fn done(mut self, totals: Vec<UnitUndo>, kept: Vec<(String, Kept)>) -> Self {
        for total in totals {
            if let Some(unit) = self
                .units
                .iter_mut()
                .find(|unit| unit.undo.unit == total.unit)
            {
                unit.undo = total;
            }
        }
        self.kept = kept;
        self.kept
            .retain(|(name, _)| self.units.iter().any(|unit| unit.undo.unit == *name));
        self
    }

    /// Rows that are to be looked at, but for those that are gone.
    pub(crate) fn rows(&self) -> i64 {
        self.units
            .iter()
            .map(|unit| unit.undo.removed + unit.undo.kept)
            .sum()
    }
}

/// Units that wrote something, stay, and depend on one that is undone.
fn dependents(state: &RunState, undone: &[UnitUndo]) -> Vec<(String, String)> {
    let is_undone = |name: &str| undone.iter().any(|unit| unit.unit == name);
    let stays = |name: &str| {
        let status = state.units.get(name).map(|unit| unit.status);
        !is_undone(name)
            && !matches!(
                status,
                None | Some(UnitStatus::Pending | UnitStatus::Undone)
            )
    };
    let pins = state.started.units.iter().filter(|pin| stays(&pin.name));
    pins.flat_map(|pin| {
        let from = pin.depends_on.iter().filter(|name| is_undone(name));
        from.map(|from| (pin.name.clone(), from.clone()))
    })
    .collect()
}

/// What will be done.
pub(crate) fn plan(plan: &Plan) -> String {
    let begun = if plan.is_resumed {
        ", which has begun before (its counts included)"
    } else {
        ""
    };
    let mut text = format!("rollback of run {}{begun}:\n", plan.run);
    for Unit { verb, undo } in &plan.units {
        let verb = match verb {
            Verb::Remove => "remove",
            Verb::Restore => "restore",
        };
        let rows = count(undo.removed, "row");
        let _ = write!(text, "  {}: {verb} {rows} of {}", undo.unit, undo.table);
        if undo.kept > 0 {
            let _ = write!(text, ", keep {}", number(undo.kept));
        }
        if undo.gone > 0 {
            let _ = write!(text, ", {} gone already", number(undo.gone));
        }
        text.push('\n');
    }
    list_kept(&mut text, plan, "rows that will be kept");
    for (stays, from) in &plan.dependents {
        let _ = writeln!(
            text,
            "note: {stays} stays, though it was computed from what {from} wrote; to take it back as well, name it, too"
        );
    }
    if plan.is_running {
        text.push_str("note: this run is not complete; a worker that is at it writes nothing more to these units\n");
    }
    text
}

/// What was done.
pub(crate) fn done(plan: &Plan) -> String {
    let mut text = format!("rolled back run {}:\n", plan.run);
    for Unit { verb, undo } in &plan.units {
        let verb = match verb {
            Verb::Remove => "removed",
            Verb::Restore => "restored",
        };
        let rows = count(undo.removed, "row");
        let _ = writeln!(
            text,
            "  {}: {verb} {rows} of {}, kept {}, {} gone already",
            undo.unit,
            undo.table,
            number(undo.kept),
            number(undo.gone)
        );
    }
    list_kept(&mut text, plan, "rows that were kept");
    text
}

/// How much was done when it failed.
pub(crate) fn stopped(rows: i64) -> String {
    format!(
        "{} done, and safely so; the same command goes on from here",
        count(rows, "row")
    )
}

fn list_kept(text: &mut String, plan: &Plan, title: &str) {
    let total: i64 = plan.units.iter().map(|unit| unit.undo.kept).sum();
    if total == 0 {
        return;
    }
    let _ = writeln!(text, "{title}:");
    let listed = plan.kept.iter().take(LISTED);
    let more = total - length(listed.len());
    for (unit, row) in listed {
        let _ = writeln!(text, "  {unit} {}: {}", line(&row.key), line(&row.why));
    }
    if more > 0 {
        let _ = writeln!(text, "  … and {} more (--json lists all)", number(more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kept: usize) -> Plan {
        let row = |number: usize| Kept {
            key: format!("k{number}"),
            why: "edited since it was written".into(),
        };
        Plan {
            run: "0199".into(),
            is_resumed: false,
            is_running: true,
            units: vec![Unit {
                verb: Verb::Remove,
                undo: UnitUndo {
                    unit: "kpi_history".into(),
                    table: "KPIHistory".into(),
                    removed: 1_080,
                    kept: length(kept),
                    gone: 1,
                },
            }],
            kept: (0..kept)
                .map(|number| ("kpi_history".to_owned(), row(number)))
                .collect(),
            dependents: vec![("b".into(), "a".into())],
        }
    }

    #[test]
    fn the_plan_says_what_it_will_do() {
        let text = plan(&sample(2));
        for part in [
            "kpi_history: remove 1,080 rows of KPIHistory, keep 2, 1 gone already",
            "kpi_history k1: edited since",
            "b stays, though it was computed from what a wrote",
            "not complete",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn a_long_list_of_kept_rows_is_cut_and_says_so() {
        let text = done(&sample(60));
        assert!(text.contains("k49:") && !text.contains("k50:"), "{text}");
        assert!(text.contains("… and 10 more"), "{text}");
        let document = serde_json::to_value(sample(60).document(Outcome::Completed));
        let kept = document.map(|document| document["kept"].as_array().map(Vec::len));
        assert_eq!(kept.ok().flatten(), Some(60));
    }

    #[test]
    fn what_was_done_takes_the_place_of_what_was_planned() {
        let foreign = Kept {
            key: "x".into(),
            why: "of an earlier rollback".into(),
        };
        let total = UnitUndo {
            unit: "kpi_history".into(),
            removed: 7,
            ..UnitUndo::default()
        };
        let plan = sample(2).done(vec![total], vec![("other".into(), foreign)]);
        assert_eq!((plan.rows(), plan.kept.len()), (7, 0));
    }
}
