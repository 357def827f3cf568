//! What an operator may wish of a run, and what follows from it where it stands.

use std::collections::BTreeMap;

use crate::core::event::{Event, Setting, SettingsChanged, Word};
use crate::core::state::{ControlState, RunState, RunStatus, Standing};
use crate::error::{Error, Result};

/// What somebody wishes, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// That the work holds.
    Pause(Word),
    /// That it goes on.
    Resume(Word),
    /// That it ends, and that nobody goes on with it.
    Cancel(Word),
    /// Other settings; none: as each process's command line says.
    Set(BTreeMap<Setting, Option<String>>, Word),
}

/// The event that an order comes to; none where it is so already.
///
/// # Errors
/// [`Error::Refused`]: the run cannot be steered so where it stands, with what to do instead.
pub fn decide(
    run: &str,
    state: &RunState,
    control: &ControlState,
    order: &Order,
) -> Result<Option<Event>> {
    let is_rollback = state.status == RunStatus::Undoing;
    if state.control().is_none() {
        return Err(over(run, state));
    }
    match (order, &control.standing) {
        (Order::Pause(_), Standing::Paused(_)) => Ok(None),
        (Order::Pause(_), Standing::Cancelled(word)) => Err(Error::Refused(format!(
            "run {run} is cancelled, {word}: nobody works on it, so there is nothing to pause; `cli run resume --by NAME` \
             allows it to go on"
        ))),
        (Order::Pause(word), Standing::Going) => Ok(Some(Event::RunPaused(word.clone()))),
        (Order::Resume(_), Standing::Going) => Ok(None),
        (Order::Resume(word), Standing::Paused(_) | Standing::Cancelled(_)) => {
            Ok(Some(Event::RunResumed(word.clone())))
        }
        (Order::Cancel(_), _) if is_rollback => Err(Error::Refused(format!(
            "run {run} is being rolled back, and half a rollback is no end: `cli run pause --by NAME` holds it, and \
             interrupted it goes on with `cli rollback --run {run}`"
        ))),
        (Order::Cancel(_), Standing::Cancelled(_)) => Ok(None),
        (Order::Cancel(word), Standing::Going | Standing::Paused(_)) => {
            Ok(Some(Event::RunCancelled(word.clone())))
        }
        (Order::Set(settings, word), _) => {
            let other = settings.keys().find(|setting| **setting != Setting::Pace);
            if let Some(other) = other.filter(|_| is_rollback) {
                return Err(Error::Refused(format!(
                    "run {run} is being rolled back, and of a rollback only the pace can be set: leave {} out",
                    other.name()
                )));
            }
            Ok(set(control, settings, word))
        }
    }
}

/// Why a run that is over is not steered.
pub(super) fn over(run: &str, state: &RunState) -> Error {
    let next = match state.status {
        RunStatus::RolledBack => String::new(),
        _ => format!("; `cli rollback --run {run}` takes it back"),
    };
    Error::Refused(format!(
        "run {run} is {}: nobody works on it, so there is nothing to steer{next}",
        state.status.word()
    ))
}

/// Those of the settings that are to be others.
fn set(
    control: &ControlState,
    settings: &BTreeMap<Setting, Option<String>>,
    word: &Word,
) -> Option<Event> {
    let mut settings = settings.clone();
    settings.retain(|setting, value| control.wished(*setting) != value.as_deref());
    (!settings.is_empty()).then(|| {
        Event::SettingsChanged(SettingsChanged {
            settings,
            by: word.by.clone(),
            note: word.note.clone(),
        })
    })
}
