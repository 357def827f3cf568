//! A share of what `tests/torture` does: runs and rollbacks under faults, then compared with undisturbed ones.

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::torture::{self, Ledger, Options, Wanted};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() -> Result<()> {
    let kills = 40;
    torture(
        Backend::Sqlite,
        Wanted {
            kills,
            ..Wanted::default()
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres() -> Result<()> {
    torture(
        Backend::Postgres,
        Wanted {
            kills: 30,
            server_crashes: 4,
            cuts: 30,
        },
    )
    .await
}

async fn torture(backend: Backend, wanted: Wanted) -> Result<()> {
    let seed = std::env::var("BACKSTITCH_SEED").ok();
    let options = Options {
        backend,
        wanted,
        workers: 4,
        lanes: 2,
        limit: None,
        seed: seed.map_or(Ok(1), |seed| seed.parse())?,
    };
    let ledger = Ledger::default();
    let told = |_, _: &Ledger, _: Option<&str>| ();
    torture::torture(options, &ledger, told)
        .await
        .with_context(|| ledger.to_string())?;
    let left = wanted.without(ledger.struck());
    ensure!(left.is_nothing(), "{left:?} did not strike:\n{ledger}");
    // A fault that only ever meets a program that starts proves little.
    let in_batches = match backend {
        Backend::Sqlite => ledger.at(|state| state == "in a writing transaction"),
        Backend::Postgres => ledger.at(|state| {
            ["rows", "provenance", "cursor", "event", "COMMIT sent"]
                .iter()
                .any(|step| state.starts_with(step))
        }),
    };
    ensure!(
        in_batches >= 3,
        "only {in_batches} struck in the midst of a transaction that writes:\n{ledger}"
    );
    Ok(())
}
