//! Source rows that should have a destination row and have none: every completed unit reads its source once more.

use std::collections::HashSet;

use super::{Checked, PAGE};
use crate::backend::Database;
use crate::core::event::Cursor;
use crate::core::plan::Write;
use crate::core::state::{RunState, UnitStatus};
use crate::engine::Plan;
use crate::error::Result;
use crate::source::Source;
use crate::unit::{Item, Range, Unit};
use crate::{journal, schema, write};

/// Compares the sources of a run's completed units.
pub(super) async fn missing(
    database: &Database,
    plan: &Plan,
    run: &str,
    state: &RunState,
) -> Result<Checked> {
    let mut missing = Checked::error(
        "source rows without their destination row",
        "and not in quarantine",
    );
    let started = &state.started;
    let source = schema::source(database, plan, started.as_of, started.window_days).await?;
    let source = source.at(state.as_of).catching_up();
    for unit in plan.iter() {
        let name = &unit.definition().name;
        let is_complete = state
            .units
            .get(name)
            .is_some_and(|unit| unit.status == UnitStatus::Completed);
        if is_complete {
            for section in 0..unit.definition().sections.len() {
                section_missing(&source, unit.as_ref(), section, run, &mut missing).await?;
            }
        }
    }
    Ok(missing)
}

async fn section_missing(
    source: &Source,
    unit: &dyn Unit,
    section: usize,
    run: &str,
    missing: &mut Checked,
) -> Result<()> {
    let destination = &unit.definition().destination;
    let connection = source.database().connection();
    let whole = Range {
        lower: None,
        upper: None,
        estimate: 0,
    };
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = unit
            .read(source, section, &whole, cursor.as_ref(), PAGE)
            .await?;
        let row_keys: Vec<_> = page
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Row(row) => Some(row.key.as_str()),
                Item::Skip(_) | Item::Bad { .. } => None,
            })
            .collect();
        // A row that an updating unit still wants to write is one whose value was not set.
        let present = match destination.write {
            Write::Insert if !row_keys.is_empty() => {
                write::present(connection, destination, &row_keys).await?
            }
            _ => Vec::new(),
        };
        let present: HashSet<&str> = present.iter().map(String::as_str).collect();
        let unaccounted: Vec<String> = page
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Row(row) if present.contains(row.key.as_str()) => None,
                Item::Row(row) => Some(journal::short_key(&row.source)),
                Item::Bad { key, .. } => Some(journal::short_key(key)),
                Item::Skip(_) => None,
            })
            .collect();
        if !unaccounted.is_empty() {
            let keys: Vec<_> = unaccounted.iter().map(String::as_str).collect();
            let name = &unit.definition().name;
            let known = journal::quarantined(connection, run, name, &keys).await?;
            let known: HashSet<_> = known.into_iter().collect();
            for key in unaccounted.iter().filter(|key| !known.contains(*key)) {
                missing.add(format!("{name} {key}"));
            }
        }
        if page.last {
            return Ok(());
        }
        cursor = page.to;
    }
}
