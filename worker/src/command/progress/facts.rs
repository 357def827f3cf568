//! What is shown, as it was at one moment.

use std::collections::BTreeMap;

use worker::backend::Database;
use worker::error::Error;
use worker::forecast::Range;
use worker::status::{self, Following, Hold, Holds, Run};

/// What is shown.
#[derive(Debug)]
pub(in crate::command) struct Facts {
    pub(super) run: Run,
    /// Of each unit that is running: how long it has still to go.
    pub(super) left: BTreeMap<String, Range>,
    /// What this process holds for.
    pub(super) holds: Vec<Hold>,
    pub(super) last: Option<Last>,
}

/// The newest event that is committed.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) kind: String,
    pub(super) unit: Option<String>,
    /// When, milliseconds since 1970.
    pub(super) at: i64,
}

impl Facts {
    /// Loads them.
    ///
    /// # Errors
    /// The database's.
    pub(in crate::command) async fn load(
        database: &Database,
        run: &str,
        holds: &mut Holds,
    ) -> Result<Self, Error> {
        let connection = database.connection();
        let run = status::load(connection, run).await?;
        let last = status::last(connection, &run.run).await?;
        Ok(Self {
            left: status::left(connection, &run).await?,
            holds: holds.look(connection).await?,
            last: last.map(|entry| Last {
                kind: entry.kind,
                unit: entry.unit,
                at: entry.at,
            }),
            run,
        })
    }

    /// How far the run has caught up, once it has.
    pub(super) fn caught_up(&self) -> Option<&Following> {
        let following = self.run.following.as_ref();
        following.filter(|following| following.caught_up_to.is_some())
    }
}
