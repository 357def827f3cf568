//! What it would be to take back a part of what a run wrote. Changes nothing.

use std::collections::HashSet;

use super::chosen::Chosen;
use crate::backend::Database;
use crate::core::event::{Kept, Scope};
use crate::core::state::RunState;
use crate::engine::Plan;
use crate::error::{Doing, Error, Result};
use crate::provenance::Written;
use crate::standing::{examine, references};
use crate::undo::UnitUndo;
use crate::write::Lock;

/// What would be taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// By unit, in the order in which they are taken back; and how many rows, that were brought up to date, hold again what
    /// they held before.
    pub units: Vec<(UnitUndo, i64)>,
    /// Some of the rows that would be left alone, with their units.
    pub kept: Vec<(String, Kept)>,
    /// Units of which no rows are found, as they do not tell whose these are.
    pub without_tenant: Vec<String>,
}

/// What taking back a part of a run would do now; gives at most `examples` of the rows that would be left alone.
///
/// # Errors
/// The database's; provenance that was changed. [`Error::Usage`]: the run has no such unit, batch, worker or version.
/// [`Error::Refused`]: the run mends another, and can be taken back as a whole only.
pub async fn preview_undo(
    database: &Database,
    plan: &Plan,
    (run, state): (&str, &RunState),
    scope: &Scope,
    examples: usize,
) -> Result<Preview> {
    if let Some(repairs) = &state.started.repairs {
        return Err(Error::Refused(format!(
            "run {run} mends run {}: take it back as a whole, `cli rollback --run {run}`",
            repairs.run
        )));
    }
    let chosen = Chosen::of(database, plan, (run, state), scope).await?;
    let mut preview = Preview {
        without_tenant: chosen.without_tenant(plan),
        ..Preview::default()
    };
    for pin in chosen.pins(state).into_iter().rev() {
        let references = references(database, pin).await?;
        let mut unit = UnitUndo {
            unit: pin.name.clone(),
            table: pin.destination.table.clone(),
            ..UnitUndo::default()
        };
        // What newer batches brought up to date and will have put back.
        let mut back: HashSet<String> = HashSet::new();
        for stream in chosen.streams(&pin.name).await? {
            let mut below = i64::MAX;
            while let Some((seq, rows)) = chosen.next(pin, &stream.name, below).await? {
                below = seq;
                let how = &pin.destination.write;
                let (refreshed, written): (Vec<Written>, Vec<Written>) =
                    rows.into_iter().partition(|row| row.is_refreshed(how));
                let doing = "looking at rows";
                let read = database.begin_read().await.doing(doing)?;
                let stale = examine(&read, pin, &[], (&refreshed, &back), Lock::None).await?;
                let asked = (&*written, &back);
                let found = examine(&read, pin, &references, asked, Lock::None).await?;
                read.rollback().await.doing(doing)?;
                unit.removed += i64::try_from(found.ours.len()).unwrap_or(i64::MAX);
                unit.kept += i64::try_from(found.kept.len()).unwrap_or(i64::MAX);
                unit.gone += found.gone;
                let room = examples.saturating_sub(preview.kept.len());
                let some = found.kept.into_iter().take(room);
                preview.kept.extend(some.map(|row| (pin.name.clone(), row)));
                back.extend(stale.ours.into_iter().map(|row| row.key.clone()));
            }
        }
        let reverted = i64::try_from(back.len()).unwrap_or(i64::MAX);
        preview.units.push((unit, reverted));
    }
    Ok(preview)
}
