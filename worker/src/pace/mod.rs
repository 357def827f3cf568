//! Pace: the work is as fast as nobody notices, and holds while it would do harm.
//!
//! - `watch` looks at the server, `reading` says what of it makes the work hold, `gate` when.
//! - `presence` tells whether somebody else works here, `probe` asks how long they wait, `latency` whether that is longer
//!   than usual, `gear` how much is done at once, and `turn` lets no more be done.
//! - `throttle` is the speed that is set, and `bucket` so many rows a second.
//!
//! A hold and a pause are between batches, with no transaction open. Holds, and changes of the gear, are events of the
//! worker's own stream.

mod bucket;
mod gate;
mod gear;
mod lag;
mod latency;
mod log_rate;
mod options;
mod presence;
mod probe;
mod reading;
mod throttle;
mod turn;
mod watch;
mod window;
mod wish;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::log_rate::MaxLogRate;
pub use self::options::{Limits, MaxLag, Speed};
pub use self::throttle::Dial;
pub use self::turn::{Turn, Work};
pub use self::window::Window;

use self::gear::{Gear, Gearbox};
use self::latency::Latency;
use self::probe::Probe;
use self::reading::Reading;
use self::throttle::Throttle;
use self::turn::Turns;
use self::watch::{LOOK, Looked, Watch};
use crate::backend::{self, Database, Dialect};
use crate::core::event::Event;
use crate::decisions::Decisions;
use crate::error::{Error, Result};
use crate::retry::Retry;
use crate::shutdown::Shutdown;

/// After how long somebody is told that the work still holds; then after twice as long, and so on.
const REMINDER: Duration = Duration::from_secs(60);
const LONGEST_REMINDER: Duration = Duration::from_secs(3_600);
/// How long it is quiet to see how long an answer takes then: when somebody comes, and now and then while they are here.
const LEARNING: Duration = Duration::from_millis(250);
const LEARNING_AGAIN: Duration = Duration::from_millis(120);
/// How often it is learned again.
const LEARNED: Duration = Duration::from_secs(20);
/// Changes of the gear come into the journal no more often than this.
const TOLD: Duration = Duration::from_secs(5);

/// Slows and holds the work of a process. Shared by its tasks: while one of them waits, all do.
#[derive(Debug)]
pub struct Pace {
    shared: Arc<Shared>,
    /// Nobody goes on before there was a look, or while there is a hold.
    is_shut: AtomicBool,
    /// Holds that are over.
    holds: AtomicU64,
    /// Ends the looks beside the work, which begin with the first of it.
    stop: Shutdown,
    is_begun: AtomicBool,
}

/// What is looked at before a batch, and while one is under way.
#[derive(Debug)]
struct Shared {
    limits: Limits,
    throttle: Throttle,
    watch: tokio::sync::Mutex<Watch>,
    turns: Arc<Turns>,
    latency: Arc<Mutex<Latency>>,
    gears: Mutex<Gears>,
}

#[derive(Debug, Default)]
struct Gears {
    gearbox: Gearbox,
    probe: Option<Probe>,
    learned_at: Option<Instant>,
    /// The pace that the journal knows, and since when.
    told: Option<(String, Instant)>,
    /// Whether the log's rate slows the work down.
    is_log_limited: bool,
    /// Why the last change was made that the journal does not know.
    why: Option<String>,
}

/// `read_only_sql_transaction`: the query would change something.
const WRITES: &str = "25006";

