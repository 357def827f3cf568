//! What is next: plans a unit's next pass, completes a unit of which a pass found nothing, completes the run, or says
//! which partitions are open.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::Context;
use super::follow::Caught;
use super::partition::CATCH_UP_PAGES;
use super::refresh;
use super::store::SWALLOWED;
use super::unchanged;
use crate::core::event::{Event, PartitionPlanned, UnitCompleted};
use crate::core::state::{RunState, RunStatus, UnitState, UnitStatus};
use crate::error::{Error, Result};
use crate::journal;
use crate::projection::{self, Row};
use crate::runs;
use crate::unit::Parts;

/// Passes over a unit's source that one process makes before it says that they do not end.
const MAX_PASSES: i32 = 20;

/// Of the passes as of one instant, the one from which on one that brought rows up to date and found nothing else is the
/// last. Where the source never rests, no pass would find nothing; each row then stands as its source was when that pass
/// read it.
const REFRESHING_PASSES: usize = 6;

/// What a worker does next.
pub(super) enum Step {
    /// Something was planned or completed: look again.
    Look,
    /// These partitions are open.
    Work(Vec<Row>),
    /// These units' indexes are due, and these partitions of others are open.
    Build(Vec<String>, Vec<Row>),
    /// All that is followed has caught up.
    Follow(Caught),
    /// Nothing is left for this process.
    Finished,
}

pub(super) async fn next(context: &Context, state: &RunState) -> Result<Step> {
    if state.status != RunStatus::Running {
        return Ok(Step::Finished);
    }
    let partitions = projection::load(context.database.connection(), &context.run).await?;
    let (mut open, mut due) = (Vec::new(), Vec::new());
    let mut caught = Caught::new(state.as_of);
    for unit in context.plan.iter() {
        let name = &unit.definition().name;
        let Some(unit_state) = state.units.get(name) else {
            continue;
        };
        let is_over = matches!(
            unit_state.status,
            UnitStatus::Completed | UnitStatus::Stopped | UnitStatus::Undone
        );
        if is_over || !state.is_ready(name) || !context.is_chosen(name) {
            continue;
        }
        let pass: Vec<_> = partitions
            .iter()
            .filter(|row| row.unit == *name && row.pass == unit_state.pass)
            .collect();
        let is_open = |row: &&&Row| row.status == projection::OPEN;
        let Some(section) = pass.iter().filter(is_open).map(|row| row.section).min() else {
            // Before it catches up: so what is written while they are built is caught up with.
            if unit_state.pass >= 1 && state.owed(name).next().is_some() {
                due.push(name.clone());
                continue;
            }
            let found: i64 = pass.iter().map(|row| row.written + row.quarantined).sum();
            if unit_state.pass >= 2 && state.is_followed() {
                // What others alone follow is theirs to go on with.
                let following = context.follow.as_ref();
                let Some(follow) = following.filter(|_| state.followed.contains(name)) else {
                    continue;
                };
                // Rounds are no passes that do not end.
                context.forget_passes(name);
                if !unit_state.is_caught_up {
                    caught_up(context, name, unit_state.pass).await?;
                    return Ok(Step::Look);
                }
                if follow.is_due(state, unit.definition(), &partitions) {
                    plan_pass(context, name, unit_state.pass + 1, state.as_of).await?;
                    return Ok(Step::Look);
                }
                caught.units.insert(name.clone(), (unit_state.pass, found));
                continue;
            }
            let is_current = unit_state.instants.last() == Some(&state.as_of);
            let found_nothing = unit_state.pass >= 2 && found == 0 && is_current;
            let is_stale = found_nothing
                && unit.is_refreshed()
                && passes_as_of(unit_state, state.as_of) < REFRESHING_PASSES
                && refresh::told(context, pass.iter().copied()).await?.0 > 0;
            if found_nothing && !is_stale {
                complete_unit(context, name, &partitions, false).await?;
            } else if is_current
                && !state.is_followed()
                && is_unchanged(context, name, unit_state, &pass).await?
            {
                complete_unit(context, name, &partitions, true).await?;
            } else {
                check_passes(context, name, unit_state.pass, found)?;
                plan_pass(context, name, unit_state.pass + 1, state.as_of).await?;
            }
            return Ok(Step::Look);
        };
        context.remember(name, unit_state);
        let in_section = pass
            .iter()
            .filter(is_open)
            .filter(|row| row.section == section);
        open.extend(in_section.map(|row| (**row).clone()));
    }
    if !due.is_empty() {
        return Ok(Step::Build(due, open));
    }
    if !open.is_empty() {
        return Ok(Step::Work(open));
    }
    let is_stopped = |(name, unit): (&String, &UnitState)| {
        unit.status == UnitStatus::Stopped && context.is_chosen(name)
    };
    if !caught.units.is_empty() && !state.units.iter().any(is_stopped) {
        return Ok(Step::Follow(caught));
    }
    if state
        .units
        .values()
        .all(|unit| unit.status == UnitStatus::Completed)
    {
        complete_run(context, &partitions).await?;
        return Ok(Step::Look);
    }
    Ok(Step::Finished)
}

