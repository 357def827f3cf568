//! The transition tables, tried from every side.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Gate, PartitionState, RunState, RunStatus};
use crate::core::event::{
    BatchCommitted, BatchUndone, Event, OwedIndex, PartitionPlanned, RunStarted, UnitCompleted,
};
use crate::core::plan::{Destination, UnitPin, Write};

fn pin(name: &str, depends_on: &[&str]) -> UnitPin {
    UnitPin {
        name: name.into(),
        version: 1,
        fingerprint: String::new(),
        depends_on: depends_on.iter().map(|name| (*name).into()).collect(),
        destination: Destination {
            table: "T".into(),
            key: "id".into(),
            columns: Vec::new(),
            write: Write::Insert,
        },
        image: Vec::new(),
    }
}

fn run() -> RunState {
    let started = RunStarted {
        plan: String::new(),
        units: vec![pin("first", &[]), pin("second", &["first"])],
        as_of: 0,
        window_days: 90,
        max_bad: 0.001,
        inputs: Vec::new(),
        missing: Vec::new(),
        database: "here".into(),
        indexes: Vec::new(),
        repairs: None,
    };
    RunState::begin(&Event::RunStarted(started)).expect("a run begins so")
}

fn planned(unit: &str, pass: i32, part: i32) -> Event {
    Event::PartitionPlanned(PartitionPlanned {
        unit: unit.into(),
        pass,
        section: 0,
        part,
        lower: None,
        upper: None,
        estimate: 0,
    })
}

fn completed(unit: &str, passes: i32) -> Event {
    Event::UnitCompleted(UnitCompleted {
        unit: unit.into(),
        passes,
        written: 0,
        quarantined: 0,
        refreshed: 0,
        changed: 0,
        heads: BTreeMap::new(),
        unchanged: false,
    })
}

fn undo_started(units: &[&str]) -> Event {
    Event::UndoStarted {
        units: units.iter().map(|unit| (*unit).into()).collect(),
        reason: "a test".into(),
    }
}

fn undo_completed(units: &[&str]) -> Event {
    Event::UndoCompleted {
        units: units.iter().map(|unit| (*unit).into()).collect(),
        removed: 0,
        kept: 0,
        gone: 0,
    }
}

const DONE: Event = Event::RunCompleted {
    written: 0,
    quarantined: 0,
};

/// Every state is reached by the table's events, and each event that the table does not allow there is refused
/// and changes nothing.
#[test]
fn a_run_follows_its_table() {
    let legal = [
        planned("first", 1, 0),
        planned("first", 1, 1),
        planned("first", 2, 0),
        completed("first", 2),
        planned("second", 1, 0),
        completed("second", 1),
        DONE,
        undo_started(&["second"]),
        undo_completed(&["second"]),
        undo_started(&["first"]),
        undo_completed(&["first"]),
    ];
    let mut state = run();
    for event in &legal {
        for other in &legal {
            let mut probe = state.clone();
            if probe.apply(other).is_err() {
                assert_eq!(probe, state, "a refused {} changed the state", other.kind());
            }
        }
        state.apply(event).expect("the table allows it");
    }
    assert_eq!(state.status, RunStatus::RolledBack);
}

#[test]
fn a_unit_waits_for_the_ones_it_depends_on() {
    let mut state = run();
    assert!(state.apply(&planned("second", 1, 0)).is_err());
    assert!(!state.is_ready("second"));
    state.apply(&planned("first", 1, 0)).expect("legal");
    state.apply(&completed("first", 1)).expect("legal");
    assert!(state.is_ready("second"));
}

#[test]
fn illegal_events_are_refused() {
    let mut state = run();
    for event in [
        DONE,
        completed("first", 1),
        planned("first", 2, 0),
        planned("unknown", 1, 0),
        undo_completed(&["first"]),
        undo_started(&["unknown"]),
        Event::RunStarted(state.started.clone()),
        Event::DatabaseAdopted {
            from: "elsewhere".into(),
            to: "there".into(),
        },
        Event::WorkerStopped {
            reason: String::new(),
        },
    ] {
        let before = state.clone();
        let error = state.apply(&event).expect_err(event.kind());
        assert_eq!(error.event, event.kind());
        assert_eq!(state, before);
    }
}

