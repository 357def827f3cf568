//! The schema: the SQL that is reviewed is the SQL that is applied, a live one is compared to the last column, and the
//! application goes on beside the change.

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::json::Json;
use tests::process;
use tests::scenario::Scenario;
use tests::scratch;

on_both!(what_is_reviewed_is_what_is_applied, what_differs_is_found);

/// The models of the migration plan's document, as they stand there.
const DOCUMENT: &str = include_str!("schema/phase5.prisma");

/// Everything that the catalog says of tables and columns, keys, indexes and triggers.
fn catalog(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => {
            "SELECT \"type\" || ' ' || \"name\" || ' ' || COALESCE(\"sql\", '') FROM sqlite_master ORDER BY \"name\""
        }
        Backend::Postgres => {
            "SELECT table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' \
                || COALESCE(column_default, '') || ' ' || COALESCE(datetime_precision::text, '') || ' ' \
                || ordinal_position AS what \
             FROM information_schema.columns WHERE table_schema = 'public' \
             UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
             UNION ALL SELECT conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid) \
                FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
             UNION ALL SELECT tgrelid::regclass::text || ' ' || pg_get_triggerdef(oid) || ' ' || tgenabled::text FROM pg_trigger \
                WHERE NOT tgisinternal ORDER BY what"
        }
    }
}

/// An administrator who executes the SQL by hand ends with the very schema that `schema up` makes, and it is known as
/// applied.
async fn what_is_reviewed_is_what_is_applied(backend: Backend) -> Result<()> {
    let applied = Scenario::load(&Profile::small(backend, 701)).await?;
    applied.cli(&["schema", "up"])?.expect(0).await?;
    let by_hand = Scenario::load(&Profile::small(backend, 701)).await?;
    let differs = by_hand.cli(&["schema", "verify"])?.expect(3).await?;
    differs.expect_named(&[
        "KPIHistory: expected a table, found none",
        "Campaign.prompt",
    ])?;

    let script = by_hand
        .cli(&["schema", "sql", "--pending"])?
        .expect(0)
        .await?
        .stdout;
    ensure!(
        script == by_hand.cli(&["schema", "sql"])?.expect(0).await?.stdout,
        "where all is pending, all is shown"
    );
    by_hand.database.execute(&script).await?;
    let expected = applied.database.texts(catalog(backend)).await?;
    let found = by_hand.database.texts(catalog(backend)).await?;
    ensure!(
        expected.len() > 25 && expected == found,
        "{expected:#?}\n{found:#?}"
    );
    let status = by_hand.cli(&["schema", "status"])?.expect(0).await?;
    ensure!(!status.stdout.contains("pending"), "{status}");
    by_hand.cli(&["schema", "verify"])?.expect(0).await?;
    let up = by_hand.cli(&["schema", "up"])?.expect(0).await?;
    up.expect_named(&["nothing to do"])?;
    let pending = by_hand
        .cli(&["schema", "sql", "--pending"])?
        .expect(0)
        .await?;
    pending.expect_named(&["nothing is pending"])?;

    let digest = script
        .lines()
        .last()
        .and_then(|line| line.rsplit(' ').next());
    let digest = digest.context("a digest")?;
    let review = ["schema", "sql", "--reviewed-by", "Ada", "--digest"];
    let stale = [&review[..], &["0123"]].concat();
    by_hand.cli(&stale)?.expect(4).await?.expect_clear_error()?;
    ensure!(journal::events(&by_hand.database, "SqlReviewed", None).await? == 0);
    let read = [&review[..], &[digest, "--note", "fine"]].concat();
    by_hand
        .cli(&read)?
        .expect(0)
        .await?
        .expect_named(&["Ada"])?;
    let shown = by_hand.cli(&["journal", "show", "--kind", "SqlReviewed", "--json"])?;
    shown
        .expect(0)
        .await?
        .expect_named(&[digest, "Ada", "fine"])?;
    by_hand.cli(&["journal", "verify"])?.expect(0).await?;
    Ok(())
}

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

/// Somebody's long transaction holds the table: the change tells who, and nobody who writes waits behind it for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_writer_never_waits_long() -> Result<()> {
    let scenario = Scenario::load(&Profile::small(Backend::Postgres, 703)).await?;
    let reader = scenario.database.another().await?;
    let held = reader.hold("SELECT 1 FROM \"Campaign\" LIMIT 1").await?;
    let up = scenario.cli(&["schema", "up"])?.spawn()?;
    let writer = scenario.database.another().await?;
    // The server itself ends a wait of a second.
    let write = "SET lock_timeout = '1s'; UPDATE \"Campaign\" SET \"updatedAt\" = now()";
    for _ in 0..30 {
        writer.execute(write).await?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let table: Option<String> = scenario
        .database
        .value("SELECT to_regclass('\"KPIHistory\"')::text")
        .await?;
    ensure!(
        table.is_none(),
        "it was applied beside a transaction that reads the table"
    );
    held.rollback().await?;
    let up = up.wait().await?.expect(0)?;
    up.expect_named(&[
        "locking the table Campaign",
        "in the way: server process",
        "trying again",
    ])?;
    scenario.cli(&["schema", "verify"])?.expect(0).await?;
    Ok(())
}

