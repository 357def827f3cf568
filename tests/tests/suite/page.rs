//! The live page, the report and the metrics: what a browser makes of them, what Prometheus reads, and who is turned away.

mod access;
mod metrics;
mod report;
mod shots;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::chromium::{Chromium, Look, Tab};
use tests::database::Backend;
use tests::generate::Profile;
use tests::process::{Invocation, Running};
use tests::scenario::Scenario;
use tests::scratch;

on_both!(it_is_updated_and_stays_text);

/// Far beyond what anything takes: nothing is timed here.
const PATIENCE: Duration = Duration::from_secs(120);

/// Slow enough to be looked at.
const SLOW: [&str; 6] = ["--batch-rows", "5", "--pace", "60/s", "--partitions", "6"];

/// What must stay text.
const HOSTILE: &str = "<script>document.title=\"pwned\"</script>\"><img src=x onerror=alert(1)>";

/// The number of rows that the page tells, as a script sees it.
const WRITTEN: &str =
    "Number(document.getElementById('rows-written').textContent.replaceAll(',', ''))";

/// A program that shows a page, and where.
pub(crate) struct Shown {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
}

/// Starts a program that shows a page, and waits until it says where.
pub(crate) async fn show(program: Invocation) -> Result<Shown> {
    let said = scratch::folder("said")?.join("stderr");
    let mut running = program.errors_to(std::fs::File::create(&said)?).spawn()?;
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(&said)?;
        let told = text
            .lines()
            .find_map(|line| line.strip_prefix("live page: http://"));
        if let Some(address) = told {
            let address = address
                .trim_end_matches('/')
                .parse()
                .context("an address")?;
            return Ok(Shown { running, address });
        }
        ensure!(
            running.is_alive()? && began.elapsed() < PATIENCE,
            "no page is shown: {text}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A source in which a campaign is bad, and called as nobody should be.
async fn hostile(backend: Backend, seed: u64) -> Result<Scenario> {
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, seed)).await?;
    let metadata = match backend {
        Backend::Postgres => "CAST('{\"prompt\": 7}' AS jsonb)",
        Backend::Sqlite => "'{\"prompt\": 7}'",
    };
    let insert = format!(
        "INSERT INTO \"Campaign\" (\"id\", \"tenantId\", \"name\", \"status\", \"metadata\", \"createdAt\", \"updatedAt\") \
         SELECT '{HOSTILE}', \"tenantId\", '{HOSTILE}', \"status\", {metadata}, \"createdAt\", \"updatedAt\" FROM \"Campaign\" \
         ORDER BY \"id\" LIMIT 1"
    );
    scenario.database.execute(&insert).await?;
    Ok(scenario)
}

/// Nothing of the hostile words may have become a part of the page.
fn expect_text(browser: &mut Chromium, tab: &Tab) -> Result<()> {
    let text = browser.eval(tab, "document.body.textContent")?;
    let text = text.as_str().context("text")?;
    ensure!(
        text.contains(HOSTILE),
        "the key is not shown as it is: {text}"
    );
    let made = browser.eval(
        tab,
        "document.querySelectorAll('img, main script, [onerror]').length",
    )?;
    ensure!(made == 0, "{made} elements were made of it");
    let title = browser.eval(tab, "document.title")?;
    ensure!(title != "pwned", "a script of it ran");
    Ok(())
}

