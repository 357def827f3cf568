//! A deep validation: what is right is called right to the last row, and what is not is told apart by who did it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::json::Json;
use tests::process::Outcome;
use tests::scenario::Scenario;
use tests::{journal, scratch};

on_both!(
    every_difference_is_told_apart,
    killed_and_interrupted,
    what_another_run_wrote,
    what_it_came_to_is_noted,
);

/// What a deep validation found: by unit, by kind.
pub(crate) type Found = BTreeMap<String, BTreeMap<String, i64>>;

/// Validates deeply; gives what was found, and how it ended.
pub(crate) async fn validate(
    scenario: &Scenario,
    more: &[&str],
    code: i32,
) -> Result<(Found, Outcome)> {
    let arguments = [&["validate", "--deep", "--json"], more].concat();
    let outcome = scenario.cli(&arguments)?.expect(code).await?;
    let found = units(&outcome)?;
    Ok((found, outcome))
}

/// A whole number of the canonical spelling, digits and perhaps a power of ten.
fn whole(number: &Json) -> Option<i64> {
    let text = number.to_string();
    let (digits, power) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let power: u32 = power.parse().ok()?;
    digits
        .parse::<i64>()
        .ok()?
        .checked_mul(10_i64.checked_pow(power)?)
}

/// Of a kind, over all units.
pub(crate) fn sum(found: &Found, kind: &str) -> i64 {
    let of = |fields: &BTreeMap<String, i64>| fields.get(kind).copied().unwrap_or_default();
    found.values().map(of).sum()
}

/// Fails unless every row that was written is verified, and nothing is held against any. `own` rows of the application
/// stand under our keys.
pub(crate) async fn expect_all_right(scenario: &Scenario, own: i64) -> Result<()> {
    let (found, outcome) = validate(scenario, &[], 0).await?;
    for (unit, fields) in &found {
        ensure!(
            fields["verified"] == fields["written"],
            "{} of {} rows of {unit} are verified: {outcome}",
            fields["verified"],
            fields["written"]
        );
    }
    for kind in ["wrong", "missing", "changed", "elsewhere", "altered", "bad"] {
        ensure!(sum(&found, kind) == 0, "{kind} rows: {outcome}");
    }
    ensure!(sum(&found, "foreign") <= own, "foreign rows: {outcome}");
    Ok(())
}

/// A source of every table, with a prompt that the application has set, and its schema.
pub(crate) async fn load(backend: Backend, seed: u64) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 40,
        window_days: 90,
        bad: 0.02,
        ..Profile::small(backend, seed)
    };
    Scenario::load_with_schema(&profile).await
}

/// What is done to source and destinations after a run, for how many rows, and what that makes them. `{at}` is an
/// instant inside the window.
pub(crate) const SOURCE_CHANGED: [(&str, &str, u64); 2] = [
    (
        "wrong",
        "UPDATE \"UserFeedback\" SET \"comment\" = 'another' WHERE \"id\" IN (SELECT \"id\" FROM \"UserFeedback\" \
         WHERE \"id\" LIKE 'plain-%' AND \"id\" < 'plain-3')",
        2,
    ),
    (
        "missing",
        "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"createdAt\", \
         \"createdBy\") VALUES ('late-1', 'Copy', 't', 'human', 3, '{at}', 'u'), \
         ('late-2', 'Copy', 't', 'human', 4, '{at}', 'u'), ('late-3', 'Copy', 't', 'human', 5, '{at}', 'u')",
        3,
    ),
];

/// Feedback with nothing odd about it, written before the run.
pub(crate) async fn plain_feedback(scenario: &Scenario) -> Result<()> {
    let at = scenario.profile.as_of.stored();
    for number in 1..10 {
        let sql = format!(
            "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"rating\", \"comment\", \
             \"createdAt\", \"createdBy\") VALUES ('plain-{number}', 'Copy', 't', 'human', 3, 'first', '{at}', 'u')"
        );
        scenario.database.execute(&sql).await?;
    }
    Ok(())
}

pub(crate) async fn change_source(scenario: &Scenario) -> Result<()> {
    let at = scenario.profile.as_of.stored();
    for (what, sql, rows) in SOURCE_CHANGED {
        let changed = scenario.database.execute(&sql.replace("{at}", &at)).await?;
        ensure!(changed == rows, "{changed} rows became {what}");
    }
    Ok(())
}

