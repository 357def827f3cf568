//! The validation finds each kind of trouble, names it, and changes nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::scenario::Scenario;

on_both!(
    every_kind_of_trouble_is_found,
    an_unfinished_run,
    an_unfinished_rollback,
);

/// Something that goes wrong, how it is mended again, the exit code, and a word that the report must hold.
struct Trouble {
    name: &'static str,
    cause: &'static str,
    cure: &'static str,
    code: i32,
    word: &'static str,
}

/// `{at}` is an instant inside the window.
const TROUBLES: [Trouble; 7] = [
    Trouble {
        name: "an orphan",
        cause: "INSERT INTO \"PromptPerformance\" (\"id\", \"campaignId\", \"promptText\", \"updatedAt\") \
                VALUES ('orphan', 'nobody', 'x', '{at}')",
        cure: "DELETE FROM \"PromptPerformance\" WHERE \"id\" = 'orphan'",
        code: 3,
        word: "orphan",
    },
    Trouble {
        name: "a negative indicator, which may be right",
        cause: "INSERT INTO \"KPIHistory\" (\"id\", \"metricName\", \"metricValue\", \"period\", \"tenantId\") \
                VALUES ('negative', 'nps', -1, '7d', 'acme')",
        cure: "DELETE FROM \"KPIHistory\" WHERE \"id\" = 'negative'",
        code: 0,
        word: "negative",
    },
    Trouble {
        name: "an event of the future",
        cause: "INSERT INTO \"IntelligenceEvent\" (\"id\", \"eventType\", \"entityType\", \"entityId\", \"payload\", \
                \"createdAt\", \"tenantId\") VALUES ('future', 'a', 'b', 'c', '{}', '2999-01-01 00:00:00.000', 'acme')",
        cure: "DELETE FROM \"IntelligenceEvent\" WHERE \"id\" = 'future'",
        code: 3,
        word: "future",
    },
    Trouble {
        name: "a journaled row that is gone",
        cause: "UPDATE \"AgentFeedback\" SET \"id\" = 'moved' WHERE \"id\" = \
                (SELECT MIN(\"id\") FROM \"AgentFeedback\")",
        cure: "",
        code: 3,
        word: "missing",
    },
    Trouble {
        name: "a journaled row that was changed",
        cause: "UPDATE \"KPIHistory\" SET \"tenantId\" = \"tenantId\" || 'x' WHERE \"id\" = \
                (SELECT MIN(\"id\") FROM \"KPIHistory\")",
        cure: "UPDATE \"KPIHistory\" SET \"tenantId\" = substr(\"tenantId\", 1, length(\"tenantId\") - 1) \
               WHERE \"id\" = (SELECT MIN(\"id\") FROM \"KPIHistory\")",
        code: 3,
        word: "changed",
    },
    Trouble {
        name: "a source row without its destination row",
        cause: "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"createdAt\", \
                \"createdBy\") VALUES ('unseen', 'Copy', 't', 'human', '{at}', 'u')",
        cure: "DELETE FROM \"UserFeedback\" WHERE \"id\" = 'unseen'",
        code: 3,
        word: "agent_feedback",
    },
    Trouble {
        name: "a prompt that vanished",
        cause: "UPDATE \"Campaign\" SET \"prompt\" = NULL WHERE \"prompt\" IS NOT NULL",
        cure: "",
        code: 3,
        word: "campaign_prompt",
    },
];

pub(crate) async fn every_kind_of_trouble_is_found(backend: Backend) -> Result<()> {
    for trouble in &TROUBLES {
        check(backend, trouble)
            .await
            .with_context(|| format!("with {}", trouble.name))?;
    }
    Ok(())
}

async fn check(backend: Backend, trouble: &Trouble) -> Result<()> {
    let profile = Profile {
        campaigns: 30,
        deals: 10,
        window_days: 7,
        ..Profile::small(backend, 121)
    };
    let scenario = Scenario::load(&profile).await?;
    scenario.run()?.expect(0).await?;
    scenario.cli(&["validate"])?.expect(0).await?;

    let cause = trouble.cause.replace("{at}", &profile.as_of.stored());
    let unchecked = match backend {
        Backend::Sqlite => format!("PRAGMA foreign_keys = OFF; {cause}; PRAGMA foreign_keys = ON"),
        Backend::Postgres => {
            format!(
                "SET session_replication_role = replica; {cause}; SET session_replication_role = origin"
            )
        }
    };
    scenario.database.execute(&unchecked).await?;
    let broken = scenario.state().await?;
    scenario
        .cli(&["validate"])?
        .expect(trouble.code)
        .await?
        .expect_named(&[trouble.word])?;
    scenario.expect_state(&broken).await?;
    if !trouble.cure.is_empty() {
        let cured = scenario.database.execute(trouble.cure).await?;
        ensure!(cured == 1, "the cure changed {cured} rows");
        scenario.cli(&["validate"])?.expect(0).await?;
    }
    Ok(())
}

/// What was not compared is not called right.
async fn an_unfinished_run(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile {
        large: false,
        ..Profile::odd(backend, 92)
    })
    .await?;
    let part = ["--unit", "campaign_prompt"];
    scenario.run()?.args(part).expect(0).await?;
    let outcome = scenario.cli(&["validate"])?.expect(3).await?;
    outcome.expect_named(&["incomplete units", "intelligence_event (pending)"])?;
    scenario.run()?.expect(0).await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    Ok(())
}

/// Beside a rollback, rows that it has removed are neither missing nor deleted by somebody.
async fn an_unfinished_rollback(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::busy(backend, 341)).await?;
    scenario
        .run()?
        .args(["--batch-rows", "20"])
        .expect(0)
        .await?;
    let rollback = ["rollback", "--yes", "--reason", "a test"];
    let mut running = scenario.cli(&rollback)?.spawn()?;
    while journal::events(&scenario.database, "BatchUndone", None).await? == 0 {
        ensure!(running.is_alive()?, "it ended before its first batch");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ensure!(
        running.kill().await?.was_killed(),
        "it ended before the kill"
    );
    let refused = scenario.cli(&["validate"])?.expect(4).await?;
    refused.expect_named(&["being rolled back", "cli rollback"])?;
    scenario.cli(&rollback)?.expect(0).await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    Ok(())
}
