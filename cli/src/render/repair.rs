//! A repair: what it will do, and what it did.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use worker::core::event::Found;
use worker::repair::{MISSING, REWRITTEN};
use worker::report::number;
use worker::status;

use super::text::{count, line};

/// A repair of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Repair {
    outcome: Outcome,
    /// The run that is repaired; none where none stands.
    run: Option<String>,
    /// The repair's own run, once there is one.
    repair: Option<String>,
    units: Vec<Unit>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// Nothing was changed yet.
    Planned,
    /// All is done.
    Completed,
    /// Nothing is to be done.
    Nothing,
}

/// A unit's part of it.
#[derive(Debug, Default, Serialize)]
struct Unit {
    unit: String,
    /// Rows that are written as their source gives them.
    rewritten: i64,
    /// Rows that nobody wrote.
    inserted: i64,
    /// Rows that differ and are left alone: the application's doing, a trigger's perhaps, or of another run.
    left: i64,
    /// A few of the first, each with the columns that differ.
    wrong_keys: Vec<String>,
    /// A few of the second.
    missing_keys: Vec<String>,
}

impl Repair {
    /// From what was found.
    pub(crate) fn planned(run: &str, found: BTreeMap<String, Found>) -> Self {
        let unit = |(unit, found): (String, Found)| Unit {
            unit,
            rewritten: found.wrong,
            inserted: found.missing,
            left: found.changed + found.foreign + found.altered + found.elsewhere,
            wrong_keys: found.wrong_keys,
            missing_keys: found.missing_keys,
        };
        Self {
            outcome: Outcome::Planned,
            run: Some(run.to_owned()),
            repair: None,
            units: found.into_iter().map(unit).collect(),
        }
    }

    /// Nothing is to be done; `planned` is what was looked at, where a run stands.
    pub(crate) fn nothing(planned: Option<Self>) -> Self {
        let (run, units) =
            planned.map_or((None, Vec::new()), |planned| (planned.run, planned.units));
        Self {
            outcome: Outcome::Nothing,
            run,
            repair: None,
            units,
        }
    }

    /// From the repair's own run.
    pub(crate) fn done(run: &str, repair: &status::Run) -> Self {
        let mut units: BTreeMap<&str, Unit> = BTreeMap::new();
        for unit in &repair.units {
            let Some((origin, _)) = unit.unit.rsplit_once('.') else {
                continue;
            };
            let of = units.entry(origin).or_default();
            origin.clone_into(&mut of.unit);
            if unit.unit.ends_with(REWRITTEN) {
                of.rewritten += unit.written;
            } else if unit.unit.ends_with(MISSING) {
                of.inserted += unit.written;
            }
        }
        Self {
            outcome: Outcome::Completed,
            run: Some(run.to_owned()),
            repair: Some(repair.run.clone()),
            units: units.into_values().collect(),
        }
    }

    /// Rows that are to be written.
    pub(crate) fn rows(&self) -> i64 {
        let rows = self.units.iter();
        rows.map(|unit| unit.rewritten + unit.inserted).sum()
    }
}

/// In words.
pub(crate) fn text(repair: &Repair) -> String {
    let Some(run) = &repair.run else {
        return "nothing to repair: no run stands in this database".into();
    };
    let (head, rewritten, inserted) = match (repair.outcome, &repair.repair) {
        (Outcome::Completed, Some(own)) => (
            format!(
                "repaired run {run}: {} rewritten, {} written anew; it is run {own}, and `cli rollback --run {own}` takes it \
                 back\n",
                count(repair.units.iter().map(|unit| unit.rewritten).sum(), "row"),
                number(repair.units.iter().map(|unit| unit.inserted).sum())
            ),
            "rewrote",
            "wrote",
        ),
        (Outcome::Nothing, _) => (
            format!(
                "nothing to repair: every row of run {run} that is ours is what its source gives\n"
            ),
            "rewrite",
            "write",
        ),
        _ => (format!("repair of run {run}:\n"), "rewrite", "write"),
    };
    let mut text = head;
    for unit in &repair.units {
        if unit.rewritten + unit.inserted + unit.left == 0 {
            continue;
        }
        let _ = write!(
            text,
            "  {}: {rewritten} {}, {inserted} {} that nobody wrote",
            unit.unit,
            count(unit.rewritten, "row"),
            number(unit.inserted)
        );
        if unit.left > 0 {
            let _ = write!(
                text,
                ", leave {} that differ and are not ours to change",
                number(unit.left)
            );
        }
        text.push('\n');
        for (keys, what) in [(&unit.wrong_keys, "wrong"), (&unit.missing_keys, "missing")] {
            if !keys.is_empty() {
                let keys: Vec<_> = keys.iter().map(|key| line(key)).collect();
                let _ = writeln!(text, "     {what}, for instance {}", keys.join(", "));
            }
        }
    }
    if repair.outcome == Outcome::Planned && repair.rows() == 0 {
        text.push_str("  nothing to repair\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> BTreeMap<String, Found> {
        let found = Found {
            verified: 1_000,
            wrong: 2_000,
            missing: 3,
            changed: 4,
            wrong_keys: vec!["k\u{1b}[2J (payload)".into()],
            ..Found::default()
        };
        BTreeMap::from([("kpi_history".to_owned(), found)])
    }

    #[test]
    fn a_plan_says_what_is_written_and_what_is_left() {
        let planned = Repair::planned("0199", found());
        let text = text(&planned);
        for part in [
            "repair of run 0199",
            "kpi_history: rewrite 2,000 rows, write 3 that nobody wrote, leave 4",
            "(payload)",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
        assert_eq!(planned.rows(), 2_003);
    }

    #[test]
    fn nothing_to_repair_is_said() {
        let planned = Repair::planned("0199", BTreeMap::new());
        assert!(text(&planned).contains("nothing to repair"));
        assert!(text(&Repair::nothing(Some(planned))).contains("nothing to repair"));
        assert!(text(&Repair::nothing(None)).contains("no run stands"));
    }
}
