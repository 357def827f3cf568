//! A part of a run, taken back or written again: exactly the rows that meet every condition, put back exactly, and nothing
//! else touched.

mod again;
mod missing;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::dump::{self, DESTINATIONS};
use tests::moment::Moment;
use tests::process::Invocation;
use tests::roles::Role;
use tests::scenario::Scenario;
use tests::standing::Key;
use tests::{provenance, scratch};

use crate::deep::load;

on_both!(
    each_condition_means_its_rows,
    what_is_not_ours_stays,
    killed_and_taken_up_again,
    what_means_nothing_is_refused,
);

/// What each command that changes something is told.
const WORD: [&str; 3] = ["--yes", "--reason", "a test"];

/// The version that a process says it is when it is told to.
const OTHER: &str = "0.0.9";

/// A command, in the role that may undo and redo a part.
fn cli(scenario: &Scenario, arguments: &[&str]) -> Result<Invocation> {
    let url = scenario.database.url_as(Role::Repair);
    Ok(scenario.cli(arguments)?.at(&url))
}

async fn rollback(scenario: &Scenario, conditions: &[&str]) -> Result<()> {
    let arguments = [&["rollback"][..], conditions, &WORD].concat();
    cli(scenario, &arguments)?.expect(0).await?;
    Ok(())
}

/// A file that makes a process one of another release, and has it die at one of these points.
fn told(points: &[&str]) -> Result<PathBuf> {
    let list = scratch::folder("told")?.join("list");
    let lines = [&["of another release"], points].concat();
    std::fs::write(&list, lines.join("\n"))?;
    Ok(list)
}

/// Migrated in small batches: a first worker, of another release, was killed at one of these points; a second went on.
async fn migrated(scenario: &Scenario, points: &[&str], meanwhile: &[&str]) -> Result<()> {
    let run = scenario.run()?.args(["--batch-rows", "20"]);
    let outcome = run.env("BACKSTITCH_FAULT", told(points)?).run().await?;
    ensure!(outcome.was_killed(), "it was not killed: {outcome}");
    for sql in meanwhile {
        scenario.database.execute(sql).await?;
    }
    let run = scenario.run()?.args(["--batch-rows", "20"]);
    run.expect(0).await?;
    Ok(())
}

/// The rows of one column of a query, as rows of a table.
async fn keys(database: &Database, table: &str, sql: &str) -> Result<BTreeSet<Key>> {
    let keys = database.texts(sql).await?;
    Ok(keys
        .into_iter()
        .map(|key| (table.to_owned(), key))
        .collect())
}

/// Fails unless these rows are gone, prompts among them, and all else is as it was.
async fn expect_without(
    scenario: &Scenario,
    before: &[(String, std::collections::BTreeMap<String, String>)],
    gone: &BTreeSet<Key>,
) -> Result<()> {
    for (table, rows) in before {
        let mut expected = rows.clone();
        expected.retain(|key, _| !gone.contains(&(table.clone(), key.clone())));
        let found = dump::keyed(&scenario.database, table).await?;
        ensure!(
            found == expected,
            "{table}: {} rows of {} stand, {} should",
            found.len(),
            rows.len(),
            expected.len()
        );
    }
    let set = "SELECT \"id\" FROM \"Campaign\" WHERE \"prompt\" IS NOT NULL AND \"prompt\" <> ''";
    let set = keys(&scenario.database, "Campaign", set).await?;
    let wrong: Vec<_> = set.intersection(gone).collect();
    ensure!(wrong.is_empty(), "prompts stand: {wrong:?}");
    Ok(())
}

async fn destinations(
    scenario: &Scenario,
) -> Result<Vec<(String, std::collections::BTreeMap<String, String>)>> {
    let mut all = Vec::new();
    for table in DESTINATIONS {
        let rows = dump::keyed(&scenario.database, table).await?;
        all.push((table.to_owned(), rows));
    }
    Ok(all)
}

