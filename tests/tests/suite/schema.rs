//! The schema: the SQL that is reviewed is the SQL that is applied, a live one is compared to the last column, and the
//! application goes on beside the change.

mod differences;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::journal;
use tests::process;
use tests::scenario::Scenario;
use tests::scratch;

on_both!(what_is_reviewed_is_what_is_applied);

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
