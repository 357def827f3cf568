//! What nothing has disturbed: the end states of a run and of a rollback, and how long they take.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::ground::Ground;
use super::instants::{BATCH, UNDO, Usual};
use super::phase::{self, Settings};
use crate::database::Database;
use crate::process::Invocation;
use crate::provenance;
use crate::proxy::{Action, Proxy, Step, Trip, Within};
use crate::scenario::Scenario;
use crate::standing::Standing;

/// What nothing has disturbed.
pub(super) struct Reference {
    /// The sources, and the destinations as they were before.
    pub(super) before: Standing,
    /// Everything, after a run.
    pub(super) after: Standing,
    /// Every bad row.
    pub(super) quarantine: Vec<String>,
    /// How long the run takes.
    pub(super) run: Usual,
    /// How long the rollback takes.
    pub(super) rollback: Usual,
}

/// A run and a rollback that nothing disturbs.
pub(super) async fn refer(
    ground: &Ground,
    scenario: &Scenario,
    settings: Settings,
) -> Result<Reference> {
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let database = &scenario.database;
    let before = Standing::read(database).await?;
    let measured = |invocation, steps, kind| measure(ground, database, invocation, steps, kind);
    let command = phase::run(scenario, settings)?;
    let run = measured(command, BATCH, "BatchCommitted").await?;
    let after = Standing::read(database).await?;
    let quarantine = quarantine(database).await?;
    let written = after.since(&before);
    ensure!(
        written.len() > 50,
        "only {} rows are written",
        written.len()
    );
    provenance::check(&provenance::entries(database).await?, &written)?;
    let newest = standing_runs(database).await?;
    let newest = newest.first().context("a run")?;
    let command = phase::rollback(scenario, newest)?;
    let rollback = measured(command, UNDO, "BatchUndone").await?;
    let difference = before.compare(&Standing::read(database).await?);
    ensure!(difference.is_nothing(), "undisturbed: {difference}");
    Ok(Reference {
        before,
        after,
        quarantine,
        run,
        rollback,
    })
}

/// Runs a program to its end, and measures until its first batch and its end.
async fn measure(
    ground: &Ground,
    database: &Database,
    invocation: Invocation,
    steps: &'static [Step],
    kind: &str,
) -> Result<Usual> {
    let began = Instant::now();
    let Some(proxy) = ground.proxy().await? else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        invocation.expect(0).await?;
        let whole = u64::try_from(began.elapsed().as_micros())?;
        let sql = format!("SELECT MIN(\"at\") FROM backstitch_journal WHERE kind = '{kind}'");
        let first: i64 = database.value(&sql).await?;
        let start = Duration::from_millis(u64::try_from(first)?).saturating_sub(now);
        return Ok(Usual {
            start: u64::try_from(start.as_micros())?.min(whole),
            whole,
            clock: began.elapsed(),
            steps,
        });
    };
    let trip = Trip {
        side: None,
        within: Within::Step(steps[0]),
        after: 1,
        action: Action::Tell,
    };
    let told = proxy.arm(trip);
    let url = ground.cluster()?.url_by(proxy.port(), database.name());
    let running = invocation.at(&url).spawn()?;
    let start = messages_when(told, &proxy).await;
    running.wait().await?.expect(0)?;
    let whole = proxy.messages();
    Ok(Usual {
        start: start?.min(whole),
        whole,
        clock: began.elapsed(),
        steps,
    })
}

async fn messages_when(
    told: tokio::sync::oneshot::Receiver<crate::proxy::Struck>,
    proxy: &Proxy,
) -> Result<u64> {
    tokio::time::timeout(Duration::from_secs(600), told)
        .await
        .context("an undisturbed program does not come to its first batch")??;
    Ok(proxy.messages())
}

/// The runs that are not taken back, newest first.
pub(super) async fn standing_runs(database: &Database) -> Result<Vec<String>> {
    let sql = "SELECT run FROM backstitch_journal WHERE kind = 'RunStarted' AND run NOT IN \
               (SELECT run FROM backstitch_journal WHERE kind = 'UndoCompleted') ORDER BY position DESC";
    database.texts(sql).await
}

/// Whether the newest run is complete, and nobody has begun to take it back.
pub(super) async fn is_complete(database: &Database) -> Result<bool> {
    if !database.has_table("backstitch_journal").await? {
        return Ok(false);
    }
    let kinds = "SELECT kind FROM backstitch_journal WHERE kind IN ('RunCompleted', 'UndoStarted') AND run = \
                 (SELECT run FROM backstitch_journal WHERE kind = 'RunStarted' ORDER BY position DESC LIMIT 1)";
    let kinds = database.texts(kinds).await?;
    Ok(kinds == ["RunCompleted"])
}

/// Every bad row of the newest run, as the journal has it.
pub(super) async fn quarantine(database: &Database) -> Result<Vec<String>> {
    let sql = "SELECT payload FROM backstitch_journal WHERE kind = 'RowQuarantined' AND run = \
               (SELECT run FROM backstitch_journal WHERE kind = 'RunStarted' ORDER BY position DESC LIMIT 1)";
    let mut payloads = database.texts(sql).await?;
    payloads.sort();
    Ok(payloads)
}
