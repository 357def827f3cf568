//! The source tables and their columns, in the order in which rows name them.

/// A table and the columns that every one of its rows fills, in order.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
}

/// The source tables, each after those that it refers to.
pub(super) const TABLES: [Table; 7] = [
    Table {
        name: "Campaign",
        columns: &[
            "id",
            "tenantId",
            "name",
            "status",
            "metadata",
            "createdAt",
            "updatedAt",
        ],
    },
    Table {
        name: "Asset",
        columns: &["id", "campaignId", "type", "createdAt"],
    },
    Table {
        name: "PublishJob",
        columns: &[
            "id",
            "assetId",
            "platform",
            "status",
            "impressions",
            "clicks",
            "conversions",
            "postedAt",
            "createdAt",
        ],
    },
    Table {
        name: "AgentTask",
        columns: &[
            "id",
            "campaignId",
            "assetId",
            "agentId",
            "agentType",
            "status",
            "tokensIn",
            "tokensOut",
            "latencyMs",
            "model",
            "costUsd",
            "error",
            "createdAt",
            "completedAt",
        ],
    },
    Table {
        name: "Deal",
        columns: &[
            "id", "tenantId", "kind", "stage", "acv", "openedAt", "closedAt",
        ],
    },
    Table {
        name: "KpiSnapshot",
        columns: &[
            "id",
            "tenantId",
            "metricName",
            "metricValue",
            "period",
            "department",
            "metadata",
            "capturedAt",
        ],
    },
    Table {
        name: "UserFeedback",
        columns: &[
            "id",
            "agentType",
            "taskId",
            "source",
            "rating",
            "comment",
            "actionTaken",
            "createdAt",
            "createdBy",
        ],
    },
];
pub(super) const CAMPAIGN: usize = 0;
pub(super) const ASSET: usize = 1;
pub(super) const PUBLISH_JOB: usize = 2;
pub(super) const AGENT_TASK: usize = 3;
pub(super) const DEAL: usize = 4;
pub(super) const KPI_SNAPSHOT: usize = 5;
pub(super) const USER_FEEDBACK: usize = 6;