async fn each_condition_means_its_rows(backend: Backend) -> Result<()> {
    let scenario = load(backend, 541).await?;
    let point = "batch kpi_history 1.0 middle: committed";
    migrated(&scenario, &[point], &[]).await?;
    let database = &scenario.database;
    let before = scenario.state().await?;
    let standing = destinations(&scenario).await?;

    let of = |condition: &str| {
        let condition = condition.to_owned();
        async move {
            let written = provenance::of_batches(database, &condition).await?;
            Ok::<BTreeSet<Key>, anyhow::Error>(written.into_iter().collect())
        }
    };
    let tenant = "SELECT \"tenantId\" FROM \"Campaign\" ORDER BY \"id\" LIMIT 1";
    let tenant: String = database.value(tenant).await?;
    let own =
        |table: &str| format!("SELECT \"id\" FROM \"{table}\" WHERE \"tenantId\" = '{tenant}'");
    let mut of_tenant = of("1 = 1").await?;
    let mut theirs = BTreeSet::new();
    for table in ["Campaign", "IntelligenceEvent", "KPIHistory"] {
        theirs.extend(keys(database, table, &own(table)).await?);
    }
    let prompts = "SELECT p.\"id\" FROM \"PromptPerformance\" p JOIN \"Campaign\" c ON c.\"id\" = p.\"campaignId\" \
                   WHERE c.\"tenantId\" = ";
    let prompts = format!("{prompts}'{tenant}'");
    theirs.extend(keys(database, "PromptPerformance", &prompts).await?);
    of_tenant.retain(|row| theirs.contains(row));

    let kpis: Vec<String> = standing[2].1.keys().cloned().collect();
    let (first, last) = (&kpis[kpis.len() / 4], &kpis[kpis.len() / 2]);
    let range = kpis.iter().filter(|key| *key >= first && *key <= last);
    let range: BTreeSet<Key> = range
        .map(|key| ("KPIHistory".to_owned(), key.clone()))
        .collect();

    let batch = "SELECT j.stream || '/' || CAST(j.seq AS TEXT) FROM backstitch_journal_rows r \
                 JOIN backstitch_journal j ON j.run = r.run AND j.stream = r.stream AND j.seq = r.seq \
                 WHERE j.stream LIKE 'intelligence_event/1.%' ORDER BY j.seq DESC, j.stream LIMIT 1";
    let batch: String = database.value(batch).await?;
    let (stream, seq) = batch.rsplit_once('/').context("a batch")?;
    let of_batch = of(&format!("j.stream = '{stream}' AND j.seq = {seq}")).await?;

    let worker = "SELECT worker FROM backstitch_journal WHERE kind = 'WorkerStarted' ORDER BY position LIMIT 1";
    let worker: String = database.value(worker).await?;
    let of_worker = of(&format!("j.worker = '{worker}'")).await?;

    let at = "SELECT at FROM backstitch_journal WHERE kind = 'BatchCommitted' AND stream LIKE 'kpi_history/1.%' \
              ORDER BY position LIMIT 1";
    let since: i64 = database.value(at).await?;
    let at = "SELECT at FROM backstitch_journal WHERE kind = 'BatchCommitted' AND stream LIKE 'kpi_history/1.%' \
              ORDER BY position DESC LIMIT 1";
    let until: i64 = database.value(at).await?;
    let of_time = of(&format!("j.at >= {since} AND j.at < {until}")).await?;
    let (since, until) = (Moment(since).rfc3339(), Moment(until).rfc3339());

    let choices: [(&[&str], BTreeSet<Key>); 7] = [
        (&["--tenant", &tenant], of_tenant),
        (
            &[
                "--from-key",
                first,
                "--to-key",
                last,
                "--unit",
                "kpi_history",
            ],
            range,
        ),
        (&["--batch", &batch], of_batch),
        (&["--worker", &worker], of_worker.clone()),
        (&["--written-by", OTHER], of_worker.clone()),
        (&["--written-by", OTHER, "--unit", "campaign_prompt"], {
            let prompts = of_worker
                .into_iter()
                .filter(|(table, _)| table == "Campaign");
            prompts.collect()
        }),
        (&["--since", &since, "--until", &until], of_time),
    ];
    for (conditions, gone) in choices {
        ensure!(!gone.is_empty(), "{conditions:?} means no row");
        let dry = [&["rollback", "--dry-run"][..], conditions].concat();
        cli(&scenario, &dry)?.expect(0).await?;
        scenario.expect_state(&before).await?;
        rollback(&scenario, conditions).await?;
        expect_without(&scenario, &standing, &gone)
            .await
            .with_context(|| format!("{conditions:?}"))?;
        rollback(&scenario, &[]).await?;
        scenario
            .expect_state(&before)
            .await
            .with_context(|| format!("{conditions:?} was taken back"))?;
    }
    scenario.verify_journal().await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    Ok(())
}

