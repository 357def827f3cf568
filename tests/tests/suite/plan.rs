//! What a run will do is told before it does it: the plan changes nothing, a rehearsal leaves nothing but its numbers, and
//! a plan that nobody approved is refused.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use sea_orm::{ConnectionTrait, Statement};
use tests::database::{Backend, Database};
use tests::dump;
use tests::generate::Profile;
use tests::journal;
use tests::json::Json;
use tests::process::Outcome;
use tests::scenario::Scenario;

on_both!(
    a_rehearsal_leaves_nothing_but_its_numbers,
    a_plan_before_the_schema,
    an_unapproved_plan_is_refused,
);

const UNITS: [&str; 5] = [
    "campaign_prompt",
    "intelligence_event",
    "prompt_performance",
    "kpi_history",
    "agent_feedback",
];

const JOURNAL: [&str; 3] = [
    "backstitch_journal",
    "backstitch_journal_rows",
    "backstitch_partition",
];

fn document(outcome: &Outcome) -> Result<Json> {
    Json::parse(&outcome.stdout).map_err(|why| anyhow::anyhow!("{why} in {outcome}"))
}

fn field<'a>(of: &'a Json, path: &[&str]) -> Result<&'a Json> {
    let mut at = of;
    for key in path {
        at = at.get(key).with_context(|| format!("no {key} in {at}"))?;
    }
    Ok(at)
}

fn text(of: &Json, key: &str) -> Result<String> {
    match field(of, &[key])? {
        Json::Text(text) => Ok(text.clone()),
        other => anyhow::bail!("{other} is no text"),
    }
}

fn list<'a>(of: &'a Json, key: &str) -> Result<&'a [Json]> {
    match field(of, &[key])? {
        Json::Array(list) => Ok(list),
        other => anyhow::bail!("{other} is no list"),
    }
}

/// The scenario's own plan, with more arguments.
fn plan(scenario: &Scenario, more: &[&str]) -> Result<tests::process::Invocation> {
    let (as_of, days) = (
        scenario.profile.as_of.rfc3339(),
        scenario.profile.window_days.to_string(),
    );
    let mut plan = scenario.cli(&["plan", "--as-of", &as_of, "--window-days", &days])?;
    for log in &scenario.logs {
        plan = plan.args(["--agent-logs".as_ref(), log.as_os_str()]);
    }
    Ok(plan.args(more))
}

/// How many rows each of the journal's tables holds.
async fn journaled(database: &Database) -> Result<Vec<i64>> {
    let mut counts = Vec::new();
    for table in JOURNAL {
        counts.push(database.count(table).await?);
    }
    Ok(counts)
}

async fn a_rehearsal_leaves_nothing_but_its_numbers(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::odd(backend, 511)).await?;
    let database = &scenario.database;
    let before = scenario.state().await?;
    let [events, rows, partitions] = journaled(database).await?[..] else {
        anyhow::bail!("three tables");
    };
    // Small batches, and enough of them for all of it.
    let all = ["--rehearse", "10000", "--batch-rows", "40"];
    let masked = plan(&scenario, &all)?.args(["--json"]).expect(0).await?;
    scenario.expect_state(&before).await?;
    ensure!(
        journaled(database).await? == [events + 1, rows, partitions],
        "more than one event stays"
    );
    ensure!(journal::events(database, "PlanRehearsed", None).await? == 1);
    scenario.verify_journal().await?;

    let told = plan(
        &scenario,
        &["--rehearse", "1", "--show-values", "2", "--json"],
    )?;
    let told = document(&told.expect(0).await?)?;
    scenario.expect_state(&before).await?;
    let planned = plan(&scenario, &[])?.expect(0).await?;
    planned.expect_named(&["rehearsed at", "likely", "the schema is applied"])?;

    let run = scenario.run()?.args(["--json"]).expect(0).await?;
    let run = document(&run)?;
    let ran: BTreeMap<String, &Json> = list(&run, "units")?
        .iter()
        .map(|unit| Ok((text(unit, "unit")?, unit)))
        .collect::<Result<_>>()?;
    let rehearsed = document(&masked)?;
    for unit in UNITS {
        let ran = ran.get(unit).context("a unit of the run")?;
        for (ours, theirs) in [
            ("written", "written"),
            ("rows", "written"),
            ("bad", "quarantined"),
        ] {
            let (ours, theirs) = (
                field(&rehearsed, &["units", unit, ours])?,
                field(ran, &[theirs])?,
            );
            ensure!(
                ours == theirs,
                "{unit}: rehearsed {ours}, ran {theirs}: {masked}"
            );
        }
    }
    check_shown(database, &rehearsed, false).await?;
    check_shown(database, &told, true).await
}