/// How many of a unit's last passes were as of an instant.
fn passes_as_of(unit_state: &UnitState, as_of: i64) -> usize {
    let instants = unit_state.instants.iter().rev();
    instants.take_while(|instant| **instant == as_of).count()
}

/// Whether a pass that is over was the last because nothing has changed since it was planned: every row that it was to
/// write stands.
async fn is_unchanged(
    context: &Context,
    name: &str,
    unit_state: &UnitState,
    pass: &[&Row],
) -> Result<bool> {
    let Some(mark) = unit_state.marked() else {
        return Ok(false);
    };
    let written = pass.iter().map(|row| row.written).sum();
    if !unchanged::since(&context.database, context.unit(name)?, mark, written).await? {
        return Ok(false);
    }
    let (run, connection) = (&context.run, context.database.connection());
    Ok(!journal::has_skipped(connection, run, name, SWALLOWED).await?)
}

/// Refuses to catch up without end: something removes rows as they are written, or writes them with dates in the past.
fn check_passes(context: &Context, name: &str, pass: i32, found: i64) -> Result<()> {
    let mut passes = context
        .passes
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let first = *passes.entry(name.to_owned()).or_insert(pass);
    if pass - first < MAX_PASSES {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "unit {name} still found {found} rows to write in its pass {pass}: something removes rows of the destination \
         while they are written, or writes source rows with dates in the past. All that it committed stays; stop \
         that, then run the same command to go on"
    )))
}

/// Plans all partitions of a unit's next pass in one transaction; nothing where another worker did.
async fn plan_pass(context: &Context, name: &str, pass: i32, as_of: i64) -> Result<()> {
    let Ok(_alone) = context.planning.try_lock() else {
        // Another worker of this process plans: whoever waits for it looks again.
        drop(context.planning.lock().await);
        return Ok(());
    };
    let unit = context.unit(name)?;
    let rows = context.options.sizing.rows.first();
    let source = context.source.at(as_of);
    let (source, page) = if pass > 1 {
        let page = rows.saturating_mul(CATCH_UP_PAGES);
        (source.catching_up(), page)
    } else {
        (source, rows)
    };
    // A round of a run that is followed writes little, and there are many.
    let is_round = context.follow.is_some() && pass > 2;
    let parts = Parts {
        most: if is_round {
            1
        } else {
            context.options.partitions
        },
        rows: page,
    };
    // Before anything of the pass is read.
    let mark = unchanged::mark(&context.source, unit).await?;
    let marked = mark.map(|mark| Event::SourceMarked {
        unit: name.to_owned(),
        pass,
        mark,
    });
    let mut events = Vec::from_iter(marked);
    for section in 0..unit.definition().sections.len() {
        let ranges = unit.split(&source, section, parts).await?;
        for (part, range) in ranges.into_iter().enumerate() {
            events.push(Event::PartitionPlanned(PartitionPlanned {
                unit: name.to_owned(),
                pass,
                section: i32::try_from(section).unwrap_or(i32::MAX),
                part: i32::try_from(part).unwrap_or(i32::MAX),
                lower: range.lower,
                upper: range.upper,
                estimate: range.estimate,
            }));
        }
    }
    let decide = |state: &RunState| {
        let is_due = state.status.is_open()
            && state.as_of == as_of
            && state.units.get(name).is_some_and(|unit| {
                unit.pass + 1 == pass
                    && matches!(unit.status, UnitStatus::Pending | UnitStatus::Running)
            });
        Ok(is_due.then(|| events.clone()))
    };
    runs::append(&context.database, &context.run, &context.worker, decide).await?;
    Ok(())
}