/// Rows that the application edited, or made, stay, and are named; so does what it put in the place of a removed one.
async fn what_is_not_ours_stays(backend: Backend) -> Result<()> {
    let scenario = load(backend, 542).await?;
    scenario.run()?.expect(0).await?;
    let database = &scenario.database;
    let keys: Vec<String> = dump::keyed(database, "KPIHistory")
        .await?
        .into_keys()
        .collect();
    let edit = format!(
        "UPDATE \"KPIHistory\" SET \"metricValue\" = 77 WHERE \"id\" = '{}'",
        keys[3]
    );
    database.execute(&edit).await?;
    let own = "INSERT INTO \"KPIHistory\" (\"id\", \"metricName\", \"metricValue\", \"period\", \"createdAt\", \"tenantId\") \
               SELECT 'own', \"metricName\", 1, \"period\", \"createdAt\", \"tenantId\" FROM \"KPIHistory\" LIMIT 1";
    database.execute(own).await?;
    let part = ["--unit", "kpi_history", "--to-key", &keys[9]];
    let arguments = [&["rollback"][..], &part, &WORD].concat();
    let outcome = cli(&scenario, &arguments)?.expect(0).await?;
    outcome.expect_named(&["took back 9 rows", "kept 1", &keys[3], "edited since"])?;
    let standing = dump::keyed(database, "KPIHistory").await?;
    let stands = |key: &str| standing.contains_key(key);
    ensure!(stands(&keys[3]) && stands("own") && stands(&keys[10]) && !stands(&keys[0]));
    let left = scenario.cli(&["quarantine", "list"])?.expect(0).await?;
    left.expect_named(&["kpi_history.removed", &keys[3], "edited since"])?;

    // Somebody puts a row in the place of one that was removed: that one is theirs.
    let again = own.replace("'own'", &format!("'{}'", keys[0]));
    database.execute(&again).await?;
    let theirs = dump::keyed(database, "KPIHistory").await?[&keys[0]].clone();
    let arguments = [&["rollback"][..], &WORD].concat();
    let outcome = cli(&scenario, &arguments)?.expect(0).await?;
    outcome.expect_named(&["put back 8 rows", "another row stands in its place"])?;
    let standing = dump::keyed(database, "KPIHistory").await?;
    ensure!(standing.len() == keys.len() + 1 && standing[&keys[0]] == theirs);
    scenario.verify_journal().await
}

/// Killed between any two statements, a rollback of a part goes on; and so does the rollback that puts it back.
async fn killed_and_taken_up_again(backend: Backend) -> Result<()> {
    let scenario = load(backend, 543).await?;
    let run = scenario.run()?.args(["--batch-rows", "50"]);
    run.expect(0).await?;
    let before = scenario.state().await?;
    let undisturbed = load(backend, 543).await?;
    let run = undisturbed.run()?.args(["--batch-rows", "50"]);
    run.expect(0).await?;
    let keys: Vec<String> = dump::keyed(&scenario.database, "KPIHistory")
        .await?
        .into_keys()
        .collect();
    let part = ["--to-key", keys[keys.len() / 2].as_str()];
    rollback(&undisturbed, &part).await?;
    let back: Vec<String> = ["kpi_history.removed", "campaign_prompt.restored"]
        .into_iter()
        .flat_map(|unit| {
            let steps = [
                "written",
                "provenance stored",
                "event appended",
                "committed",
            ];
            let places = ["first", "middle"];
            places.into_iter().flat_map(move |place| {
                steps.map(|step| format!("batch {unit} 1.0 {place}: {step}"))
            })
        })
        .collect();
    let arguments = [&["rollback"][..], &part, &WORD].concat();
    let kills = until_done(&scenario, &arguments, back).await?;
    ensure!(kills >= 8, "only {kills} points were met");
    scenario
        .expect_state(&undisturbed.state().await?)
        .await
        .context("the same as undisturbed")?;
    scenario.verify_journal().await?;
    let put_back: Vec<String> = ["kpi_history.removed", "campaign_prompt.restored"]
        .into_iter()
        .flat_map(|unit| {
            let steps = ["locked", "examined", "removed", "cursor moved", "committed"];
            steps.map(|step| format!("undo {unit} 1.0 first: {step}"))
        })
        .collect();
    let arguments = [&["rollback"][..], &WORD].concat();
    let kills = until_done(&scenario, &arguments, put_back).await?;
    ensure!(kills >= 8, "only {kills} points were met");
    scenario.expect_state(&before).await?;
    scenario.verify_journal().await
}

