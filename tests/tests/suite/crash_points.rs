//! A crash between any two statements: of schema changes, planning, a batch, a resume and an undo, of every unit, at
//! its first, a middle and its last batch, and again while the crash before is being recovered from.
//!
//! The points are not listed here. An undisturbed run tells which it passes, so that a new unit is covered by itself.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use tests::application;
use tests::database::Backend;
use tests::dump::Dump;
use tests::generate::Profile;
use tests::process::Invocation;
use tests::scenario::Scenario;
use tests::{journal, scratch};

on_both!(
    crashed_runs,
    crashed_rollbacks,
    crashed_refreshes,
    a_panic_in_a_batch
);

/// One partition a section and small batches, so that each has a first, a middle and a last one.
const SMALL: [&str; 6] = [
    "--partitions",
    "1",
    "--workers",
    "1",
    "--batch-rows",
    BATCH_ROWS,
];
const BATCH_ROWS: &str = "35";

const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "crashed on purpose"];

/// What asks for catch-up passes also where nothing has changed: their batches have points, too.
const CATCH_UP_ALWAYS: &str = "catch up always";

/// A point may lie behind one that ends the run; more databases than this mean that it is never reached.
const MOST_DATABASES: usize = 4;

/// What a batch passes between its statements. That a unit's first, middle and last batch pass all of them is checked.
const STEPS: [&str; 6] = [
    "claimed",
    "written",
    "provenance stored",
    "cursor moved",
    "event appended",
    "committed",
];

fn profile(backend: Backend) -> Profile {
    Profile {
        campaigns: 110,
        tasks: 3,
        agent_tasks: 120,
        feedback: 120,
        log_lines: 120,
        deals: 30,
        snapshots: 110,
        window_days: 2,
        bad: 0.02,
        ..Profile::small(backend, 401)
    }
}

async fn crashed_runs(backend: Backend) -> Result<()> {
    let profile = profile(backend);
    let reference = Scenario::load(&profile).await?;
    let mut points = Points::traced(run(&reference)?).await?;
    let expected = reference.state().await?;
    let aside = journal::quarantined(&reference.database).await?;
    for unit in units(&reference).await? {
        for place in ["first", "middle", "last"] {
            for step in STEPS {
                let has = |point: &String| {
                    point.starts_with(&format!("batch {unit} 1."))
                        && point.ends_with(&format!(" {place}: {step}"))
                };
                ensure!(
                    points.left.iter().any(has),
                    "no {place} batch of {unit} passed the point {step:?}: the source is too small, or the point is gone"
                );
            }
        }
    }
    // The undisturbed run had nothing to resume.
    points.left.insert("resume: reconciled".to_owned());

    for _ in 0..MOST_DATABASES {
        let victim = Scenario::load(&profile).await?;
        while points.crash_next(|| run(&victim)).await? {
            if points.struck % 8 == 0 && journal::exists(&victim.database).await? {
                victim.verify_journal().await?;
            }
        }
        victim.expect_state(&expected).await?;
        ensure!(
            journal::quarantined(&victim.database).await? == aside,
            "other rows were set aside"
        );
        victim.verify_journal().await?;
        if points.left.is_empty() {
            return points.check(150);
        }
    }
    // Where a slow machine halved batches of the undisturbed run, its catch-up passes had more of them than others have.
    if points.left.iter().all(|point| point.contains(" 2.")) {
        return points.check(150);
    }
    bail!("these points were never reached again: {:?}", points.left)
}

async fn crashed_rollbacks(backend: Backend) -> Result<()> {
    let profile = profile(backend);
    let (reference, _) = migrated(&profile).await?;
    let mut points = Points::traced(rollback(&reference)?).await?;
    for unit in units(&reference).await? {
        let has = |point: &String| point.starts_with(&format!("undo {unit} "));
        ensure!(points.left.iter().any(has), "nothing of {unit} was undone");
    }
    for _ in 0..MOST_DATABASES {
        let (victim, before) = migrated(&profile).await?;
        while points.crash_next(|| rollback(&victim)).await? {
            if points.struck % 8 == 0 {
                victim.verify_journal().await?;
            }
        }
        victim.expect_state(&before).await?;
        victim.verify_journal().await?;
        if points.left.is_empty() {
            return points.check(60);
        }
    }
    bail!("these points were never reached again: {:?}", points.left)
}

