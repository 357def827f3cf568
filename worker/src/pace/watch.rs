//! Looks at everything that may slow the work down or make it hold, in turn and no more often than needed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use super::gate::Gate;
use super::gear::{Gear, Load};
use super::lag::Lag;
use super::latency::Compared;
use super::log_rate::LogRate;
use super::options::{Limits, Speed};
use super::presence::Presence;
use super::reading::{self, Reading, Room};
use super::{seconds, wish};
use crate::backend::health::{Chores, Sessions};
use crate::backend::{Database, Dialect, Replication};
use crate::error::{Doing, Error, Result};
use crate::silence::answered;

/// How often sessions are looked at, for all tasks of the process together.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// How often replicas, the hours and the operator's queries are.
const SECOND: Duration = Duration::from_secs(1);
/// How often what the server has in hand is, and its disk.
const CHORES: Duration = Duration::from_secs(5);
/// Transactions a second of others that make a foreground of them, where nobody may see their sessions.
const TRANSACTIONS: f64 = 10.0;
/// Over how long they are counted: a session tells of its transactions once a second.
const COUNTED: Duration = Duration::from_secs(4);

/// What was seen at the look before, and what it came to.
#[derive(Debug, Default)]
pub(super) struct Watch {
    gates: HashMap<String, Gate>,
    lag: Lag,
    presence: Presence,
    sessions_at: Option<Instant>,
    second_at: Option<Instant>,
    chores_at: Option<Instant>,
    /// When transactions were counted: of all, and our own.
    counted: Option<(Instant, i64, u64)>,
    is_counted_busy: bool,
    /// Checkpoints that were asked for, and when the last two were seen.
    requested: Option<i64>,
    requested_at: [Option<Instant>; 2],
    pressure: Option<String>,
    others: Option<String>,
    log_rate: LogRate,
    /// The share of its time that the process may work.
    share: Option<f64>,
    /// Where the disk is that the database grows on, once that is known.
    place: Option<Option<PathBuf>>,
    /// The newest of each, by its key.
    readings: Vec<Reading>,
    /// What was said once.
    said: Vec<&'static str>,
}

/// What a look is at, and within what.
pub(super) struct Looked<'a> {
    pub(super) database: &'a Database,
    pub(super) limits: &'a Limits,
    pub(super) speed: Speed,
    pub(super) gear: Gear,
    pub(super) latency: Option<Compared>,
}