/// Runs a command until it is not killed any more, each time at another of these points; gives how often it was.
async fn until_done(scenario: &Scenario, arguments: &[&str], points: Vec<String>) -> Result<usize> {
    let folder = scratch::folder("part")?;
    let (list, trace) = (folder.join("list"), folder.join("trace"));
    let mut points: BTreeSet<String> = points.into_iter().collect();
    let mut kills = 0;
    loop {
        std::fs::write(&list, Vec::from_iter(points.iter().cloned()).join("\n"))?;
        let command = cli(scenario, arguments)?.env("BACKSTITCH_FAULT", &list);
        let outcome = command.env("BACKSTITCH_FAULT_TRACE", &trace).run().await?;
        if !outcome.was_killed() {
            outcome.expect(0)?;
            return Ok(kills);
        }
        let passed = std::fs::read_to_string(&trace)?;
        let last = passed.lines().last().context("it passed no point")?;
        ensure!(points.remove(last), "it died elsewhere, at {last}");
        kills += 1;
    }
}

async fn what_means_nothing_is_refused(backend: Backend) -> Result<()> {
    let scenario = load(backend, 547).await?;
    let point = "batch kpi_history 1.0 first: committed";
    let run = scenario.run()?.env("BACKSTITCH_FAULT", told(&[point])?);
    ensure!(run.run().await?.was_killed());
    let part = [&["rollback", "--written-by", OTHER][..], &WORD].concat();
    let open = cli(&scenario, &part)?.expect(4).await?;
    open.expect_named(&["is open", "worker run"])?;
    scenario.run()?.expect(0).await?;
    let before = scenario.state().await?;
    for (conditions, code, word) in [
        (&["--written-by", "7.7.7"][..], 2, "0.0.9"),
        (&["--worker", "nobody"], 2, "w-"),
        (&["--batch", "kpi_history"], 2, "names no batch"),
        (&["--batch", "kpi_history/1.0.0/999"], 2, "has no batch"),
        (&["--unit", "nobody", "--tenant", "t"], 2, "agent_feedback"),
        (
            &["--unit", "agent_feedback", "--tenant", "t"],
            2,
            "does not tell whose",
        ),
        (&["--since", "yesterday"], 2, "2025-11-04"),
    ] {
        for command in ["rollback", "redo"] {
            let arguments = [&[command][..], conditions, &WORD].concat();
            let outcome = cli(&scenario, &arguments)?.expect(code).await?;
            outcome.expect_named(&[word])?;
        }
    }
    let all = [&["redo"][..], &WORD].concat();
    let all = cli(&scenario, &all)?.expect(2).await?;
    all.expect_named(&["--written-by"])?;
    let nobody = [&["rollback", "--tenant", "nobody"][..], &WORD].concat();
    let nobody = cli(&scenario, &nobody)?.expect(0).await?;
    nobody.expect_named(&["0 rows"])?;
    scenario.expect_state(&before).await?;
    let runs: i64 = scenario
        .database
        .value("SELECT COUNT(DISTINCT run) FROM backstitch_journal WHERE kind = 'RunStarted'")
        .await?;
    ensure!(runs == 1, "{runs} runs were begun");
    Ok(())
}