pub(crate) async fn every_difference_is_told_apart(backend: Backend) -> Result<()> {
    let scenario = load(backend, 501).await?;
    plain_feedback(&scenario).await?;
    let database = &scenario.database;
    let prompt = match backend {
        Backend::Sqlite => "json_extract(\"metadata\", '$.prompt')",
        Backend::Postgres => "\"metadata\" ->> 'prompt'",
    };
    let at = scenario.profile.as_of.stored();
    for (id, own) in [("p-1", "NULL"), ("p-2", "NULL"), ("p-3", "'set by hand'")] {
        let sql = format!(
            "INSERT INTO \"Campaign\" (\"id\", \"tenantId\", \"name\", \"metadata\", \"createdAt\", \"updatedAt\", \
             \"prompt\") VALUES ('{id}', 'acme', 'n', '{{\"prompt\": \"plain\"}}', '{at}', '{at}', {own})"
        );
        database.execute(&sql).await?;
    }
    scenario.run()?.expect(0).await?;
    let texts = |sql: String| async move { database.texts(&sql).await };
    ensure!(
        texts(format!(
            "SELECT {prompt} FROM \"Campaign\" WHERE \"prompt\" = 'plain'"
        ))
        .await?
        .len()
            == 2,
        "the prompts were not written"
    );
    expect_all_right(&scenario, 1).await?;

    change_source(&scenario).await?;
    for (sql, rows) in [
        // The application edits two rows, one of them of a source that changed as well, and deletes one.
        (
            "UPDATE \"AgentFeedback\" SET \"comment\" = 'edited' WHERE \"comment\" = 'first' AND \"id\" IN \
          (SELECT \"id\" FROM \"AgentFeedback\" WHERE \"id\" LIKE 'plain-2%' OR \"id\" LIKE 'plain-5%')",
            2,
        ),
        (
            "DELETE FROM \"AgentFeedback\" WHERE \"id\" LIKE 'plain-6%'",
            1,
        ),
        (
            "UPDATE \"Campaign\" SET \"prompt\" = NULL WHERE \"id\" = 'p-1'",
            1,
        ),
    ] {
        let changed = database.execute(sql).await?;
        ensure!(changed == rows, "{changed} rows instead of {rows}: {sql}");
    }
    let standing = scenario.state().await?;
    let (found, outcome) = validate(&scenario, &[], 3).await?;
    let feedback = &found["agent_feedback"];
    let kinds = ["wrong", "missing", "changed", "foreign"].map(|kind| feedback[kind]);
    ensure!(kinds == [1, 3, 3, 0], "{kinds:?}: {outcome}");
    ensure!(
        feedback["verified"] == feedback["written"] - 4,
        "the others are not verified: {outcome}"
    );
    let prompts = &found["campaign_prompt"];
    let kinds = ["wrong", "missing", "changed"].map(|kind| prompts[kind]);
    ensure!(kinds == [0, 0, 1] && prompts["foreign"] >= 1, "{outcome}");
    outcome.expect_named(&[
        "plain-1",
        "(comment)",
        "late-1",
        "plain-6",
        "deleted since",
        "edited since",
    ])?;
    scenario.expect_state(&standing).await?;
    scenario.verify_journal().await
}

