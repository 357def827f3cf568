//! Histories with something wrong in them: the replay refuses it with a typed error and stays where it was.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use worker::core::event::{Event, UnitCompleted};
use worker::core::replay::Replay;

use crate::history::{Entry, History, RUN, histories};
use crate::replay::replay;

/// Asserts that an event is refused, by an error that names it, and changes nothing.
fn refused(replay: &Replay, stream: &str, event: &Event) -> Result<(), TestCaseError> {
    let mut after = replay.clone();
    match after.apply(stream, event) {
        Ok(()) => {
            let at = replay.run.as_ref().map(|run| run.status);
            prop_assert!(false, "{stream} took {event:?} while {at:?}");
        }
        Err(error) => {
            prop_assert_eq!(error.event, event.kind());
            prop_assert!(!error.why.is_empty() && !error.state.is_empty());
            prop_assert_eq!(&after, replay);
        }
    }
    Ok(())
}

/// A place in a history whose event is of one of these kinds.
fn place(history: &History, index: Index, kinds: &[&str]) -> Option<usize> {
    let places: Vec<_> = history
        .entries
        .iter()
        .enumerate()
        .filter(|(_, (_, event))| kinds.contains(&event.kind()))
        .map(|(place, _)| place)
        .collect();
    (!places.is_empty()).then(|| places[index.index(places.len())])
}

/// Kinds of which the same event never may follow itself.
const ONCE: &[&str] = &[
    "RunStarted",
    "PartitionPlanned",
    "UnitStopped",
    "UnitReopened",
    "IndexBuilt",
    "FollowStarted",
    "AsOfAdvanced",
    "UnitCaughtUp",
    "FollowEnded",
    "UnitCompleted",
    "RunCompleted",
    "UndoStarted",
    "UndoCompleted",
    "BatchCommitted",
    "BatchUndone",
    "RunPaused",
    "RunResumed",
    "RunCancelled",
    "SettingsChanged",
];
const WORKERS: &[&str] = &[
    "WorkerStarted",
    "BatchResized",
    "HoldStarted",
    "HoldEnded",
    "PaceChanged",
    "CaughtUp",
    "SettingsApplied",
    "WorkerStopped",
];
const WISHES: &[&str] = &["RunPaused", "RunResumed", "RunCancelled", "SettingsChanged"];
const PARTITIONS: &[&str] = &["RowQuarantined", "BatchCommitted", "BatchUndone"];

/// What is wrong with a batch that is otherwise the next.
fn skewed(event: &Event) -> Vec<Event> {
    let Event::BatchCommitted(good) = event else {
        return Vec::new();
    };
    let mut skewed = vec![good.clone(); 8];
    skewed[0].read = good.written + good.skips() + good.quarantined + 1;
    skewed[1].written = 0;
    skewed[1].provenance = None;
    skewed[1].skipped.clear();
    skewed[1].read = good.quarantined + 1;
    skewed[2].quarantined += 1;
    skewed[3].provenance = match good.provenance {
        Some(_) => None,
        None => Some("digest".into()),
    };
    skewed[4].unit.push('x');
    skewed[5].from = Some(vec!["elsewhere".into()]);
    // Numbers that no rows have.
    skewed[6].skipped.insert("less than none".into(), -1);
    for reason in ["more than all", "and once more"] {
        skewed[7].skipped.insert(reason.into(), i64::MAX);
    }
    skewed[7].read = i64::MAX;
    skewed.into_iter().map(Event::BatchCommitted).collect()
}

/// Events of the run's own stream that no state of this history allows.
fn impossible(replay: &Replay) -> Vec<Event> {
    let run = replay.run.as_ref().expect("the run has started");
    let mut events = vec![
        Event::RunStarted(run.started.clone()),
        Event::DatabaseAdopted {
            from: "nowhere".into(),
            to: "here".into(),
        },
        Event::BudgetChanged {
            from: run.max_bad + 1.0,
            to: 0.0,
        },
        Event::UndoStarted {
            units: vec!["nobody".into()],
            reason: String::new(),
        },
        Event::UndoCompleted {
            units: vec!["nobody".into()],
            removed: 0,
            kept: 0,
            gone: 0,
        },
        Event::UnitReopened {
            unit: "nobody".into(),
        },
        Event::IndexBuilt {
            unit: "nobody".into(),
            index: "i0".into(),
            millis: 1,
        },
        Event::FollowStarted {
            units: vec!["nobody".into()],
            every_millis: 1,
        },
        Event::FollowStarted {
            units: Vec::new(),
            every_millis: 1,
        },
        Event::AsOfAdvanced {
            from: run.as_of - 1,
            to: run.as_of + 1,
        },
        Event::AsOfAdvanced {
            from: run.as_of,
            to: run.as_of,
        },
        Event::UnitCaughtUp {
            unit: "nobody".into(),
            passes: 2,
        },
        Event::FollowEnded {
            units: vec!["nobody".into()],
        },
    ];
    let completed = |name: &str| {
        Event::UnitCompleted(UnitCompleted {
            unit: name.to_owned(),
            passes: run.units[name].pass,
            written: 0,
            quarantined: 0,
            refreshed: 0,
            changed: 0,
            heads: BTreeMap::new(),
            unchanged: false,
        })
    };
    // A unit is not complete without its indexes, and none is while the run is followed.
    let owing = |unit: &&String| run.owed(unit).next().is_some();
    let unit = run.units.keys().find(owing);
    events.extend(unit.map(|unit| completed(unit)));
    if run.is_followed() {
        events.extend(run.units.keys().map(|unit| completed(unit)));
    }
    for planned in run.partitions.values() {
        let mut later = planned.clone();
        later.pass = run.units[&planned.unit].pass + 2;
        events.extend([planned.clone(), later].map(Event::PartitionPlanned));
    }
    events
}

