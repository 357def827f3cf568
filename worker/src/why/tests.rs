//! Stories that are told by hand, and what must follow from each.

use super::causes::{Cause, Finding};
use super::judge::doing;
use super::took::between;
use super::{Story, Told, UnitStory};
use crate::control::PAUSED;
use crate::core::event::{Event, Setting, SettingsChanged, Word};
use crate::core::state::{RunStatus, Standing, UnitStatus};
use crate::journal::{Slot, Span};

const HOUR: i64 = 3_600_000;

/// A run of an hour with one process, at work, a thousand rows a second.
fn story() -> Story {
    let mut story = Story {
        now: HOUR,
        started_at: 0,
        last_at: HOUR,
        status: RunStatus::Running,
        units: vec![unit("a", UnitStatus::Running, &[])],
        wished: (Standing::Going, None),
        events: Vec::new(),
        workers: Vec::new(),
        slots: (0..60).map(|minute| slot(minute, 60_000)).collect(),
        slot: 60_000,
        connected: None,
        blocked: Vec::new(),
    };
    start(&mut story, "w1", 0, HOUR);
    story
}

fn slot(minute: i64, read: i64) -> Slot {
    Slot {
        at: minute * 60_000,
        batches: read / 1_000,
        read,
    }
}

fn unit(name: &str, status: UnitStatus, waits_for: &[&str]) -> UnitStory {
    UnitStory {
        name: name.into(),
        status,
        waits_for: waits_for.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn tell(story: &mut Story, at: i64, worker: &str, event: Event) {
    story.events.push(Told {
        at,
        worker: worker.into(),
        event,
    });
    story.events.sort_by_key(|told| told.at);
}

fn start(story: &mut Story, worker: &str, at: i64, last_at: i64) {
    let started = Event::WorkerStarted {
        release: "1".into(),
        process: 1,
        workers: 1,
    };
    tell(story, at, worker, started);
    story.workers.push(Span {
        worker: worker.into(),
        first_at: at,
        last_at,
    });
}

fn stop(story: &mut Story, at: i64, worker: &str, reason: &str) {
    let reason = reason.into();
    tell(story, at, worker, Event::WorkerStopped { reason });
}

fn hold(story: &mut Story, worker: &str, signal: &str, at: i64, end: Option<i64>) {
    let (signal, value): (String, String) = (signal.into(), "3".into());
    let started = Event::HoldStarted {
        signal: signal.clone(),
        value: value.clone(),
        limit: "1".into(),
    };
    tell(story, at, worker, started);
    if let Some(end) = end {
        let millis = u64::try_from(end - at).expect("it ends later");
        let ended = Event::HoldEnded {
            signal,
            value,
            millis,
        };
        tell(story, end, worker, ended);
    }
}

fn word() -> Word {
    Word {
        by: "Mia".into(),
        note: None,
    }
}

fn causes(found: &[Finding]) -> Vec<(&Cause, i64)> {
    found
        .iter()
        .map(|found| (&found.cause, found.millis))
        .collect()
}

#[test]
fn who_is_at_work_is_said_to_be() {
    let story = story();
    let found = doing(&story);
    assert!(
        matches!(found.as_slice(), [Finding { cause: Cause::Working { rows_per_second, median }, .. }]
            if (*rows_per_second - 1_000.0).abs() < 1.0 && (*median - 1_000.0).abs() < 1.0),
        "{found:?}"
    );
    let quiet = between(&story, 0, HOUR);
    assert_eq!((quiet.batches, quiet.read), (3_600, 3_600_000));
    assert!(quiet.causes.is_empty(), "{quiet:?}");
}

#[test]
fn a_pause_names_who_and_since_when() {
    let mut story = story();
    story.wished = (Standing::Paused(word()), Some(HOUR - 9_000));
    tell(&mut story, HOUR - 9_000, "cli", Event::RunPaused(word()));
    hold(&mut story, "w1", PAUSED, HOUR - 8_000, None);
    let found = doing(&story);
    assert_eq!(causes(&found)[0], (&Cause::Paused { word: word() }, 9_000));
    assert!(
        found
            .iter()
            .all(|found| !matches!(found.cause, Cause::Working { .. }))
    );
    let held = between(&story, 0, HOUR).causes;
    assert!(
        matches!(&held[0], Finding { cause: Cause::Held { signal, times: 1, by, .. }, millis: 8_000, .. }
            if signal == PAUSED && by == &["Mia"]),
        "{held:?}"
    );
}

#[test]
fn who_ended_in_order_is_told_from_who_was_killed() {
    let mut ended = story();
    stop(&mut ended, 600_000, "w1", "asked to stop");
    ended.workers[0].last_at = 600_000;
    let found = doing(&ended);
    let reason = Some("asked to stop".to_owned());
    let worker = "w1".to_owned();
    assert_eq!(
        causes(&found)[0],
        (&Cause::NobodyWorks { worker, reason }, HOUR - 600_000)
    );
    let lost = between(&ended, 0, HOUR).causes;
    assert_eq!(
        causes(&lost)[0],
        (
            &Cause::Nobody {
                times: 1,
                crashes: 0
            },
            HOUR - 600_000
        )
    );

    let mut killed = story();
    killed.workers[0].last_at = HOUR - 120_000;
    let found = doing(&killed);
    let worker = "w1".to_owned();
    assert_eq!(
        causes(&found)[0],
        (
            &Cause::Silent {
                worker: worker.clone()
            },
            120_000
        )
    );
    // The server knows.
    killed.connected = Some(0);
    let found = doing(&killed);
    assert_eq!(
        causes(&found)[0],
        (
            &Cause::NobodyWorks {
                worker,
                reason: None
            },
            120_000
        )
    );
    let lost = between(&killed, 0, HOUR).causes;
    assert_eq!(
        causes(&lost)[0],
        (
            &Cause::Nobody {
                times: 1,
                crashes: 1
            },
            120_000
        )
    );
    // Who holds has nothing to append.
    let mut holding = story();
    holding.workers[0].last_at = HOUR - 120_000;
    hold(
        &mut holding,
        "w1",
        "the disk is nearly full",
        HOUR - 120_000,
        None,
    );
    let found = doing(&holding);
    assert!(
        found
            .iter()
            .all(|found| !matches!(found.cause, Cause::Silent { .. })),
        "{found:?}"
    );
    assert!(found[0].remedy.contains("make room"), "{found:?}");
}

#[test]
fn the_gap_of_a_crash_ends_where_somebody_goes_on() {
    let mut story = story();
    story.workers[0].last_at = 10_000;
    start(&mut story, "w2", 70_000, HOUR);
    let found = between(&story, 0, HOUR).causes;
    assert_eq!(
        causes(&found),
        [(
            &Cause::Nobody {
                times: 1,
                crashes: 1
            },
            60_000
        )]
    );
    assert_eq!(between(&story, 40_000, 50_000).causes[0].millis, 10_000);
    // Who works meanwhile is said to, and who is silent too.
    let found = doing(&story);
    let silent = matches!(&found[0].cause, Cause::Silent { worker } if worker == "w1");
    assert!(silent && matches!(found[1].cause, Cause::Working { .. }));
    assert!(between(&story, 80_000, HOUR).causes.is_empty());
}

#[test]
fn holds_of_two_processes_at_once_count_once_and_the_longest_comes_first() {
    let mut story = story();
    start(&mut story, "w2", 0, HOUR);
    let locks = "sessions wait for locks";
    hold(&mut story, "w1", locks, 10_000, Some(30_000));
    hold(&mut story, "w2", locks, 20_000, Some(40_000));
    hold(&mut story, "w1", "answers are slow", 50_000, Some(150_000));
    let found = between(&story, 0, HOUR).causes;
    let told: Vec<_> = found
        .iter()
        .map(|found| match &found.cause {
            Cause::Held { signal, .. } => (signal.as_str(), found.millis),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [("answers are slow", 100_000), (locks, 30_000)]);
    // One that was killed holds no longer than it was there.
    let mut killed = self::story();
    killed.workers[0].last_at = 25_000;
    hold(&mut killed, "w1", locks, 20_000, None);
    start(&mut killed, "w2", 26_000, HOUR);
    let found = between(&killed, 0, HOUR).causes;
    assert!(
        found
            .iter()
            .any(|found| matches!(found.cause, Cause::Held { .. }) && found.millis == 5_000),
        "{found:?}"
    );
}

#[test]
fn paces_resizes_and_settings_are_told() {
    let mut story = story();
    let pace = |to: &str| Event::PaceChanged {
        from: "full speed".into(),
        to: to.into(),
        reason: "others work here".into(),
    };
    tell(&mut story, 100_000, "w1", pace("one batch at a time"));
    tell(&mut story, 160_000, "w1", pace("full speed"));
    let resize = |from, to, reason: &str| Event::BatchResized {
        unit: "a".into(),
        from,
        to,
        reason: reason.into(),
    };
    let timeout = "a statement ran into its timeout, or waited too long for a lock";
    tell(&mut story, 200_000, "w1", resize(1_000, 500, timeout));
    tell(&mut story, 210_000, "w1", resize(500, 250, timeout));
    tell(
        &mut story,
        220_000,
        "w1",
        resize(250, 240, "a batch took 400 ms of 250"),
    );
    tell(
        &mut story,
        230_000,
        "w1",
        resize(240, 900, "a batch took 9 ms of 250"),
    );
    let settings = [(Setting::Pace, Some("10/s".to_owned()))].into();
    let changed = SettingsChanged {
        settings,
        by: "Mia".into(),
        note: None,
    };
    tell(&mut story, 300_000, "cli", Event::SettingsChanged(changed));
    let found = between(&story, 0, HOUR).causes;
    assert!(
        matches!(&found[0], Finding { cause: Cause::Slowed { to, .. }, millis: 60_000, .. } if to == "one batch at a time")
    );
    let resized = found.iter().find_map(|found| match &found.cause {
        Cause::Resized {
            times,
            from,
            least,
            reasons,
            ..
        } => Some((*times, *from, *least, reasons.clone(), found.remedy.clone())),
        _ => None,
    });
    let (times, from, least, reasons, remedy) = resized.expect("batches became smaller");
    assert_eq!((times, from, least), (3, 1_000, 240));
    assert_eq!(reasons[0], (timeout.to_owned(), 2));
    assert!(remedy.contains("who holds locks"));
    assert!(
        found
            .iter()
            .any(|found| matches!(&found.cause, Cause::Set { by, .. } if by == "Mia"))
    );
    // Before it was wished, it was not set.
    let before = between(&story, 0, 250_000).causes;
    assert!(
        !before
            .iter()
            .any(|found| matches!(found.cause, Cause::Set { .. }))
    );
}

#[test]
fn a_stopped_unit_and_who_waits_for_it_are_named() {
    let mut story = story();
    story.units = vec![
        unit("a", UnitStatus::Stopped, &[]),
        unit("b", UnitStatus::Pending, &["a"]),
    ];
    let stopped = Event::UnitStopped {
        unit: "a".into(),
        read: 100,
        quarantined: 20,
        allowed: 10,
    };
    tell(&mut story, HOUR - 1_000, "w1", stopped);
    stop(&mut story, HOUR, "w1", "too many bad rows");
    let found = doing(&story);
    let kinds: Vec<_> = found.iter().map(|found| &found.cause).collect();
    assert!(
        matches!(kinds.as_slice(), [Cause::NobodyWorks { .. }, Cause::TooManyBad { bad: 20, allowed: 10, .. },
            Cause::WaitsForUnits { on, .. }] if on == &["a"]),
        "{kinds:?}"
    );
    assert!(found[1].remedy.contains("cli quarantine list --unit a"));
}

#[test]
fn a_rollback_that_nobody_goes_on_with_says_how() {
    let mut story = story();
    story.status = RunStatus::Undoing;
    let (units, reason) = (vec!["a".to_owned()], "wrong".to_owned());
    tell(
        &mut story,
        HOUR - 600_000,
        "cli",
        Event::UndoStarted { units, reason },
    );
    story.last_at = HOUR - 500_000;
    let found = doing(&story);
    assert!(
        matches!(&found[0], Finding { cause: Cause::RollbackHalfway { is_worked_on: false, .. }, remedy, .. }
            if remedy.contains("cli rollback again")),
        "{found:?}"
    );
    story.last_at = HOUR;
    assert!(doing(&story)[0].remedy.is_empty());
}
