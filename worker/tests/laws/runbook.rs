//! The runbook: one event of each of its kinds, what may follow what, and that no event strays into another stream.

use std::collections::BTreeMap;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use worker::core::event::{
    Backup, BackupMethod, BackupRestored, BackupVerified, DeferredIndex, Event, Found, GateJudged,
    GateSampled, GateStarted, Home, PlanRehearsed, PreflightChecked, SmokeTested, TargetJudged,
    UnitRehearsed, Validated, ValidationAdvanced,
};
use worker::core::replay::{RUN_STREAM, RUNBOOK, Replay};

fn text(text: &str) -> String {
    text.to_owned()
}

fn map<T>(key: &str, value: T) -> BTreeMap<String, T> {
    BTreeMap::from([(key.to_owned(), value)])
}

fn backup() -> Backup {
    Backup {
        id: text("b1"),
        method: BackupMethod::Command {
            command: vec![text("snapshot")],
            exit: 0,
            output: text("done"),
        },
        place: text("/backups/b1"),
        database: text("here"),
        server: text("15.4"),
        bytes: 7,
        digest: text("d"),
        rows: map("Campaign", 3),
        begun_at: 1,
        millis: 2,
    }
}

fn verified(backup: &str) -> Event {
    Event::BackupVerified(BackupVerified {
        backup: text(backup),
        full: true,
        tables: 1,
        rows: 3,
        problems: vec![text("one is missing")],
    })
}

/// One event of each kind, each with its stream, in an order that is legal.
pub(crate) fn history() -> Vec<(String, Event)> {
    let (by, note) = (text("Ada"), Some(text("looked")));
    let events = vec![
        Event::PreflightChecked(PreflightChecked {
            ok: 1,
            warnings: vec![text("disk")],
            stops: vec![text("rights")],
        }),
        Event::BackupFailed {
            method: text("pg_dump"),
            why: text("no room"),
        },
        Event::BackupTaken(backup()),
        verified("b1"),
        Event::BackupRestored(BackupRestored {
            backup: Backup {
                id: text("b2"),
                ..backup()
            },
            from: text("here"),
            to: text("there"),
            kept_as: Some(text("before")),
            head: text("h"),
            reason: text("why"),
            problems: Vec::new(),
        }),
        Event::SqlReviewed {
            digest: text("d"),
            by: by.clone(),
            note: note.clone(),
        },
        Event::PlanRehearsed(PlanRehearsed {
            plan: text("p"),
            batches: 2,
            units: map(
                "u",
                UnitRehearsed {
                    read: 2,
                    written: 1,
                    bad: 1,
                    millis: 3,
                    source_rows: 6,
                    rows: 3,
                    bytes: 300,
                    wal: Some(600),
                    low_millis: 8,
                    likely_millis: 9,
                    high_millis: 10,
                },
            ),
        }),
        Event::PlanApproved {
            plan: text("p"),
            by: by.clone(),
            note: note.clone(),
        },
        Event::SchemaApplied {
            changes: vec![text("m1")],
            digest: text("d"),
        },
        Event::IndexesDeferred {
            table: text("T"),
            indexes: vec![DeferredIndex {
                name: text("i"),
                sql: text("CREATE INDEX"),
            }],
        },
        Event::SchemaVerified {
            differences: vec![text("an index is missing")],
        },
        Event::CompatChecked {
            ran: 1,
            failed: vec![text("insert")],
        },
        Event::Validated(Validated {
            run: Some(text("r")),
            deep: Some((text("validation/v"), text("h"))),
            counts: map("T", 1),
            verified: 1,
            wrong: 0,
            changed: 0,
            errors: Vec::new(),
            warnings: vec![text("negative")],
        }),
        Event::GateJudged(GateJudged {
            stream: text("gate/g"),
            head: text("h"),
            environment: text("staging"),
            open: true,
            required_seconds: 2,
            watched_seconds: 2,
            targets: map(
                "errors",
                TargetJudged {
                    met: true,
                    limit: text("< 1"),
                    worst: Some(0.5),
                    samples: 2,
                    missed: 0,
                    gaps: 0,
                },
            ),
            reasons: Vec::new(),
        }),
        Event::SmokeTested(SmokeTested {
            environment: text("staging"),
            command: vec![text("true")],
            exit: Some(0),
            millis: 1,
            digest: text("d"),
            output: text("ok"),
        }),
        Event::ItemTicked {
            item: text("notify"),
            by: by.clone(),
            note: note.clone(),
        },
        Event::ItemReopened {
            item: text("notify"),
            by: by.clone(),
            note: note.clone(),
        },
        Event::SignedOff {
            role: text("QA Lead"),
            by,
            note,
            head: text("h"),
        },
        Event::CertificateIssued {
            run: text("r"),
            digest: text("d"),
        },
    ];
    let own = events.into_iter().map(|event| (text(RUNBOOK), event));
    let started = GateStarted {
        environment: text("staging"),
        slo: text("d"),
        seconds: 2,
        every_millis: 1_000,
        targets: vec![text("errors < 1")],
    };
    let sampled = GateSampled {
        tick: 1,
        values: map("errors", Some(0.5)),
        gaps: map("latency", text("no answer")),
    };
    let advanced = ValidationAdvanced {
        unit: text("u"),
        section: 0,
        cursor: Some(vec![text("k")]),
        last: false,
        found: map("u", Found::default()),
    };
    let logs = [
        ("gate/g", Event::GateStarted(started)),
        ("gate/g", Event::GateSampled(sampled)),
        ("validation/v", Event::ValidationStarted { run: text("r") }),
        ("validation/v", Event::ValidationAdvanced(advanced)),
    ];
    own.chain(logs.map(|(stream, event)| (text(stream), event)))
        .collect()
}

