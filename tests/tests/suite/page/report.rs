//! The report: one file that a browser shows from the disk, and asks nobody for anything.

use anyhow::{Context, Result, ensure};
use tests::chromium::{Chromium, Look};
use tests::database::Backend;
use tests::journal;
use tests::scratch;

use super::{PATIENCE, SLOW, expect_accessible, expect_text, hostile};

on_both!(the_report_needs_nothing, crash_hold_and_undo_are_told);

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

/// A process that was killed leaves a gap, which ends where the next one began; a pause is a band; what an undo kept is told.
pub(crate) async fn crash_hold_and_undo_are_told(backend: Backend) -> Result<()> {
    let scenario = hostile(backend, 1_604).await?;
    let report = async |name: &str| -> Result<String> {
        let path = scratch::folder("report")?.join(name);
        let file = path.to_str().context("a path")?;
        scenario.cli(&["report", "-o", file])?.expect(0).await?;
        Ok(std::fs::read_to_string(&path)?)
    };
    let killed = scenario.run_without_migrating()?.args(SLOW).spawn()?;
    let began = std::time::Instant::now();
    while journal::events(&scenario.database, "BatchCommitted", None).await? < 8 {
        ensure!(began.elapsed() < PATIENCE, "nothing is written");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    scenario
        .cli(&["run", "pause", "--by", "Mia"])?
        .expect(0)
        .await?;
    while journal::events(&scenario.database, "HoldStarted", None).await? < 1 {
        ensure!(began.elapsed() < PATIENCE, "nothing holds");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let held = report("held.html").await?;
    for word in [
        "<span class=\"icon\" aria-hidden=\"true\">❚❚</span>Paused",
        "class=\"band b0\"",
        "in flight",
    ] {
        ensure!(held.contains(word), "{word} is missing while it holds");
    }
    killed.kill().await?;
    scenario
        .cli(&["run", "resume", "--by", "Mia"])?
        .expect(0)
        .await?;
    scenario.run_without_migrating()?.expect(0).await?;

    let whole = report("whole.html").await?;
    for (what, count) in [
        ("class=\"gap\" x=", 1),
        ("<line class=\"crash\"", 1),
        ("<line class=\"restart\" x1=\"5\"", 1),
        ("began anew at", 1),
        ("ended without a word after", 4),
        (">Complete</p>", 1),
    ] {
        let found = whole.matches(what).count();
        ensure!(found == count, "{found} rather than {count} times {what}");
    }

    scenario
        .database
        .execute("UPDATE \"AgentFeedback\" SET \"comment\" = 'edited since' WHERE \"id\" = (SELECT MIN(\"id\") FROM \"AgentFeedback\")")
        .await?;
    let undo = [
        "rollback",
        "--unit",
        "agent_feedback",
        "--reason",
        "<b>wrong</b>",
        "--yes",
    ];
    scenario.cli(&undo)?.expect(0).await?;
    let undone = report("undone.html").await?;
    for word in [
        "Partly rolled back",
        "1 were kept",
        "edited since it was written",
        "&lt;b&gt;wrong&lt;/b&gt;",
    ] {
        ensure!(undone.contains(word), "{word} is missing after the undo");
    }
    ensure!(
        undone.matches("class=\"gap\" x=").count() == 1,
        "the rollback is taken for a crash"
    );
    Ok(())
}
