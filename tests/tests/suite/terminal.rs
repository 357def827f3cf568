//! What a person sees on a terminal while a run goes on, and what a file or a pipe gets in its place.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::json::Json;
use tests::process::{Invocation, Running};
use tests::scenario::Scenario;
use tests::terminal::Terminal;

on_both!(bars_on_a_terminal);

const POLL: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_secs(120);

/// A few thousand rows in small batches, slow enough to be looked at.
const SLOW: [&str; 6] = ["--batch-rows", "20", "--pace", "400/s", "--partitions", "4"];

const ESCAPE: char = '\u{1b}';

async fn load(backend: Backend, seed: u64) -> Result<Scenario> {
    Scenario::load_with_schema(&Profile::busy(backend, seed)).await
}

/// A run whose standard error is a terminal with colours.
fn on_terminal(scenario: &Scenario, columns: u16) -> Result<(Terminal, Invocation)> {
    let (terminal, user) = Terminal::open(columns, 30)?;
    let run = scenario.run_without_migrating()?.errors_to(user);
    let run = run.env("TERM", "xterm-256color").env("NO_COLOR", "");
    Ok((terminal, run))
}

/// Waits until a line on the terminal holds all of these words.
async fn wait_for(terminal: &Terminal, running: &mut Running, words: &[&str]) -> Result<()> {
    let began = Instant::now();
    loop {
        let shown = terminal.shown();
        if shown
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
        {
            return Ok(());
        }
        let is_alive = running.is_alive()? && began.elapsed() < PATIENCE;
        ensure!(
            is_alive,
            "{words:?} were never seen in\n{}",
            shown.join("\n")
        );
        tokio::time::sleep(POLL).await;
    }
}

async fn steer(scenario: &Scenario, words: &[&str]) -> Result<()> {
    let steered = scenario.cli(&["run"])?.args(words).args(["--by", "Mia"]);
    steered.expect(0).await?;
    Ok(())
}

pub(crate) async fn bars_on_a_terminal(backend: Backend) -> Result<()> {
    let scenario = load(backend, 1_201).await?;
    let (terminal, run) = on_terminal(&scenario, 110)?;
    let mut running = run.args(SLOW).spawn()?;
    let bar = ["intelligence_event", "█", "░", " / ", "rows/s", "left"];
    wait_for(&terminal, &mut running, &bar).await?;
    wait_for(&terminal, &mut running, &["last event", " ago"]).await?;
    steer(&scenario, &["pause", "--note", "the shop is slow"]).await?;
    let hold = ["holding for", "the run is paused, by Mia: the shop is slow"];
    wait_for(&terminal, &mut running, &hold).await?;
    // It is broken anew by the terminal, and drawn anew by the program.
    terminal.resize(60, 30)?;
    steer(&scenario, &["set", "pace=off"]).await?;
    steer(&scenario, &["resume"]).await?;
    running.wait().await?.expect(0)?;
    let shown = terminal.shown();
    let all = shown.join("\n");
    for unit in tests::oracle::UNITS {
        let lines: Vec<_> = shown
            .iter()
            .filter(|line| line.trim_start().starts_with(&format!("{unit} ")))
            .collect();
        ensure!(
            lines.len() == 1 && lines[0].contains("done"),
            "{unit} should stand there once, done:\n{all}"
        );
    }
    ensure!(!all.contains("holding for"), "it holds no more:\n{all}");
    // What was said stands above, whole; the last line of it was broken by the terminal itself.
    let said = all.replace('\n', "");
    for line in [
        "starting run ",
        "is paused, by Mia: the shop is slow; `cli run resume",
        "the hold is over after ",
    ] {
        ensure!(
            said.matches(line).count() == 1,
            "{line} should stand there once:\n{all}"
        );
    }
    ensure!(!all.contains("unknown command"), "{all}");
    ensure!(terminal.sent().contains("\u{1b}[32m"), "no colours");
    Ok(())
}

/// Colours are not wanted, and so there are none; the bars are redrawn as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_colours_where_none_are_wanted() -> Result<()> {
    for (name, value) in [("NO_COLOR", "1"), ("CLICOLOR", "0")] {
        let scenario = load(Backend::Sqlite, 1_202).await?;
        let (terminal, run) = on_terminal(&scenario, 100)?;
        run.env(name, value).expect(0).await?;
        let sent = terminal.sent();
        ensure!(
            sent.contains("\u{1b}[K"),
            "no bars with {name}={value}:\n{sent:?}"
        );
        let colour = sent.split(ESCAPE).skip(1).find(|after| {
            let command = after.find(char::is_alphabetic);
            command.is_some_and(|at| after[at..].starts_with('m'))
        });
        ensure!(colour.is_none(), "a colour with {name}={value}: {colour:?}");
    }
    Ok(())
}

