//! A replay of the quarantine writes what is mended, once, sets aside again what is still bad, and is taken back like any
//! run.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::dump;
use tests::json::Json;
use tests::scenario::Scenario;
use tests::{journal, scratch};

use crate::deep::{load, plain_feedback, sum, validate};

on_both!(
    mended_rows_are_written_once,
    killed_replays,
    values_are_told_where_they_are_asked_for,
);

const REPLAY: [&str; 5] = ["quarantine", "replay", "--yes", "--reason", "a test"];
const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--reason", "a test"];
const FEEDBACK: [&str; 2] = ["--unit", "agent_feedback"];

/// Feedback with these ratings, beside what the source holds.
async fn source(backend: Backend, seed: u64, ratings: [i32; 3]) -> Result<Scenario> {
    let scenario = load(backend, seed).await?;
    plain_feedback(&scenario).await?;
    let at = scenario.profile.as_of.stored();
    for (number, rating) in ratings.iter().enumerate() {
        let sql = format!(
            "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
             \"createdBy\") VALUES ('sick-{number}', 'Copy', 't', 'human', {rating}, '{at}', 'u')"
        );
        scenario.database.execute(&sql).await?;
    }
    Ok(scenario)
}

/// Migrated with three bad ratings, of which two were mended since.
async fn mended(backend: Backend, seed: u64) -> Result<Scenario> {
    let scenario = source(backend, seed, [9, 9, 9]).await?;
    scenario.run()?.expect(0).await?;
    let mend = "UPDATE \"UserFeedback\" SET \"rating\" = 4 WHERE \"id\" IN ('sick-0', 'sick-1')";
    ensure!(scenario.database.execute(mend).await? == 2);
    Ok(scenario)
}

async fn mended_rows_are_written_once(backend: Backend) -> Result<()> {
    let reference = source(backend, 521, [4, 4, 9]).await?;
    reference.run()?.expect(0).await?;
    let scenario = mended(backend, 521).await?;
    let database = &scenario.database;
    let aside = journal::quarantined(database).await?;
    let before = scenario.state().await?;

    // Nothing is done without a word, and a repair leaves them to a replay.
    scenario
        .cli(&["quarantine", "replay", "--dry-run"])?
        .expect(0)
        .await?
        .expect_named(&["agent_feedback", "in quarantine"])?;
    let unconfirmed = scenario.cli(&["quarantine", "replay", "--reason", "a test"])?;
    unconfirmed.expect(4).await?;
    let repair = scenario.cli(&["repair", "--yes", "--reason", "a test"])?;
    repair
        .expect(0)
        .await?
        .expect_named(&["nothing to repair"])?;
    let unknown = scenario.cli(&[&REPLAY[..], &["--unit", "nobody"]].concat())?;
    unknown.expect(2).await?.expect_named(&["nobody"])?;
    scenario.expect_state(&before).await?;
    ensure!(journal::quarantined(database).await? == aside);

    let replay = scenario.cli(&[&REPLAY[..], &FEEDBACK].concat())?;
    let outcome = replay.expect(0).await?;
    outcome.expect_named(&["2 rows written", "cli rollback"])?;
    let written = dump::of(database, &["AgentFeedback"]).await?;
    let expected = dump::of(&reference.database, &["AgentFeedback"]).await?;
    let differences = written.differences(&expected);
    ensure!(differences.is_empty(), "{differences:?}");
    let again = journal::quarantined_keys(database, "agent_feedback.replayed").await?;
    let kept = journal::quarantined_keys(&reference.database, "agent_feedback").await?;
    let as_replayed =
        |row: &String| row.replace("\"agent_feedback\"", "\"agent_feedback.replayed\"");
    let kept: Vec<_> = kept.iter().map(as_replayed).collect();
    ensure!(again == kept, "{again:?} were set aside again of {kept:?}");
    let shown = scenario.cli(&["quarantine", "show", "sick-2"])?;
    let shown = shown.expect(0).await?;
    shown.expect_named(&["agent_feedback.replayed", "all rows: 2"])?;
    let unknown = scenario.cli(&["quarantine", "show", "nobody"])?;
    unknown.expect(2).await?;
    let (found, outcome) = validate(&scenario, &[], 0).await?;
    let kinds = ["wrong", "missing", "changed", "bad"].map(|kind| sum(&found, kind));
    ensure!(kinds == [0; 4], "{kinds:?}: {outcome}");
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario
        .cli(&["runs"])?
        .expect(0)
        .await?
        .expect_named(&["a replay"])?;
    scenario.verify_journal().await?;

    // Once more writes nothing more, nor what was never set aside.
    let at = scenario.profile.as_of.stored();
    let late = format!(
        "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
         \"createdBy\") VALUES ('late', 'Copy', 't', 'human', 3, '{at}', 'u')"
    );
    database.execute(&late).await?;
    let replayed = scenario.state().await?;
    let replay = scenario.cli(&REPLAY)?.expect(0).await?;
    replay.expect_named(&["0 rows written"])?;
    scenario.expect_state(&replayed).await?;
    scenario.verify_journal().await?;

    database
        .execute("DELETE FROM \"UserFeedback\" WHERE \"id\" = 'late'")
        .await?;
    scenario.cli(&ROLLBACK)?.expect(0).await?;
    scenario
        .expect_state(&before)
        .await
        .context("after the replay was taken back")?;
    scenario.verify_journal().await
}

