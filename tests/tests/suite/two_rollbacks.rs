//! Two rollbacks of one run at once: whatever the second has read before the first began, the first's fence stands, and
//! the second finds that nothing is left.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tests::proxy::{Action, Passed, Side, Step, Trip, Within};
use tests::tiny::Tiny;
use tokio::task::JoinSet;

/// A copy of the database that the run was made in is another one.
const ROLLBACK: [&str; 7] = [
    "rollback",
    "--yes",
    "--reason",
    "two at once",
    "--adopt-database",
    "--max-replica-lag",
    "off",
];

/// Databases that are worked on at a time.
const AT_A_TIME: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_is_held_at_each_step_before_it_begins() -> Result<()> {
    let tiny = Arc::new(Tiny::prepare().await?.after_a_run().await?);
    let mut moments = before_it_begins(&tiny).await?.into_iter();
    ensure!(moments.len() > 10, "only {} moments", moments.len());
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_A_TIME
            && let Some(after) = moments.next()
        {
            let tiny = tiny.clone();
            running.spawn(async move {
                let held = hold(&tiny, after).await;
                held.with_context(|| format!("held after message {after} of the server"))
            });
        }
        let Some(ended) = running.join_next().await else {
            return Ok(());
        };
        ended??;
    }
}

/// The ends of the transactions before the one that begins the rollback, as numbers of the server's messages: within one
/// everything is read at one instant.
async fn before_it_begins(tiny: &Tiny) -> Result<Vec<u64>> {
    let copy = tiny.copy().await?;
    let proxy = tiny.proxy().await?;
    proxy.record();
    let rollback = tiny.by(&proxy, &copy, copy.cli(&ROLLBACK)?);
    rollback.expect(0).await?;
    let passed = proxy.recorded();
    tiny.check_untouched(&copy).await?;
    tiny.remove(copy).await?;

    let is_event = |passed: &&Passed| passed.state.step == Step::Event;
    let begins = passed.iter().find(is_event).context("no event")?;
    let begins = begins
        .transaction
        .context("an event outside of a transaction")?;
    let answers = passed.iter().filter(|passed| passed.side == Side::Server);
    let before = answers
        .zip(1..)
        .take_while(|(answer, _)| answer.transaction != Some(begins));
    Ok(before
        .filter(|(answer, _)| answer.kind == b'Z' && !answer.state.is_in_transaction())
        .map(|(_, number)| number)
        .collect())
}

/// Holds the second rollback, lets the first go to its end, and the second go on.
async fn hold(tiny: &Tiny, after: u64) -> Result<()> {
    let copy = tiny.copy().await?;
    let proxy = tiny.proxy().await?;
    let trip = Trip {
        side: Some(Side::Server),
        within: Within::Anything,
        after,
        action: Action::Hold,
    };
    let command = tiny.by(&proxy, &copy, copy.cli(&ROLLBACK)?);
    let (second, struck) = tiny.start_armed(&proxy, trip, command).await?;
    struck.context("the second did not come so far")?;
    copy.cli(&ROLLBACK)?.expect(0).await?;
    proxy.release();
    second.wait().await?.expect(0)?;
    tiny.check_untouched(&copy).await?;
    tiny.remove(copy).await
}