/// The sources change before the catch-up passes of the units that sum them up: a crash at each point of the batches that
/// bring rows up to date, and then of their undo.
async fn crashed_refreshes(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&profile(backend)).await?;
    let database = &scenario.database;
    let sums = ["kpi_history", "prompt_performance"];
    let points = |what: &str, steps: &[&str]| {
        let places = sums.iter().flat_map(|unit| {
            ["first", "middle", "last", "only"].map(|place| format!("{what} {unit} 2.0 {place}"))
        });
        let left =
            places.flat_map(|place| steps.iter().map(move |step| format!("{place}: {step}")));
        left.collect::<BTreeSet<_>>()
    };
    // Both wait for their catch-up pass.
    run(&scenario)?
        .args(["--unit", "campaign_prompt"])
        .expect(0)
        .await?;
    for unit in sums {
        let alone = || Ok(run(&scenario)?.args(["--unit", unit]));
        let begun = crash(alone, &points("batch", &["claimed"])).await?;
        ensure!(begun.is_some(), "no catch-up pass of {unit} began");
    }
    let change = "UPDATE \"PublishJob\" SET \"impressions\" = \"impressions\" + 7 \
        WHERE \"impressions\" BETWEEN 0 AND 1000000";
    database.execute(change).await?;
    let expected = scenario.expected().await?;

    let mut batches = Points {
        left: points("batch", &STEPS),
        struck: 0,
    };
    while batches.crash_next(|| run(&scenario)).await? {}
    batches.check(4 * STEPS.len())?;
    expected.check_rows(database).await?;
    scenario.verify_journal().await?;
    for unit in sums {
        let sql = format!(
            "SELECT COUNT(*) FROM backstitch_journal WHERE unit = '{unit}' AND kind = 'BatchCommitted' \
             AND payload LIKE '%\"refreshed\":%'"
        );
        let refreshing: i64 = database.value(&sql).await?;
        ensure!(refreshing > 0, "{unit} brought nothing up to date");
    }

    let steps = [
        "locked",
        "examined",
        "removed",
        "cursor moved",
        "event appended",
        "committed",
    ];
    let mut undone = Points {
        left: points("undo", &steps),
        struck: 0,
    };
    while undone.crash_next(|| rollback(&scenario)).await? {}
    undone.check(2 * steps.len())?;
    let state = scenario.state().await?;
    for table in tests::dump::DESTINATIONS {
        ensure!(state.table(table).is_empty(), "{table} still holds rows");
    }
    scenario.verify_journal().await
}

/// A database that is migrated, with rows of the application beside ours, and its state without ours.
async fn migrated(profile: &Profile) -> Result<(Scenario, Dump)> {
    let scenario = Scenario::load_with_schema(profile).await?;
    application::write_rows(&scenario.database, "!app", profile.as_of).await?;
    let before = scenario.state().await?;
    scenario.run()?.args(SMALL).expect(0).await?;
    Ok((scenario, before))
}

fn run(scenario: &Scenario) -> Result<Invocation> {
    Ok(scenario.run()?.args(SMALL))
}

fn rollback(scenario: &Scenario) -> Result<Invocation> {
    scenario.cli(&ROLLBACK)
}

/// The names of all units, as the run pinned them.
async fn units(scenario: &Scenario) -> Result<BTreeSet<String>> {
    let names = scenario
        .database
        .texts("SELECT DISTINCT unit FROM backstitch_journal WHERE kind = 'UnitCompleted'")
        .await?;
    Ok(names.into_iter().collect())
}

/// The points at which a crash is still to be tried.
struct Points {
    left: BTreeSet<String>,
    struck: usize,
}

