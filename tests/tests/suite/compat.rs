//! The release before on the schema of the release after: it works, and whatever would stop it is found, without a trace.

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::dump;
use tests::generate::Profile;
use tests::json::Json;
use tests::scenario::Scenario;

on_both!(the_release_before_goes_on, what_would_stop_it_is_found);

async fn the_release_before_goes_on(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 711)).await?;
    scenario.run()?.expect(0).await?;
    let (before, written) = (scenario.state().await?, journal(&scenario).await?);
    let compat = scenario.cli(&["compat"])?.expect(0).await?;
    compat.expect_named(&[
        "create Campaign",
        "find PublishJob by assetId",
        "update AgentTask",
        "delete Campaign and what hangs on it",
        "PromptPerformance is gone with its Campaign",
        "PublishJob is gone with its Asset",
        "works on this schema",
    ])?;
    scenario.expect_state(&before).await?;
    ensure!(
        journal(&scenario).await? == written,
        "it left something in the journal"
    );
    let document = scenario
        .cli(&["compat", "--record", "--json"])?
        .expect(0)
        .await?;
    let document = Json::parse(&document.stdout).map_err(anyhow::Error::msg)?;
    ensure!(
        document.get("failed") == Some(&Json::Array(Vec::new())),
        "{document:?}"
    );
    scenario.expect_state(&before).await?;
    let told = scenario.cli(&["journal", "show", "--kind", "CompatChecked"])?;
    told.expect(0).await?.expect_named(&["statements ran"])?;
    scenario.verify_journal().await?;

    // An optional table that is not there is told, and none that is required is passed over.
    scenario.database.execute("DROP TABLE \"Deal\"").await?;
    let without = scenario.cli(&["compat"])?.expect(0).await?;
    without.expect_named(&["all of Deal: not run, there is no such table"])?;
    scenario
        .database
        .execute("ALTER TABLE \"PublishJob\" RENAME TO \"Job\"")
        .await?;
    let without = scenario.cli(&["compat"])?.expect(3).await?;
    without.expect_named(&["all of PublishJob: there is no such table"])
}

/// Rows of the journal, as texts.
async fn journal(scenario: &Scenario) -> Result<i64> {
    scenario.database.count("backstitch_journal").await
}

/// Something that stops the release before, how it is mended, and what the report says.
struct Obstacle {
    postgres: &'static str,
    sqlite: &'static str,
    cure: &'static str,
    named: &'static [&'static str],
    still: &'static str,
}

const OBSTACLES: [Obstacle; 6] = [
    Obstacle {
        postgres: "ALTER TABLE \"Campaign\" ADD COLUMN \"brand\" TEXT NOT NULL DEFAULT ''; \
                   ALTER TABLE \"Campaign\" ALTER COLUMN \"brand\" DROP DEFAULT",
        sqlite: "",
        cure: "ALTER TABLE \"Campaign\" DROP COLUMN \"brand\"",
        named: &[
            "create Campaign: ",
            "brand",
            "find Campaign: not run",
            "create Asset: not run",
        ],
        still: "create Deal",
    },
    Obstacle {
        postgres: "ALTER TABLE \"PublishJob\" RENAME COLUMN \"platform\" TO \"channel\"",
        sqlite: "ALTER TABLE \"PublishJob\" RENAME COLUMN \"platform\" TO \"channel\"",
        cure: "ALTER TABLE \"PublishJob\" RENAME COLUMN \"channel\" TO \"platform\"",
        named: &["create PublishJob: ", "platform"],
        still: "update Asset",
    },
    Obstacle {
        postgres: "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no %', NEW.id; \
                   END $$; CREATE TRIGGER refuse BEFORE UPDATE ON \"AgentTask\" FOR EACH ROW EXECUTE FUNCTION refuse()",
        sqlite: "CREATE TRIGGER refuse BEFORE UPDATE ON \"AgentTask\" BEGIN SELECT RAISE(ABORT, 'no'); END",
        cure: "DROP TRIGGER refuse",
        named: &["update AgentTask: "],
        still: "create AgentTask",
    },
    Obstacle {
        postgres: "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
                   CREATE TRIGGER swallow BEFORE DELETE ON \"PromptPerformance\" FOR EACH ROW EXECUTE FUNCTION swallow()",
        sqlite: "",
        cure: "DROP TRIGGER swallow",
        named: &["PromptPerformance is gone with its Campaign: "],
        still: "PublishJob is gone",
    },
    Obstacle {
        postgres: "ALTER TABLE \"PromptPerformance\" DROP CONSTRAINT \"PromptPerformance_campaignId_fkey\", ADD CONSTRAINT \
                   \"PromptPerformance_campaignId_fkey\" FOREIGN KEY (\"campaignId\") REFERENCES \"Campaign\"(\"id\") \
                   DEFERRABLE INITIALLY DEFERRED",
        sqlite: "",
        cure: "ALTER TABLE \"PromptPerformance\" DROP CONSTRAINT \"PromptPerformance_campaignId_fkey\", ADD CONSTRAINT \
               \"PromptPerformance_campaignId_fkey\" FOREIGN KEY (\"campaignId\") REFERENCES \"Campaign\"(\"id\") \
               ON DELETE CASCADE ON UPDATE CASCADE",
        named: &["delete Campaign and what hangs on it: "],
        still: "find Campaign",
    },
    Obstacle {
        postgres: "ALTER TABLE \"UserFeedback\" ALTER COLUMN \"rating\" TYPE BOOLEAN USING NULL",
        sqlite: "ALTER TABLE \"UserFeedback\" DROP COLUMN \"rating\"",
        cure: "",
        named: &["create UserFeedback: "],
        still: "create UserFeedback with its required columns alone",
    },
];

async fn what_would_stop_it_is_found(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 712)).await?;
    scenario.run()?.expect(0).await?;
    for obstacle in &OBSTACLES {
        let cause = match backend {
            Backend::Postgres => obstacle.postgres,
            Backend::Sqlite => obstacle.sqlite,
        };
        if !cause.is_empty() {
            check(&scenario, cause, obstacle)
                .await
                .with_context(|| format!("with {cause}"))?;
        }
    }
    scenario.cli(&["compat", "--record"])?.expect(3).await?;
    let told = scenario.cli(&["journal", "show", "--kind", "CompatChecked"])?;
    told.expect(0)
        .await?
        .expect_named(&["not as it should be: create UserFeedback"])
}

async fn check(scenario: &Scenario, cause: &str, obstacle: &Obstacle) -> Result<()> {
    let database = &scenario.database;
    database.execute(cause).await?;
    let tables = dump::SOURCES.into_iter().chain(dump::DESTINATIONS);
    let tables: Vec<_> = tables.collect();
    let before = dump::of(database, &tables).await?;
    let compat = scenario.cli(&["compat"])?.expect(3).await?;
    compat.expect_named(obstacle.named)?;
    let still = format!("✅ {}", obstacle.still);
    ensure!(
        compat.stdout.contains(&still),
        "{still} is missing from {compat}"
    );
    let after = dump::of(database, &tables).await?;
    let differences = before.differences(&after);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    if obstacle.cure.is_empty() {
        return Ok(());
    }
    let is_trigger =
        obstacle.cure.starts_with("DROP TRIGGER") && database.backend == Backend::Postgres;
    match is_trigger {
        true => {
            let name = obstacle.cure.trim_start_matches("DROP TRIGGER ");
            database
                .execute(&format!("DROP FUNCTION {name}() CASCADE"))
                .await?;
        }
        false => _ = database.execute(obstacle.cure).await?,
    }
    scenario.cli(&["compat"])?.expect(0).await?;
    Ok(())
}
