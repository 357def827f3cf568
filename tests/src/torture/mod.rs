//! Torture: real workers on a real database, struck by faults at instants drawn from seeds, until enough of them struck;
//! then compared with a run that nothing disturbed.
//!
//! Safety is checked after the faults and before anything is mended, liveness without faults: one plain run must end
//! with 0. The checks share no code with the worker.

mod application;
mod crash;
mod fault;
mod ground;
mod instants;
mod ledger;
mod life;
mod locks;
mod phase;
mod reference;
mod seed;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;

pub use self::fault::Wanted;
use self::ground::Ground;
pub use self::ledger::Ledger;
use crate::database::Backend;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// On which database.
    pub backend: Backend,
    /// How many faults must strike, in all.
    pub wanted: Wanted,
    /// How many worker processes there are at a time.
    pub workers: usize,
    /// How many seeds are worked on at a time.
    pub lanes: usize,
    /// After how long no further seed is begun.
    pub limit: Option<Duration>,
    /// The first seed.
    pub seed: u64,
}

/// How many faults one seed has to bear, so that many faults come with many seeds.
pub const A_SEED: Wanted = Wanted {
    kills: 48,
    server_crashes: 5,
    cuts: 48,
};

/// Goes through seeds until the wanted faults have struck, several seeds at a time, because a torture mostly waits. The
/// ledger is right even where the result is an error. `told` is called after every seed, with what is wrong with it.
pub async fn torture(
    options: Options,
    ledger: &Ledger,
    told: impl Fn(u64, &Ledger, Option<&str>) + Send + Sync,
) -> Result<()> {
    let queue = Arc::new(Queue {
        options,
        began: Instant::now(),
        place: Mutex::new((options.seed, Wanted::default())),
        has_failed: AtomicBool::new(false),
    });
    let mut lanes = JoinSet::new();
    let (tell, mut ended) = mpsc::unbounded_channel();
    for _ in 0..options.lanes.max(1) {
        lanes.spawn(lane(queue.clone(), tell.clone()));
    }
    drop(tell);
    while let Some(Ended {
        seed,
        account,
        wrong,
    }) = ended.recv().await
    {
        ledger.add(&account);
        told(seed, ledger, wrong.as_deref());
    }
    let mut failure = None;
    while let Some(ended) = lanes.join_next().await {
        if let Err(error) = ended.context("a lane panicked").flatten() {
            failure.get_or_insert(error);
        }
    }
    failure.map_or(Ok(()), Err)
}

/// A seed that was brought to its end.
struct Ended {
    seed: u64,
    account: Arc<Ledger>,
    /// What is wrong with it.
    wrong: Option<String>,
}

/// What the lanes share.
struct Queue {
    options: Options,
    began: Instant,
    /// The next seed, and the faults that earlier ones bear.
    place: Mutex<(u64, Wanted)>,
    has_failed: AtomicBool,
}

impl Queue {
    /// The next seed and its share of the faults; none where no more are wanted.
    fn next(&self) -> Option<(u64, Wanted)> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.options.wanted.without(place.1);
        let is_late = self
            .options
            .limit
            .is_some_and(|limit| self.began.elapsed() > limit);
        if left.is_nothing() || is_late || self.has_failed.load(Ordering::SeqCst) {
            return None;
        }
        let lanes = u64::try_from(self.options.lanes).unwrap_or(1);
        let share = left.at_most(A_SEED.at_most(self.options.wanted.split(lanes)));
        place.1 = place.1.and(share);
        place.0 += 1;
        Some((place.0 - 1, share))
    }
}

/// One seed after the other, with a server of its own.
async fn lane(queue: Arc<Queue>, tell: UnboundedSender<Ended>) -> Result<()> {
    let options = &queue.options;
    let backend = options.backend;
    let ground = tokio::task::spawn_blocking(move || Ground::prepare(backend)).await??;
    let ground = Arc::new(ground);
    while let Some((seed, share)) = queue.next() {
        let ledger = Arc::new(Ledger::default());
        let endured = seed::endure(&ground, options, seed, share, &ledger).await;
        match &endured {
            Ok(()) => ledger.seed(seed),
            Err(_) => queue.has_failed.store(true, Ordering::SeqCst),
        }
        let endured = endured.with_context(|| repeat(options, seed, share));
        // Where nobody listens any more, the torture is over.
        let _ = tell.send(Ended {
            seed,
            account: ledger,
            wrong: endured.as_ref().err().map(|error| format!("{error:#}")),
        });
        endured?;
    }
    Ok(())
}

/// The command that repeats a seed.
fn repeat(options: &Options, seed: u64, share: Wanted) -> String {
    let backend = match options.backend {
        Backend::Sqlite => "sqlite",
        Backend::Postgres => "postgres",
    };
    format!(
        "seed {seed}; again: tests/torture --backend {backend} --kills {} --server-crashes {} --cuts {} --workers {} \
         --seed {seed}",
        share.kills, share.server_crashes, share.cuts, options.workers
    )
}