impl Points {
    /// Runs to the end, and learns which points that passes.
    async fn traced(invocation: Invocation) -> Result<Self> {
        let folder = scratch::folder("trace")?;
        let (list, trace) = (folder.join("list"), folder.join("points"));
        std::fs::write(&list, CATCH_UP_ALWAYS)?;
        invocation
            .env("BACKSTITCH_FAULT", &list)
            .env("BACKSTITCH_FAULT_TRACE", &trace)
            .expect(0)
            .await?;
        Ok(Self {
            left: lines(&trace)?.into_iter().collect(),
            struck: 0,
        })
    }

    /// Crashes at the first point that is passed of those that are left; and, as what a crash took back is done again,
    /// there once more. False: the command came to its end, and what is left lies behind.
    async fn crash_next(&mut self, command: impl Fn() -> Result<Invocation>) -> Result<bool> {
        let Some(point) = crash(&command, &self.left).await? else {
            return Ok(false);
        };
        self.left.remove(&point);
        self.struck += 1;
        // What stands outside of a transaction, as an index does, stands.
        let stands = ["committed", "reconciled", "after CREATE", "after DROP I"];
        if !stands.iter().any(|end| point.ends_with(end)) {
            let again = crash(&command, &BTreeSet::from([point.clone()])).await?;
            // A slow machine halves batches, and the place of one in a catch-up pass is another then.
            let may_move = point.contains(" 2.");
            ensure!(
                again.is_some() || may_move,
                "what {point:?} belongs to was not done again"
            );
            self.struck += 1;
        }
        Ok(true)
    }

    /// Crashes that never struck prove nothing.
    fn check(&self, least: usize) -> Result<()> {
        ensure!(
            self.struck >= least,
            "only {} crashes struck, of at least {least}",
            self.struck
        );
        Ok(())
    }
}

/// Runs a command that dies at whichever of these points it passes first; gives that point, or none where it came to
/// its end.
async fn crash(
    command: impl Fn() -> Result<Invocation>,
    points: &BTreeSet<String>,
) -> Result<Option<String>> {
    let folder = scratch::folder("crash")?;
    let (list, trace) = (folder.join("list"), folder.join("trace"));
    let mut told: Vec<_> = points.iter().map(String::as_str).collect();
    told.push(CATCH_UP_ALWAYS);
    std::fs::write(&list, told.join("\n"))?;
    let outcome = command()?
        .env("BACKSTITCH_FAULT", &list)
        .env("BACKSTITCH_FAULT_TRACE", &trace)
        .run()
        .await?;
    if outcome.was_killed() {
        let last = lines(&trace)?.pop();
        return Ok(Some(last.context("a process that passed no point died")?));
    }
    outcome.expect(0)?;
    Ok(None)
}

fn lines(file: &std::path::Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).context("read the points that were passed")?;
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

/// A panic in the midst of a batch: it is rolled back, its claim is free, the other units go on, and the next start ends
/// as if nothing had happened.
async fn a_panic_in_a_batch(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&profile(backend)).await?;
    let expected = scenario.expected().await?;
    let list = scratch::folder("panic")?.join("list");
    let point = "panic at batch intelligence_event 1.0 middle: written";
    std::fs::write(&list, point)?;
    let panicking = run(&scenario)?.env("BACKSTITCH_FAULT", &list);
    let outcome = panicking.expect(1).await?;
    outcome.expect_named(&["intelligence_event panicked", "rolled back", "fault.rs"])?;
    let message = "on purpose";
    ensure!(
        !outcome.output().contains(message),
        "a panic's message is told"
    );
    let database = &scenario.database;
    let complete = journal::events(database, "UnitCompleted", Some("agent_feedback")).await?;
    ensure!(complete == 1, "the other units did not go on");
    let unit = Some("intelligence_event");
    let batches = journal::events(database, "BatchCommitted", unit).await?;
    ensure!(batches > 0, "nothing was committed before the panic");
    scenario.verify_journal().await?;
    run(&scenario)?.expect(0).await?;
    expected.check(database).await?;
    scenario.verify_journal().await
}
