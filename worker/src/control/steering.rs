//! A process that is steered: it looks at what is wished of its run beside its work, whatever that does meanwhile, and obeys
//! between batches, with no transaction open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Loaded, Settings, cancelled};
use crate::core::event::{Event, Setting, SettingsApplied, Word, plain};
use crate::core::replay::RUN_STREAM;
use crate::core::state::Standing;
use crate::decisions::Decisions;
use crate::error::{Error, Result};
use crate::pace::Pace;
use crate::retry::Retry;
use crate::shutdown::Shutdown;
use crate::silence::answered;
use crate::{journal, runs};

/// How often the wishes are looked at: one look at an index.
const LOOK: Duration = Duration::from_millis(500);
/// After how long somebody is told that the work still holds; then after twice as long, and so on.
const REMINDER: Duration = Duration::from_secs(60);
const LONGEST_REMINDER: Duration = Duration::from_secs(3_600);
/// What a pause is called among the reasons of holds.
pub(crate) const PAUSED: &str = "the run is paused";

/// What is wished of a run, or of its rollback, as a process knows it. Its tasks share it.
pub struct Steering {
    shared: Arc<Shared>,
    /// Whoever has it tells of a pause and waits for its end, and the others for them.
    turn: tokio::sync::Mutex<()>,
}

struct Shared {
    decisions: Arc<Decisions>,
    stream: String,
    /// What the command line says.
    own: Settings,
    known: watch::Sender<Known>,
    obey: Box<dyn Fn(Settings) + Send + Sync>,
    /// Ends the work where the run is cancelled.
    shutdown: Shutdown,
    /// Ends the looks.
    stop: Shutdown,
}

/// What was seen at the last look.
#[derive(Clone, Debug)]
struct Known {
    wished: Loaded,
    /// What the process works by.
    settings: Settings,
    /// How far the run's own stream was, when it was last looked at during a pause.
    run_seq: i64,
    /// Whether somebody else has ended the run, or has begun to roll it back: whatever was wished of it.
    is_over: bool,
}

impl Known {
    /// Whose word makes the work hold.
    fn paused(&self) -> Option<&Word> {
        match &self.wished.state.standing {
            Standing::Paused(word) if !self.is_over => Some(word),
            Standing::Paused(_) | Standing::Going | Standing::Cancelled(_) => None,
        }
    }
}

