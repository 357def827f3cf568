//! Names that come from outside, in the catalog or on the command line, are quoted or bound, whatever they hold; and
//! another database than the run's is refused.

use anyhow::{Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::scenario::Scenario;

on_both!(hostile_names, a_copy_of_the_database);

/// A name that ends whatever quotes it stands between.
const HOSTILE: &str = r#"x"; DROP TABLE "Campaign"; --'); $1 %s \"#;

async fn hostile_names(backend: Backend) -> Result<()> {
    let profile = Profile::small(backend, 406);
    let scenario = Scenario::load_with_schema(&profile).await?;
    let database = &scenario.database;
    let name = format!("\"{}\"", HOSTILE.replace('"', "\"\""));
    let column = format!("ALTER TABLE \"AgentFeedback\" ADD COLUMN {name} TEXT DEFAULT 'theirs'");
    database.execute(&column).await?;
    scenario.run()?.expect(0).await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    let child = format!(
        "CREATE TABLE {name} ({name} TEXT REFERENCES \"AgentFeedback\" (\"id\") ON DELETE CASCADE)"
    );
    database.execute(&child).await?;
    let refer =
        format!("INSERT INTO {name} SELECT \"id\" FROM \"AgentFeedback\" ORDER BY \"id\" LIMIT 2");
    database.execute(&refer).await?;
    let campaigns = database.count("Campaign").await?;

    for arguments in [
        ["journal", "show", "--kind", HOSTILE],
        ["journal", "show", "--unit", HOSTILE],
        ["journal", "show", "--run", HOSTILE],
        ["status", "--run", HOSTILE, "--json"],
    ] {
        let outcome = scenario.cli(&arguments)?.run().await?;
        ensure!(matches!(outcome.code(), Some(0 | 2)), "{outcome}");
    }
    scenario.run()?.args(["--unit", HOSTILE]).expect(2).await?;
    let rollback = ["rollback", "--yes", "--reason", HOSTILE];
    scenario.cli(&rollback)?.expect(0).await?;
    ensure!(
        database.count("Campaign").await? == campaigns,
        "campaigns were lost"
    );
    ensure!(
        database.count("AgentFeedback").await? == 2,
        "two rows are referred to"
    );
    ensure!(database.count("KPIHistory").await? == 0, "rows are left");
    scenario.verify_journal().await
}

/// A run that began in one database does not go on in a copy of it without being told so, and then it is journaled.
async fn a_copy_of_the_database(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::busy(backend, 407)).await?;
    let expected = scenario.expected().await?;
    let run = scenario.run()?.args(["--unit", "campaign_prompt"]);
    run.expect(0).await?;
    let copied = Scenario {
        database: scenario.database.copy().await?,
        profile: scenario.profile.clone(),
        source: scenario.source.clone(),
        logs: scenario.logs.clone(),
    };
    let before = copied.state().await?;
    let refused = copied.run()?.expect(4).await?;
    refused.expect_named(&["--adopt-database"])?;
    copied.expect_state(&before).await?;
    copied.run()?.args(["--adopt-database"]).expect(0).await?;
    expected.check(&copied.database).await?;
    copied.verify_journal().await?;
    let adopted = journal::events(&copied.database, "DatabaseAdopted", None).await?;
    ensure!(adopted == 1, "{adopted} adoptions were journaled");
    scenario.run()?.expect(0).await?;
    expected.check(&scenario.database).await
}