proptest! {
    #[test]
    fn no_event_follows_itself(history in histories(), index in any::<Index>()) {
        if let Some(place) = place(&history, index, ONCE) {
            let (stream, event) = &history.entries[place];
            refused(&replay(&history.entries[..=place]), stream, event)?;
        }
    }

    #[test]
    fn a_skewed_batch_is_refused(history in histories(), index in any::<Index>()) {
        if let Some(place) = place(&history, index, &["BatchCommitted"]) {
            let (stream, event) = &history.entries[place];
            let before = replay(&history.entries[..place]);
            for event in skewed(event) {
                refused(&before, stream, &event)?;
            }
        }
    }

    /// Where an event is missing that later ones build on, one of those is refused.
    #[test]
    fn a_missing_event_is_missed(history in histories(), index in any::<Index>()) {
        let kinds = ["PartitionPlanned", "RowQuarantined", "BatchCommitted"];
        let Some(place) = place(&history, index, &kinds) else {
            return Ok(());
        };
        let (stream, event) = &history.entries[place];
        let built_on = match event {
            Event::PartitionPlanned(planned) => planned.stream(),
            _ => stream.clone(),
        };
        let builds_on = |(stream, event): &Entry| *stream == built_on && event.kind() == "BatchCommitted";
        let mut lacking = history.entries.clone();
        lacking.remove(place);
        if lacking[place..].iter().any(builds_on) {
            prop_assert!(!folds(&lacking), "nobody misses {:?}", event);
        }
    }

    /// Two batches of one partition never change places.
    #[test]
    fn batches_that_changed_places_are_refused(history in histories(), index in any::<Index>()) {
        let Some(first) = place(&history, index, &["BatchCommitted", "BatchUndone"]) else {
            return Ok(());
        };
        let (stream, event) = &history.entries[first];
        let is_next = |(other, next): &Entry| other == stream && next.kind() == event.kind();
        if let Some(second) = history.entries[first + 1..].iter().position(is_next) {
            let mut swapped = history.entries.clone();
            swapped.swap(first, first + 1 + second);
            prop_assert!(!folds(&swapped));
        }
    }

    /// Each event belongs to one kind of stream.
    #[test]
    fn an_event_in_another_stream_is_refused(history in histories(), index in any::<Index>()) {
        let place = index.index(history.entries.len());
        let (_, event) = &history.entries[place];
        let before = replay(&history.entries[..=place]);
        let (in_worker, in_partition) = (WORKERS.contains(&event.kind()), PARTITIONS.contains(&event.kind()));
        let is_wish = WISHES.contains(&event.kind());
        if in_worker || in_partition || is_wish {
            refused(&before, RUN, event)?;
        }
        if !is_wish {
            refused(&before, "control", event)?;
        }
        // No rollback has this number.
        for stream in ["control/0", "control/99", "control/01", "control/", "controls"] {
            refused(&before, stream, event)?;
        }
        if !in_worker {
            refused(&before, "worker/w", event)?;
        }
        if !in_partition {
            for stream in before.partitions.keys() {
                refused(&before, stream, event)?;
            }
        }
        refused(&before, "nobody/1.0.0", event)?;
    }

    #[test]
    fn what_no_state_allows_is_refused(history in histories(), index in any::<Index>()) {
        let before = replay(&history.entries[..=index.index(history.entries.len())]);
        for event in impossible(&before) {
            refused(&before, RUN, &event)?;
        }
    }

    /// Whatever another history says, it is either the next event or refused without a trace.
    #[test]
    fn a_foreign_event_is_next_or_refused(
        history in histories(),
        index in any::<Index>(),
        foreign in histories(),
    ) {
        let before = replay(&history.entries[..=index.index(history.entries.len())]);
        for (stream, event) in &foreign.entries {
            let mut after = before.clone();
            if let Err(error) = after.apply(stream, event) {
                prop_assert_eq!(error.event, event.kind());
                prop_assert_eq!(&after, &before);
            }
        }
    }
}

fn folds(entries: &[Entry]) -> bool {
    let mut replay = Replay::default();
    let mut entries = entries.iter();
    entries.all(|(stream, event)| replay.apply(stream, event).is_ok())
}
