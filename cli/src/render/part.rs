//! A part of a run that is taken back, or written again: what will be done, and what was.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use worker::core::event::{Kept, Purpose};
use worker::repair::{AGAIN, Preview, REMOVED, RESTORED, REVERTED};
use worker::report::number;
use worker::status;

use super::text::{count, length, line};

/// A part of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    purpose: Purpose,
    /// The run that the rows are of; none where none stands.
    run: Option<String>,
    /// The run that takes them back, once there is one.
    own: Option<String>,
    units: Vec<Unit>,
    /// Of a plan, some of the rows that will be left alone.
    kept: Vec<Left>,
    /// Units of which no rows are found, as they do not tell whose these are.
    without_tenant: Vec<String>,
}

/// A unit's part of it.
#[derive(Debug, Default, Serialize)]
struct Unit {
    unit: String,
    /// Rows that are removed, or put back to their values before.
    taken_back: i64,
    /// Rows that were brought up to date and hold again what they held before; those among them that the run also made are
    /// then removed.
    reverted: i64,
    /// Rows that are left alone: edited since, referred to by others, or kept by a trigger.
    kept: i64,
    /// Rows that are written again.
    written: i64,
}

/// A row that is left alone.
#[derive(Debug, Serialize)]
struct Left {
    unit: String,
    #[serde(flatten)]
    row: Kept,
}

impl Part {
    /// No run stands.
    pub(crate) fn nothing(purpose: Purpose) -> Self {
        Self {
            purpose,
            run: None,
            own: None,
            units: Vec::new(),
            kept: Vec::new(),
            without_tenant: Vec::new(),
        }
    }

    /// From a preview.
    pub(crate) fn planned(purpose: Purpose, run: &str, preview: Preview) -> Self {
        let units = preview.units.into_iter().map(|(unit, reverted)| Unit {
            unit: unit.unit,
            taken_back: unit.removed,
            reverted,
            kept: unit.kept,
            written: 0,
        });
        let kept = preview.kept.into_iter();
        Self {
            run: Some(run.to_owned()),
            units: units.collect(),
            kept: kept.map(|(unit, row)| Left { unit, row }).collect(),
            without_tenant: preview.without_tenant,
            ..Self::nothing(purpose)
        }
    }

    /// From the run that took them back.
    pub(crate) fn done(purpose: Purpose, run: &str, own: &status::Run) -> Self {
        let mut units: BTreeMap<&str, Unit> = BTreeMap::new();
        for unit in &own.units {
            let Some((origin, _)) = unit.unit.rsplit_once('.') else {
                continue;
            };
            let of = units.entry(origin).or_default();
            origin.clone_into(&mut of.unit);
            if unit.unit.ends_with(AGAIN) {
                of.written += unit.written + unit.refreshed;
            } else {
                of.kept += unit.quarantined;
            }
            if unit.unit.ends_with(REVERTED) {
                of.reverted += unit.written;
            } else if unit.unit.ends_with(REMOVED) || unit.unit.ends_with(RESTORED) {
                of.taken_back += unit.written;
            }
        }
        Self {
            run: Some(run.to_owned()),
            own: Some(own.run.clone()),
            units: units.into_values().collect(),
            ..Self::nothing(purpose)
        }
    }

    /// Whether nothing stands that is to be taken back.
    pub(crate) fn is_nothing(&self) -> bool {
        let mut units = self.units.iter();
        units.all(|unit| unit.taken_back == 0 && unit.reverted == 0)
    }
}

/// In words.
pub(crate) fn text(part: &Part) -> String {
    let Some(run) = &part.run else {
        return "nothing to take back: no run stands in this database".into();
    };
    let is_redo = part.purpose == Purpose::Redo;
    let rows = part.units.iter().map(|unit| unit.taken_back).sum();
    let rows = count(rows, "row");
    let kept: i64 = part.units.iter().map(|unit| unit.kept).sum();
    let mut text = match &part.own {
        None if is_redo => format!("of run {run}, to be taken back and written again: {rows}\n"),
        None => format!("of run {run}, to be taken back: {rows}\n"),
        Some(own) => {
            let written = part.units.iter().map(|unit| unit.written).sum();
            let again = match is_redo {
                true => format!(", wrote {} again", count(written, "row")),
                false => String::new(),
            };
            format!(
                "of run {run}, took back {rows}{again}, kept {}; it is run {own}, and `cli rollback --run {own}` puts back what \
                 stood before\n",
                number(kept)
            )
        }
    };
    for unit in &part.units {
        let _ = write!(text, "  {}: ", unit.unit);
        let _ = match &part.own {
            None => write!(text, "take back {}", count(unit.taken_back, "row")),
            Some(_) => write!(text, "took back {}", count(unit.taken_back, "row")),
        };
        if unit.reverted > 0 {
            let reverted = count(unit.reverted, "row");
            let _ = write!(text, ", put back what {reverted} held before");
        }
        if unit.kept > 0 {
            let verb = if part.own.is_some() { "kept" } else { "keep" };
            let _ = write!(text, ", {verb} {}", number(unit.kept));
        }
        if is_redo && part.own.is_some() {
            let _ = write!(text, ", wrote {} again", number(unit.written));
        }
        text.push('\n');
    }
    if kept > 0 && part.own.is_none() {
        text.push_str("rows that will be kept:\n");
        for Left { unit, row } in &part.kept {
            let _ = writeln!(text, "  {unit} {}: {}", line(&row.key), line(&row.why));
        }
        let more = kept - length(part.kept.len());
        if more > 0 {
            let _ = writeln!(text, "  … and {} more", number(more));
        }
    }
    let is_less = |unit: &&Unit| is_redo && part.own.is_some() && unit.written < unit.taken_back;
    for unit in part.units.iter().filter(is_less) {
        let _ = writeln!(
            text,
            "note: {} of {} are not given by their source any more; what it gives under other keys is written by `cli repair \
             --unit {}`",
            count(unit.taken_back - unit.written, "row"),
            unit.unit,
            unit.unit
        );
    }
    if let Some(own) = part.own.as_ref().filter(|_| kept > 0) {
        let _ = writeln!(
            text,
            "the rows that were kept: `cli quarantine list --run {own}` at any time"
        );
    }
    if !part.without_tenant.is_empty() {
        let _ = writeln!(
            text,
            "note: {} left out",
            match part.without_tenant.as_slice() {
                [one] => format!("unit {one} does not tell whose its rows are, and is"),
                more => format!(
                    "units {} do not tell whose their rows are, and are",
                    more.join(", ")
                ),
            }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use worker::undo::UnitUndo;

    use super::*;

    fn preview() -> Preview {
        let row = Kept {
            key: "k1".into(),
            why: "edited since it was written".into(),
        };
        Preview {
            units: vec![(
                UnitUndo {
                    unit: "kpi_history".into(),
                    table: "KPIHistory".into(),
                    removed: 1_200,
                    kept: 2,
                    gone: 0,
                },
                7,
            )],
            kept: vec![("kpi_history".into(), row)],
            without_tenant: vec!["agent_feedback".into()],
        }
    }

    #[test]
    fn what_will_be_done_is_told() {
        let text = text(&Part::planned(Purpose::Redo, "0199", preview()));
        for part in [
            "of run 0199, to be taken back and written again: 1,200 rows",
            "kpi_history: take back 1,200 rows, put back what 7 rows held before, keep 2",
            "kpi_history k1: edited since",
            "… and 1 more",
            "unit agent_feedback does not tell whose its rows are",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn no_run_no_rows() {
        assert!(text(&Part::nothing(Purpose::Undo)).contains("no run stands"));
    }
}
