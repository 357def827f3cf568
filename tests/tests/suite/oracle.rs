//! What a run writes is what the oracle expects, row by row, on sources full of odd values.

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::dump;
use tests::generate::Profile;
use tests::random::Random;
use tests::scenario::Scenario;
use tests::source::{OPTIONAL, Value, literal};

use crate::seeds::seeds;

on_both!(
    odd_sources,
    an_empty_database,
    a_database_without_any_optional_table,
    one_campaign_only,
    a_name_too_long_for_an_index,
    a_column_that_is_there_already,
);

pub(crate) async fn odd_sources(backend: Backend) -> Result<()> {
    for seed in seeds(14) {
        odd_source(backend, seed)
            .await
            .with_context(|| format!("BACKSTITCH_SEED={seed} repeats this"))?;
    }
    Ok(())
}

async fn odd_source(backend: Backend, seed: u64) -> Result<()> {
    let mut random = Random::new(seed ^ 0xABCD);
    let linguistic = backend == Backend::Postgres && seed % 2 == 1;
    let database = if linguistic {
        Database::create_with_a_linguistic_order().await?
    } else {
        Database::create(backend).await?
    };
    let scenario = Scenario::load_into(database, &Profile::odd(backend, seed)).await?;
    if seed.is_multiple_of(3) {
        scenario.cli(&["schema", "up"])?.expect(0).await?;
        set_some_prompts(&scenario).await?;
    }
    let expected = scenario.expected().await?;
    let (sources, campaigns) = (untouched(&scenario).await?, scenario.campaigns().await?);

    let rows = random.pick(&["7", "50", "2000"]);
    let partitions = random.pick(&["1", "3", "8"]);
    let tuned = scenario
        .run()?
        .args(["--batch-rows", rows, "--partitions", partitions]);
    tuned.expect(0).await?;
    expected.check(&scenario.database).await?;
    scenario.verify_journal().await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    crate::deep::expect_all_right(&scenario, i64::MAX).await?;
    ensure!(
        untouched(&scenario).await? == sources,
        "a source table was changed"
    );
    ensure!(
        scenario.campaigns().await? == campaigns,
        "a campaign was changed besides its prompt"
    );

    let first = scenario.state().await?;
    scenario.run()?.expect(0).await?;
    scenario
        .expect_state(&first)
        .await
        .context("a second run with nothing to do")
}

/// Prompts that the application has set already; one of them is empty, and on SQLite one holds what no other database
/// would.
async fn set_some_prompts(scenario: &Scenario) -> Result<()> {
    let ids = scenario
        .database
        .texts("SELECT \"id\" FROM \"Campaign\" ORDER BY \"id\"")
        .await?;
    for (number, id) in ids.iter().enumerate().filter(|(number, _)| number % 9 == 0) {
        let id = literal(scenario.profile.backend, &Value::Text(id.clone()));
        let prompt = match number {
            0 => String::new(),
            9 if scenario.profile.backend == Backend::Sqlite => "cut \0 here".to_owned(),
            _ => format!("  set by hand {number} "),
        };
        let prompt = literal(scenario.profile.backend, &Value::Text(prompt));
        let sql = format!("UPDATE \"Campaign\" SET \"prompt\" = {prompt} WHERE \"id\" = {id}");
        scenario.database.execute(&sql).await?;
    }
    Ok(())
}

/// The source tables of which a run may change nothing at all.
async fn untouched(scenario: &Scenario) -> Result<dump::Dump> {
    dump::of(&scenario.database, &dump::SOURCES[1..]).await
}

pub(crate) async fn an_empty_database(backend: Backend) -> Result<()> {
    let profile = Profile {
        without: Vec::new(),
        ..Profile::odd(backend, 1)
    };
    let database = Database::create(backend).await?;
    database.create_source_schema(&[]).await?;
    run_and_check(database, &profile, Fill::Not).await
}

