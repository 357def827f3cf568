//! A minute of silence: a worker that is stopped, a connection that is half open, a connection that stalls, each for
//! longer than the server's patience with an open transaction. And a line that is slow.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::process::Running;
use tests::proxy::{Action, Proxy, Side, Step, Trip, Within};
use tests::scenario::Scenario;
use tests::tiny::Tiny;

/// Longer than the server lets a transaction of a worker's be silent.
const SILENCE: Duration = Duration::from_secs(62);

/// All at once, because all of them wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn longer_than_the_servers_patience() -> Result<()> {
    let tiny = Tiny::prepare().await?;
    let (stopped, half_open, stalled, slow) = tokio::join!(
        stopped(&tiny),
        half_open(&tiny),
        stalled(&tiny),
        slow(&tiny)
    );
    stopped.context("a worker that is stopped")?;
    half_open.context("a connection that is half open")?;
    stalled.context("a connection that stalls")?;
    slow.context("a slow line")
}

/// Starts a worker, and lets something happen to its connection while it writes its first rows.
async fn in_a_batch(tiny: &Tiny, copy: &Scenario, action: Action) -> Result<(Running, Proxy)> {
    let proxy = tiny.proxy().await?;
    let trip = Trip {
        side: Some(Side::Server),
        within: Within::Step(Step::Rows),
        after: 1,
        action,
    };
    let command = tiny.run_by(&proxy, copy)?;
    let (running, struck) = tiny.start_armed(&proxy, trip, command).await?;
    let struck = struck.context("no row was written")?;
    ensure!(struck.state.is_in_transaction(), "{struck:?}");
    Ok((running, proxy))
}

/// SIGSTOP with a claim in hand: the server ends its session, another worker takes over, and what it says when it goes
/// on comes too late.
async fn stopped(tiny: &Tiny) -> Result<()> {
    let copy = tiny.copy().await?;
    let (running, proxy) = in_a_batch(tiny, &copy, Action::Hold).await?;
    running.signal("STOP")?;
    proxy.release();
    tiny.run(&copy)?.expect(0).await?;
    tiny.check(&copy).await?;
    running.signal("CONT")?;
    let outcome = running.wait().await?;
    ensure!(
        matches!(outcome.code(), Some(0 | 5)),
        "it should find the work done, or ask to be run again: {outcome}"
    );
    tiny.check(&copy).await?;
    tiny.remove(copy).await
}

/// The worker is gone, and the server is not told: its limit for silent transactions frees the claim.
async fn half_open(tiny: &Tiny) -> Result<()> {
    let copy = tiny.copy().await?;
    let vanish = Action::HalfOpen(Side::Client, 3 * SILENCE);
    let (running, _proxy) = in_a_batch(tiny, &copy, vanish).await?;
    running.kill().await?;
    tiny.run(&copy)?.expect(0).await?;
    tiny.check(&copy).await?;
    tiny.remove(copy).await
}

/// Nothing passes for over a minute in the midst of a batch: the batch is lost, and done again.
async fn stalled(tiny: &Tiny) -> Result<()> {
    let copy = tiny.copy().await?;
    let (running, _proxy) = in_a_batch(tiny, &copy, Action::Stall(SILENCE)).await?;
    running.wait().await?.expect(0)?;
    tiny.check(&copy).await?;
    tiny.remove(copy).await
}

/// 200 ms for every question and its answer.
async fn slow(tiny: &Tiny) -> Result<()> {
    let copy = tiny.copy().await?;
    let proxy = tiny.proxy().await?;
    proxy.slow(Duration::from_millis(100));
    tiny.run_by(&proxy, &copy)?.expect(0).await?;
    tiny.check(&copy).await?;
    tiny.remove(copy).await
}
