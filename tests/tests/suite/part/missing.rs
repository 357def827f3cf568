//! What is thought of rows that were taken back.

use anyhow::{Result, ensure};
use tests::database::Backend;
use tests::dump;

use super::{WORD, cli, rollback};
use crate::deep::{load, sum, validate};

on_both!(what_is_taken_back_is_missing);

/// What was taken back is nobody's: validation calls it missing, and a repair writes it as if it had never been.
async fn what_is_taken_back_is_missing(backend: Backend) -> Result<()> {
    let scenario = load(backend, 548).await?;
    scenario.run()?.expect(0).await?;
    let before = scenario.state().await?;
    let keys: Vec<String> = dump::keyed(&scenario.database, "KPIHistory")
        .await?
        .into_keys()
        .collect();
    rollback(&scenario, &["--unit", "kpi_history", "--to-key", &keys[6]]).await?;

    let (found, outcome) = validate(&scenario, &[], 3).await?;
    let kinds = ["wrong", "missing", "changed", "bad"].map(|kind| sum(&found, kind));
    ensure!(kinds == [0, 7, 0, 0], "{kinds:?}: {outcome}");
    let plain = scenario.cli(&["validate"])?.expect(3).await?;
    plain.expect_named(&["source rows without their destination row"])?;
    let repair = [&["repair"][..], &WORD].concat();
    cli(&scenario, &repair)?.expect(0).await?;
    scenario.expect_state(&before).await?;
    validate(&scenario, &[], 0).await?;
    scenario.verify_journal().await
}
