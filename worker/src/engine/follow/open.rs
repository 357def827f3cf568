//! Opening a run that is to be followed, or one that was and is to be completed: the cut-over.

use super::super::Options;
use crate::backend::Database;
use crate::core::event::Event;
use crate::core::plan::Definition;
use crate::core::state::{RunState, UnitStatus};
use crate::error::{Error, Result};
use crate::{journal, runs, time};

/// Begins to follow a run where that is asked for; ends it where it is not and the run was followed.
///
/// # Errors
/// [`Error::Refused`]: a unit is complete already, and so stands for the run's instant. The database's.
pub(in crate::engine) async fn open(
    database: &Database,
    run: &str,
    state: RunState,
    definitions: &[Definition],
    options: &Options,
    worker: &str,
) -> Result<RunState> {
    let is_chosen = |name: &String| options.units.is_empty() || options.units.contains(name);
    let names = definitions.iter().map(|unit| &unit.name);
    let chosen: Vec<String> = names.filter(|name| is_chosen(name)).cloned().collect();
    let appended = match options.follow {
        Some(every) => {
            let every_millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
            let decide = |state: &RunState| {
                check(run, state)?;
                let is_due = state.status.is_open()
                    && !chosen.iter().all(|unit| state.followed.contains(unit));
                let units = chosen.clone();
                Ok(is_due.then(|| {
                    vec![Event::FollowStarted {
                        units,
                        every_millis,
                    }]
                }))
            };
            runs::append(database, run, worker, decide).await?
        }
        None if state.is_followed() => {
            let now = journal::now(database.connection()).await?;
            let decide = |state: &RunState| {
                if !state.status.is_open() || !state.is_followed() {
                    return Ok(None);
                }
                // As of now: what was written since the last round is part of it.
                let from = state.as_of;
                let advanced = (now > from).then_some(Event::AsOfAdvanced { from, to: now });
                let units = state.followed.iter().cloned().collect();
                let ended = Event::FollowEnded { units };
                Ok(Some(advanced.into_iter().chain([ended]).collect()))
            };
            runs::append(database, run, worker, decide).await?
        }
        None => (state, false),
    };
    Ok(appended.0)
}

/// Refuses to follow what is complete: of a complete unit nothing is written any more.
fn check(run: &str, state: &RunState) -> Result<()> {
    let mut units = state.units.iter();
    match units.find(|(_, unit)| unit.status == UnitStatus::Completed) {
        Some((unit, _)) if state.status.is_open() => Err(Error::Refused(format!(
            "run {run} cannot be followed any more: its unit {unit} is complete, as of {}. Finish it with `worker run`; \
             `worker run --follow` then starts the next one",
            time::show(state.as_of)
        ))),
        _ => Ok(()),
    }
}
