//! Pictures for people: nobody but them can tell whether a page is one that they would be glad of.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tests::chromium::{Chromium, Look};
use tests::database::Backend;
use tests::process::Invocation;

use super::{SLOW, hostile, show};

/// Pictures of a run that works, holds, was killed and is complete, for whoever wants to look: `BACKSTITCH_SHOTS=folder`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes pictures for people"]
async fn screenshots() -> Result<()> {
    let folder = PathBuf::from(
        std::env::var("BACKSTITCH_SHOTS").context("BACKSTITCH_SHOTS names a folder")?,
    );
    let scenario = hostile(Backend::Postgres, 1_603).await?;
    let mut browser = Chromium::start()?;
    let started = |options: &[&str]| -> Result<Invocation> {
        Ok(scenario.run_without_migrating()?.args(SLOW).args(options))
    };
    let killed = started(&[])?.spawn()?;
    let shown = show(started(&["--status-addr", "127.0.0.1:0"])?).await?;
    let url = format!("http://{}/", shown.address);
    let mut shoot = |name: &str, until: &str| -> Result<()> {
        for (width, dark) in [(1_280, false), (1_280, true), (390, false), (390, true)] {
            let tab = browser.open(Look {
                width,
                dark,
                scripts: true,
            })?;
            browser.go(&tab, &url)?;
            browser.wait(&tab, until)?;
            let theme = if dark { "dark" } else { "light" };
            browser.shoot(&tab, &folder.join(format!("{name}-{width}-{theme}.png")))?;
            browser.close(&tab)?;
        }
        Ok(())
    };
    tokio::time::sleep(Duration::from_secs(12)).await;
    killed.kill().await?;
    tokio::time::sleep(Duration::from_secs(35)).await;
    let other = started(&[])?.spawn()?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    shoot("running", "document.title.startsWith('Running')")?;
    scenario
        .cli(&["run", "pause", "--by", "Mia", "--note", "the shop is slow"])?
        .expect(0)
        .await?;
    shoot("held", "document.title.startsWith('Paused')")?;
    scenario
        .cli(&["run", "resume", "--by", "Mia"])?
        .expect(0)
        .await?;
    scenario
        .cli(&["run", "set", "pace=off", "--by", "Mia"])?
        .expect(0)
        .await?;
    other.wait().await?.expect(0)?;
    shown.running.wait().await?.expect(0)?;
    let again = show(scenario.cli(&["serve", "--addr", "127.0.0.1:0"])?).await?;
    let url = format!("http://{}/", again.address);
    for (width, dark) in [(1_280, false), (390, true)] {
        let tab = browser.open(Look {
            width,
            dark,
            scripts: true,
        })?;
        browser.go(&tab, &url)?;
        browser.shoot(&tab, &folder.join(format!("finished-{width}.png")))?;
    }
    again.running.signal("INT")?;
    again.running.wait().await?.expect(130)?;
    Ok(())
}
