//! Phase 5's Intelligence Core: four tables, their indexes, and `Campaign.prompt`, named as Prisma names them.
//!
//! Additive only, and content with what is already there: a team may have deployed the same schema with Prisma.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::run_sql::run_sql;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, POSTGRES, SQLITE).await?;
        // SQLite has no ADD COLUMN IF NOT EXISTS.
        let sqlite = manager.get_database_backend() == DbBackend::Sqlite;
        if sqlite && !manager.has_column("Campaign", "prompt").await? {
            run_sql(manager, &[], SQLITE_COLUMN).await?;
        }
        run_sql(manager, INDEXES, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, DOWN, DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

pub(crate) const SQL: crate::Sql = crate::Sql {
    name: "m20251104_000002_intelligence_core",
    postgres: [POSTGRES, INDEXES],
    sqlite: [SQLITE, SQLITE_COLUMN, INDEXES],
};

const POSTGRES: &[&str] = &[
    r#"CREATE TABLE IF NOT EXISTS "IntelligenceEvent" (
        "id" TEXT NOT NULL,
        "eventType" TEXT NOT NULL,
        "entityType" TEXT NOT NULL,
        "entityId" TEXT NOT NULL,
        "payload" JSONB NOT NULL,
        "severity" TEXT NOT NULL DEFAULT 'info',
        "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
        "tenantId" TEXT NOT NULL,
        CONSTRAINT "IntelligenceEvent_pkey" PRIMARY KEY ("id"))"#,
    r#"CREATE TABLE IF NOT EXISTS "PromptPerformance" (
        "id" TEXT NOT NULL,
        "campaignId" TEXT NOT NULL,
        "promptText" TEXT NOT NULL,
        "variantId" TEXT,
        "impressions" INTEGER NOT NULL DEFAULT 0,
        "clicks" INTEGER NOT NULL DEFAULT 0,
        "conversions" INTEGER NOT NULL DEFAULT 0,
        "ctr" DOUBLE PRECISION NOT NULL DEFAULT 0,
        "cvr" DOUBLE PRECISION NOT NULL DEFAULT 0,
        "avgTimeOnPage" DOUBLE PRECISION,
        "bounceRate" DOUBLE PRECISION,
        "rewardScore" DOUBLE PRECISION NOT NULL DEFAULT 0,
        "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
        "updatedAt" TIMESTAMP(3) NOT NULL,
        CONSTRAINT "PromptPerformance_pkey" PRIMARY KEY ("id"),
        CONSTRAINT "PromptPerformance_campaignId_fkey" FOREIGN KEY ("campaignId")
            REFERENCES "Campaign"("id") ON DELETE CASCADE ON UPDATE CASCADE)"#,
    r#"CREATE TABLE IF NOT EXISTS "KPIHistory" (
        "id" TEXT NOT NULL,
        "metricName" TEXT NOT NULL,
        "metricValue" DOUBLE PRECISION NOT NULL,
        "period" TEXT NOT NULL,
        "department" TEXT,
        "metadata" JSONB,
        "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
        "tenantId" TEXT NOT NULL,
        CONSTRAINT "KPIHistory_pkey" PRIMARY KEY ("id"))"#,
    r#"CREATE TABLE IF NOT EXISTS "AgentFeedback" (
        "id" TEXT NOT NULL,
        "agentType" TEXT NOT NULL,
        "taskId" TEXT NOT NULL,
        "feedbackType" TEXT NOT NULL,
        "rating" INTEGER,
        "comment" TEXT,
        "actionTaken" TEXT,
        "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
        "createdBy" TEXT NOT NULL,
        CONSTRAINT "AgentFeedback_pkey" PRIMARY KEY ("id"))"#,
    r#"ALTER TABLE "Campaign" ADD COLUMN IF NOT EXISTS "prompt" TEXT"#,
];