impl Steering {
    /// Learns what is wished, and obeys it: `obey` is told the settings where they are others than before. `shutdown` is
    /// asked where the run is cancelled.
    ///
    /// # Errors
    /// The database's, after bounded retries; a stream that does not fold.
    pub async fn begin(
        decisions: &Arc<Decisions>,
        stream: String,
        own: Settings,
        shutdown: &Shutdown,
        obey: impl Fn(Settings) + Send + Sync + 'static,
    ) -> Result<Self> {
        let known = Known {
            wished: Loaded::nothing(),
            settings: own,
            run_seq: 0,
            is_over: false,
        };
        let shared = Arc::new(Shared {
            decisions: decisions.clone(),
            stream,
            own,
            known: watch::Sender::new(known),
            obey: Box::new(obey),
            shutdown: shutdown.clone(),
            stop: Shutdown::default(),
        });
        let mut retry = Retry::default();
        while let Err(error) = shared.look().await {
            retry.pause(error, shutdown).await?;
        }
        Ok(Self {
            shared,
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Looks from here on, and notes what it obeys.
    pub fn follow(&self) {
        tokio::spawn(follow(self.shared.clone()));
    }

    /// How many partitions the process works on at once.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.known.borrow().settings.workers.max(1)
    }

    /// Returns once the process is to work on another number of partitions at once.
    pub async fn other_workers(&self, than: usize) {
        let mut news = self.shared.known.subscribe();
        // It is never closed while this waits.
        let _ = news
            .wait_for(|known| known.settings.workers.max(1) != than)
            .await;
    }

    /// Whether the work is to hold.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.known.borrow().paused().is_some()
    }

    /// Why the work ends, where somebody has cancelled the run.
    #[must_use]
    pub fn cancelled(&self) -> Option<Error> {
        match &self.shared.known.borrow().wished.state.standing {
            Standing::Cancelled(word) => Some(cancelled(self.shared.decisions.run(), word)),
            Standing::Going | Standing::Paused(_) => None,
        }
    }

    /// Returns at once where the work may go on, both for what is wished and for its pace; else once it may, or once somebody
    /// asks to stop. Gives whether there was a hold: what was read before it is old.
    ///
    /// # Errors
    /// The database's.
    pub async fn hold(&self, pace: &Pace, shutdown: &Shutdown) -> Result<bool> {
        let mut has_held = false;
        loop {
            has_held |= self.pause(shutdown).await?;
            has_held |= pace.hold(&self.shared.decisions, shutdown).await?;
            // Somebody may have paused it while it held for something else.
            if !self.is_paused() || shutdown.is_requested() {
                return Ok(has_held);
            }
        }
    }

    /// The same for what is wished alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn pause(&self, shutdown: &Shutdown) -> Result<bool> {
        if !self.is_paused() {
            return Ok(false);
        }
        let _turn = self.turn.lock().await;
        let word = self.shared.known.borrow().paused().cloned();
        let Some(word) = word.filter(|_| !shutdown.is_requested()) else {
            return Ok(true);
        };
        let (decisions, began) = (&self.shared.decisions, Instant::now());
        let started = Event::HoldStarted {
            signal: PAUSED.into(),
            value: word.to_string(),
            // A word is no measure.
            limit: String::new(),
        };
        decisions.note(started, shutdown).await?;
        tracing::warn!(
            "holding: run {} is paused, {word}; `cli run resume --by NAME` lets it go on",
            decisions.run()
        );
        self.wait(shutdown).await;
        let ended = Event::HoldEnded {
            signal: PAUSED.into(),
            value: self.outcome().into(),
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        decisions.note(ended, shutdown).await?;
        tracing::warn!(
            "the hold is over after {}: {}",
            humantime::format_duration(Duration::from_secs(began.elapsed().as_secs())),
            self.outcome()
        );
        Ok(true)
    }

    /// Waits until a pause is over, or somebody asks to stop.
    async fn wait(&self, shutdown: &Shutdown) {
        let mut news = self.shared.known.subscribe();
        let (began, mut reminder) = (Instant::now(), REMINDER);
        let mut told = began;
        while !shutdown.is_requested() {
            let paused = news.borrow_and_update().paused().cloned();
            let Some(word) = paused else {
                return;
            };
            if told.elapsed() >= reminder {
                tracing::warn!(
                    "still holding: run {} is paused, {word}",
                    self.shared.decisions.run()
                );
                told = Instant::now();
                reminder = (2 * reminder).min(LONGEST_REMINDER);
            }
            tokio::select! {
                () = shutdown.requested() => {}
                // It is never closed while this waits.
                _ = news.changed() => {}
                // Somebody may want to know that it still looks.
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// What became of a pause.
    fn outcome(&self) -> &'static str {
        let known = self.shared.known.borrow();
        match &known.wished.state.standing {
            Standing::Paused(_) if known.is_over => "the run is over",
            Standing::Paused(_) => "asked to stop",
            Standing::Going => "resumed",
            Standing::Cancelled(_) => "cancelled",
        }
    }
}

impl Drop for Steering {
    fn drop(&mut self) {
        self.shared.stop.request();
    }
}

/// Looks until nobody needs it any more. What fails is tried again at the next look: the work meets the same trouble, and
/// tells of it.
async fn follow(shared: Arc<Shared>) {
    // Obeyed from the start.
    shared.note(shared.differing(&shared.own)).await;
    let mut told = None;
    while !shared.stop.is_requested() {
        shared.stop.sleep(LOOK).await;
        let before = shared.known.borrow().settings;
        match shared.look().await {
            Ok(()) => shared.note(shared.differing(&before)).await,
            Err(error) if error.is_transient() => {
                tracing::debug!("the wishes were not seen: {error}")
            }
            Err(error) => {
                let error = format!("what is wished of the run cannot be read: {error}");
                if told.as_ref() != Some(&error) {
                    tracing::warn!("{error}");
                    told = Some(error);
                }
            }
        }
    }
}

impl Shared {
    /// Reads on, and obeys.
    async fn look(&self) -> Result<()> {
        let known = self.known.borrow().clone();
        let (decisions, stream) = (self.decisions.clone(), self.stream.clone());
        let seen = tokio::spawn(async move { read_on(&decisions, &stream, known).await });
        if let Some(mut known) = answered(seen).await? {
            known.settings = self.own.with(&known.wished.state.settings)?;
            self.take(known);
        }
        Ok(())
    }

    /// Obeys.
    fn take(&self, known: Known) {
        let before = self.known.borrow().settings;
        for setting in Setting::ALL {
            let (was, is) = (before.show(setting), known.settings.show(setting));
            let own = self.own.show(setting);
            match known.wished.state.settings.get(&setting) {
                _ if was == is => {}
                Some(wished) => tracing::warn!(
                    "{} is {is} from here on, as {} set it; the command line says {own}",
                    setting.name(),
                    plain(&wished.by)
                ),
                None => tracing::warn!(
                    "{} is {own} again, as the command line says",
                    setting.name()
                ),
            }
        }
        if before != known.settings {
            (self.obey)(known.settings);
        }
        if let Standing::Cancelled(word) = &known.wished.state.standing
            && !self.shutdown.is_requested()
        {
            tracing::warn!(
                "run {} is cancelled, {word}: stopping after the batch in hand",
                self.decisions.run()
            );
            self.shutdown.request();
        }
        self.known.send_replace(known);
    }

    /// The settings that are others than these.
    fn differing(&self, before: &Settings) -> BTreeMap<Setting, String> {
        let now = self.known.borrow().settings;
        let differs = |setting: &Setting| before.show(*setting) != now.show(*setting);
        Setting::ALL
            .into_iter()
            .filter(differs)
            .map(|setting| (setting, now.show(setting)))
            .collect()
    }

    /// Notes what the process works by. That it could not be noted does not hold up the work.
    async fn note(&self, settings: BTreeMap<Setting, String>) {
        if settings.is_empty() {
            return;
        }
        let applied = Event::SettingsApplied(SettingsApplied { settings });
        if let Err(error) = self.decisions.note(applied, &self.shutdown).await {
            tracing::warn!("other settings are not in the journal: {error}");
        }
    }
}

/// What is wished by now; none where nothing has changed.
async fn read_on(decisions: &Decisions, stream: &str, known: Known) -> Result<Option<Known>> {
    let (connection, run) = (decisions.database().connection(), decisions.run());
    let mut next = known.clone();
    next.wished.read_on(connection, run, stream).await?;
    // Nobody else tells one that holds that there is nothing to hold for any more.
    if next.paused().is_some() {
        let head = journal::head(connection, run, RUN_STREAM).await?;
        if head.seq != known.run_seq {
            let (state, _) = runs::load(connection, run).await?;
            next.is_over = state.control().as_deref() != Some(stream);
            next.run_seq = head.seq;
        }
    }
    let is_news = next.wished.head != known.wished.head || next.run_seq != known.run_seq;
    Ok(is_news.then_some(next))
}