/// A terminal that cannot be drawn on, a file, a pipe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_escape_codes_elsewhere() -> Result<()> {
    let scenario = load(Backend::Sqlite, 1_203).await?;
    let (terminal, run) = on_terminal(&scenario, 100)?;
    let outcome = run.env("TERM", "dumb").expect(0).await?;
    let said = terminal.sent();
    ensure!(
        !said.contains(ESCAPE) && !outcome.stdout.contains(ESCAPE),
        "{said:?}"
    );
    ensure!(said.contains("intelligence_event: completed, "), "{said}");

    let scenario = load(Backend::Sqlite, 1_204).await?;
    let mut running = scenario
        .run_without_migrating()?
        .env("NO_COLOR", "")
        .env("TERM", "xterm-256color")
        .args(SLOW)
        .spawn()?;
    while tests::journal::events(
        &scenario.database,
        "BatchCommitted",
        Some("intelligence_event"),
    )
    .await?
        < 5
    {
        ensure!(running.is_alive()?, "it ended early");
        tokio::time::sleep(POLL).await;
    }
    steer(&scenario, &["pause"]).await?;
    while tests::journal::events(&scenario.database, "HoldStarted", None).await? < 1 {
        ensure!(running.is_alive()?, "it ended early");
        tokio::time::sleep(POLL).await;
    }
    // Longer than a line takes to come.
    tokio::time::sleep(Duration::from_secs(7)).await;
    steer(&scenario, &["set", "pace=off"]).await?;
    steer(&scenario, &["resume"]).await?;
    let outcome = running.wait().await?.expect(0)?;
    ensure!(!outcome.output().contains(ESCAPE), "{outcome}");
    let line = outcome.stderr.lines().find(|line| {
        line.starts_with("intelligence_event: ")
            && line.contains(" rows read, ")
            && line.contains("holding for ")
            && line.contains("last event ")
    });
    ensure!(line.is_some(), "no line tells all of it: {outcome}");
    for unit in tests::oracle::UNITS {
        let ended = format!("{unit}: completed, ");
        ensure!(
            outcome
                .stderr
                .lines()
                .filter(|line| line.starts_with(&ended))
                .count()
                == 1,
            "the end of {unit} should be told once: {outcome}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_say_what_they_are_about() -> Result<()> {
    let scenario = load(Backend::Sqlite, 1_205).await?;
    let outcome = scenario
        .run_without_migrating()?
        .args(["--log-format", "json"])
        .env("RUST_LOG", "worker=debug")
        .expect(0)
        .await?;
    let run: String = scenario
        .database
        .value("SELECT run FROM backstitch_journal WHERE kind = 'RunStarted'")
        .await?;
    let (mut batches, mut of_run) = (0_i64, 0_i64);
    for line in outcome.stderr.lines() {
        let Json::Object(line) = Json::parse(line)
            .map_err(anyhow::Error::msg)
            .context(line.to_owned())?
        else {
            anyhow::bail!("no object: {line}");
        };
        for name in ["time", "level", "message"] {
            ensure!(line.contains_key(name), "{name} is missing in {line:?}");
        }
        let is_begun = of_run > 0 || line.contains_key("run");
        of_run += i64::from(is_begun);
        ensure!(
            !is_begun || line.get("run") == Some(&Json::Text(run.clone())),
            "the run is missing in {line:?}"
        );
        if line.get("message") == Some(&Json::Text("the batch is committed".into())) {
            batches += 1;
            for name in ["unit", "partition", "batch", "rows"] {
                ensure!(line.contains_key(name), "{name} is missing in {line:?}");
            }
        }
    }
    let committed = tests::journal::events(&scenario.database, "BatchCommitted", None).await?;
    ensure!(
        batches == committed,
        "{batches} lines for {committed} batches: {outcome}"
    );
    ensure!(of_run > batches, "{outcome}");

    let outcome = scenario
        .cli(&["rollback", "--log-format", "json", "--reason", "a test"])?
        .expect(4)
        .await?;
    for line in outcome.stderr.lines() {
        Json::parse(line)
            .map_err(anyhow::Error::msg)
            .context(line.to_owned())?;
    }
    ensure!(outcome.stderr.contains("\"level\":\"ERROR\""), "{outcome}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_is_quiet() -> Result<()> {
    let scenario = load(Backend::Sqlite, 1_206).await?;
    let (terminal, run) = on_terminal(&scenario, 100)?;
    let outcome = run.args(["--quiet", "--pace", "2000/s"]).expect(0).await?;
    ensure!(terminal.sent().is_empty(), "{}", terminal.sent());
    outcome.expect_named(&["is complete", "rows written"])?;
    let rollback = ["rollback", "-q", "--reason", "a test", "--yes"];
    let outcome = scenario.cli(&rollback)?.expect(0).await?;
    ensure!(
        outcome.stderr.is_empty() && !outcome.stdout.is_empty(),
        "{outcome}"
    );
    // Errors are told in any case.
    let outcome = scenario.cli(&["rollback", "-q", "--run", "no", "--reason", "x", "--yes"])?;
    outcome.run().await?.expect_clear_error()?;
    let outcome = scenario
        .run_without_migrating()?
        .args(["-q", "--unit", "none"]);
    outcome.expect(2).await?.expect_clear_error()
}