#[test]
fn an_undo_fences_the_whole_run() {
    let mut state = run();
    state.apply(&planned("first", 1, 0)).expect("legal");
    state.apply(&undo_started(&["first"])).expect("legal");
    assert_eq!(state.gate("first"), Gate::Fenced);
    assert_eq!(state.gate("second"), Gate::Fenced);
    assert!(!state.is_undone("first"));
    assert!(state.apply(&planned("first", 1, 1)).is_err());
    state.apply(&undo_completed(&["first"])).expect("legal");
    assert!(state.is_undone("first"));
    assert!(!state.is_undone("second"));
    assert_eq!(state.status, RunStatus::RolledBack);
    assert_eq!(state.gate("second"), Gate::Fenced);
}

/// A batch as a worker would commit it, from numbers: of rows that were read one by one.
fn batch(from: usize, to: usize, written: i64, skipped: i64, bad: i64, last: bool) -> Event {
    let cursor = |place: usize| (place > 0).then(|| vec![place.to_string()]);
    Event::BatchCommitted(BatchCommitted {
        unit: "first".into(),
        from: cursor(from),
        to: cursor(to),
        last,
        read: written + skipped + bad,
        written,
        refreshed: 0,
        skipped: BTreeMap::from([("why".into(), skipped)]),
        quarantined: bad,
        provenance: (written > 0).then(String::new),
        millis: None,
    })
}

fn partition() -> PartitionState {
    let Event::PartitionPlanned(planned) = planned("first", 1, 0) else {
        unreachable!("planned gives that event");
    };
    PartitionState::new(planned)
}

proptest! {
    /// The totals are the sums, whatever the batches; a prefix and then the rest is the whole.
    #[test]
    fn a_partition_adds_up(
        batches in prop::collection::vec((0..50i64, 0..50i64, 0..5i64), 1..20),
        cut in 0..20usize,
    ) {
        let mut events = Vec::new();
        for (place, (written, skipped, bad)) in batches.iter().enumerate() {
            for _ in 0..*bad {
                events.push(Event::RowQuarantined {
                    unit: "first".into(),
                    key: "k".into(),
                    reason: "r".into(),
                });
            }
            let last = place + 1 == batches.len();
            events.push(batch(place, place + 1, *written, *skipped, *bad, last));
        }
        let mut whole = partition();
        for event in &events {
            whole.apply(event).expect("legal");
        }
        let mut resumed = partition();
        let (before, after) = events.split_at(cut.min(events.len()));
        for event in before {
            resumed.apply(event).expect("legal");
        }
        let mut resumed = resumed.clone();
        for event in after {
            resumed.apply(event).expect("legal");
        }
        prop_assert_eq!(&resumed, &whole);
        prop_assert_eq!(whole.written, batches.iter().map(|batch| batch.0).sum::<i64>());
        prop_assert_eq!(whole.skipped, batches.iter().map(|batch| batch.1).sum::<i64>());
        prop_assert_eq!(whole.quarantined, batches.iter().map(|batch| batch.2).sum::<i64>());
        prop_assert_eq!(whole.read, whole.written + whole.skipped + whole.quarantined);
        prop_assert!(whole.done);
        prop_assert!(whole.apply(&batch(batches.len(), 99, 0, 0, 0, true)).is_err());
    }

    /// Rows that are computed from many others are written, and none of those read.
    #[test]
    fn computed_rows_are_not_read(written in 1..50i64, summed in 0..50i64) {
        let Event::BatchCommitted(mut computed) = batch(0, 1, written, summed, 0, false) else {
            unreachable!("batch gives that event");
        };
        computed.read = summed;
        let mut state = partition();
        state.apply(&Event::BatchCommitted(computed.clone())).expect("legal");
        prop_assert_eq!((state.read, state.written), (summed, written));
        computed.read = -1;
        prop_assert!(partition().apply(&Event::BatchCommitted(computed)).is_err());
    }

    /// No batch is committed twice, out of order, with a false balance, or with bad rows that nobody set aside.
    #[test]
    fn a_false_batch_is_refused(written in 1..50i64, off in 1..5i64) {
        let mut state = partition();
        state.apply(&batch(0, 1, written, 0, 0, false)).expect("legal");
        let Event::BatchCommitted(good) = batch(1, 2, written, 0, 0, false) else {
            unreachable!("batch gives that event");
        };
        let mut skewed = good.clone();
        skewed.read += off;
        let mut unlisted = good.clone();
        unlisted.quarantined += off;
        unlisted.read += off;
        let mut unproven = good.clone();
        unproven.provenance = None;
        let mut foreign = good.clone();
        foreign.unit = "second".into();
        for event in [
            batch(0, 1, written, 0, 0, false),
            Event::BatchCommitted(skewed),
            Event::BatchCommitted(unlisted),
            Event::BatchCommitted(unproven),
            Event::BatchCommitted(foreign),
        ] {
            let before = state.clone();
            prop_assert!(state.apply(&event).is_err());
            prop_assert_eq!(&state, &before);
        }
        prop_assert!(state.apply(&Event::BatchCommitted(good)).is_ok());
    }
}

