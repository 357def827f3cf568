//! Keeps the picture up to date while somebody looks, and asks the database for nothing while nobody does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::backend::Database;
use crate::error::Error;
use crate::page::{self, Shown};
use crate::picture::{Picture, Watch, Which};
use crate::schema;
use crate::shutdown::Shutdown;

/// How often the journal is looked at while somebody looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long it waits between two looks where there is much to read.
const BREATH: Duration = Duration::from_millis(20);
/// For how long somebody who asked is taken to look on.
const INTEREST: Duration = Duration::from_secs(10);
/// How old a picture may be that is shown without another look.
const FRESH: Duration = Duration::from_millis(1_500);
/// How long whoever asks waits for a new look; then there is what there is.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known at the time.
#[derive(Debug)]
pub(super) struct Now {
    /// What the run looks like; none: nothing was run, or nothing was seen yet.
    pub(super) picture: Option<Picture>,
    /// The same as a page.
    pub(super) shown: Shown,
    /// When the database last answered; none: not yet.
    pub(super) looked: Option<Instant>,
    /// Why it did not answer the last time.
    pub(super) trouble: Option<String>,
    /// How often it did not.
    pub(super) errors: u64,
    /// Why whoever looks should not be sent here yet; none: all is ready.
    pub(super) unready: Option<String>,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    now: watch::Sender<Arc<Now>>,
    which: Mutex<Option<Which>>,
    asked: Mutex<Option<Instant>>,
    wake: Notify,
    /// Asked once nothing more will come.
    pub(super) over: Shutdown,
}

impl Shared {
    pub(super) fn new(which: Option<Which>) -> Self {
        let now = Now {
            picture: None,
            shown: page::show(None),
            looked: None,
            trouble: None,
            errors: 0,
            unready: Some("the run is not opened yet".into()),
        };
        Self {
            now: watch::Sender::new(Arc::new(now)),
            which: Mutex::new(which),
            asked: Mutex::new(None),
            wake: Notify::new(),
            over: Shutdown::default(),
        }
    }

    /// The run that is shown from now on.
    pub(super) fn choose(&self, which: Which) {
        *self.which.lock().unwrap_or_else(PoisonError::into_inner) = Some(which);
        self.wake.notify_one();
    }

    /// What is known, each time that it changes.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Now>> {
        self.now.subscribe()
    }

    /// Somebody looks.
    pub(super) fn ask(&self) {
        let now = Instant::now();
        let before = self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(now);
        if before.is_none_or(|before| before.elapsed() > LOOK) {
            self.wake.notify_one();
        }
    }

    /// What is known, looked at anew where it is old, but without waiting for it for long.
    pub(super) async fn fresh(&self) -> Arc<Now> {
        self.ask();
        let mut changes = self.changes();
        let is_fresh = |now: &Arc<Now>| {
            now.looked.is_some_and(|at| at.elapsed() < FRESH) || self.over.is_requested()
        };
        let known = tokio::time::timeout(PATIENCE, changes.wait_for(is_fresh)).await;
        if let Ok(Ok(now)) = known {
            return Arc::clone(&now);
        }
        let now = self.now.borrow();
        Arc::clone(&now)
    }

    fn chosen(&self) -> Option<Which> {
        self.which
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_asked(&self) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|at| at.elapsed() < INTEREST)
    }
}

/// Looks again and again while somebody does, until asked to stop, and once more then, so that they see the end.
pub(super) async fn keep(shared: Arc<Shared>, database: Database, stop: Shutdown) {
    // The run's own connections are the run's.
    let beside = database.beside();
    let database = beside.as_ref().unwrap_or(&database);
    let mut watch: Option<(Which, Watch)> = None;
    loop {
        let is_last = stop.is_requested();
        if let Some(which) = shared.chosen()
            && shared.is_asked()
        {
            if watch.as_ref().is_none_or(|(other, _)| *other != which) {
                watch = Some((which.clone(), Watch::new(which)));
            }
            if let Some((_, watch)) = &mut watch {
                let is_whole = look(&shared, database, watch).await;
                if !is_whole && !is_last {
                    // There is much to read: others come first now and then.
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            }
        }
        if is_last {
            break;
        }
        let woken = async {
            match shared.is_asked() {
                true => tokio::time::sleep(LOOK).await,
                false => shared.wake.notified().await,
            }
        };
        tokio::select! {
            () = woken => {}
            () = stop.requested() => {}
        }
    }
    shared.over.request();
    if let Some(beside) = &beside {
        beside.close().await;
    }
}

/// Looks once; false: there is more to read at once.
async fn look(shared: &Shared, database: &Database, watch: &mut Watch) -> bool {
    let looked = async {
        schema::check_applied(database).await?;
        watch.look(database).await
    };
    let looked = looked.await;
    let before = Arc::clone(&shared.now.borrow());
    let (now, is_whole) = match looked {
        Ok(picture) => {
            let is_whole = picture.as_ref().is_none_or(|picture| picture.is_whole);
            let now = Now {
                shown: page::show(picture.as_ref()),
                picture,
                looked: Some(Instant::now()),
                trouble: None,
                errors: before.errors,
                unready: None,
            };
            (now, is_whole)
        }
        Err(error) => {
            if before.trouble.is_none() {
                tracing::warn!("the live page is not up to date: {error}");
            }
            (troubled(&before, &error), true)
        }
    };
    shared.now.send_replace(Arc::new(now));
    is_whole
}

/// What was known before, with what went wrong since.
fn troubled(before: &Now, error: &Error) -> Now {
    Now {
        picture: before.picture.clone(),
        shown: before.shown.clone(),
        looked: before.looked,
        // A database's message could hold a row's values.
        trouble: Some(error.without_values()),
        errors: before.errors + 1,
        unready: Some(error.without_values()),
    }
}