/// Says that a unit has made its first catch-up pass; nothing where another worker did.
async fn caught_up(context: &Context, name: &str, passes: i32) -> Result<()> {
    let decide = |state: &RunState| {
        let is_due = state.status.is_open()
            && state.followed.contains(name)
            && state.units.get(name).is_some_and(|unit| {
                unit.pass == passes && unit.status == UnitStatus::Running && !unit.is_caught_up
            });
        let unit = name.to_owned();
        Ok(is_due.then(|| vec![Event::UnitCaughtUp { unit, passes }]))
    };
    runs::append(&context.database, &context.run, &context.worker, decide).await?;
    Ok(())
}

async fn complete_unit(
    context: &Context,
    name: &str,
    partitions: &[Row],
    unchanged: bool,
) -> Result<()> {
    let rows: Vec<_> = partitions.iter().filter(|row| row.unit == name).collect();
    let heads: BTreeMap<_, _> = rows
        .iter()
        .map(|row| (row.stream.clone(), row.head.clone()))
        .collect();
    let passes = rows.iter().map(|row| row.pass).max().unwrap_or(0);
    let (refreshed, changed) = match context.unit(name)?.is_refreshed() {
        true => {
            // What the last pass left alone is left alone; none but catch-up passes tell of either.
            let caught_up = rows.iter().copied().filter(|row| row.pass >= 2);
            let (last, earlier): (Vec<_>, Vec<_>) = caught_up.partition(|row| row.pass == passes);
            let (before, _) = refresh::told(context, earlier.into_iter()).await?;
            let (refreshed, changed) = refresh::told(context, last.into_iter()).await?;
            (before + refreshed, changed)
        }
        false => (0, 0),
    };
    let completed = Event::UnitCompleted(UnitCompleted {
        unit: name.to_owned(),
        passes,
        written: rows.iter().map(|row| row.written).sum(),
        quarantined: rows.iter().map(|row| row.quarantined).sum(),
        refreshed,
        changed,
        heads,
        unchanged,
    });
    let decide = |state: &RunState| {
        let is_due = state.status.is_open()
            && !state.is_followed()
            && state.units.get(name).is_some_and(|unit| {
                unit.status == UnitStatus::Running && unit.instants.last() == Some(&state.as_of)
            });
        Ok(is_due.then(|| vec![completed.clone()]))
    };
    let appended = runs::append(&context.database, &context.run, &context.worker, decide).await?;
    if appended.1 && changed > 0 {
        tracing::warn!(
            "unit {name} left {changed} rows alone whose source has changed, as the application changed them after they \
             were written: `cli validate` names them"
        );
    }
    Ok(())
}

async fn complete_run(context: &Context, partitions: &[Row]) -> Result<()> {
    let completed = Event::RunCompleted {
        written: partitions.iter().map(|row| row.written).sum(),
        quarantined: partitions.iter().map(|row| row.quarantined).sum(),
    };
    let decide = |state: &RunState| Ok(state.status.is_open().then(|| vec![completed.clone()]));
    runs::append(&context.database, &context.run, &context.worker, decide).await?;
    Ok(())
}
