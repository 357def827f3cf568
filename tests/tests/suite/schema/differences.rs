//! What differs in a live schema is found, told, and mended by what the report says.

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::journal;
use tests::json::Json;
use tests::scenario::Scenario;

on_both!(what_differs_is_found);

/// Something that differs, and how it is mended where it is not by what the report says.
struct Difference {
    backends: &'static [Backend],
    cause: &'static str,
    cure: &'static str,
    named: &'static [&'static str],
}

const BOTH: &[Backend] = &[Backend::Sqlite, Backend::Postgres];
const POSTGRES: &[Backend] = &[Backend::Postgres];
const SQLITE: &[Backend] = &[Backend::Sqlite];

const DIFFERENCES: [Difference; 22] = [
    Difference {
        backends: BOTH,
        cause: "DROP INDEX \"AgentFeedback_taskId_idx\"",
        cure: "",
        named: &["AgentFeedback_taskId_idx: expected (taskId), found none"],
    },
    Difference {
        backends: BOTH,
        cause: "DROP INDEX \"KPIHistory_period_department_idx\"; CREATE INDEX \"KPIHistory_period_department_idx\" ON \
                \"KPIHistory\" (\"department\", \"period\")",
        cure: "",
        named: &["expected (period, department), found (department, period)"],
    },
    Difference {
        backends: BOTH,
        cause: "DROP INDEX \"AgentFeedback_taskId_idx\"; CREATE INDEX \"by_task\" ON \"AgentFeedback\" (\"taskId\")",
        cure: "",
        named: &["the same under the name by_task"],
    },
    Difference {
        backends: BOTH,
        cause: "DROP INDEX \"AgentFeedback_taskId_idx\"; CREATE UNIQUE INDEX \"AgentFeedback_taskId_idx\" ON \
                \"AgentFeedback\" (\"taskId\" DESC) WHERE \"taskId\" <> ''",
        cure: "",
        named: &["found unique (taskId DESC) WHERE"],
    },
    Difference {
        backends: POSTGRES,
        cause: "UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = '\"AgentFeedback_taskId_idx\"'::regclass",
        cure: "",
        named: &["INVALID"],
    },
    Difference {
        backends: BOTH,
        cause: "ALTER TABLE \"AgentFeedback\" DROP COLUMN \"comment\"",
        cure: "",
        named: &["AgentFeedback.comment: expected TEXT, found no such column"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"KPIHistory\" ALTER COLUMN \"period\" TYPE VARCHAR(20)",
        cure: "",
        named: &["KPIHistory.period: expected TEXT NOT NULL, found CHARACTER VARYING(20) NOT NULL"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"IntelligenceEvent\" ALTER COLUMN \"createdAt\" TYPE TIMESTAMP(6)",
        cure: "",
        named: &[
            "IntelligenceEvent.createdAt: expected TIMESTAMP(3)",
            "found TIMESTAMP(6)",
        ],
    },
    Difference {
        backends: POSTGRES,
        cause: "UPDATE \"Campaign\" SET \"prompt\" = ''; ALTER TABLE \"Campaign\" ALTER COLUMN \"prompt\" SET DEFAULT 'x', ALTER COLUMN \"prompt\" SET NOT NULL",
        cure: "",
        named: &["Campaign.prompt: expected TEXT, found TEXT NOT NULL DEFAULT 'x'"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"AgentFeedback\" ALTER COLUMN \"createdBy\" DROP NOT NULL",
        cure: "",
        named: &["AgentFeedback.createdBy: expected TEXT NOT NULL, found TEXT;"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"IntelligenceEvent\" ALTER COLUMN \"severity\" SET DEFAULT 'high'",
        cure: "",
        named: &["expected TEXT NOT NULL DEFAULT 'info', found TEXT NOT NULL DEFAULT 'high'"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"PromptPerformance\" ALTER COLUMN \"ctr\" DROP DEFAULT",
        cure: "",
        named: &["PromptPerformance.ctr: expected DOUBLE PRECISION NOT NULL DEFAULT 0"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"KPIHistory\" DROP CONSTRAINT \"KPIHistory_pkey\"",
        cure: "",
        named: &["KPIHistory, its primary key: expected id, found none"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"PromptPerformance\" DROP CONSTRAINT \"PromptPerformance_campaignId_fkey\"",
        cure: "",
        named: &[
            "its foreign key on campaignId: expected to Campaign(id) ON DELETE CASCADE ON UPDATE CASCADE, found none",
        ],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"PromptPerformance\" DROP CONSTRAINT \"PromptPerformance_campaignId_fkey\", ADD CONSTRAINT \
                \"other\" FOREIGN KEY (\"campaignId\") REFERENCES \"Campaign\"(\"id\") ON UPDATE CASCADE",
        cure: "",
        named: &["found to Campaign(id) ON DELETE NO ACTION ON UPDATE CASCADE"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"PromptPerformance\" DROP CONSTRAINT \"PromptPerformance_campaignId_fkey\", ADD CONSTRAINT \
                \"PromptPerformance_campaignId_fkey\" FOREIGN KEY (\"campaignId\") REFERENCES \"Campaign\"(\"id\") \
                ON DELETE CASCADE ON UPDATE CASCADE NOT VALID",
        cure: "",
        named: &["NOT VALID"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"KPIHistory\" ADD COLUMN \"brand\" TEXT NOT NULL",
        cure: "ALTER TABLE \"KPIHistory\" DROP COLUMN \"brand\"",
        named: &["KPIHistory.brand: expected no column, or one that needs no value"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"backstitch_journal\" DISABLE TRIGGER \"backstitch_append_only\"",
        cure: "",
        named: &["the journal's guards", "does not fire ALWAYS"],
    },
    Difference {
        backends: SQLITE,
        cause: "DROP TRIGGER \"backstitch_journal_no_update\"",
        cure: "",
        named: &["the journal's guards", "backstitch_journal_no_update"],
    },
    Difference {
        backends: BOTH,
        cause: "ALTER TABLE \"PublishJob\" RENAME COLUMN \"clicks\" TO \"hits\"",
        cure: "ALTER TABLE \"PublishJob\" RENAME COLUMN \"hits\" TO \"clicks\"",
        named: &["PublishJob.clicks: expected a column that unit prompt_performance reads"],
    },
    Difference {
        backends: POSTGRES,
        cause: "ALTER TABLE \"backstitch_partition\" DROP COLUMN \"gone\"",
        cure: "ALTER TABLE \"backstitch_partition\" ADD COLUMN \"gone\" BIGINT NOT NULL DEFAULT 0",
        named: &["backstitch_partition.gone: expected"],
    },
    Difference {
        backends: SQLITE,
        cause: "ALTER TABLE \"backstitch_partition\" DROP COLUMN \"gone\"",
        cure: "ALTER TABLE \"backstitch_partition\" ADD COLUMN \"gone\" INTEGER NOT NULL DEFAULT 0",
        named: &["backstitch_partition.gone: expected"],
    },
];

/// Each difference is told with what was expected, what is there and what to do, and what to do mends it.
async fn what_differs_is_found(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 702)).await?;
    let database = &scenario.database;
    // What the application has besides is none.
    let own = "CREATE INDEX \"own\" ON \"KPIHistory\" (\"tenantId\"); \
               ALTER TABLE \"KPIHistory\" ADD COLUMN \"own\" TEXT; ALTER TABLE \"Campaign\" ADD COLUMN \"own\" TEXT";
    database.execute(own).await?;
    let well = scenario.cli(&["schema", "verify"])?.expect(0).await?;
    well.expect_named(&["an index besides, own", "KPIHistory.own is there besides"])?;
    ensure!(!well.output().contains("Campaign.own"), "{well}");

    let of_backend = |difference: &&Difference| difference.backends.contains(&backend);
    for difference in DIFFERENCES.iter().filter(of_backend) {
        check(&scenario, difference)
            .await
            .with_context(|| format!("with {}", difference.cause))?;
    }
    // Only a look that is asked to leave evidence leaves some.
    ensure!(journal::events(database, "SchemaVerified", None).await? == 0);
    scenario
        .cli(&["schema", "verify", "--record"])?
        .expect(0)
        .await?;
    database
        .execute("DROP INDEX \"KPIHistory_period_department_idx\"")
        .await?;
    scenario
        .cli(&["schema", "verify", "--record"])?
        .expect(3)
        .await?;
    let told = scenario.cli(&["journal", "show", "--kind", "SchemaVerified"])?;
    let told = told.expect(0).await?;
    told.expect_named(&[
        "the schema is as expected",
        "KPIHistory_period_department_idx",
    ])
}

async fn check(scenario: &Scenario, difference: &Difference) -> Result<()> {
    // SQLite's other connections may know the schema as it was.
    let database = &scenario.database.another().await?;
    database.execute(difference.cause).await?;
    let database = &scenario.database.another().await?;
    let verify = ["schema", "verify", "--json"];
    scenario
        .cli(&verify[..2])?
        .expect(3)
        .await?
        .expect_named(difference.named)?;
    if difference.cure.is_empty() {
        let document = scenario.cli(&verify)?.expect(3).await?.stdout;
        let document = Json::parse(&document).map_err(anyhow::Error::msg)?;
        let Some(Json::Array(differences)) = document.get("differences") else {
            anyhow::bail!("no differences in {document:?}");
        };
        ensure!(differences.len() == 1, "{differences:?}");
        let Some(Json::Text(remedy)) = differences[0].get("remedy") else {
            anyhow::bail!("no remedy in {differences:?}");
        };
        let sql = remedy.rsplit(" run ").next().unwrap_or(remedy);
        // PostgreSQL builds an index CONCURRENTLY in a statement of its own; a function's body has statements of its own.
        match database.backend == Backend::Sqlite || sql.contains("$$") {
            true => _ = database.execute(sql).await?,
            false => {
                for statement in sql.split("; ") {
                    database.execute(statement).await?;
                }
            }
        }
    } else {
        database.execute(difference.cure).await?;
        if difference.cure.contains("DEFAULT 0") {
            // SQLite knows no column that must be filled and has no default: what is left is the default.
            return tidy(scenario).await;
        }
    }
    scenario.cli(&verify)?.expect(0).await?;
    Ok(())
}

/// Makes the projection anew, as it was.
async fn tidy(scenario: &Scenario) -> Result<()> {
    let database = &scenario.database;
    if database.backend == Backend::Postgres {
        let sql = "ALTER TABLE \"backstitch_partition\" ALTER COLUMN \"gone\" DROP DEFAULT";
        database.execute(sql).await?;
    } else {
        let sql = "SELECT \"sql\" FROM sqlite_master WHERE \"name\" = 'backstitch_partition'";
        let made: String = database.value(sql).await?;
        let made = made.replace(" DEFAULT 0", "");
        database
            .execute("DROP TABLE \"backstitch_partition\"")
            .await?;
        database.execute(&made).await?;
    }
    scenario.cli(&["schema", "verify"])?.expect(0).await?;
    Ok(())
}