impl Watch {
    /// Whether anything is to be looked at by now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        is_due(self.sessions_at, now, LOOK)
    }

    /// Looks at all that is due.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn look(&mut self, at: &Looked<'_>) -> Result<()> {
        let now = Instant::now();
        let is_watched = at.speed != Speed::Off;
        let is_postgres = at.database.dialect() == Dialect::Postgres;
        if !is_watched {
            self.unwatch();
        }
        if is_watched && is_postgres {
            self.at_sessions(at, now).await?;
        }
        self.sessions_at = Some(now);
        if is_due(self.second_at, now, SECOND) {
            self.at_limits(at).await?;
            self.second_at = Some(now);
        }
        if is_watched && is_due(self.chores_at, now, CHORES) {
            if is_postgres {
                self.at_chores(at, now).await?;
            }
            self.at_room(at).await?;
            self.chores_at = Some(now);
        }
        if is_watched && is_postgres {
            self.read(now, reading::of_latency(at.gear, at.latency));
        }
        Ok(())
    }

    /// Forgets what is not looked at any more, so that nothing holds for it.
    fn unwatch(&mut self) {
        self.readings.retain(|reading| wish::is_one(&reading.key));
        self.gates.retain(|key, _| wish::is_one(key));
        (self.others, self.pressure, self.share) = (None, None, None);
    }

    /// What the process meets.
    pub(super) fn load(&self, latency: Option<Compared>) -> Load {
        Load {
            others: self.others.clone(),
            latency,
            pressure: self.pressure.clone(),
        }
    }

    /// The share of its time that the process may work, so that no more log is written than may be.
    pub(super) fn share(&self) -> f64 {
        self.share.unwrap_or(1.0)
    }

    /// What makes the work hold, the first of it.
    pub(super) fn holds(&self) -> Option<&Reading> {
        self.readings
            .iter()
            .find(|reading| self.holds_for(&reading.key))
    }

    /// Whether one thing makes the work hold.
    pub(super) fn holds_for(&self, key: &str) -> bool {
        self.gates.get(key).is_some_and(|gate| gate.is_shut())
    }

    /// What was read last of one thing.
    pub(super) fn last(&self, key: &str) -> Option<&Reading> {
        self.readings.iter().find(|reading| reading.key == key)
    }

    fn read(&mut self, now: Instant, reading: Reading) {
        let gate = self.gates.entry(reading.key.clone()).or_default();
        gate.look(now, reading.value, reading.bounds);
        self.readings.retain(|other| other.key != reading.key);
        self.readings.push(reading);
    }

    async fn at_sessions(&mut self, at: &Looked<'_>, now: Instant) -> Result<()> {
        let since = self.sessions_at.map_or(SECOND, |last| now - last);
        let within = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let database = at.database.clone();
        let look = tokio::spawn(async move { database.sessions(within).await });
        let Some(sessions) = self
            .unless_forbidden("sessions", answered(look).await)?
            .flatten()
        else {
            return Ok(());
        };
        let is_seen = sessions.busy > 0 || self.count(at.database, &sessions, now);
        self.others = self.presence.look(is_seen).then(|| match sessions.busy {
            0 => "others have transactions here".into(),
            1 => "1 session of others works here".into(),
            busy => format!("{busy} sessions of others work here"),
        });
        for reading in reading::of_sessions(&sessions) {
            self.read(now, reading);
        }
        let most = at.limits.max_log_rate.0;
        self.share = most.map(|most| self.log_rate.look(now, sessions.log, most));
        Ok(())
    }

    /// Whether sessions that nobody may see have transactions: those of the server, less our own.
    fn count(&mut self, database: &Database, sessions: &Sessions, now: Instant) -> bool {
        if sessions.hidden == 0 {
            return false;
        }
        let own = database.begun();
        let Some((at, transactions, begun)) = self.counted else {
            self.counted = Some((now, sessions.transactions, own));
            return false;
        };
        let passed = now.saturating_duration_since(at);
        if passed >= COUNTED {
            let (all, own_since) = (sessions.transactions - transactions, own - begun);
            // Other processes of ours do as much on each of their connections as this one does.
            let processes = f64::max(
                1.0,
                ratio(sessions.ours + 1, i64::from(database.open_connections())),
            );
            #[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
            let others = all as f64 - 1.1 * processes * own_since as f64;
            self.is_counted_busy = others / passed.as_secs_f64() > TRANSACTIONS;
            self.counted = Some((now, sessions.transactions, own));
        }
        self.is_counted_busy
    }

    /// What an operator has set: how late replicas may be, the hours, and queries.
    async fn at_limits(&mut self, at: &Looked<'_>) -> Result<()> {
        let Looked {
            database, limits, ..
        } = *at;
        if limits.max_lag.0.is_some() {
            self.at_replicas(at).await?;
        }
        if !limits.windows.is_empty() {
            let database = database.clone();
            let clock = answered(tokio::spawn(async move { database.clock().await })).await?;
            if let Some(hours) = wish::hours(&limits.windows, clock) {
                self.read(Instant::now(), hours);
            }
        }
        for (place, query) in limits.hold_when.iter().enumerate() {
            let (database, asked) = (database.clone(), query.clone());
            let asked = answered(tokio::spawn(async move { database.asked(&asked).await })).await;
            let answer = match asked {
                // Not the query's fault.
                Err(error) if error.is_transient() && !error.is_timeout() => return Err(error),
                Err(error) => Err(error.without_values()),
                Ok(answer) => Ok(answer),
            };
            self.read(Instant::now(), wish::asked(place, query, answer));
        }
        Ok(())
    }

    /// Looks at the replicas; there is nothing to read where there are none, or none that this role may see.
    async fn at_replicas(&mut self, at: &Looked<'_>) -> Result<()> {
        let (Some(limit), ignored) = (at.limits.max_lag.0, at.limits.ignored.clone()) else {
            return Ok(());
        };
        let database = at.database.clone();
        let doing = "looking at how far replicas are behind";
        let look = tokio::spawn(async move { database.replication(&ignored).await.doing(doing) });
        let Replication {
            end,
            slowest,
            hidden,
        } = answered(look).await?;
        if hidden > 0 {
            self.say_once("replicas", || {
                format!(
                    "{hidden} replicas are connected, and this role may not see how far they are behind: nothing holds for \
                     them; GRANT pg_read_all_stats to the role, or say --max-replica-lag off"
                )
            });
        }
        let now = Instant::now();
        match slowest {
            Some((name, replayed)) => {
                let by = self.lag.look(now, end, replayed);
                self.read(now, wish::of_replica(&name, by, limit));
            }
            // One that is gone holds nothing up.
            None if self.last(wish::REPLICA).is_some() => {
                let gone = wish::of_replica("that was behind is gone", Duration::ZERO, limit);
                self.read(now, gone);
            }
            None => {}
        }
        Ok(())
    }

    async fn at_chores(&mut self, at: &Looked<'_>, now: Instant) -> Result<()> {
        let database = at.database.clone();
        let look = tokio::spawn(async move { database.chores().await });
        let Some(chores) = self
            .unless_forbidden("chores", answered(look).await)?
            .flatten()
        else {
            return Ok(());
        };
        if chores.is_archived && chores.may_count {
            let database = at.database.clone();
            let look = tokio::spawn(async move { database.unarchived().await });
            if let Some(waits) = self.unless_forbidden("archive", answered(look).await)? {
                self.read(now, reading::of_archive(waits, chores.max_wal_size));
            }
        } else if chores.is_archived {
            self.say_once("archive", || {
                "this role may not see how much log waits to be archived: nothing holds for that; GRANT pg_monitor to the role"
                    .into()
            });
        }
        self.pressure = self.pressure_of(&chores, now);
        for reading in reading::of_chores(&chores) {
            self.read(now, reading);
        }
        Ok(())
    }

    /// What asks for one batch at a time: a vacuum against wraparound, whoever is here, and checkpoints that follow each
    /// other too soon, where somebody is here to notice.
    fn pressure_of(&mut self, chores: &Chores, now: Instant) -> Option<String> {
        if chores.requested > self.requested && self.requested.is_some() {
            self.requested_at = [self.requested_at[1], Some(now)];
        }
        self.requested = chores.requested;
        if chores.wraparound > 0 {
            return Some("a table is being vacuumed against wraparound".into());
        }
        let [Some(first), Some(second)] = self.requested_at else {
            return None;
        };
        let often = Duration::from_secs(u64::try_from(chores.too_often).unwrap_or(0));
        let is_too_often = second - first < often && now - second < 2 * often;
        (is_too_often && self.others.is_some()).then(|| {
            format!(
                "checkpoints follow each other within {} (checkpoint_warning): max_wal_size is small for this",
                seconds(second - first)
            )
        })
    }

    async fn at_room(&mut self, at: &Looked<'_>) -> Result<()> {
        if self.place.is_none() {
            let database = at.database.clone();
            let look = answered(tokio::spawn(async move { database.disk().await })).await;
            self.place = Some(self.unless_forbidden("disk", look)?.flatten());
        }
        let Some(place) = self.place.as_ref().and_then(Option::as_ref) else {
            return Ok(());
        };
        if let Ok(disk) = statvfs(place.as_path()) {
            let room = Room {
                free: disk.f_bavail.saturating_mul(disk.f_frsize),
                all: disk.f_blocks.saturating_mul(disk.f_frsize),
            };
            self.read(Instant::now(), reading::of_room(room));
        }
        Ok(())
    }

    /// What a role may not see, or a release does not have, is nothing to hold for: it is said once.
    fn unless_forbidden<T>(&mut self, what: &'static str, looked: Result<T>) -> Result<Option<T>> {
        match looked {
            Ok(seen) => Ok(Some(seen)),
            Err(error @ Error::Database { .. }) if !error.is_transient() => {
                self.say_once(what, || {
                    format!("nothing holds or slows down for this: {error}")
                });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn say_once(&mut self, what: &'static str, words: impl Fn() -> String) {
        if !self.said.contains(&what) {
            self.said.push(what);
            tracing::warn!("{}", words());
        }
    }
}

fn is_due(last: Option<Instant>, now: Instant, every: Duration) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= every)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of connections")]
fn ratio(one: i64, other: i64) -> f64 {
    one as f64 / other.max(1) as f64
}
