//! What the source rows of bad rows hold now, where somebody asks for it.

use std::collections::BTreeMap;

use worker::backend::Database;
use worker::engine::Plan;
use worker::held;

use crate::render::quarantine::Row;
use crate::stop::Result;

/// Adds to rows what their source holds.
pub(super) async fn add(database: &Database, plan: &Plan, rows: &mut [Row]) -> Result {
    let units: BTreeMap<&str, _> = plan
        .iter()
        .map(|unit| (unit.definition().name.as_str(), unit.as_ref()))
        .collect();
    for row in rows {
        // What a run of its own has set aside, `X.replayed` say, is read by the unit that it mends.
        let name = row.unit.split('.').next().unwrap_or_default();
        if let Some(unit) = units.get(name) {
            row.holds(held::held(database, *unit, &row.key).await?);
        }
    }
    Ok(())
}