/// What is shown of a row is what the run wrote then; without the word for it, no value is.
async fn check_shown(database: &Database, rehearsed: &Json, has_values: bool) -> Result<()> {
    let mut compared = 0;
    for (unit, table, columns) in [
        ("agent_feedback", "AgentFeedback", ["agentType", "taskId"]),
        ("campaign_prompt", "Campaign", ["prompt", "prompt"]),
    ] {
        let shown = list(rehearsed, "shown")?.iter();
        let shown = shown.filter(|shown| text(shown, "unit").is_ok_and(|name| name == unit));
        for row in shown
            .map(|shown| list(shown, "rows"))
            .collect::<Result<Vec<_>>>()?
            .concat()
        {
            let key = text(&row, "key")?.replace('\'', "''");
            for column in list(&row, "columns")? {
                let name = text(column, "name")?;
                ensure!(field(column, &["before"])? == &Json::Null);
                if !columns.contains(&name.as_str()) {
                    continue;
                }
                let after = text(column, "after")?;
                let sql = format!("SELECT \"{name}\" FROM \"{table}\" WHERE \"id\" = '{key}'");
                let stands: String = database.value(&sql).await?;
                match has_values {
                    true => ensure!(after == stands, "{unit} {name}: {after}, {stands} stands"),
                    false => ensure!(after.starts_with('‹') && after != stands, "{after} is told"),
                }
                compared += 1;
            }
        }
    }
    ensure!(compared >= 3, "only {compared} values were compared");
    Ok(())
}

async fn a_plan_before_the_schema(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 512)).await?;
    let before = scenario.state().await?;
    let shown = plan(&scenario, &[])?.expect(0).await?;
    shown.expect_named(&[
        "not approved",
        "CREATE TABLE",
        "ADD COLUMN",
        "at most",
        "agent_feedback",
    ])?;
    if backend == Backend::Postgres {
        shown.expect_named(&[
            "ACCESS EXCLUSIVE on Campaign",
            "SHARE ROW EXCLUSIVE on Campaign",
        ])?;
    }
    let refused = plan(&scenario, &["--rehearse", "1"])?.expect(4).await?;
    refused.expect_named(&["cli schema up", "restored copy"])?;
    scenario.expect_state(&before).await?;
    ensure!(
        !journal::exists(&scenario.database).await?,
        "a look has made the journal"
    );
    let wrong = scenario
        .cli(&["plan", "--show-values", "1"])?
        .expect(2)
        .await?;
    wrong.expect_named(&["--rehearse"])
}

async fn an_unapproved_plan_is_refused(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 513)).await?;
    let database = &scenario.database;
    let run = || Ok::<_, anyhow::Error>(scenario.run()?.args(["--require-approval"]));
    let refused = run()?.expect(4).await?;
    refused.expect_clear_error()?;
    refused.expect_named(&["not approved", "cli plan approve", "nothing was begun"])?;
    ensure!(!journal::exists(database).await?, "the schema was applied");

    // A run that is there already goes on no more than one that is not.
    scenario
        .run()?
        .args(["--unit", "campaign_prompt"])
        .expect(0)
        .await?;
    let written = dump::of(database, &dump::DESTINATIONS).await?;
    let refused = run()?.expect(4).await?;
    refused.expect_named(&["no plan was approved"])?;
    ensure!(dump::of(database, &dump::DESTINATIONS).await? == written);

    // Another plan's approval is none.
    let by = ["plan", "approve", "--by", "Ada", "--note", "read it"];
    let forged = "INSERT INTO backstitch_journal (run, stream, seq, kind, version, payload, worker, at, prev, hash) \
        SELECT 'runbook', 'runbook', max(seq) + 1, 'PlanApproved', 3, '{\"plan\":\"other\",\"by\":\"x\",\"note\":null}', \
        'test', 1, 'x', 'y' FROM backstitch_journal WHERE run = 'runbook'";
    ensure!(database.execute(forged).await? == 1);
    run()?.expect(4).await?.expect_named(&["another one was"])?;
    scenario.cli(&by)?.expect(0).await?;
    plan(&scenario, &[])?
        .expect(0)
        .await?
        .expect_named(&["approved by Ada", "read it"])?;
    run()?.expect(0).await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    Ok(())
}

