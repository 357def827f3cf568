//! SIGINT and SIGTERM end a run after the batch in hand, and the same command goes on.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::process::{Invocation, Running};
use tests::scenario::Scenario;

on_both!(interrupted, terminated, interrupted_twice);

pub(crate) async fn interrupted(backend: Backend) -> Result<()> {
    signalled(backend, &["INT"], 130).await
}

pub(crate) async fn terminated(backend: Backend) -> Result<()> {
    signalled(backend, &["TERM"], 143).await
}

pub(crate) async fn interrupted_twice(backend: Backend) -> Result<()> {
    signalled(backend, &["INT", "INT"], 130).await
}

async fn signalled(backend: Backend, signals: &[&str], code: i32) -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(backend, 61)).await?;
    let expected = scenario.expected().await?;
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    let running = start_and_wait_for_batches(&scenario, run(&scenario)?).await?;
    let began = Instant::now();
    running.signal(signals[0])?;
    for signal in &signals[1..] {
        // The run may have ended by then, which is all that the second signal asks for.
        let _ = running.signal(signal);
    }
    let outcome = running.wait().await?.expect(code)?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(5), "it took {took:?} to end");
    if signals.len() == 1 {
        outcome.expect_named(&["progress saved", "same command"])?;
    }
    let done = journal::events(&scenario.database, "UnitCompleted", None).await?;
    ensure!(done < 5, "the run was complete before the signal came");
    scenario.verify_journal().await?;
    run(&scenario)?.expect(0).await?;
    expected.check(&scenario.database).await?;
    let runs = journal::events(&scenario.database, "RunStarted", None).await?;
    ensure!(
        runs == 1,
        "the run was not continued: {runs} runs were started"
    );
    scenario.verify_journal().await
}

fn run(scenario: &Scenario) -> Result<Invocation> {
    Ok(scenario.run()?.args(["--batch-rows", "25"]))
}

/// Starts it and returns once some batches are committed.
pub(crate) async fn start_and_wait_for_batches(
    scenario: &Scenario,
    run: Invocation,
) -> Result<Running> {
    let mut running = run.spawn()?;
    while journal::events(&scenario.database, "BatchCommitted", None).await? < 6 {
        ensure!(
            running.is_alive()?,
            "the run has ended early: {}",
            running.wait().await?
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(running)
}
