//! A provider's snapshot: the operator's command puts it back, and what it has changed is looked at afterwards.

use super::{NOTHING, Restore, Restored, event, head_if_readable, note, open_run};
use crate::backend::{Access, Database};
use crate::backup::command;
use crate::core::event::BackupMethod;
use crate::error::{Error, Result};
use crate::retry::Retry;
use crate::shutdown::Shutdown;

pub(super) async fn restore(order: &Restore<'_>, shutdown: &Shutdown) -> Result<Option<Restored>> {
    let backup = &order.listed.backup;
    let (from, head) = before(order).await;
    let ended = command::run(
        order.command,
        &backup.id,
        order.address,
        order.reading.surroundings,
        shutdown,
    )
    .await?;
    let Some(BackupMethod::Command { output, .. }) = ended else {
        return Ok(None);
    };
    tracing::warn!("the command said: {output}");
    let mut retry = Retry::default();
    let database = loop {
        match Database::connect(order.address.url(), 2, Access::Write).await {
            Ok(database) => break database,
            Err(error) => retry.pause(error, shutdown).await.map_err(|error| {
                Error::Failed(format!(
                    "the command that puts the snapshot back has ended well, but the database cannot be opened: {error}"
                ))
            })?,
        }
    };
    let looked = look(&database, order, from, head).await;
    database.close().await;
    looked.map(Some)
}

/// The identity of what stands, and where its journal ends, as far as it can be read.
async fn before(order: &Restore<'_>) -> (String, String) {
    match Database::connect(order.address.url(), 1, Access::Read).await {
        Ok(database) => {
            let identity = database.identity().await;
            let head = head_if_readable(&database).await;
            database.close().await;
            (identity.unwrap_or(NOTHING.into()), head)
        }
        Err(error) => {
            tracing::warn!(
                "the database before cannot be read, so that the end of its journal is not noted: {error}"
            );
            (NOTHING.into(), String::new())
        }
    }
}

async fn look(
    database: &Database,
    order: &Restore<'_>,
    from: String,
    head: String,
) -> Result<Restored> {
    let to = database.identity().await?;
    let mut noted = event(order, &order.listed.backup, from, to);
    noted.head = head;
    if !noted.head.is_empty() && super::head(database).await? == noted.head {
        noted.problems.push(
            "the journal ends where it ended before, so that nothing may have been put back".into(),
        );
    }
    note(database, order.reading.worker, &noted).await?;
    let open_run = open_run(database).await?;
    Ok(Restored {
        noted,
        open_run,
        left_over: Vec::new(),
    })
}