const SQLITE: &[&str] = &[
    r#"CREATE TABLE IF NOT EXISTS "IntelligenceEvent" (
        "id" TEXT NOT NULL PRIMARY KEY,
        "eventType" TEXT NOT NULL,
        "entityType" TEXT NOT NULL,
        "entityId" TEXT NOT NULL,
        "payload" TEXT NOT NULL,
        "severity" TEXT NOT NULL DEFAULT 'info',
        "createdAt" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
        "tenantId" TEXT NOT NULL)"#,
    r#"CREATE TABLE IF NOT EXISTS "PromptPerformance" (
        "id" TEXT NOT NULL PRIMARY KEY,
        "campaignId" TEXT NOT NULL,
        "promptText" TEXT NOT NULL,
        "variantId" TEXT,
        "impressions" INTEGER NOT NULL DEFAULT 0,
        "clicks" INTEGER NOT NULL DEFAULT 0,
        "conversions" INTEGER NOT NULL DEFAULT 0,
        "ctr" REAL NOT NULL DEFAULT 0,
        "cvr" REAL NOT NULL DEFAULT 0,
        "avgTimeOnPage" REAL,
        "bounceRate" REAL,
        "rewardScore" REAL NOT NULL DEFAULT 0,
        "createdAt" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
        "updatedAt" TEXT NOT NULL,
        CONSTRAINT "PromptPerformance_campaignId_fkey" FOREIGN KEY ("campaignId")
            REFERENCES "Campaign"("id") ON DELETE CASCADE ON UPDATE CASCADE)"#,
    r#"CREATE TABLE IF NOT EXISTS "KPIHistory" (
        "id" TEXT NOT NULL PRIMARY KEY,
        "metricName" TEXT NOT NULL,
        "metricValue" REAL NOT NULL,
        "period" TEXT NOT NULL,
        "department" TEXT,
        "metadata" TEXT,
        "createdAt" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
        "tenantId" TEXT NOT NULL)"#,
    r#"CREATE TABLE IF NOT EXISTS "AgentFeedback" (
        "id" TEXT NOT NULL PRIMARY KEY,
        "agentType" TEXT NOT NULL,
        "taskId" TEXT NOT NULL,
        "feedbackType" TEXT NOT NULL,
        "rating" INTEGER,
        "comment" TEXT,
        "actionTaken" TEXT,
        "createdAt" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
        "createdBy" TEXT NOT NULL)"#,
];

const SQLITE_COLUMN: &[&str] = &[r#"ALTER TABLE "Campaign" ADD COLUMN "prompt" TEXT"#];

const INDEXES: &[&str] = &[
    r#"CREATE INDEX IF NOT EXISTS "IntelligenceEvent_tenantId_eventType_createdAt_idx" ON "IntelligenceEvent" ("tenantId", "eventType", "createdAt")"#,
    r#"CREATE INDEX IF NOT EXISTS "IntelligenceEvent_entityType_entityId_idx" ON "IntelligenceEvent" ("entityType", "entityId")"#,
    r#"CREATE INDEX IF NOT EXISTS "IntelligenceEvent_severity_createdAt_idx" ON "IntelligenceEvent" ("severity", "createdAt")"#,
    r#"CREATE INDEX IF NOT EXISTS "PromptPerformance_campaignId_rewardScore_idx" ON "PromptPerformance" ("campaignId", "rewardScore")"#,
    r#"CREATE INDEX IF NOT EXISTS "PromptPerformance_variantId_idx" ON "PromptPerformance" ("variantId")"#,
    r#"CREATE INDEX IF NOT EXISTS "KPIHistory_tenantId_metricName_createdAt_idx" ON "KPIHistory" ("tenantId", "metricName", "createdAt")"#,
    r#"CREATE INDEX IF NOT EXISTS "KPIHistory_period_department_idx" ON "KPIHistory" ("period", "department")"#,
    r#"CREATE INDEX IF NOT EXISTS "AgentFeedback_agentType_createdAt_idx" ON "AgentFeedback" ("agentType", "createdAt")"#,
    r#"CREATE INDEX IF NOT EXISTS "AgentFeedback_taskId_idx" ON "AgentFeedback" ("taskId")"#,
];

const DOWN: &[&str] = &[
    r#"DROP TABLE "AgentFeedback""#,
    r#"DROP TABLE "KPIHistory""#,
    r#"DROP TABLE "PromptPerformance""#,
    r#"DROP TABLE "IntelligenceEvent""#,
    r#"ALTER TABLE "Campaign" DROP COLUMN "prompt""#,
];
