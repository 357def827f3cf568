//! What a history means, told by plain scans of all its events: nothing is folded, nothing is remembered between two
//! questions.

use std::collections::BTreeSet;

use worker::core::event::{BatchCommitted, BatchUndone, Cursor, Event, Mark, Setting};
use worker::core::state::{Gate, RunStatus, Standing, UnitStatus};

use crate::history::{Entry, RUN};

/// The events of a stream, in their order.
fn stream<'a>(entries: &'a [Entry], name: &'a str) -> impl DoubleEndedIterator<Item = &'a Event> {
    let of_stream = entries.iter().filter(move |(stream, _)| stream == name);
    of_stream.map(|(_, event)| event)
}

/// The units of an undo that has begun and not ended.
pub(crate) fn undoing(entries: &[Entry]) -> Vec<String> {
    let undo = stream(entries, RUN).rfind(|event| {
        matches!(
            event,
            Event::UndoStarted { .. } | Event::UndoCompleted { .. }
        )
    });
    match undo {
        Some(Event::UndoStarted { units, .. }) => units.clone(),
        _ => Vec::new(),
    }
}

/// Where the run stands.
pub(crate) fn run_status(entries: &[Entry]) -> RunStatus {
    let has = |wanted: fn(&Event) -> bool| stream(entries, RUN).any(wanted);
    if !undoing(entries).is_empty() {
        return RunStatus::Undoing;
    }
    if has(|event| matches!(event, Event::UndoCompleted { .. })) {
        let planned = stream(entries, RUN).filter_map(|event| match event {
            Event::PartitionPlanned(planned) => Some(planned.unit.as_str()),
            _ => None,
        });
        let mut staying = planned.filter(|unit| !is_undone(entries, unit));
        return match staying.next() {
            Some(_) => RunStatus::PartlyRolledBack,
            None => RunStatus::RolledBack,
        };
    }
    match has(|event| matches!(event, Event::RunCompleted { .. })) {
        true => RunStatus::Completed,
        false => RunStatus::Running,
    }
}

/// The stream that holds what is wished now.
pub(crate) fn control(entries: &[Entry]) -> Option<String> {
    let is_undo = |event: &&Event| matches!(event, Event::UndoStarted { .. });
    match run_status(entries) {
        RunStatus::Running => Some("control".into()),
        RunStatus::Undoing => Some(format!(
            "control/{}",
            stream(entries, RUN).filter(is_undo).count()
        )),
        RunStatus::Completed | RunStatus::PartlyRolledBack | RunStatus::RolledBack => None,
    }
}

/// The streams in which anything was ever wished.
pub(crate) fn wished_in(entries: &[Entry]) -> BTreeSet<String> {
    let streams = entries.iter().map(|(stream, _)| stream);
    let is_control = |stream: &&String| stream.split('/').next() == Some("control");
    streams.filter(is_control).cloned().collect()
}

/// Whether a stream of wishes wants the work to go on.
pub(crate) fn standing(entries: &[Entry], name: &str) -> Standing {
    let mut said = stream(entries, name).filter_map(|event| match event {
        Event::RunPaused(word) => Some(Standing::Paused(word.clone())),
        Event::RunCancelled(word) => Some(Standing::Cancelled(word.clone())),
        Event::RunResumed(_) => Some(Standing::Going),
        _ => None,
    });
    said.next_back().unwrap_or(Standing::Going)
}

/// The value that a stream of wishes gives a setting.
pub(crate) fn wished(entries: &[Entry], name: &str, setting: Setting) -> Option<String> {
    let mut said = stream(entries, name).filter_map(|event| match event {
        Event::SettingsChanged(changed) => changed.settings.get(&setting),
        _ => None,
    });
    said.next_back()?.clone()
}

/// Whether an undo of the unit has ended.
pub(crate) fn is_undone(entries: &[Entry], unit: &str) -> bool {
    stream(entries, RUN).any(|event| {
        matches!(event, Event::UndoCompleted { units, .. } if units.iter().any(|name| name == unit))
    })
}

/// Whether the unit's partitions may take batches.
pub(crate) fn gate(entries: &[Entry], unit: &str) -> Gate {
    let has_undo = |event: &Event| matches!(event, Event::UndoStarted { .. });
    if stream(entries, RUN).any(has_undo) {
        return Gate::Fenced;
    }
    match unit_status(entries, unit) {
        UnitStatus::Stopped => Gate::Stopped,
        _ => Gate::Open,
    }
}

/// Where a unit stands.
pub(crate) fn unit_status(entries: &[Entry], unit: &str) -> UnitStatus {
    if is_undone(entries, unit) {
        return UnitStatus::Undone;
    }
    let is_mark = |event: &Event| matches!(event, Event::SourceMarked { .. });
    let mut of_unit =
        stream(entries, RUN).filter(|event| event.unit() == Some(unit) && !is_mark(event));
    match of_unit.next_back() {
        None => UnitStatus::Pending,
        Some(Event::UnitCompleted(_)) => UnitStatus::Completed,
        Some(Event::UnitStopped { .. }) => UnitStatus::Stopped,
        Some(_) => UnitStatus::Running,
    }
}

