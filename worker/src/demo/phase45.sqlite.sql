-- Phase 4.5: the source schema on SQLite. The same tables as in phase45.postgres.sql;
-- instants are TEXT 'YYYY-MM-DD HH:MM:SS.mmm' in UTC, JSON is TEXT.

CREATE TABLE "Campaign" (
  "id"        TEXT NOT NULL PRIMARY KEY,
  "tenantId"  TEXT NOT NULL,
  "name"      TEXT NOT NULL,
  "status"    TEXT NOT NULL DEFAULT 'draft',
  "metadata"  TEXT,
  "createdAt" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  "updatedAt" TEXT NOT NULL
);

CREATE TABLE "Asset" (
  "id"         TEXT NOT NULL PRIMARY KEY,
  "campaignId" TEXT NOT NULL REFERENCES "Campaign"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "type"       TEXT NOT NULL,
  "createdAt"  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX "Asset_campaignId_idx" ON "Asset"("campaignId");

CREATE TABLE "PublishJob" (
  "id"          TEXT NOT NULL PRIMARY KEY,
  "assetId"     TEXT NOT NULL REFERENCES "Asset"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "platform"    TEXT NOT NULL,
  "status"      TEXT NOT NULL DEFAULT 'queued',
  "impressions" INTEGER,
  "clicks"      INTEGER,
  "conversions" INTEGER,
  "postedAt"    TEXT,
  "createdAt"   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX "PublishJob_assetId_idx" ON "PublishJob"("assetId");

-- Agent execution records kept as rows (optional).
CREATE TABLE "AgentTask" (
  "id"          TEXT NOT NULL PRIMARY KEY,
  "campaignId"  TEXT NOT NULL REFERENCES "Campaign"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "assetId"     TEXT,
  "agentId"     TEXT,
  "agentType"   TEXT NOT NULL,
  "status"      TEXT NOT NULL DEFAULT 'queued', -- queued | running | done | error
  "tokensIn"    INTEGER NOT NULL DEFAULT 0,
  "tokensOut"   INTEGER NOT NULL DEFAULT 0,
  "latencyMs"   INTEGER NOT NULL DEFAULT 0,
  "model"       TEXT NOT NULL,
  "costUsd"     NUMERIC NOT NULL DEFAULT 0,
  "error"       TEXT,
  "createdAt"   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  "completedAt" TEXT
);
CREATE INDEX "AgentTask_campaignId_agentType_idx" ON "AgentTask"("campaignId", "agentType");

-- Closed and open deals: the source of the sales KPIs (optional).
CREATE TABLE "Deal" (
  "id"       TEXT NOT NULL PRIMARY KEY,
  "tenantId" TEXT NOT NULL,
  "kind"     TEXT NOT NULL,             -- new | expansion | churn
  "stage"    TEXT NOT NULL,             -- MQL | SQL | Demo | Proposal | Commit | ClosedWon | ClosedLost
  "acv"      REAL NOT NULL,             -- annual contract value, US dollars
  "openedAt" TEXT NOT NULL,
  "closedAt" TEXT
);
CREATE INDEX "Deal_tenantId_closedAt_idx" ON "Deal"("tenantId", "closedAt");

-- KPI snapshots taken by earlier reports (optional).
CREATE TABLE "KpiSnapshot" (
  "id"          TEXT NOT NULL PRIMARY KEY,
  "tenantId"    TEXT NOT NULL,
  "metricName"  TEXT NOT NULL,
  "metricValue" REAL NOT NULL,
  "period"      TEXT NOT NULL,
  "department"  TEXT,
  "metadata"    TEXT,
  "capturedAt"  TEXT NOT NULL
);

-- User feedback on agents' work (optional).
CREATE TABLE "UserFeedback" (
  "id"          TEXT NOT NULL PRIMARY KEY,
  "agentType"   TEXT NOT NULL,          -- Strategy | Copy | Visual | Video
  "taskId"      TEXT NOT NULL,
  "source"      TEXT NOT NULL,          -- human | system | automated
  "rating"      INTEGER,                -- 1 to 5
  "comment"     TEXT,
  "actionTaken" TEXT,
  "createdAt"   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  "createdBy"   TEXT NOT NULL
);
