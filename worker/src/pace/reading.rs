//! What makes the work hold, read from what was measured: each with its bounds, and with words for it.

use std::time::Duration;

use super::gate::Bounds;
use super::gear::Gear;
use super::latency::Compared;
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
pub(super) fn bounds_of_a_word(patience: Duration, calm: Duration) -> Bounds {
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
pub(super) fn of_chores(chores: &Chores) -> [Reading; 2] {
    [
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
    ]
}

/// Log that waits to be archived, in bytes.
pub(super) fn of_archive(unarchived: i64, max_wal_size: i64) -> Reading {
    let (shown, limit) = (size::show(unarchived), size::show(max_wal_size));
    Reading {
        key: "archive".into(),
        signal: "log waits to be archived".into(),
        value: number(unarchived),
        bounds: Bounds {
            over: number(max_wal_size),
            under: number(max_wal_size) / 2.0,
            patience: Duration::ZERO,
            calm: Duration::ZERO,
        },
        told: format!("{shown} of log wait to be archived, {limit} is the most (max_wal_size)"),
        shown,
        limit,
    }
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
pub(super) mod tests {
    use std::time::Instant;

    use super::{Chores, Reading, Room, Sessions, of_archive, of_chores, of_room, of_sessions};
    use crate::pace::gate::Gate;

    /// Whether it would make the work hold at last.
    pub(in crate::pace) fn holds(reading: &Reading) -> bool {
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
    };

    const HEALTHY: Chores = Chores {
        is_archiving_failing: false,
        is_archived: true,
        may_count: true,
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
        assert!(!holds(&of_archive(16 << 20, 1 << 30)));
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
                losing: Some("s".into()),
                ..HEALTHY
            },
        ] {
            troubles.push(of_chores(&chores).to_vec());
        }
        troubles.push(vec![of_archive(2 << 30, 1 << 30)]);
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
}
