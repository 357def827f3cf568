//! A batch: claim, write, commit. What is written stands in one transaction, the journal's insert last.

use std::sync::Arc;

use super::Context;
use super::store::{self, Place, Writing};
use crate::backend::{self, Durability};
use crate::chain::Head;
use crate::core::event::Cursor;
use crate::error::{Doing, Error, Result};
use crate::fault;
use crate::journal;
use crate::projection;
use crate::retry::Retry;
use crate::unit::Page;

/// How a batch ended.
pub(super) enum Outcome {
    /// It is committed.
    Committed {
        /// Whether bad rows were among it.
        quarantined: bool,
    },
    /// It was not begun: somebody wants the work to hold, and what was read will be old.
    Held,
    /// Another worker has the partition, or has moved its cursor, or the server has crashed since: what was read is thrown away.
    Lost,
}

/// Commits a page that was read at `from`, in a life of the server: in another one the cursor may be back at `from`, and what
/// the page was read beside gone.
///
/// # Errors
/// The database's; a batch that erred is not committed.
pub(super) async fn commit(
    context: Arc<Context>,
    stream: String,
    from: Option<Cursor>,
    (page, life): (Page, Option<String>),
    writing: Writing,
) -> Result<Outcome> {
    let transaction = context
        .database
        .begin(Durability::Relaxed)
        .await
        .doing("beginning a batch")?;
    let claimed = projection::claim(&transaction, &context.run, &stream).await?;
    let Some(row) =
        claimed.filter(|row| projection::state(row).is_ok_and(|state| state.cursor == from))
    else {
        transaction.rollback().await.doing("ending a batch")?;
        return Ok(Outcome::Lost);
    };
    let now = backend::life(&transaction).await;
    if now.doing("telling the server's life")? != life {
        transaction.rollback().await.doing("ending a batch")?;
        return Ok(Outcome::Lost);
    }
    let place = match (&from, page.last) {
        (None, true) => "only",
        (None, false) => "first",
        (Some(_), true) => "last",
        (Some(_), false) => "middle",
    };
    let point = |step: &str| {
        fault::point(|| {
            let (unit, pass, section) = (&row.unit, row.pass, row.section);
            format!("batch {unit} {pass}.{section} {place}: {step}")
        });
    };
    point("claimed");
    let pin = context
        .started
        .units
        .iter()
        .find(|pin| pin.name == row.unit);
    let pin =
        pin.ok_or_else(|| Error::Damaged(format!("the run does not know unit {}", row.unit)))?;
    let place = Place {
        run: &context.run,
        worker: &context.worker,
        pin,
        is_followed: context.followed.contains(&row.unit),
        back: context.back.get(&row.unit),
    };
    let stored = store::store(&transaction, &place, &row, page, writing, &point).await?;
    let head = stored.head;

    let quarantined = !stored.bad.is_empty();
    let committed = transaction.commit().await.doing("committing a batch");
    point("committed");
    match committed {
        Ok(()) => Ok(Outcome::Committed { quarantined }),
        Err(error) => match settle(&context, &stream, &head).await? {
            true => Ok(Outcome::Committed { quarantined }),
            false => Err(error),
        },
    }
}

/// Whether a commit that erred took place after all: its event tells.
///
/// # Errors
/// [`Error::Transient`] where nobody can tell now; the next start can.
async fn settle(context: &Context, stream: &str, head: &Head) -> Result<bool> {
    let mut retry = Retry::default();
    loop {
        let connection = context.database.connection();
        match journal::at(connection, &context.run, stream, head.seq).await {
            Ok(entry) => return Ok(entry.is_some_and(|entry| entry.hash == head.hash)),
            Err(error) => {
                if retry.pause(error, &context.shutdown).await.is_err() {
                    return Err(Error::Transient(format!(
                        "the outcome of the last batch of partition {stream} is unknown, as the connection was lost \
                         while it was being committed; run the same command to go on: it looks the batch up first"
                    )));
                }
            }
        }
    }
}
