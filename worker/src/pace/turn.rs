//! Turns: what may read or write now. At full speed everybody may; beside others one after the other, with pauses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gear::Gear;
use crate::shutdown::Shutdown;

/// A pause is slept in steps of this, so that a higher gear shortens it.
const STEP: Duration = Duration::from_millis(100);
/// No pause is longer, however long a batch took.
const LONGEST: Duration = Duration::from_secs(2);

/// What a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A batch is read.
    Read,
    /// A batch is written.
    Write,
}

/// Who may read or write now.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    one: Arc<Semaphore>,
    /// Turns begun, and turns ended: where they are the same, nothing is under way.
    begun: AtomicU64,
    ended: AtomicU64,
}

#[derive(Debug)]
struct State {
    gear: Gear,
    /// The share of its time that the process may work, whatever the gear.
    share: f64,
    /// Nobody begins before.
    rests_until: Option<Instant>,
    /// The same, to see how long an answer takes in quiet.
    quiet_until: Option<Instant>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                gear: Gear::Full,
                share: 1.0,
                rests_until: None,
                quiet_until: None,
            }),
            one: Arc::new(Semaphore::new(1)),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    pub(super) fn gear(&self) -> Gear {
        self.lock().gear
    }

    /// Takes another gear; a pause of the one before is over.
    pub(super) fn shift(&self, gear: Gear) {
        let mut state = self.lock();
        state.gear = gear;
        state.rests_until = None;
    }

    /// Takes a share of the time, above 0 and up to 1.
    pub(super) fn spare(&self, share: f64) {
        self.lock().share = share;
    }

    /// Lets nobody begin for a while, so that it is quiet.
    pub(super) fn be_quiet(&self, duration: Duration) {
        self.lock().quiet_until = Some(Instant::now() + duration);
    }

    pub(super) fn is_to_be_quiet(&self) -> bool {
        let quiet_until = self.lock().quiet_until;
        quiet_until.is_some_and(|until| until > Instant::now())
    }

    /// How many turns have begun, and whether one is under way.
    pub(super) fn under_way(&self) -> (u64, bool) {
        // In this order: what ends in between is taken for under way, never the other way around.
        let ended = self.ended.load(Ordering::SeqCst);
        let begun = self.begun.load(Ordering::SeqCst);
        (begun, begun != ended)
    }

    /// Waits for a turn; at once where somebody asked to stop.
    pub(super) async fn take(self: &Arc<Self>, work: Work, shutdown: &Shutdown) -> Turn {
        let is_alone = match self.gear() {
            Gear::Full => false,
            Gear::OneWrite => work == Work::Write,
            Gear::One(_) => true,
        };
        // Nobody closes it.
        let permit = match is_alone {
            true => self.one.clone().acquire_owned().await.ok(),
            false => None,
        };
        while let Some(wait) = self.wait()
            && !shutdown.is_requested()
        {
            shutdown.sleep(wait.min(STEP)).await;
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        Turn {
            turns: self.clone(),
            began: Instant::now(),
            _permit: permit,
        }
    }

    /// How long nobody may begin.
    fn wait(&self) -> Option<Duration> {
        let state = self.lock();
        let now = Instant::now();
        let wait = state
            .rests_until
            .max(state.quiet_until)?
            .saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    began: Instant,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.ended.fetch_add(1, Ordering::SeqCst);
        let mut state = self.turns.lock();
        let (worked, share) = (self.began.elapsed(), state.share.max(0.01));
        let spared = worked.mul_f64(1.0 / share - 1.0);
        let pause = state.gear.pause(worked).max(spared).min(LONGEST);
        // One that began before the pause may end within it.
        let until = Some(Instant::now() + pause);
        if !pause.is_zero() {
            state.rests_until = state.rests_until.max(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Gear, Turns, Work};
    use crate::shutdown::Shutdown;

    /// How many of so many turns are under way at once at most.
    async fn at_once(gear: Gear, work: Work) -> usize {
        let (turns, shutdown) = (Arc::new(Turns::new()), Shutdown::default());
        turns.shift(gear);
        let now = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (turns, shutdown) = (turns.clone(), shutdown.clone());
                let (now, most) = (now.clone(), most.clone());
                tokio::spawn(async move {
                    let turn = turns.take(work, &shutdown).await;
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("it ended");
        }
        assert!(!turns.under_way().1);
        most.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn one_at_a_time_is_one_at_a_time() {
        assert_eq!(at_once(Gear::Full, Work::Write).await, 8);
        assert_eq!(at_once(Gear::OneWrite, Work::Read).await, 8);
        assert_eq!(at_once(Gear::OneWrite, Work::Write).await, 1);
        assert_eq!(at_once(Gear::One(100), Work::Read).await, 1);
        assert_eq!(at_once(Gear::One(80), Work::Write).await, 1);
    }

    /// Whoever waits for a turn of which the pause is long hears that somebody asks to stop.
    #[tokio::test]
    async fn a_pause_ends_with_the_request_to_stop() {
        let (turns, shutdown) = (Arc::new(Turns::new()), Shutdown::default());
        turns.be_quiet(Duration::from_secs(3_600));
        let waiting = tokio::spawn({
            let (turns, shutdown) = (turns.clone(), shutdown.clone());
            async move { drop(turns.take(Work::Write, &shutdown).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        shutdown.request();
        waiting.await.expect("it ended");
    }
}
