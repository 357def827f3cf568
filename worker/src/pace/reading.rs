//! What makes the work hold, read from what was measured: each with its bounds, and with words for it.

use std::time::Duration;

use super::gate::Bounds;
use super::gear::Gear;
use super::latency::Compared;
use super::seconds as spelled;
use super::window::{Window, clock};
use crate::backend::health::{Chores, Sessions};
use crate::size;

/// Sessions that wait for locks, whoever holds them: more than this and something is wrong.
const WAITING: i64 = 4;
/// The share of `max_connections` that may have a statement under way, in percent.
const ACTIVE: i64 = 50;
/// How many times as long as usual an answer may take where the work is as slow as it can be.
const HARMED: f64 = 10.0;
/// Room on the disk below which the work holds: this share of it, in percent, or so many bytes where that is less.
const FREE_SHARE: u64 = 5;
const FREE_BYTES: u64 = 1 << 30;

/// One thing that may make the work hold.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Tells it from the others.
    pub(super) key: String,
    /// What it is.
    pub(super) signal: String,
    /// What was measured.
    pub(super) value: f64,
    /// The same in words.
    pub(super) shown: String,
    /// What it may be.
    pub(super) limit: String,
    /// When it makes the work hold.
    pub(super) bounds: Bounds,
    /// The whole of it for people, with what to do where anything can be done.
    pub(super) told: String,
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A yes or a no.
fn bounds_of_a_word(patience: Duration, calm: Duration) -> Bounds {
    Bounds {
        over: 0.5,
        under: 0.5,
        patience,
        calm,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes, far below 2^53"
)]
fn number(count: i64) -> f64 {
    count as f64
}

/// The hours in which the work may go on; none where it always may.
pub(super) fn hours(windows: &[Window], now: i64) -> Option<Reading> {
    if windows.is_empty() {
        return None;
    }
    let is_open = windows.iter().any(|window| window.is_open(now));
    let named: Vec<_> = windows.iter().map(ToString::to_string).collect();
    let (shown, limit) = (clock(now), named.join(", "));
    Some(Reading {
        key: "window".into(),
        signal: "outside the hours of --window".into(),
        value: if is_open { 0.0 } else { 1.0 },
        bounds: bounds_of_a_word(Duration::ZERO, Duration::ZERO),
        told: format!("it is {shown} by the database's clock, and --window is {limit}"),
        shown,
        limit,
    })
}

/// An answer to a query of the operator's, or why there is none.
pub(super) fn asked(place: usize, query: &str, answer: Result<Option<String>, String>) -> Reading {
    let (is_over, shown) = match answer {
        Ok(None) => (false, "nothing".to_owned()),
        Ok(Some(answer)) if is_no(&answer) => (false, "no".to_owned()),
        // A value may be anything, somebody's name as well: only numbers are shown.
        Ok(Some(answer)) => match answer.trim().parse::<f64>() {
            Ok(number) => (true, number.to_string()),
            Err(_) => (true, "yes".to_owned()),
        },
        // A guard that cannot be asked guards nothing.
        Err(why) => (true, format!("the query fails: {why}")),
    };
    let query = shortened(query);
    Reading {
        key: format!("hold-when {place}"),
        signal: format!("--hold-when \"{query}\""),
        value: if is_over { 1.0 } else { 0.0 },
        bounds: bounds_of_a_word(Duration::ZERO, seconds(2)),
        told: format!("--hold-when \"{query}\": {shown}"),
        shown,
        limit: "nothing, false or 0".into(),
    }
}

fn is_no(answer: &str) -> bool {
    let answer = answer.trim();
    matches!(answer, "f" | "false" | "") || answer.parse::<f64>().is_ok_and(|number| number == 0.0)
}

