//! The connection cut after every message of one batch, in both directions; and a kill while COMMIT is on its way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::journal;
use tests::proxy::{Action, Passed, Reach, Side, State, Step, Transaction, Trip, Within};
use tests::tiny::Tiny;
use tokio::task::JoinSet;

/// Databases that are worked on at a time.
const AT_A_TIME: usize = 6;

/// The states that a cut must have struck at, among others.
const STATES: [&str; 11] = [
    "BEGIN answered",
    "claim sent",
    "claim answered",
    "rows sent",
    "rows answered",
    "provenance sent",
    "cursor sent",
    "event sent",
    "event answered",
    "COMMIT sent, unanswered",
    "COMMIT answered, nothing after it",
];

/// Whatever message the connection ends after, the worker recovers, or asks to be run again, and nothing is lost or
/// doubled. How many messages a batch has depends on which of its statements the connection has prepared before, so it
/// is cut after one more each time until a batch has no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_every_message_of_a_batch() -> Result<()> {
    let tiny = Arc::new(Tiny::prepare().await?);
    let (batch, passed) = first_batch(&tiny).await?;
    let mut states: BTreeMap<String, u32> = BTreeMap::new();
    for side in [Side::Client, Side::Server] {
        let usual = passed.iter().filter(|passed| passed.side == side).count() as u64;
        ensure!(usual > 20, "a batch of {usual} messages is no batch");
        let mut struck = 0;
        let mut running = JoinSet::new();
        let mut waiting = 1..=usual + 12;
        let mut is_over = false;
        loop {
            while !is_over
                && running.len() < AT_A_TIME
                && let Some(after) = waiting.next()
            {
                let tiny = tiny.clone();
                running.spawn(async move {
                    let cut = cut(&tiny, batch, side, after).await;
                    cut.with_context(|| format!("cut after message {after} of the {side:?}"))
                });
            }
            let Some(ended) = running.join_next().await else {
                break;
            };
            if let Some(state) = ended?? {
                struck += 1;
                *states.entry(state.to_string()).or_default() += 1;
            } else {
                // The batch had no more messages, so none of the later cuts would strike either.
                is_over = true;
            }
        }
        ensure!(
            struck + 12 > usual,
            "only {struck} of about {usual} cuts struck"
        );
    }
    for state in STATES {
        ensure!(
            states.contains_key(state),
            "no cut struck at `{state}`: {states:?}"
        );
    }
    Ok(())
}

/// The transaction that is the first batch, and its messages.
async fn first_batch(tiny: &Tiny) -> Result<(Transaction, Vec<Passed>)> {
    let copy = tiny.copy().await?;
    let proxy = tiny.proxy().await?;
    proxy.record();
    tiny.run_by(&proxy, &copy)?.expect(0).await?;
    let passed = proxy.recorded();
    let claim = passed
        .iter()
        .find(|passed| passed.state.step == Step::Claiming)
        .context("no partition was claimed")?;
    let batch = claim
        .transaction
        .context("a claim outside of a transaction")?;
    let passed = passed
        .into_iter()
        .filter(|passed| passed.transaction == Some(batch))
        .collect();
    tiny.check(&copy).await?;
    tiny.remove(copy).await?;
    Ok((batch, passed))
}

/// Cuts a connection once, and lets the worker, or its repetition, end. Gives what the connection was at; none where the
/// batch has not so many messages.
async fn cut(tiny: &Tiny, batch: Transaction, side: Side, after: u64) -> Result<Option<State>> {
    let copy = tiny.copy().await?;
    let proxy = tiny.proxy().await?;
    let trip = Trip {
        side: Some(side),
        within: Within::Transaction(batch),
        after,
        action: Action::Cut(Reach::One),
    };
    let command = tiny.run_by(&proxy, &copy)?;
    let (running, struck) = tiny.start_armed(&proxy, trip, command).await?;
    let outcome = running.wait().await?;
    if outcome.code() != Some(0) {
        outcome.expect(5)?;
        tiny.run_by(&proxy, &copy)?.expect(0).await?;
    }
    tiny.check(&copy).await?;
    tiny.remove(copy).await?;
    Ok(struck.map(|struck| struck.state))
}

/// The worker dies before COMMIT is sent, or after it was sent and before it is answered: the next one finds the batch in
/// the journal where it was committed, and does not write it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_around_commit() -> Result<()> {
    let tiny = Tiny::prepare().await?;
    let (batch, _) = first_batch(&tiny).await?;
    for step in [Step::Event, Step::Committing] {
        let copy = tiny.copy().await?;
        let proxy = tiny.proxy().await?;
        let trip = Trip {
            side: Some(Side::Client),
            within: Within::StepOf(batch, step),
            after: 1,
            action: Action::Hold,
        };
        let command = tiny.run_by(&proxy, &copy)?;
        let (running, struck) = tiny.start_armed(&proxy, trip, command).await?;
        let struck = struck.with_context(|| format!("the batch did not come to {step:?}"))?;
        ensure!(!struck.state.is_answered, "{struck:?}");
        if step == Step::Committing {
            // The server needs a moment to commit what it was told to.
            while journal::events(&copy.database, "BatchCommitted", None).await? == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        ensure!(running.kill().await?.was_killed(), "nothing was killed");
        proxy.cut();
        if step == Step::Event {
            tiny.check_untouched(&copy).await?;
        }
        tiny.run(&copy)?.expect(0).await?;
        tiny.check(&copy).await?;
        tiny.remove(copy).await?;
    }
    Ok(())
}
