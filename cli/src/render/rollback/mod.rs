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
    /// Other runs that still hold rows.
    others: Vec<String>,
    /// Why this run was chosen, where somebody might expect another.
    why: Option<&'static str>,
    /// What was announced, once it is done.
    announced: Option<Announced>,
}

/// What a plan said would be done.
#[derive(Debug)]
struct Announced {
    units: Vec<UnitUndo>,
    /// The kept rows that it listed.
    kept: usize,
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
    /// It puts back rows that the unit took back.
    #[serde(rename = "put back")]
    PutBack,
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
            Some(plan::Write::Update { .. } | plan::Write::Restore) => Verb::Restore,
            Some(plan::Write::Remove) => Verb::PutBack,
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
            others: Vec::new(),
            why: None,
            announced: None,
        }
    }

    /// The same beside other runs that still hold rows, and with why this one was chosen, where it was not named.
    pub(crate) fn beside(self, others: Vec<String>, why: Option<&'static str>) -> Self {
        Self {
            others,
            why,
            ..self
        }
    }

    /// The same with what was done to each unit, and the rows that were left alone.
    pub(crate) fn done(mut self, totals: Vec<UnitUndo>, kept: Vec<(String, Kept)>) -> Self {
        let planned = self.units.iter().map(|unit| unit.undo.clone());
        self.announced = Some(Announced {
            units: planned.collect(),
            kept: self.kept.len(),
        });
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
    let why = plan.why.map(|why| format!(", {why}"));
    let mut text = format!(
        "rollback of run {}{}{begun}:\n",
        plan.run,
        why.unwrap_or_default()
    );
    for Unit { verb, undo } in &plan.units {
        let verb = match verb {
            Verb::Remove => "remove",
            Verb::Restore => "restore",
            Verb::PutBack => "put back",
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
    let all = "`cli rollback --dry-run --json` lists all";
    list_kept(&mut text, plan, "rows that will be kept", all);
    for (stays, from) in &plan.dependents {
        let _ = writeln!(
            text,
            "note: {stays} stays, though it was computed from what {from} wrote; to take it back as well, name it, too"
        );
    }
    if plan.is_running {
        text.push_str("note: this run is not complete; a worker that is at it writes nothing more to these units\n");
    }
    text.push_str(&nothing::others(&plan.others));
    text
}

/// What was done: in one line where it is what was announced, else by unit.
pub(crate) fn done(plan: &Plan) -> String {
    let units = plan.units.iter().map(|unit| &unit.undo);
    let sum = |of: fn(&UnitUndo) -> i64| units.clone().map(of).sum::<i64>();
    let kept = sum(|unit| unit.kept);
    let mut text = format!(
        "rolled back run {}: {} taken back, {} kept, {} gone already",
        plan.run,
        count(sum(|unit| unit.removed), "row"),
        number(kept),
        number(sum(|unit| unit.gone))
    );
    let announced = plan.announced.as_ref();
    if announced.is_some_and(|announced| units.clone().eq(&announced.units)) {
        text.push_str(", as announced above\n");
    } else {
        text.push('\n');
        for Unit { verb, undo } in &plan.units {
            let verb = match verb {
                Verb::Remove => "removed",
                Verb::Restore => "restored",
                Verb::PutBack => "put back",
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
    }
    let all = nothing::kept_rows(&plan.run);
    match announced {
        // Those that are listed above are not listed again.
        Some(announced) if kept == length(announced.kept) => {
            if kept > 0 {
                let _ = writeln!(text, "the rows that were kept: {all} at any time");
            }
        }
        _ => list_kept(&mut text, plan, "rows that were kept", &all),
    }
    text.push_str(&nothing::others(&plan.others));
    text
}

/// How much was done when it failed.
pub(crate) fn stopped(rows: i64) -> String {
    format!(
        "{} done, and safely so; the same command goes on from here",
        count(rows, "row")
    )
}

/// Lists kept rows, and says how to see `all` where that is more.
fn list_kept(text: &mut String, plan: &Plan, title: &str, all: &str) {
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
        let _ = writeln!(text, "  … and {} more: {all}", number(more));
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
            others: vec!["0198".into()],
            why: Some("the newest that still holds such rows"),
            announced: None,
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
            "run 0199, the newest that still holds such rows:",
            "other runs still hold rows: 0198",
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
    fn what_was_done_as_announced_is_not_told_again() {
        let planned = sample(2);
        let totals = planned.units.iter().map(|unit| unit.undo.clone()).collect();
        let kept = planned.kept.clone();
        let text = done(&planned.done(totals, kept));
        let parts = [
            "1,080 rows taken back, 2 kept, 1 gone already, as announced above",
            "--run 0199 --kind BatchUndone",
        ];
        for part in parts {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("kpi_history"), "{text}");
    }

    #[test]
    fn what_differs_from_what_was_announced_is_told_by_unit() {
        let planned = sample(2);
        let mut total = planned.units[0].undo.clone();
        (total.removed, total.kept) = (1_079, 3);
        let text = done(&planned.done(vec![total], sample(3).kept));
        for part in ["kpi_history: removed 1,079 rows", "kpi_history k2: edited"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
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