/// The unit's last pass.
pub(crate) fn pass(entries: &[Entry], unit: &str) -> i32 {
    let passes = stream(entries, RUN).filter_map(|event| match event {
        Event::PartitionPlanned(planned) if planned.unit == unit => Some(planned.pass),
        _ => None,
    });
    passes.max().unwrap_or(0)
}

/// What the unit's tables held before its last pass, as far as that is of this database and this instant.
pub(crate) fn mark<'a>(entries: &'a [Entry], unit: &str) -> Option<(i32, &'a Mark)> {
    let mut told = stream(entries, RUN).rev().take_while(|event| {
        !matches!(
            event,
            Event::DatabaseAdopted { .. } | Event::AsOfAdvanced { .. }
        )
    });
    told.find_map(|event| match event {
        Event::SourceMarked {
            unit: marked,
            pass,
            mark,
        } if marked == unit => Some((*pass, mark)),
        _ => None,
    })
}

/// The database that the run belongs to.
pub(crate) fn database(entries: &[Entry]) -> String {
    let mut names = stream(entries, RUN).filter_map(|event| match event {
        Event::RunStarted(started) => Some(&started.database),
        Event::DatabaseAdopted { to, .. } => Some(to),
        _ => None,
    });
    names.next_back().expect("a run has one").clone()
}

/// The instant that the run stands for.
pub(crate) fn as_of(entries: &[Entry]) -> i64 {
    let mut instants = stream(entries, RUN).filter_map(|event| match event {
        Event::RunStarted(started) => Some(started.as_of),
        Event::AsOfAdvanced { to, .. } => Some(*to),
        _ => None,
    });
    instants.next_back().expect("a run has one")
}

/// The units that are followed: those that were named since it ended last.
pub(crate) fn followed(entries: &[Entry]) -> BTreeSet<String> {
    let since = stream(entries, RUN)
        .rev()
        .take_while(|event| !matches!(event, Event::FollowEnded { .. }));
    let units = since.filter_map(|event| match event {
        Event::FollowStarted { units, .. } => Some(units.clone()),
        _ => None,
    });
    units.flatten().collect()
}

/// The instants that a unit's passes are as of: those that the run stood for when they were planned.
pub(crate) fn instants(entries: &[Entry], unit: &str) -> Vec<i64> {
    let planned = entries
        .iter()
        .enumerate()
        .filter_map(|(place, (_, event))| match event {
            Event::PartitionPlanned(planned) if planned.unit == unit && planned.part == 0 => {
                Some(place)
            }
            _ => None,
        });
    planned.map(|place| as_of(&entries[..place])).collect()
}

/// Whether the unit has caught up while the run was followed.
pub(crate) fn is_caught_up(entries: &[Entry], name: &str) -> bool {
    stream(entries, RUN)
        .any(|event| matches!(event, Event::UnitCaughtUp { unit, .. } if unit == name))
}

/// The share of bad rows that the run tolerates.
pub(crate) fn max_bad(entries: &[Entry]) -> f64 {
    let mut shares = stream(entries, RUN).filter_map(|event| match event {
        Event::RunStarted(started) => Some(started.max_bad),
        Event::BudgetChanged { to, .. } => Some(*to),
        _ => None,
    });
    shares.next_back().expect("a run has one")
}

/// Rows read and bad rows up to a unit's last stop, as the stops say.
pub(crate) fn budget(entries: &[Entry], unit: &str) -> (i64, i64) {
    let stops = stream(entries, RUN).filter_map(|event| match event {
        Event::UnitStopped {
            unit: stopped,
            read,
            quarantined,
            ..
        } if stopped == unit => Some((*read, *quarantined)),
        _ => None,
    });
    stops.fold((0, 0), |(all, bad), stop| (all + stop.0, bad + stop.1))
}

/// The streams of all partitions.
pub(crate) fn partitions(entries: &[Entry]) -> Vec<String> {
    let planned = stream(entries, RUN).filter_map(|event| match event {
        Event::PartitionPlanned(planned) => Some(planned.stream()),
        _ => None,
    });
    let mut streams: Vec<_> = planned.collect();
    streams.sort();
    streams
}

/// A partition's batches.
pub(crate) fn batches<'a>(
    entries: &'a [Entry],
    name: &'a str,
) -> impl DoubleEndedIterator<Item = &'a BatchCommitted> {
    stream(entries, name).filter_map(|event| match event {
        Event::BatchCommitted(batch) => Some(batch),
        _ => None,
    })
}

/// A partition's batches that were undone.
pub(crate) fn undone<'a>(
    entries: &'a [Entry],
    name: &'a str,
) -> impl Iterator<Item = &'a BatchUndone> {
    stream(entries, name).filter_map(|event| match event {
        Event::BatchUndone(undone) => Some(undone),
        _ => None,
    })
}

/// Bad rows of a partition, of batches that are still to come too.
pub(crate) fn bad(entries: &[Entry], name: &str) -> i64 {
    let is_bad = |event: &&Event| matches!(event, Event::RowQuarantined { .. });
    i64::try_from(stream(entries, name).filter(is_bad).count()).expect("few rows")
}

/// The partition's cursor.
pub(crate) fn cursor(entries: &[Entry], name: &str) -> Option<Cursor> {
    let last = batches(entries, name).next_back();
    last.and_then(|batch| batch.to.clone())
}
