//! Steering: what operators wish of a run while it is under way. Their wishes are events of a stream of its own, so that
//! they reach every process on every host through the database alone, and stay known.
//!
//! - `order` says what may be wished, and what follows from it.
//! - `settings` is what may be set, and reads it.
//! - `steering` is a process that looks at the stream, and obeys.

mod order;
mod settings;
mod steering;

use sea_orm::ConnectionTrait;

use crate::backend::{self, Database, Durability};
use crate::chain::Head;
use crate::core::event::{Purpose, Word};
use crate::core::replay::CONTROL_STREAM;
use crate::core::state::{ControlState, RunState, RunStatus, Standing};
use crate::error::{Doing, Error, Result};
use crate::journal::{self, Stream};
use crate::retry::Retry;
use crate::runs::{self, point};
use crate::shutdown::Shutdown;

pub use self::order::{Order, decide};
pub use self::settings::{MOST_WORKERS, Settings, parse};
pub(crate) use self::steering::PAUSED;
pub use self::steering::Steering;

/// Connections that a process may need at once, however many workers are set: each reads on one and writes on another;
/// progress, planning, pace and steering have theirs. They are made as they are needed, so a process of few workers has few.
pub const CONNECTIONS: u32 = 2 * 64 + 4;

/// Events in a page of a load.
const PAGE: u64 = 1_000;

/// What is wished of a run, or of one of its rollbacks.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the stream folds into.
    pub state: ControlState,
    /// Where it ends.
    pub head: Head,
    /// Since when it is paused or cancelled, milliseconds since 1970; none where it goes on.
    pub since: Option<i64>,
}

/// What came of an order.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// What is wished now.
    pub state: ControlState,
    /// Where the run stands.
    pub status: RunStatus,
    /// What the run is for.
    pub purpose: Purpose,
    /// Whether anything was appended; false: it was so already.
    pub is_changed: bool,
}

/// Loads one of a run's streams of wishes; nothing is wished where it is empty.
///
/// # Errors
/// [`Error::Illegal`], [`Error::Damaged`]: it does not fold. The database's.
pub async fn load(connection: &impl ConnectionTrait, run: &str, stream: &str) -> Result<Loaded> {
    let mut loaded = Loaded::nothing();
    loaded.read_on(connection, run, stream).await?;
    Ok(loaded)
}

impl Loaded {
    /// What is wished before anybody has wished for anything.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            state: ControlState::default(),
            head: Head::empty(),
            since: None,
        }
    }

    /// Folds in what has come since.
    ///
    /// # Errors
    /// As [`load`].
    pub async fn read_on(
        &mut self,
        connection: &impl ConnectionTrait,
        run: &str,
        stream: &str,
    ) -> Result<()> {
        loop {
            let page = journal::stream_after(connection, run, stream, self.head.seq, PAGE).await?;
            for entry in &page {
                let was = self.state.standing.clone();
                self.state.apply(stream, &journal::event(entry)?)?;
                if self.state.standing != was {
                    let is_going = self.state.standing == Standing::Going;
                    self.since = (!is_going).then_some(entry.at);
                }
                self.head = Head {
                    seq: entry.seq,
                    hash: entry.hash.clone(),
                };
            }
            if (page.len() as u64) < PAGE {
                return Ok(());
            }
        }
    }
}

/// Appends an order, patiently; nothing where it is so already.
///
/// # Errors
/// [`Error::Refused`], [`Error::Usage`]: the run cannot be steered so, or a newer release wrote the journal. The
/// database's, after bounded retries.
pub async fn give(database: &Database, run: &str, worker: &str, order: &Order) -> Result<Ordered> {
    let mut retry = Retry::default();
    loop {
        match try_give(database, run, worker, order).await {
            Ok(Some(ordered)) => return Ok(ordered),
            // Somebody else was first: what is to be done is decided on what they wish.
            Ok(None) => {}
            // Of a commit that erred the outcome is unknown; where it took place, it is so already.
            Err(error) => retry.pause(error, &Shutdown::default()).await?,
        }
    }
}

/// One attempt; none: somebody else was first.
async fn try_give(
    database: &Database,
    run: &str,
    worker: &str,
    order: &Order,
) -> Result<Option<Ordered>> {
    journal::check_format(database.connection()).await?;
    let doing = "steering the run";
    let transaction = database.begin(Durability::Synced).await.doing(doing)?;
    match append(&transaction, run, worker, order).await {
        Ok(ordered) if ordered.is_changed => {
            transaction.commit().await.doing(doing)?;
            Ok(Some(ordered))
        }
        Ok(ordered) => {
            transaction.rollback().await.doing(doing)?;
            Ok(Some(ordered))
        }
        Err(Error::Database { source, .. }) if backend::is_unique_violation(&source) => {
            transaction.rollback().await.doing(doing)?;
            Ok(None)
        }
        Err(error) => {
            transaction.rollback().await.doing(doing)?;
            Err(error)
        }
    }
}

async fn append(
    transaction: &impl ConnectionTrait,
    run: &str,
    worker: &str,
    order: &Order,
) -> Result<Ordered> {
    let (state, _) = runs::load(transaction, run).await?;
    let Some(stream) = state.control() else {
        return Err(order::over(run, &state));
    };
    let mut loaded = load(transaction, run, &stream).await?;
    let event = decide(run, &state, &loaded.state, order)?;
    let is_changed = event.is_some();
    if let Some(event) = event {
        loaded.state.apply(&stream, &event)?;
        let at = journal::now(transaction).await?;
        let place = Stream {
            run,
            stream: &stream,
            worker,
        };
        let events = [event];
        let chained = journal::chain(place, &loaded.head, at, &events)?;
        journal::append(transaction, chained).await?;
        point(&events, "appended");
    }
    Ok(Ordered {
        state: loaded.state,
        status: state.status,
        purpose: state.started.purpose(),
        is_changed,
    })
}

/// Refuses to work on a run that somebody cancelled.
///
/// # Errors
/// [`Error::Refused`], with what to do next. The database's.
pub async fn check(connection: &impl ConnectionTrait, run: &str, state: &RunState) -> Result<()> {
    if !state.status.is_open() {
        return Ok(());
    }
    let loaded = load(connection, run, CONTROL_STREAM).await?;
    match &loaded.state.standing {
        Standing::Cancelled(word) => Err(cancelled(run, word)),
        Standing::Going | Standing::Paused(_) => Ok(()),
    }
}

/// Why nobody works on a run that somebody cancelled.
pub(crate) fn cancelled(run: &str, word: &Word) -> Error {
    Error::Refused(format!(
        "run {run} is cancelled, {word}; all that was committed stays. `cli run resume --by NAME` allows it to go on, `cli \
         rollback --run {run}` takes it back"
    ))
}