#[test]
fn batches_are_undone_from_the_newest_to_the_oldest() {
    let undone = |batch| {
        Event::BatchUndone(BatchUndone {
            unit: "first".into(),
            batch,
            removed: 1,
            kept: Vec::new(),
            gone: 0,
            restored: 0,
        })
    };
    let mut state = partition();
    state.apply(&batch(0, 1, 1, 0, 0, false)).expect("legal");
    state.apply(&batch(1, 2, 1, 0, 0, false)).expect("legal");
    state.apply(&undone(2)).expect("legal");
    assert!(state.apply(&undone(2)).is_err());
    assert!(state.apply(&batch(2, 3, 1, 0, 0, false)).is_err());
    state.apply(&undone(1)).expect("legal");
    assert_eq!(state.removed, 2);
}

/// A journal that somebody changed may hold any number.
#[test]
fn numbers_that_no_rows_have_are_refused() {
    let undone = |batch, removed, gone| {
        Event::BatchUndone(BatchUndone {
            unit: "first".into(),
            batch,
            removed,
            kept: Vec::new(),
            gone,
            restored: 0,
        })
    };
    let mut state = partition();
    state.apply(&batch(0, 1, 3, 0, 0, false)).expect("legal");
    let Event::BatchCommitted(mut computed) = batch(1, 2, i64::MAX, 0, 0, false) else {
        unreachable!("batch gives that event");
    };
    computed.read = 0;
    for event in [
        Event::BatchCommitted(computed),
        batch(1, 2, 4, -1, 0, false),
        batch(1, 2, 0, i64::MAX, 0, false),
        undone(1, 4, 0),
        undone(1, 2, 2),
        undone(1, -1, 0),
        undone(1, i64::MAX, i64::MAX),
    ] {
        let before = state.clone();
        assert!(state.apply(&event).is_err(), "{event:?}");
        assert_eq!(state, before);
    }
    state.apply(&undone(1, 1, 2)).expect("legal");
    assert!(state.apply(&undone(0, 0, 1)).is_err());

    let mut state = run();
    state.apply(&planned("first", 1, 0)).expect("legal");
    let reopened = Event::UnitReopened {
        unit: "first".into(),
    };
    for _ in 0..2 {
        let stopped = Event::UnitStopped {
            unit: "first".into(),
            read: i64::MAX,
            quarantined: i64::MAX,
            allowed: 10,
        };
        state.apply(&stopped).expect("legal");
        state.apply(&reopened).expect("legal");
    }
    assert_eq!(state.units["first"].budget_read, i64::MAX);
}

/// Each index that a unit owes is built once, by nobody else's word, and before the unit is complete.
#[test]
fn a_unit_is_not_complete_without_its_indexes() {
    let mut started = run().started;
    started.indexes = ["one", "two"]
        .map(|name| OwedIndex {
            unit: "first".into(),
            table: "T".into(),
            name: name.into(),
            sql: String::new(),
        })
        .to_vec();
    let mut state = RunState::begin(&Event::RunStarted(started)).expect("a run begins so");
    let built = |unit: &str, index: &str| Event::IndexBuilt {
        unit: unit.into(),
        index: index.into(),
        millis: 1,
    };
    assert!(
        state.apply(&built("first", "one")).is_err(),
        "nothing is planned"
    );
    state.apply(&planned("first", 1, 0)).expect("planned");
    for wrong in [built("second", "one"), built("first", "three")] {
        assert!(state.apply(&wrong).is_err(), "{wrong:?}");
    }
    for index in ["two", "one"] {
        let error = state
            .apply(&completed("first", 1))
            .expect_err("one is owed");
        assert!(error.why.contains("is not built"), "{error}");
        state.apply(&built("first", index)).expect("it is owed");
        assert!(state.apply(&built("first", index)).is_err(), "twice");
    }
    state
        .apply(&completed("first", 1))
        .expect("nothing is owed");
}
