//! The report: one file that a browser shows from the disk, and asks nobody for anything.

use anyhow::{Context, Result, ensure};
use tests::chromium::{Chromium, Look};
use tests::database::Backend;
use tests::scratch;

use super::{expect_accessible, expect_text, hostile};

on_both!(the_report_needs_nothing);

/// The browser found nothing wrong, and asked nobody else.
fn expect_quiet(browser: &mut Chromium, at: &str) -> Result<()> {
    let complaints = browser.complaints()?;
    ensure!(
        complaints.is_empty(),
        "the browser complains: {}",
        complaints.join("\n")
    );
    for url in browser.requests()? {
        ensure!(
            url.starts_with(at) || url.starts_with("data:"),
            "{url} was asked for"
        );
    }
    Ok(())
}

pub(crate) async fn the_report_needs_nothing(backend: Backend) -> Result<()> {
    let scenario = hostile(backend, 1_602).await?;
    scenario
        .cli(&["report", "-o", "report.html"])?
        .expect(2)
        .await?
        .expect_clear_error()?;
    scenario.run_without_migrating()?.expect(0).await?;
    let path = scratch::folder("report")?.join("report.html");
    let file = path.to_str().context("a path")?;
    let report = ["report", "-o", file];
    scenario
        .cli(&report)?
        .expect(0)
        .await?
        .expect_named(&["report.html"])?;
    let first = std::fs::read(&path)?;
    scenario
        .cli(&report)?
        .expect(2)
        .await?
        .expect_named(&["--force"])?;
    ensure!(std::fs::read(&path)? == first, "it was overwritten");
    scenario
        .cli(&[&report[..], &["--force"]].concat())?
        .expect(0)
        .await?;

    let mut browser = Chromium::start()?;
    let url = format!("file://{file}");
    for look in [
        Look::default(),
        Look {
            width: 390,
            dark: true,
            scripts: false,
        },
    ] {
        let tab = browser.open(look)?;
        browser.go(&tab, &url)?;
        if look.scripts {
            expect_text(&mut browser, &tab)?;
            expect_accessible(&mut browser, &tab)?;
            let back = browser.eval(
                &tab,
                "getComputedStyle(document.querySelector('.state')).borderLeftStyle",
            )?;
            ensure!(back == "solid", "its style is not taken: {back}");
        }
        let html = browser.html(&tab)?;
        ensure!(
            html.contains("Complete") && html.contains("intelligence_event"),
            "{html}"
        );
    }
    expect_quiet(&mut browser, &url)?;

    let short = scenario
        .cli(&["report", "--markdown"])?
        .expect(0)
        .await?
        .stdout;
    ensure!(
        short.starts_with("# Backstitch: run ")
            && short.contains("| intelligence\\_event | completed |"),
        "{short}"
    );
    ensure!(!short.contains("<script>"), "markup stays markup: {short}");
    let head = scenario.cli(&["journal", "head"])?.expect(0).await?.stdout;
    let digest = head
        .trim_end()
        .lines()
        .last()
        .and_then(|line| line.split_whitespace().last())
        .context("a digest")?;
    ensure!(
        short.contains(digest),
        "the digest {digest} is missing in {short}"
    );
    Ok(())
}
