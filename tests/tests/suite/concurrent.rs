//! Several workers on one database end as one worker does.

use anyhow::Result;
use tests::database::Backend;
use tests::generate::Profile;
use tests::process::Running;
use tests::scenario::Scenario;

on_both!(three_workers_at_once, two_that_migrate_at_once);

pub(crate) async fn three_workers_at_once(backend: Backend) -> Result<()> {
    let profile = Profile::busy(backend, 21);
    let reference = Scenario::load(&profile).await?;
    let oracle = reference.expected().await?;
    reference.run()?.args(["--workers", "1"]).expect(0).await?;
    oracle.check(&reference.database).await?;
    let expected = reference.state().await?;

    let shared = Scenario::load_with_schema(&profile).await?;
    let start = |_| {
        shared
            .run()?
            .args(["--batch-rows", "40", "--partitions", "6"])
            .spawn()
    };
    let workers = (0..3).map(start).collect::<Result<Vec<Running>>>()?;
    for worker in workers {
        worker.wait().await?.expect(0)?;
    }
    shared.expect_state(&expected).await?;
    shared.verify_journal().await?;
    shared.cli(&["validate"])?.expect(0).await?;
    Ok(())
}

/// One is killed on the way: its claims end with its connection, and the others take over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_holds_up_nobody() -> Result<()> {
    let profile = Profile::busy(Backend::Postgres, 22);
    let shared = Scenario::load(&profile).await?;
    let oracle = shared.expected().await?;
    shared.cli(&["schema", "up"])?.expect(0).await?;
    let start = || shared.run()?.args(["--batch-rows", "30"]).spawn();
    let (one, other) = (start()?, start()?);
    while tests::journal::events(&shared.database, "BatchCommitted", None).await? < 10 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    one.kill().await?;
    other.wait().await?.expect(0)?;
    oracle.check_rows(&shared.database).await?;
    shared.verify_journal().await
}

pub(crate) async fn two_that_migrate_at_once(backend: Backend) -> Result<()> {
    for seed in 0..4 {
        let profile = Profile {
            large: false,
            ..Profile::odd(backend, 30 + seed)
        };
        let shared = Scenario::load(&profile).await?;
        let oracle = shared.expected().await?;
        let (one, other) = (shared.run()?.spawn()?, shared.run()?.spawn()?);
        one.wait().await?.expect(0)?;
        other.wait().await?.expect(0)?;
        oracle.check_rows(&shared.database).await?;
        shared.verify_journal().await?;
    }
    Ok(())
}

/// On SQLite a transaction that has read and then would write fails at once where somebody has written in between (517),
/// whatever the busy timeout: each that may write says so when it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_first_and_writes_then() -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::busy(Backend::Sqlite, 23)).await?;
    let start = |_| scenario.run()?.args(["--batch-rows", "10"]).spawn();
    let workers = (0..3).map(start).collect::<Result<Vec<Running>>>()?;
    for worker in workers {
        let ended = worker.wait().await?.expect(0)?;
        anyhow::ensure!(!ended.stderr.contains("(517)"), "{ended}");
    }
    scenario.verify_journal().await
}