/// A command that asks no database.
async fn prisma(text: &str, code: i32, named: &[&str]) -> Result<()> {
    let file = scratch::folder("prisma")?.join("schema.prisma");
    std::fs::write(&file, text)?;
    let check = process::program("cli", "")?.without_url();
    let check = check.args(["schema", "prisma", "--check"]).args([&file]);
    check.expect(code).await?.expect_named(named)
}

/// The document's models are those of the schema, however they are written down; each change to one is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_models_are_those_of_the_schema() -> Result<()> {
    let printed = process::program("cli", "")?.without_url();
    let printed = printed.args(["schema", "prisma"]).expect(0).await?.stdout;
    for models in [DOCUMENT, &printed] {
        prisma(models, 0, &["are those of the schema"]).await?;
    }
    let spelled = DOCUMENT
        .replace("  metricValue Float\n", "")
        .replace("model KPIHistory {", "model Kpi { // renamed\n  value Float @db.DoublePrecision @map(\"metricValue\")\n  @@map(\"KPIHistory\")")
        .replace("onDelete: Cascade", "onUpdate: Cascade,\n    onDelete: Cascade, map: \"PromptPerformance_campaignId_fkey\"")
        .replace("@@index([taskId])", "@@index(fields: [taskId], map: \"AgentFeedback_taskId_idx\")");
    ensure!(spelled.contains("Kpi") && spelled.contains("fields: [taskId]"));
    prisma(&spelled, 0, &[]).await?;
    for (from, to, named) in [
        (
            "metricValue Float",
            "metricValue Int",
            "KPIHistory.metricValue: expected Float, found Int",
        ),
        (
            "department  String?",
            "department  String",
            "KPIHistory.department: expected String?, found String",
        ),
        (
            "metadata    Json?",
            "",
            "KPIHistory.metadata: expected Json?, found no such field",
        ),
        (
            "  metadata    Json?",
            "  metadata    Json?\n  extra Int?",
            "KPIHistory.extra: expected no such field",
        ),
        (
            "@default(\"info\")",
            "@default(\"debug\")",
            "IntelligenceEvent.severity",
        ),
        (
            "@updatedAt",
            "@default(now())",
            "PromptPerformance.updatedAt",
        ),
        (
            "onDelete: Cascade",
            "onDelete: SetNull",
            "PromptPerformance.campaign",
        ),
        (
            "@@index([taskId])",
            "",
            "AgentFeedback: expected @@index([taskId])",
        ),
        (
            "@@index([taskId])",
            "@@index([taskId])\n  @@unique([taskId])",
            "@@unique([taskId])",
        ),
        (
            "@@index([variantId])",
            "@@index([variantId], map: \"v\")",
            "as v",
        ),
        (
            "@@index([period, department])",
            "@@index([department, period])",
            "@@index([period, department])",
        ),
        ("prompt            String?  @db.Text", "", "Campaign.prompt"),
        (
            "promptPerformance PromptPerformance[]",
            "",
            "Campaign.promptPerformance",
        ),
        (
            "model AgentFeedback",
            "model Other",
            "model AgentFeedback: expected a model, found none",
        ),
        (
            "createdAt   DateTime @default(now())",
            "createdAt   DateTime @db.Timestamptz @default(now())",
            "createdAt",
        ),
    ] {
        let planted = DOCUMENT.replacen(from, to, 1);
        ensure!(planted != DOCUMENT, "{from} is not in the document");
        prisma(&planted, 3, &[named])
            .await
            .with_context(|| format!("{from} as {to}"))?;
    }
    prisma("generator client {\n}\n", 2, &["no model"]).await?;
    prisma("model A {\n  id String @id\n", 2, &["within a model"]).await
}

/// A script for a database that nobody asks is that of a database as it is before anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_without_a_database() -> Result<()> {
    for (backend, name) in [(Backend::Postgres, "postgres"), (Backend::Sqlite, "sqlite")] {
        let print = process::program("cli", "")?.without_url();
        let print = print.args(["schema", "sql", "--dialect", name]);
        let script = print.expect(0).await?.stdout;
        let database = Database::create(backend).await?;
        database.create_source_schema(&[]).await?;
        database.execute(&script).await?;
        let verify = process::program("cli", &database.url)?;
        verify.args(["schema", "verify"]).expect(0).await?;
    }
    Ok(())
}
