//! Which source row a row comes from: the batch's part of the source, computed once more. The journal has the part alone.

use std::collections::HashSet;

use super::{Found, Known, Planner};
use crate::backend::Database;
use crate::core::event::{BatchCommitted, PartitionPlanned};
use crate::core::plan::UnitPin;
use crate::proof;
use crate::validate::deep;

/// The source row; where it cannot be told, why. Never an error: what the journal says counts all the same.
pub(super) async fn find(
    database: &Database,
    planner: Planner,
    known: &Known,
    (pin, planned, batch): (&UnitPin, &PartitionPlanned, &BatchCommitted),
    key: &str,
) -> Found {
    let in_range = |why: String| Found::InRange { why };
    // A repair reads what the run that it repairs read.
    let seen = known.repaired.as_ref().unwrap_or(&known.state);
    let plan = planner(seen.started.inputs.clone());
    let origin = known.state.started.origin(&pin.name);
    let unit = plan.iter().find(|unit| unit.definition().name == origin);
    let Some(unit) = unit else {
        return in_range(format!("this release has no unit {origin}"));
    };
    let version = unit.definition().version;
    if version != pin.version {
        return in_range(format!(
            "version {} of {origin} wrote it, and this release has version {version}",
            pin.version
        ));
    }
    let as_of = match &known.repaired {
        Some(repaired) => repaired.as_of,
        None => known.state.instant(&pin.name, planned.pass),
    };
    let source = match deep::source(database, &plan, seen).await {
        Ok(source) => source.at(as_of),
        Err(error) => return in_range(format!("the source cannot be read: {error}")),
    };
    let keys = HashSet::from([key]);
    match proof::reports(unit.as_ref(), &source, planned, batch, &keys).await {
        Ok(mut reports) => match reports.remove(key) {
            Some(row) => Found::Row { key: row.source },
            None => in_range("its source gives it no more".into()),
        },
        Err(error) => in_range(format!("the source cannot be read: {error}")),
    }
}
