//! A restore that is killed at any of its steps leaves either what stood or what was restored, whole and under the name;
//! and another restore goes on.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::cluster;
use tests::database::{Backend, Database};
use tests::scratch;

use super::{
    Closed, expect_restored, expect_same, left, migrated, name, restore, take, text, whole,
};

on_both!(killed_restores);

async fn killed_restores(backend: Backend) -> Result<()> {
    let scenario = migrated(Database::create(backend).await?, 503).await?;
    let (url, name) = (scenario.database.url.clone(), name(&scenario.database));
    let to = scratch::folder("backups")?;
    let restored = whole(&scenario.database).await?;
    let id = text(&take(&url, &to, &[]).await?, "id")?;
    let trace = scratch::folder("trace")?.join("points");
    let mut closed = left(scenario).await?;
    let traced = restore(&url, &id, &to, &name)?.env("BACKSTITCH_FAULT_TRACE", &trace);
    traced.expect(0).await?;
    let points = std::fs::read_to_string(&trace)?;
    let points: Vec<&str> = points
        .lines()
        .filter(|point| point.starts_with("restore: "))
        .collect();
    for wanted in ["restored", "renamed away", "swapped"] {
        let point = format!("restore: {wanted}");
        ensure!(
            points.contains(&point.as_str()),
            "{wanted} is not among {points:?}"
        );
    }
    let strike = scratch::folder("strike")?.join("list");
    for point in points {
        let scenario = closed.open().await?;
        scenario
            .database
            .execute("DELETE FROM \"AgentFeedback\"")
            .await?;
        let changed = whole(&scenario.database).await?;
        closed = left(scenario).await?;
        std::fs::write(&strike, point)?;
        let struck = restore(&url, &id, &to, &name)?.env("BACKSTITCH_FAULT", &strike);
        ensure!(
            struck.run().await?.was_killed(),
            "nothing was killed at {point}"
        );
        quiet(&closed, &name).await?;
        let scenario = closed.open().await?;
        let found = whole(&scenario.database).await?;
        match point {
            "restore: swapped" => expect_restored(&restored, found)?,
            _ => expect_same(&changed, &found)?,
        }
        scenario.verify_journal().await?;
        closed = left(scenario).await?;
        let again = restore(&url, &id, &to, &name)?.expect(0).await?;
        again.expect_named(&["kept as"])?;
        if point == "restore: restored" {
            again.expect_named(&["left over", "restoring"])?;
        }
        let scenario = closed.open().await?;
        expect_restored(&restored, whole(&scenario.database).await?)?;
        closed = left(scenario).await?;
    }
    Ok(())
}

/// Waits until the server has seen that the killed process is gone.
async fn quiet(closed: &Closed, name: &str) -> Result<()> {
    if closed.file.is_some() {
        return Ok(());
    }
    let server = Database::open(&cluster::shared()?.url("postgres")).await?;
    let sessions = format!("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{name}'");
    while server.value::<i64>(&sessions).await? > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.close().await
}
