//! A rollback for programs.

use serde::Serialize;
use worker::core::event::Kept;
use worker::undo::UnitUndo;

use super::{Plan, Verb};

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// A dry run: nothing was changed.
    Planned,
    /// All is done.
    Completed,
}

/// What `cli rollback --json` prints.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    /// `planned`, `completed`, or `nothing` (then nothing else but the runs).
    outcome: Outcome,
    /// The run.
    run: &'a str,
    /// Its units, in the order in which they are undone.
    units: Vec<UnitDocument<'a>>,
    /// Every row that is left alone.
    kept: Vec<KeptDocument<'a>>,
    /// Other runs that still hold rows.
    others: &'a [String],
}

#[derive(Serialize)]
struct UnitDocument<'a> {
    /// `remove` or `restore`.
    action: Verb,
    /// The unit, its table, and how many rows are removed (or restored), kept and gone.
    #[serde(flatten)]
    undo: &'a UnitUndo,
}

#[derive(Serialize)]
struct KeptDocument<'a> {
    /// The unit.
    unit: &'a str,
    /// The row's key in the destination, and why it is left alone.
    #[serde(flatten)]
    row: &'a Kept,
}

impl Plan {
    /// For programs.
    pub(crate) fn document(&self, outcome: Outcome) -> Document<'_> {
        let units = self.units.iter().map(|unit| UnitDocument {
            action: unit.verb,
            undo: &unit.undo,
        });
        let kept = self
            .kept
            .iter()
            .map(|(unit, row)| KeptDocument { unit, row });
        Document {
            outcome,
            run: &self.run,
            units: units.collect(),
            kept: kept.collect(),
            others: &self.others,
        }
    }
}