/// Killed between any two statements of its batch, a replay goes on, and writes no row twice.
async fn killed_replays(backend: Backend) -> Result<()> {
    let scenario = mended(backend, 522).await?;
    let undisturbed = mended(backend, 522).await?;
    let replay = undisturbed.cli(&REPLAY)?;
    replay.expect(0).await?;
    let folder = scratch::folder("replay")?;
    let (list, trace) = (folder.join("list"), folder.join("trace"));
    let mut points: BTreeSet<String> = [
        "written",
        "provenance stored",
        "event appended",
        "committed",
    ]
    .into_iter()
    .flat_map(|step| ["first", "only"].map(|place| (place, step)))
    .map(|(place, step)| format!("batch agent_feedback.replayed 1.0 {place}: {step}"))
    .collect();
    let mut kills = 0;
    loop {
        std::fs::write(&list, Vec::from_iter(points.iter().cloned()).join("\n"))?;
        let replay = scenario.cli(&REPLAY)?.env("BACKSTITCH_FAULT", &list);
        let outcome = replay.env("BACKSTITCH_FAULT_TRACE", &trace).run().await?;
        if !outcome.was_killed() {
            outcome.expect(0)?.expect_named(&["going on with replay"])?;
            break;
        }
        let passed = std::fs::read_to_string(&trace)?;
        let last = passed.lines().last().context("it passed no point")?;
        ensure!(points.remove(last), "it died elsewhere, at {last}");
        kills += 1;
        if kills == 1 {
            let refused = scenario.run()?.expect(4).await?;
            refused.expect_named(&["cli quarantine replay", "set aside"])?;
            let repair = scenario.cli(&["repair", "--yes", "--reason", "a test"])?;
            repair
                .expect(4)
                .await?
                .expect_named(&["cli quarantine replay"])?;
        }
    }
    ensure!(kills >= 4, "only {kills} points were met");
    scenario
        .expect_state(&undisturbed.state().await?)
        .await
        .context("the same as undisturbed")?;
    let aside = journal::quarantined(&undisturbed.database).await?;
    ensure!(journal::quarantined(&scenario.database).await? == aside);
    scenario.verify_journal().await
}

/// A row's values are personal data: nothing shows them but where somebody asks, and then as they are now.
async fn values_are_told_where_they_are_asked_for(backend: Backend) -> Result<()> {
    let scenario = source(backend, 523, [9, 9, 4]).await?;
    let secret =
        "UPDATE \"UserFeedback\" SET \"comment\" = 'call +49 151 555' WHERE \"id\" = 'sick-0'";
    scenario.database.execute(secret).await?;
    scenario.run()?.expect(0).await?;
    let aside = journal::quarantined(&scenario.database).await?;
    let rows: usize = aside.values().sum();
    let folder = scratch::folder("export")?;
    let file = folder.join("bad.csv");
    let name = file.to_string_lossy();

    let silent = [
        "quarantine list",
        "quarantine show sick-0",
        "quarantine export",
    ];
    for command in silent {
        let arguments: Vec<_> = command.split(' ').collect();
        let outcome = scenario.cli(&arguments)?.expect(0).await?;
        ensure!(outcome.stdout.contains("sick-0") && !outcome.output().contains("555"));
    }
    let shown = scenario.cli(&["quarantine", "show", "sick-0", "--values"])?;
    let shown = shown.expect(0).await?;
    shown.expect_named(&["UserFeedback", "rating: 9", "call +49 151 555"])?;

    let export = ["quarantine", "export", "--values"];
    let lines = scenario.cli(&export)?.expect(0).await?;
    ensure!(lines.stdout.lines().count() == rows, "{lines}");
    let own = lines.stdout.lines().find(|line| line.contains("sick-0"));
    let own = Json::parse(own.context("its line")?).map_err(anyhow::Error::msg)?;
    let comment = own.get("values").and_then(|values| values.get("comment"));
    ensure!(comment.is_some_and(|comment| comment.to_string().contains("555")));

    let mend = "UPDATE \"UserFeedback\" SET \"comment\" = 'x, \"y\"' WHERE \"id\" = 'sick-0'";
    scenario.database.execute(mend).await?;
    let command = [&export[..], &["--format", "csv", "-o", &name]].concat();
    let outcome = scenario.cli(&command)?.expect(0).await?;
    ensure!(outcome.stdout.is_empty(), "{outcome}");
    let csv = std::fs::read_to_string(&file)?;
    ensure!(
        csv.starts_with("unit,key,reason,at,run,table,values\r\n"),
        "{csv}"
    );
    ensure!(csv.matches("\r\n").count() == rows + 1, "{csv}");
    // JSON's quotes, doubled by CSV.
    ensure!(csv.contains(r#""comment"":""x, \""y\"""""#), "{csv}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file)?.permissions());
    ensure!(mode & 0o077 == 0, "others may read it: {mode:o}");
    let again = scenario.cli(&command)?.expect(2).await?;
    again.expect_named(&["cannot write", "new file"])?;
    ensure!(std::fs::read_to_string(&file)? == csv);
    Ok(())
}
