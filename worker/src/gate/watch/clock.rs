//! How long it is since a watch began. The machine's own steady clock stands still while the machine sleeps, so it is
//! compared with the database's.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::backend::Database;
use crate::journal;

/// How long the database's clock is waited for where nothing else is to be done; also what two clocks may differ by.
const PATIENCE: Duration = Duration::from_secs(2);

/// The database's clock, milliseconds since 1970, and when it was read.
type Read = Option<(Instant, i64)>;

/// A clock that began with a watch.
#[derive(Debug)]
pub(super) struct Clock {
    begun: Instant,
    /// The database's clock at the beginning; none: it was not to be had.
    began_at: Option<i64>,
    slept: Duration,
    asked: Option<JoinHandle<Read>>,
}

impl Clock {
    /// Begins.
    pub(super) async fn start(database: &Database) -> Self {
        let read = tokio::time::timeout(PATIENCE, ask(database)).await;
        let read = read.ok().and_then(Result::ok).flatten();
        Self {
            begun: read.map_or_else(Instant::now, |(begun, _)| begun),
            began_at: read.map(|(_, at)| at),
            slept: Duration::ZERO,
            asked: None,
        }
    }

    /// How long ago it began, sleep included as far as it is known.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed() + self.slept
    }

    /// Asks for the database's clock, unless it was asked and has not answered.
    pub(super) fn ask(&mut self, database: &Database) {
        if self.asked.is_none() {
            self.asked = Some(ask(database));
        }
    }

    /// Compares with the database's clock, where it has answered: if it is ahead by more than a sample's time, we slept.
    pub(super) async fn compare(&mut self, every: Duration) {
        if self.asked.as_ref().is_some_and(JoinHandle::is_finished) {
            self.compare_at_last(every).await;
        }
    }

    /// The same, and waits for its answer.
    pub(super) async fn compare_at_last(&mut self, every: Duration) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let read = tokio::time::timeout(PATIENCE, asked).await;
        let Some((read, at)) = read.ok().and_then(Result::ok).flatten() else {
            return;
        };
        let Some(began_at) = self.began_at else {
            return;
        };
        let there = Duration::from_millis(u64::try_from(at - began_at).unwrap_or(0));
        let here = read.saturating_duration_since(self.begun) + self.slept;
        let ahead = there.saturating_sub(here);
        if ahead > every.max(PATIENCE) {
            self.slept += ahead;
        }
    }
}

/// Asks in a task that is never dropped midway.
fn ask(database: &Database) -> JoinHandle<Read> {
    let database = database.clone();
    tokio::spawn(async move {
        let at = journal::now(database.connection()).await.ok()?;
        Some((Instant::now(), at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(began_at: i64) -> Clock {
        Clock {
            begun: Instant::now(),
            began_at: Some(began_at),
            slept: Duration::ZERO,
            asked: None,
        }
    }

    /// The database says that an hour has passed, and we have seen nothing of it.
    #[tokio::test]
    async fn sleep_is_noticed() {
        let every = Duration::from_secs(30);
        for (ahead, is_noticed) in [(3_600_000, true), (29_000, false), (-3_600_000, false)] {
            let mut clock = clock(1_000);
            let begun = clock.begun;
            clock.asked = Some(tokio::spawn(async move { Some((begun, 1_000 + ahead)) }));
            clock.compare_at_last(every).await;
            assert_eq!(clock.elapsed() > every, is_noticed, "{ahead}");
        }
    }
}