pub(crate) async fn a_database_without_any_optional_table(backend: Backend) -> Result<()> {
    let profile = Profile {
        without: OPTIONAL.to_vec(),
        log_lines: 0,
        ..Profile::odd(backend, 2)
    };
    run_and_check(Database::create(backend).await?, &profile, Fill::Fully).await
}

pub(crate) async fn one_campaign_only(backend: Backend) -> Result<()> {
    let profile = Profile {
        campaigns: 1,
        without: Vec::new(),
        ..Profile::odd(backend, 3)
    };
    run_and_check(Database::create(backend).await?, &profile, Fill::Fully).await
}

enum Fill {
    Fully,
    Not,
}

async fn run_and_check(database: Database, profile: &Profile, fill: Fill) -> Result<()> {
    let scenario = match fill {
        Fill::Fully => Scenario::load_into(database, profile).await?,
        Fill::Not => Scenario::around(database, profile),
    };
    let expected = scenario.expected().await?;
    scenario.run()?.expect(0).await?;
    expected.check(&scenario.database).await?;
    scenario.verify_journal().await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    scenario.cli(&["status"])?.expect(0).await?;
    Ok(())
}

/// PostgreSQL's indexes take no key of many kilobytes. Such a row must not stop the run; where it cannot be written it
/// is set aside.
pub(crate) async fn a_name_too_long_for_an_index(backend: Backend) -> Result<()> {
    let profile = Profile {
        campaigns: 0,
        log_lines: 0,
        ..Profile::odd(backend, 1)
    };
    let database = Database::create(backend).await?;
    database.create_source_schema(&[]).await?;
    let scenario = Scenario::around(database, &profile);
    // Random letters, so that compression does not make the key fit after all.
    let mut random = Random::new(9);
    let long: String = (0..9000)
        .map(|_| char::from(b"abcdefghijklmnop"[random.index(16)]))
        .collect();
    let at = profile.since().stored();
    let metadata = format!(
        "{{\"agentTasks\": [{{\"agentId\": \"{long}\", \"completedAt\": \"2023-01-01T00:00:00Z\", \"success\": true}}, \
         {{\"agentId\": \"short\", \"completedAt\": \"2023-01-01T00:00:00Z\", \"success\": true}}]}}"
    );
    scenario
        .database
        .execute(&format!(
            "INSERT INTO \"Campaign\" (\"id\", \"tenantId\", \"name\", \"metadata\", \"createdAt\", \"updatedAt\") \
             VALUES ('c', 't', 'n', '{metadata}', '{at}', '{at}')"
        ))
        .await?;
    let outcome = scenario.run()?.run().await?;
    if outcome.code() == Some(3) {
        // An index that is built after the rows finds it: it is taken away by hand, and the catch-up pass sets it aside.
        outcome.expect_named(&["IntelligenceEvent_entityType_entityId_idx", "does not hold"])?;
        ensure!(!outcome.output().contains(&long), "a value is told");
        scenario
            .database
            .execute("DELETE FROM \"IntelligenceEvent\" WHERE length(\"entityId\") > 8000")
            .await?;
        scenario.run()?.expect(0).await?;
    } else {
        outcome.expect(0)?;
    }
    let events = scenario.database.count("IntelligenceEvent").await?;
    let aside = tests::journal::events(
        &scenario.database,
        "RowQuarantined",
        Some("intelligence_event"),
    )
    .await?;
    ensure!(
        events >= 1 && events + aside == 2,
        "{events} events and {aside} rows set aside, of two tasks"
    );
    scenario.verify_journal().await
}

/// Prisma may have added the column before the worker comes.
pub(crate) async fn a_column_that_is_there_already(backend: Backend) -> Result<()> {
    let profile = Profile::small(backend, 4);
    let scenario = Scenario::load(&profile).await?;
    scenario
        .database
        .execute("ALTER TABLE \"Campaign\" ADD COLUMN \"prompt\" TEXT")
        .await?;
    let expected = scenario.expected().await?;
    scenario.run()?.expect(0).await?;
    expected.check(&scenario.database).await
}