#[test]
fn a_runbook_folds() {
    let mut replay = Replay::default();
    for (stream, event) in history() {
        replay.apply(&stream, &event).expect("legal");
        let payload = event.payload().expect("plain data");
        assert_eq!(Event::parse(event.kind(), &payload).expect("reads"), event);
    }
    let state = replay.runbook;
    assert!(state.approved.contains("p"));
    assert!(state.ticked.is_empty());
    assert_eq!(state.backups.len(), 2);
    assert_eq!(state.tied["gate/g"], "h");
    assert_eq!(state.tied["validation/v"], "h");
}

#[test]
fn what_it_does_not_know_is_refused() {
    let mut replay = Replay::default();
    let mut refused = |stream: &str, event: &Event| {
        let before = replay.clone();
        let error = replay.apply(stream, event).expect_err("illegal");
        assert_eq!(error.event, event.kind());
        assert_eq!(replay, before);
    };
    for (stream, event) in history() {
        match &event {
            Event::BackupVerified(_)
            | Event::ItemReopened { .. }
            | Event::GateSampled(_)
            | Event::ValidationAdvanced(_) => refused(&stream, &event),
            _ => {}
        }
    }
    replay
        .apply(RUNBOOK, &Event::BackupTaken(backup()))
        .expect("legal");
    let twice = Event::BackupTaken(backup());
    assert!(replay.apply(RUNBOOK, &twice).is_err());
    assert!(replay.apply(RUNBOOK, &verified("another")).is_err());
}

/// Each event has one kind of stream, and no run takes any of them.
#[test]
fn no_event_strays() {
    let mut runner = TestRunner::deterministic();
    let run = crate::history::histories().new_tree(&mut runner);
    let run = crate::replay::replay(&run.expect("a history").current().entries);
    for (stream, event) in history() {
        let streams = [
            RUNBOOK,
            RUN_STREAM,
            "worker/w",
            "gate/g",
            "validation/v",
            "u/1.0.0",
        ];
        for other in streams.into_iter().filter(|other| *other != stream) {
            assert!(
                Replay::default().apply(other, &event).is_err(),
                "{other} {event:?}"
            );
            assert!(
                run.clone().apply(other, &event).is_err(),
                "{other} {event:?}"
            );
        }
        assert!(run.clone().apply(&stream, &event).is_err());
        let home = event.home();
        assert!(matches!(
            home,
            Home::Runbook | Home::Gate | Home::Validation
        ));
    }
}