/// The locks that are told are those that the server takes, statement by statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_locks_are_the_servers() -> Result<()> {
    let scenario = Scenario::load(&Profile::small(Backend::Postgres, 514)).await?;
    let told = document(&plan(&scenario, &["--json"])?.expect(0).await?)?;
    let transaction = scenario.database.hold("SELECT 1").await?;
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    let mut compared = 0;
    for change in list(&told, "schema")? {
        for statement in list(change, "statements")? {
            let sql = text(statement, "sql")?;
            for lock in list(statement, "locks")? {
                let strength = strength(&text(lock, "mode")?)?;
                let held = expected.entry(text(lock, "table")?).or_default();
                *held = strength.max(*held);
            }
            transaction.execute_unprepared(&sql).await?;
            let rows = transaction
                .query_all_raw(Statement::from_string(
                    transaction.get_database_backend(),
                    HELD,
                ))
                .await?;
            let mut held: BTreeMap<String, usize> = BTreeMap::new();
            for row in rows {
                let mode: String = row.try_get("", "mode")?;
                // What merely reads and writes rows takes is in nobody's way.
                if let Ok(strength) = strength(mode.trim_end_matches("Lock")) {
                    let most = held.entry(row.try_get("", "table")?).or_default();
                    *most = strength.max(*most);
                }
            }
            ensure!(
                held == expected,
                "{held:?} is held and {expected:?} told after {sql}"
            );
            compared += 1;
        }
    }
    ensure!(compared > 15, "only {compared} statements");
    transaction.rollback().await?;
    Ok(())
}

const HELD: &str = r#"SELECT CAST(c.relname AS TEXT) AS "table", l.mode AS "mode" FROM pg_locks l
    JOIN pg_class c ON c.oid = l.relation AND c.relkind = 'r' AND c.relnamespace = CAST('public' AS regnamespace)
    WHERE l.pid = pg_backend_pid() AND l.granted"#;

/// The place of a mode among those that are in somebody's way, the weakest first.
fn strength(mode: &str) -> Result<usize> {
    let plain = mode.replace('_', "").to_lowercase();
    [
        "shareupdateexclusive",
        "share",
        "sharerowexclusive",
        "accessexclusive",
    ]
    .iter()
    .position(|known| *known == plain)
    .with_context(|| format!("{mode} is in nobody's way"))
}

/// A rehearsal gives way to the application, as a run does, and then says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_gives_way() -> Result<()> {
    let profile = Profile {
        bad: 0.0,
        ..Profile::small(Backend::Postgres, 515)
    };
    let scenario = Scenario::load_with_schema(&profile).await?;
    let before = scenario.state().await?;
    let other = scenario.database.another().await?;
    let held = other
        .hold("UPDATE \"Campaign\" SET \"name\" = \"name\"")
        .await?;
    let outcome = plan(&scenario, &["--rehearse", "1"])?.expect(5).await?;
    outcome.expect_named(&["trying again", "55P03"])?;
    held.rollback().await?;
    ensure!(journal::events(&scenario.database, "PlanRehearsed", None).await? == 0);
    plan(&scenario, &["--rehearse", "1"])?.expect(0).await?;
    scenario.expect_state(&before).await
}