/// What every page must be for those who cannot see it, or have no mouse.
fn expect_accessible(browser: &mut Chromium, tab: &Tab) -> Result<()> {
    for (what, wrong) in [
        (
            "drawings without a name",
            "svg[role=img]:not(:has(> title)), svg[role=img]:not(:has(> desc))",
        ),
        (
            "drawings without a role",
            "svg:not([role=img]):not([aria-hidden=true])",
        ),
        ("headings of columns without a scope", "th:not([scope])"),
        (
            "what scrolls and cannot be reached by keys",
            ".wide:not([tabindex])",
        ),
        ("styles that a policy would refuse", "[style]"),
    ] {
        let count = browser.eval(tab, &format!("document.querySelectorAll('{wrong}').length"))?;
        ensure!(count == 0, "{count} {what}");
    }
    let twice = "(() => { const ids = [...document.querySelectorAll('[id]')].map(it => it.id); \
                 return ids.length - new Set(ids).size; })()";
    ensure!(browser.eval(tab, twice)? == 0, "an id stands twice");
    let order = "[...document.querySelectorAll('h1, h2, h3')].map(it => it.tagName[1]).join('')";
    let order = browser.eval(tab, order)?;
    let order = order.as_str().context("headings")?;
    ensure!(
        order.starts_with("12") && !order.contains("13"),
        "headings are out of order: {order}"
    );
    let lost = "[...document.querySelectorAll('[aria-labelledby]')].flatMap(it => \
                it.getAttribute('aria-labelledby').split(' ')).filter(id => !document.getElementById(id)).length";
    ensure!(browser.eval(tab, lost)? == 0, "a label is missing");
    let wide = browser.eval(
        tab,
        "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    )?;
    ensure!(
        wide.as_f64().is_some_and(|wide| wide <= 0.0),
        "the page is {wide} too wide"
    );
    Ok(())
}

async fn it_is_updated_and_stays_text(backend: Backend) -> Result<()> {
    let scenario = hostile(backend, 1_601).await?;
    let worker = scenario.run_without_migrating()?.args(SLOW);
    let mut shown = show(worker.args(["--status-addr", "127.0.0.1:0"])).await?;
    let url = format!("http://{}/", shown.address);
    let mut browser = Chromium::start()?;
    let tab = browser.open(Look::default())?;
    browser.go(&tab, &url)?;
    browser.eval(&tab, "window.isTheSame = true")?;

    // It grows without being loaded again.
    browser.wait(&tab, &format!("{WRITTEN} > 0"))?;
    let before = browser.eval(&tab, WRITTEN)?;
    browser.wait(&tab, &format!("{WRITTEN} > {before}"))?;
    browser.wait(&tab, "document.title.startsWith('Running')")?;
    browser.wait(
        &tab,
        "document.getElementById('quarantine').innerHTML.includes('onerror')",
    )?;
    ensure!(
        browser.eval(&tab, "window.isTheSame")? == true,
        "it was loaded again"
    );
    expect_text(&mut browser, &tab)?;
    expect_accessible(&mut browser, &tab)?;

    // What somebody has opened stays open, and the keyboard where it was.
    browser.eval(&tab, "document.getElementById('d-speed').open = true")?;
    browser.eval(&tab, "document.querySelector('#d-speed summary').focus()")?;
    browser.eval(&tab, "window.section = document.getElementById('d-speed')")?;
    browser.wait(
        &tab,
        "document.getElementById('d-speed') !== window.section",
    )?;
    ensure!(
        browser.eval(&tab, "document.getElementById('d-speed').open")? == true,
        "it was closed"
    );
    let focused = "document.activeElement === document.querySelector('#d-speed summary')";
    ensure!(
        browser.eval(&tab, focused)? == true,
        "the keyboard is elsewhere"
    );

    // By keys alone: the first leads past everything to the state.
    let keys = browser.open(Look {
        width: 390,
        dark: true,
        scripts: true,
    })?;
    browser.go(&keys, &url)?;
    browser.press(&keys, "Tab", 9)?;
    browser.wait(
        &keys,
        "document.activeElement.getAttribute('href') === '#state'",
    )?;
    expect_accessible(&mut browser, &keys)?;

    // Without scripts all of it can be read, and it comes again by itself.
    let bare = browser.open(Look {
        scripts: false,
        ..Look::default()
    })?;
    browser.go(&bare, &url)?;
    let html = browser.html(&bare)?;
    for word in [
        "Running",
        "rows written",
        "intelligence_event",
        "p95",
        "Lane 1",
        "&lt;script&gt;document.title",
    ] {
        ensure!(
            html.contains(word),
            "{word} is missing without scripts: {html}"
        );
    }
    ensure!(
        html.contains("http-equiv=\"refresh\""),
        "it does not come again without scripts"
    );

    // Behind another page it listens no more; before all others it does again, without being loaded.
    browser.wait(&tab, "document.visibilityState === 'hidden'")?;
    browser.close(&keys)?;
    browser.close(&bare)?;
    browser.front(&tab)?;
    browser.wait(&tab, "document.visibilityState === 'visible'")?;

    // Somebody's pause is seen, and so is the end of it.
    let steered = scenario.cli(&["run", "pause", "--by", "Mia", "--note", "<b>lunch</b>"])?;
    steered.expect(0).await?;
    browser.wait(&tab, "document.title.startsWith('Paused: by Mia')")?;
    browser.wait(
        &tab,
        "document.querySelector('#speed .band, #batches .band') !== null",
    )?;
    ensure!(
        browser.eval(&tab, "document.querySelectorAll('main b').length")? == 0,
        "a note became markup"
    );
    let steered = scenario.cli(&["run", "resume", "--by", "Mia"])?;
    steered.expect(0).await?;
    let faster = scenario.cli(&["run", "set", "pace=off", "--by", "Mia"])?;
    faster.expect(0).await?;

    ensure!(
        browser.eval(&tab, "window.isTheSame")? == true,
        "it was loaded again"
    );

    // The end is shown before the page is gone, and that it is gone is said.
    browser.wait(&tab, "document.title.startsWith('Complete')")?;
    ensure!(
        shown.running.is_alive().is_ok(),
        "a process cannot be asked"
    );
    expect_quiet_but_for_the_end(&mut browser, &url)?;
    browser.wait(&tab, "!document.getElementById('lost').hidden")?;
    shown.running.wait().await?.expect(0)?;
    Ok(())
}

/// That the server is gone is all that the browser may complain of.
fn expect_quiet_but_for_the_end(browser: &mut Chromium, at: &str) -> Result<()> {
    let complaints = browser.complaints()?;
    let other: Vec<_> = complaints
        .iter()
        .filter(|it| {
            !it.contains("ERR_CONNECTION_REFUSED") && !it.contains("ERR_INCOMPLETE_CHUNKED")
        })
        .collect();
    ensure!(other.is_empty(), "the browser complains: {other:?}");
    for url in browser.requests()? {
        ensure!(
            url.starts_with(at) || url.starts_with("data:"),
            "{url} was asked for"
        );
    }
    Ok(())
}