/// Killed at the end of every section, and interrupted in the midst of one, it goes on and comes to the same.
async fn killed_and_interrupted(backend: Backend) -> Result<()> {
    let scenario = load(backend, 502).await?;
    plain_feedback(&scenario).await?;
    scenario.run()?.expect(0).await?;
    change_source(&scenario).await?;
    let (whole, _) = validate(&scenario, &[], 3).await?;

    let database = &scenario.database;
    let slow = ["validate", "--deep", "--pace", "40"];
    let begun = journal::events(database, "ValidationStarted", None).await?;
    let running = scenario.cli(&slow)?.spawn()?;
    while journal::events(database, "ValidationStarted", None).await? == begun {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.signal("INT")?;
    let outcome = running.wait().await?.expect(130)?;
    outcome.expect_named(&["progress saved", "same command"])?;

    let list = scratch::folder("deep")?.join("list");
    std::fs::write(&list, "event ValidationAdvanced of the run: committed")?;
    let mut kills = 0;
    let outcome = loop {
        let deep = scenario.cli(&["validate", "--deep", "--json"])?;
        let outcome = deep.env("BACKSTITCH_FAULT", &list).run().await?;
        if !outcome.was_killed() {
            break outcome.expect(3)?;
        }
        kills += 1;
        ensure!(kills < 50, "it never comes to its end");
    };
    ensure!(
        kills >= 8,
        "only {kills} kills struck, of one for each section"
    );
    ensure!(
        journal::events(database, "ValidationStarted", None).await? == begun + 1,
        "it was begun anew"
    );
    ensure!(
        outcome.stderr.contains("going on with validation/"),
        "{outcome}"
    );
    let again = units(&outcome)?;
    ensure!(again == whole, "it came to {again:?} instead of {whole:?}");
    scenario.verify_journal().await?;

    // One that is over, or beside which rows were written, is not gone on with.
    let (_, outcome) = validate(&scenario, &[], 3).await?;
    ensure!(outcome.stderr.contains("came to its end"), "{outcome}");
    let killed = scenario.cli(&["validate", "--deep"])?;
    let killed = killed.env("BACKSTITCH_FAULT", &list).run().await?;
    ensure!(killed.was_killed(), "{killed}");
    scenario
        .cli(&["repair", "--yes", "--reason", "a test"])?
        .expect(0)
        .await?;
    let (_, outcome) = validate(&scenario, &[], 0).await?;
    ensure!(outcome.stderr.contains("rows were written"), "{outcome}");
    scenario.verify_journal().await
}

fn units(outcome: &Outcome) -> Result<Found> {
    let json = Json::parse(&outcome.stdout).map_err(anyhow::Error::msg)?;
    let units = json.get("deep").and_then(|deep| deep.get("units"));
    let Some(Json::Object(units)) = units else {
        anyhow::bail!("no units in {outcome}");
    };
    let fields = |fields: &Json| match fields {
        Json::Object(fields) => fields
            .iter()
            .filter_map(|(name, value)| match value {
                Json::Number(_) => Some((name.clone(), whole(value)?)),
                _ => None,
            })
            .collect(),
        _ => BTreeMap::new(),
    };
    let units = units
        .iter()
        .map(|(unit, found)| (unit.clone(), fields(found)));
    Ok(units.collect())
}

/// What an earlier run wrote, as of an earlier instant, is not called wrong as of the later one.
async fn what_another_run_wrote(backend: Backend) -> Result<()> {
    let scenario = load(backend, 503).await?;
    plain_feedback(&scenario).await?;
    let earlier = tests::moment::Moment(scenario.profile.as_of.0 - 3_600_000).rfc3339();
    let days = scenario.profile.window_days.to_string();
    let first = tests::process::worker(&scenario.database)?.args([
        "run",
        "--as-of",
        &earlier,
        "--window-days",
        &days,
        "--max-bad",
        "100%",
    ]);
    first.expect(0).await?;
    scenario.run()?.expect(0).await?;
    let (found, outcome) = validate(&scenario, &[], 0).await?;
    let performance = &found["prompt_performance"];
    ensure!(
        performance["written"] > 0 && performance["elsewhere"] > 0,
        "the earlier run wrote nothing: {outcome}"
    );
    ensure!(sum(&found, "wrong") == 0, "{outcome}");
    Ok(())
}

/// A plain validation notes nothing, but where it is told to.
async fn what_it_came_to_is_noted(backend: Backend) -> Result<()> {
    let scenario = load(backend, 504).await?;
    scenario.run()?.expect(0).await?;
    let database = &scenario.database;
    let noted = || journal::events(database, "Validated", None);
    scenario.cli(&["validate"])?.expect(0).await?;
    ensure!(noted().await? == 0, "it was noted");
    scenario.cli(&["validate", "--record"])?.expect(0).await?;
    ensure!(noted().await? == 1, "it was not noted");
    scenario.cli(&["validate", "--deep"])?.expect(0).await?;
    let payload =
        "SELECT payload FROM backstitch_journal WHERE kind = 'Validated' ORDER BY position";
    let payloads = database.texts(payload).await?;
    let deep: Vec<_> = payloads
        .iter()
        .map(|payload| Json::parse(payload).map_err(anyhow::Error::msg))
        .collect::<Result<_>>()?;
    let [plain, deep] = deep.as_slice() else {
        anyhow::bail!("{payloads:?}");
    };
    ensure!(plain.get("deep") == Some(&Json::Null), "{plain}");
    let verified = deep.get("verified").and_then(whole).context("a number")?;
    ensure!(verified > 100, "{deep}");
    let show = ["journal", "show", "--kind", "Validated"];
    scenario
        .cli(&show)?
        .expect(0)
        .await?
        .expect_named(&["0 wrong"])?;
    scenario.verify_journal().await
}
