//! Pace: the work holds while it would do harm. So far one thing makes it hold: a replica that is too far behind.
//!
//! A hold is between batches, with no transaction open. Its beginning and its end are events of the worker's own stream.

mod lag;

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::lag::Lag;
use crate::backend::{Database, Replication};
use crate::core::event::Event;
use crate::decisions::Decisions;
use crate::error::{Doing, Result};
use crate::retry::Retry;
use crate::shutdown::Shutdown;
use crate::silence::answered;

/// How often the replicas are looked at, for all tasks of the process together.
const LOOK: Duration = Duration::from_secs(1);
/// How often somebody is told that the work still holds.
const REMINDER: Duration = Duration::from_secs(60);

/// How far replicas may be behind, as an operator says it: `30s`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxLag(Option<Duration>);

/// What makes the work hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How far the slowest replica may be behind.
    pub max_lag: MaxLag,
    /// Replicas that may be late (a delayed one, a slow subscriber), by their `application_name`.
    pub ignored: Vec<String>,
}

/// Holds the work of a process. Shared by its tasks: while one of them waits, all do.
#[derive(Debug)]
pub struct Pace {
    limits: Limits,
    seen: tokio::sync::Mutex<Seen>,
    /// Holds that are over.
    holds: AtomicU64,
}

#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    lag: Lag,
    is_warned: bool,
}

/// The slowest replica.
struct Behind {
    name: String,
    by: Duration,
}

impl Pace {
    /// A pace within these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            seen: tokio::sync::Mutex::default(),
            holds: AtomicU64::new(0),
        }
    }

    /// Returns at once where the work may go on, else once it may, or once somebody asks to stop. Gives whether there was
    /// a hold: what was read before it is old.
    ///
    /// # Errors
    /// The database's.
    pub async fn hold(&self, decisions: &Decisions, shutdown: &Shutdown) -> Result<bool> {
        let Some(limit) = self.limits.max_lag.0 else {
            return Ok(false);
        };
        let before = self.holds.load(Ordering::SeqCst);
        let mut seen = self.seen.lock().await;
        if seen.at.is_none_or(|at| at.elapsed() >= LOOK)
            && let Some(behind) = self.look(&mut seen, decisions.database()).await?
            && behind.by > limit
        {
            self.wait(&mut seen, (decisions, shutdown), behind, limit)
                .await?;
            self.holds.fetch_add(1, Ordering::SeqCst);
        }
        Ok(self.holds.load(Ordering::SeqCst) != before)
    }

    /// Waits until the slowest replica has come up with half of what it may be behind, so that the work does not stutter.
    async fn wait(
        &self,
        seen: &mut Seen,
        (decisions, shutdown): (&Decisions, &Shutdown),
        behind: Behind,
        limit: Duration,
    ) -> Result<()> {
        let began = Instant::now();
        let signal = format!("replica {} is behind", behind.name);
        let started = Event::HoldStarted {
            signal: signal.clone(),
            value: seconds(behind.by),
            limit: seconds(limit),
        };
        decisions.note(started, shutdown).await?;
        tell(&behind, limit);
        let mut told = Instant::now();
        let mut retry = Retry::default();
        let mut last = behind.by;
        while !shutdown.is_requested() && last > limit / 2 {
            shutdown.sleep(LOOK).await;
            match self.look(seen, decisions.database()).await {
                Ok(behind) => {
                    retry = Retry::default();
                    last = behind.as_ref().map_or(Duration::ZERO, |behind| behind.by);
                    if let Some(behind) = behind
                        && told.elapsed() > REMINDER
                    {
                        tell(&behind, limit);
                        told = Instant::now();
                    }
                }
                Err(error) => retry.pause(error, shutdown).await?,
            }
        }
        let ended = Event::HoldEnded {
            signal,
            value: seconds(last),
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        decisions.note(ended, shutdown).await?;
        tracing::warn!("the hold is over after {}", seconds(began.elapsed()));
        Ok(())
    }

    /// Looks at the replicas; none where there are none, or none that this role may see.
    async fn look(&self, seen: &mut Seen, database: &Database) -> Result<Option<Behind>> {
        let (database, ignored) = (database.clone(), self.limits.ignored.clone());
        let doing = "looking at how far replicas are behind";
        let look = tokio::spawn(async move { database.replication(&ignored).await.doing(doing) });
        let Replication {
            end,
            slowest,
            hidden,
        } = answered(look).await?;
        seen.at = Some(Instant::now());
        if hidden > 0 && !std::mem::replace(&mut seen.is_warned, true) {
            tracing::warn!(
                "{hidden} replicas are connected, and this role may not see how far they are behind: nothing holds for \
                 them; GRANT pg_read_all_stats to the role, or say --max-replica-lag off"
            );
        }
        Ok(slowest.map(|(name, replayed)| Behind {
            name,
            by: seen.lag.look(Instant::now(), end, replayed),
        }))
    }
}

fn tell(behind: &Behind, limit: Duration) {
    tracing::warn!(
        "holding: replica {} is {} behind, --max-replica-lag is {}; the work goes on by itself below half of that \
         (where it is late on purpose: --ignore-replica {})",
        behind.name,
        seconds(behind.by),
        seconds(limit),
        behind.name
    );
}

/// In words, to the tenth of a second.
fn seconds(duration: Duration) -> String {
    let rest = Duration::from_nanos(u64::from(duration.subsec_nanos() % 100_000_000));
    humantime::format_duration(duration.saturating_sub(rest)).to_string()
}

impl Default for MaxLag {
    /// Beyond the ten seconds after which a replica reports at the latest where nothing is written
    /// (`wal_receiver_status_interval`).
    fn default() -> Self {
        Self(Some(Duration::from_secs(30)))
    }
}

impl FromStr for MaxLag {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        match humantime::parse_duration(text) {
            Ok(lag) if lag >= LOOK => Ok(Self(Some(lag))),
            _ => Err("it must be a duration of a second or more, such as 30s or 2m, or off".into()),
        }
    }
}

impl std::fmt::Display for MaxLag {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(lag) => write!(out, "{}", humantime::format_duration(lag)),
            None => out.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::MaxLag;

    #[test]
    fn a_lag_is_a_duration_or_off() {
        for (text, shown) in [
            ("30s", Some("30s")),
            ("1500ms", Some("1s 500ms")),
            ("2m", Some("2m")),
            ("off", Some("off")),
            ("0", None),
            ("0s", None),
            ("999ms", None),
            ("30", None),
            ("-1s", None),
            ("", None),
        ] {
            let parsed = MaxLag::from_str(text).ok().map(|lag| lag.to_string());
            assert_eq!(parsed.as_deref(), shown, "{text}");
        }
        let default = MaxLag::default();
        assert_eq!(MaxLag::from_str(&default.to_string()), Ok(default));
    }
}