/// A query on one line, as much of it as tells it from others.
fn shortened(query: &str) -> String {
    const MOST: usize = 120;
    let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// How far the slowest replica is behind. It lets the work go on once it has come up with half of that, so that the work
/// does not stutter.
pub(super) fn of_replica(key: &str, name: &str, by: Duration, limit: Duration) -> Reading {
    let (shown, at_most) = (spelled(by), spelled(limit));
    Reading {
        key: key.into(),
        signal: format!("replica {name} is behind"),
        value: by.as_secs_f64(),
        bounds: Bounds {
            over: limit.as_secs_f64(),
            under: limit.as_secs_f64() / 2.0,
            patience: Duration::ZERO,
            calm: Duration::ZERO,
        },
        told: format!(
            "replica {name} is {shown} behind, --max-replica-lag is {at_most}; the work goes on by itself below half of \
             that (where it is late on purpose: --ignore-replica {name})"
        ),
        shown,
        limit: at_most,
    }
}

/// Sessions of others that wait, or are too many.
pub(super) fn of_sessions(sessions: &Sessions) -> [Reading; 3] {
    let most = (sessions.most * ACTIVE / 100).max(1);
    let (behind, waiting, active) = (sessions.behind, sessions.waiting, sessions.active);
    [
        Reading {
            key: "behind".into(),
            signal: "sessions wait for a lock of ours".into(),
            value: number(behind),
            shown: behind.to_string(),
            limit: "0".into(),
            bounds: Bounds {
                over: 0.0,
                under: 0.0,
                patience: Duration::ZERO,
                calm: seconds(1),
            },
            told: format!("{behind} sessions wait for a lock of ours"),
        },
        Reading {
            key: "waiting".into(),
            signal: "sessions wait for locks".into(),
            value: number(waiting),
            shown: waiting.to_string(),
            limit: WAITING.to_string(),
            bounds: Bounds {
                over: number(WAITING),
                under: 1.0,
                patience: seconds(1),
                calm: seconds(3),
            },
            told: format!(
                "{waiting} sessions have waited for locks for over a second, {WAITING} is the most; see who is in \
                 their way: SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            ),
        },
        Reading {
            key: "active".into(),
            signal: "too many statements at once".into(),
            value: number(active),
            shown: active.to_string(),
            limit: most.to_string(),
            bounds: Bounds {
                over: number(most),
                under: number(most) * 0.7,
                patience: seconds(3),
                calm: seconds(5),
            },
            told: format!(
                "{active} sessions have a statement under way, {most} is the most ({ACTIVE} % of max_connections)"
            ),
        },
    ]
}

/// What the server has in hand.
pub(super) fn of_chores(chores: &Chores) -> Vec<Reading> {
    let mut readings = vec![
        Reading {
            key: "archiver".into(),
            signal: "archiving the log fails".into(),
            value: if chores.is_archiving_failing { 1.0 } else { 0.0 },
            shown: if chores.is_archiving_failing { "it fails" } else { "it works" }.into(),
            limit: "it works".into(),
            bounds: bounds_of_a_word(seconds(60), Duration::ZERO),
            told: "archiving the log has failed for a minute, and all log is kept until it succeeds: mend \
                   archive_command, the server's log says why it fails"
                .into(),
        },
        Reading {
            key: "slot".into(),
            signal: "a replication slot is about to lose its log".into(),
            value: if chores.losing.is_some() { 1.0 } else { 0.0 },
            shown: chores.losing.clone().unwrap_or_else(|| "none".into()),
            limit: "none".into(),
            bounds: bounds_of_a_word(Duration::ZERO, seconds(10)),
            told: format!(
                "replication slot {} is about to lose what it should keep (max_slot_wal_keep_size): let its owner catch \
                 up, or drop it",
                chores.losing.as_deref().unwrap_or_default()
            ),
        },
    ];
    if let Some(unarchived) = chores.unarchived {
        let (shown, limit) = (size::show(unarchived), size::show(chores.max_wal_size));
        readings.push(Reading {
            key: "archive".into(),
            signal: "log waits to be archived".into(),
            value: number(unarchived),
            bounds: Bounds {
                over: number(chores.max_wal_size),
                under: number(chores.max_wal_size) / 2.0,
                patience: Duration::ZERO,
                calm: Duration::ZERO,
            },
            told: format!("{shown} of log wait to be archived, {limit} is the most (max_wal_size)"),
            shown,
            limit,
        });
    }
    readings
}

/// A disk's room, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// What may still be filled.
    pub(super) free: u64,
    /// All of it.
    pub(super) all: u64,
}

/// What is left on the disk that the database grows on.
pub(super) fn of_room(room: Room) -> Reading {
    let least = (room.all / 100 * FREE_SHARE).min(FREE_BYTES);
    let as_i64 = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let (shown, limit) = (size::show(as_i64(room.free)), size::show(as_i64(least)));
    Reading {
        key: "disk".into(),
        signal: "the disk is nearly full".into(),
        // What is missing, so that more is worse.
        value: -number(as_i64(room.free)),
        bounds: Bounds {
            over: -number(as_i64(least)),
            under: -number(as_i64(least)) * 1.2,
            patience: Duration::ZERO,
            calm: seconds(5),
        },
        told: format!("{shown} are free where the database is, {limit} is the least: make room"),
        shown: format!("{shown} free"),
        limit: format!("used up to {limit} free"),
    }
}

/// What others wait, where the work is as slow as it can be already.
pub(super) fn of_latency(gear: Gear, latency: Option<Compared>) -> Reading {
    let ratio = latency.map_or(1.0, Compared::ratio);
    let shown = format!("{ratio:.1} times as long as usual");
    Reading {
        key: "latency".into(),
        signal: "answers are slow".into(),
        value: if gear.is_lowest() { ratio } else { 1.0 },
        limit: format!("{HARMED:.0} times"),
        bounds: Bounds {
            over: HARMED,
            under: 2.0,
            patience: seconds(3),
            calm: seconds(10),
        },
        told: format!(
            "a small question takes {shown} beside a batch, though the work is as slow as it can be"
        ),
        shown,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::{Chores, Reading, Room, Sessions, asked, hours, of_chores, of_room, of_sessions};
    use crate::pace::gate::Gate;
    use crate::pace::window::Window;

    /// Whether it would make the work hold at last.
    fn holds(reading: &Reading) -> bool {
        let (mut gate, now) = (Gate::default(), Instant::now());
        gate.look(now, reading.value, reading.bounds);
        gate.look(now + reading.bounds.patience, reading.value, reading.bounds)
    }

    const IDLE: Sessions = Sessions {
        busy: 0,
        active: 0,
        hidden: 0,
        ours: 7,
        most: 100,
        transactions: 1_000,
        behind: 0,
        waiting: 0,
        log: 1,
        now: 0,
    };

    const HEALTHY: Chores = Chores {
        is_archiving_failing: false,
        is_archived: true,
        unarchived: Some(16 << 20),
        max_wal_size: 1 << 30,
        losing: None,
        requested: Some(3),
        too_often: 30,
        wraparound: 0,
    };

    #[test]
    fn a_healthy_server_holds_nothing() {
        assert!(!of_sessions(&IDLE).iter().any(holds));
        let busy = Sessions {
            busy: 40,
            active: 40,
            waiting: 3,
            ..IDLE
        };
        assert!(!of_sessions(&busy).iter().any(holds));
        assert!(!of_chores(&HEALTHY).iter().any(holds));
        let room = Room {
            free: 2 << 30,
            all: 4_000 << 30,
        };
        assert!(!holds(&of_room(room)));
        // A small disk with a tenth of it left.
        assert!(!holds(&of_room(Room {
            free: 6 << 20,
            all: 60 << 20
        })));
        assert!(hours(&[], 0).is_none());
    }

    #[test]
    fn each_trouble_holds_by_itself() {
        let mut troubles = Vec::new();
        for sessions in [
            Sessions { behind: 1, ..IDLE },
            Sessions { waiting: 5, ..IDLE },
            Sessions { active: 51, ..IDLE },
        ] {
            troubles.push(of_sessions(&sessions).to_vec());
        }
        for chores in [
            Chores {
                is_archiving_failing: true,
                ..HEALTHY
            },
            Chores {
                unarchived: Some(2 << 30),
                ..HEALTHY
            },
            Chores {
                losing: Some("s".into()),
                ..HEALTHY
            },
        ] {
            troubles.push(of_chores(&chores));
        }
        troubles.push(vec![of_room(Room {
            free: 1 << 20,
            all: 60 << 20,
        })]);
        troubles.push(vec![of_room(Room {
            free: 1 << 29,
            all: 4_000 << 30,
        })]);
        for trouble in &troubles {
            let holding = trouble.iter().filter(|reading| holds(reading)).count();
            assert_eq!(holding, 1, "{trouble:?}");
        }
    }

    #[test]
    fn an_answer_that_is_not_no_holds() {
        for (answer, is_over) in [
            (None, false),
            (Some("false"), false),
            (Some("f"), false),
            (Some("0"), false),
            (Some("0.00"), false),
            (Some(""), false),
            (Some("true"), true),
            (Some("t"), true),
            (Some("1"), true),
            (Some("-3"), true),
            (Some("somebody@example.com"), true),
        ] {
            let reading = asked(0, "SELECT 1", Ok(answer.map(ToOwned::to_owned)));
            assert_eq!(holds(&reading), is_over, "{answer:?}");
            assert!(!reading.shown.contains('@'), "a value is shown");
        }
        assert!(holds(&asked(0, "SELECT 1", Err("it is gone".into()))));
    }

    proptest! {
        /// The hours of the journal's words are those that are decided by.
        #[test]
        fn outside_its_hours_it_holds(now in 0_i64..4_000_000_000_000, from in 0_u16..24, to in 0_u16..24) {
            prop_assume!(from != to);
            let window: Window = format!("{from:02}:00-{to:02}:00").parse().expect("a window");
            let reading = hours(&[window], now).expect("a window");
            prop_assert_eq!(holds(&reading), !window.is_open(now));
        }
    }
}