/// Asks the operator's queries once, so that one that cannot be asked is an error before anything is begun.
///
/// # Errors
/// [`Error::Usage`]: one fails. The connection's.
pub async fn check(database: &Database, limits: &Limits) -> Result<()> {
    for query in &limits.hold_when {
        match database.asked(query).await {
            Ok(_) => {}
            Err(Error::Database { source, .. })
                if !backend::is_transient(&source)
                    || backend::is_timeout(&source)
                    || backend::code(&source).as_deref() == Some(WRITES) =>
            {
                return Err(Error::Usage(format!(
                    "the query of --hold-when cannot be asked: {}; it must be one SELECT that gives one value within 2 s, \
                     as in --hold-when \"SELECT count(*) > 100 FROM jobs\"",
                    backend::describe(&source)
                )));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Pace {
    /// A pace within these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            shared: Arc::new(Shared {
                throttle: Throttle::new(limits.speed),
                limits,
                watch: tokio::sync::Mutex::default(),
                turns: Arc::new(Turns::new()),
                latency: Arc::default(),
                gears: Mutex::default(),
            }),
            is_shut: AtomicBool::new(true),
            holds: AtomicU64::new(0),
            stop: Shutdown::default(),
            is_begun: AtomicBool::new(false),
        }
    }

    /// Returns at once where the work may go on, else once it may, or once somebody asks to stop. Gives whether there was
    /// a hold: what was read before it is old.
    ///
    /// # Errors
    /// The database's.
    pub async fn hold(&self, decisions: &Decisions, shutdown: &Shutdown) -> Result<bool> {
        if !self.is_begun.swap(true, Ordering::SeqCst) {
            let (shared, database) = (self.shared.clone(), decisions.database().clone());
            tokio::spawn(beside(shared, database, self.stop.clone()));
        }
        let before = self.holds.load(Ordering::SeqCst);
        let mut watch = match self.is_shut.load(Ordering::SeqCst) {
            true => self.shared.watch.lock().await,
            false => match self.shared.watch.try_lock() {
                Ok(watch) => watch,
                // Somebody looks, and has found nothing so far.
                Err(_) => return Ok(false),
            },
        };
        if watch.is_due(Instant::now()) {
            self.shared.look(&mut watch, decisions.database()).await?;
        }
        self.tell_gear(decisions, shutdown).await;
        while let Some(reading) = watch.holds().cloned()
            && !shutdown.is_requested()
        {
            self.is_shut.store(true, Ordering::SeqCst);
            self.wait(&mut watch, reading, decisions, shutdown).await?;
            self.holds.fetch_add(1, Ordering::SeqCst);
        }
        // Somebody asked to stop meanwhile.
        let still_holds = watch.holds().is_some();
        self.is_shut.store(still_holds, Ordering::SeqCst);
        Ok(still_holds || self.holds.load(Ordering::SeqCst) != before)
    }

    /// Waits for a turn to read or write a batch: until the turn is dropped, no more is done than nobody notices.
    pub async fn turn(&self, work: Work, shutdown: &Shutdown) -> Turn {
        self.shared.turns.take(work, shutdown).await
    }

    /// Takes note of source rows that were read, and pauses where these are more than may be read by now.
    pub async fn wrote(&self, rows: u64, shutdown: &Shutdown) {
        self.shared.throttle.wrote(rows, shutdown).await;
    }

    /// What sets another speed from elsewhere, also while the work holds.
    #[must_use]
    pub fn dial(&self) -> Dial {
        Dial(self.shared.clone())
    }

    /// The speed that is set.
    #[must_use]
    pub fn speed(&self) -> Speed {
        self.shared.throttle.speed()
    }

    /// How long a batch may take, where somebody wants this long: less beside others.
    #[must_use]
    pub fn batch_target(&self, wanted: Duration) -> Duration {
        let most = self.shared.turns.gear().batch();
        most.map_or(wanted, |most| most.min(wanted))
    }

    /// How many source rows a batch may have, where somebody wants so many: a fixed rate comes in small parts.
    #[must_use]
    pub fn batch_rows(&self, wanted: u32) -> u32 {
        self.shared.throttle.batch_rows(wanted)
    }

    /// Waits until one thing no longer makes the work hold.
    async fn wait(
        &self,
        watch: &mut Watch,
        reading: Reading,
        decisions: &Decisions,
        shutdown: &Shutdown,
    ) -> Result<()> {
        let began = Instant::now();
        let started = Event::HoldStarted {
            signal: reading.signal.clone(),
            value: reading.shown.clone(),
            limit: reading.limit.clone(),
        };
        decisions.note(started, shutdown).await?;
        tracing::warn!("holding: {}", reading.told);
        let (mut told, mut reminder) = (Instant::now(), REMINDER);
        let mut retry = Retry::default();
        while !shutdown.is_requested() && watch.holds_for(&reading.key) {
            shutdown.sleep(LOOK).await;
            match self.shared.look(watch, decisions.database()).await {
                Ok(()) => retry = Retry::default(),
                Err(error) => retry.pause(error, shutdown).await?,
            }
            if told.elapsed() > reminder
                && let Some(reading) = watch.last(&reading.key)
            {
                tracing::warn!("still holding: {}", reading.told);
                told = Instant::now();
                reminder = (2 * reminder).min(LONGEST_REMINDER);
            }
        }
        let last = watch.last(&reading.key).unwrap_or(&reading);
        let ended = Event::HoldEnded {
            signal: reading.signal.clone(),
            value: last.shown.clone(),
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        decisions.note(ended, shutdown).await?;
        tracing::warn!("the hold is over after {}", seconds(began.elapsed()));
        Ok(())
    }

    /// Tells the journal of another gear, not too often. That it could not be told does not hold up the work.
    async fn tell_gear(&self, decisions: &Decisions, shutdown: &Shutdown) {
        let changed = {
            let mut gears = self.shared.gears();
            let now = Instant::now();
            let mut pace = gears.gearbox.gear().words();
            if gears.is_log_limited {
                pace.push_str(", no more log than --max-wal-rate");
            }
            let told = gears.told.clone();
            let is_soon = told.as_ref().is_some_and(|(_, at)| now - *at < TOLD);
            let known = told.map_or_else(|| Gear::Full.words(), |(known, _)| known);
            if pace == known || is_soon {
                return;
            }
            gears.told = Some((pace.clone(), now));
            let rate = || "how much log the server writes".to_owned();
            Event::PaceChanged {
                from: known,
                to: pace,
                reason: gears.why.take().unwrap_or_else(rate),
            }
        };
        if let Err(error) = decisions.note(changed, shutdown).await {
            tracing::warn!("a change of pace is not in the journal: {error}");
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop.request();
    }
}

impl Shared {
    /// Looks at all that is due, and takes the gear that it asks for.
    async fn look(&self, watch: &mut Watch, database: &Database) -> Result<()> {
        let latency = self.latency().compare(Instant::now());
        let looked = Looked {
            database,
            limits: &self.limits,
            speed: self.throttle.speed(),
            gear: self.turns.gear(),
            latency,
        };
        watch.look(&looked).await?;
        self.turns.spare(watch.share());
        self.gears().is_log_limited = watch.share() < 0.95;
        // Asked anew: another may have been set meanwhile.
        match self.throttle.speed() {
            Speed::Auto if database.dialect() == Dialect::Postgres => self.shift(watch, database),
            Speed::Auto => {}
            speed => self.level(speed),
        }
        Ok(())
    }

    /// Leaves the gear that was taken while the speed was automatic.
    fn level(&self, speed: Speed) {
        let mut gears = self.gears();
        if gears.gearbox.gear() != Gear::Full {
            gears.gearbox = Gearbox::default();
            gears.probe = None;
            gears.why = Some(format!("the pace is set to {speed}"));
            self.turns.shift(Gear::Full);
        }
    }

    /// Takes the gear that was asked for, and sees to it that it is known what is usual.
    fn shift(&self, watch: &Watch, database: &Database) {
        let now = Instant::now();
        let latency = self.latency().compare(now);
        let mut gears = self.gears();
        let was = gears.gearbox.gear();
        if let Some(why) = gears.gearbox.look(now, &watch.load(latency)) {
            let gear = gears.gearbox.gear();
            tracing::info!("{}: {why}", gear.words());
            gears.why = Some(why);
            self.turns.shift(gear);
            match was {
                // Whoever is here now may be somebody else than the last time.
                Gear::Full => {
                    self.latency().forget();
                    gears.learned_at = None;
                }
                _ => self.latency().forget_beside(),
            }
        }
        if gears.gearbox.gear() == Gear::Full {
            return;
        }
        if gears.probe.is_none() {
            gears.probe = Probe::start(database, &self.turns, &self.latency);
        }
        if gears.probe.is_some()
            && gears
                .learned_at
                .is_none_or(|learned| now.saturating_duration_since(learned) >= LEARNED)
        {
            let is_known = self.latency().is_known();
            let quiet = if is_known { LEARNING_AGAIN } else { LEARNING };
            self.turns.be_quiet(quiet);
            gears.learned_at = Some(now);
        }
    }

    fn latency(&self) -> MutexGuard<'_, Latency> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gears(&self) -> MutexGuard<'_, Gears> {
        self.gears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks while batches are under way: whoever waits for a lock of one waits no longer than it.
async fn beside(shared: Arc<Shared>, database: Database, stop: Shutdown) {
    while !stop.is_requested() {
        stop.sleep(LOOK / 2).await;
        if !shared.turns.under_way().1 {
            continue;
        }
        let Ok(mut watch) = shared.watch.try_lock() else {
            continue;
        };
        // What fails here fails again before the next batch, where it is told.
        if watch.is_due(Instant::now())
            && let Err(error) = shared.look(&mut watch, &database).await
        {
            tracing::debug!("a look beside the work failed: {error}");
        }
    }
}

/// In words, to the tenth of a second.
fn seconds(duration: Duration) -> String {
    let rest = Duration::from_nanos(u64::from(duration.subsec_nanos() % 100_000_000));
    humantime::format_duration(duration.saturating_sub(rest)).to_string()
}
