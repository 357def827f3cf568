//! What one would write instead: one statement for each unit, on PostgreSQL.

use super::super::size::CAMPAIGNS;
use super::source::campaign_id;
use super::{AS_OF, SINCE};

/// An id that spreads over the whole index: a hash of what the event is.
pub(crate) const HASHED: &str = r#"md5(c."id" || '|' || (t."task"->>'agentId') || '|' || COALESCE(t."task"->>'assetId', '') || '|' || (t."task"->>'completedAt'))"#;

/// An id that ascends: the campaign's, and the place within it.
pub(crate) const ORDERED: &str = r#"c."id" || '-' || lpad(t."place"::text, 6, '0')"#;

/// Events of the campaigns that meet a condition on `c`, under these ids.
#[must_use]
pub(crate) fn events(id: &str, condition: &str) -> String {
    format!(
        r#"INSERT INTO "IntelligenceEvent" ("id", "eventType", "entityType", "entityId", "payload", "severity", "createdAt", "tenantId")
        SELECT {id}, 'AgentTaskCompleted', 'agent', t."task"->>'agentId',
          jsonb_build_object('campaignId', c."id", 'assetId', t."task"->'assetId', 'duration', t."task"->'duration',
            'tokensIn', t."task"->'tokensIn', 'tokensOut', t."task"->'tokensOut', 'cost', t."task"->'cost',
            'success', t."task"->'success', 'model', t."task"->'model'),
          CASE WHEN (t."task"->>'success')::boolean THEN 'info' ELSE 'high' END,
          ((t."task"->>'completedAt')::timestamptz AT TIME ZONE 'UTC')::timestamp(3), c."tenantId"
        FROM "Campaign" c
        CROSS JOIN LATERAL jsonb_array_elements(c."metadata"->'agentTasks') WITH ORDINALITY t("task", "place")
        WHERE c."createdAt" >= TIMESTAMP '{SINCE}' AND c."createdAt" <= TIMESTAMP '{AS_OF}' AND {condition}"#
    )
}

/// The two halves of the campaigns, as conditions on `c`.
#[must_use]
pub(crate) fn halves() -> [String; 2] {
    let middle = campaign_id(&(CAMPAIGNS / 2).to_string());
    [
        format!(r#"c."id" <= {middle}"#),
        format!(r#"c."id" > {middle}"#),
    ]
}

/// Number of events, and a digest of all they hold but their ids.
pub(crate) const EVENTS_DIGEST: &str = r#"SELECT COUNT(*) || ' ' || SUM(hashtextextended(concat_ws('|', "eventType", "entityType", "entityId",
    "payload"::text, "severity", "createdAt"::text, "tenantId"), 0)) FROM "IntelligenceEvent""#;

/// `campaign_prompt`.
pub(crate) const CAMPAIGN_PROMPT: &str = r#"UPDATE "Campaign" SET "prompt" = btrim("metadata"->>'prompt', E' \t\r\n')
    WHERE "prompt" IS NULL AND jsonb_typeof("metadata"->'prompt') = 'string'
      AND btrim("metadata"->>'prompt', E' \t\r\n') <> ''"#;

/// `prompt_performance`.
#[must_use]
pub(crate) fn prompt_performance() -> String {
    format!(
        r#"INSERT INTO "PromptPerformance" ("id", "campaignId", "promptText", "impressions", "clicks", "conversions", "ctr", "cvr",
          "rewardScore", "createdAt", "updatedAt")
        SELECT md5(c."id" || '|performance'), c."id", COALESCE(c."prompt", 'Legacy campaign (no prompt recorded)'),
          s.impressions, s.clicks, s.conversions, s.clicks::double precision / s.impressions,
          s.conversions::double precision / GREATEST(s.clicks, 1), 0, c."createdAt", TIMESTAMP '{AS_OF}'
        FROM "Campaign" c
        JOIN (SELECT a."campaignId", SUM(COALESCE(j."impressions", 0))::bigint AS impressions,
                SUM(COALESCE(j."clicks", 0))::bigint AS clicks, SUM(COALESCE(j."conversions", 0))::bigint AS conversions
              FROM "Asset" a JOIN "PublishJob" j ON j."assetId" = a."id"
              WHERE COALESCE(LEAST(j."impressions", j."clicks", j."conversions"), 0) >= 0
              GROUP BY a."campaignId") s ON s."campaignId" = c."id"
        WHERE c."createdAt" >= TIMESTAMP '{SINCE}' AND c."createdAt" <= TIMESTAMP '{AS_OF}' AND s.impressions > 0"#
    )
}

/// `agent_feedback`.
#[must_use]
pub(crate) fn agent_feedback() -> String {
    format!(
        r#"INSERT INTO "AgentFeedback" ("id", "agentType", "taskId", "feedbackType", "rating", "comment", "actionTaken", "createdAt", "createdBy")
        SELECT md5(f."id" || '|feedback'), f."agentType", f."taskId", f."source", f."rating", f."comment", f."actionTaken",
          f."createdAt", f."createdBy"
        FROM "UserFeedback" f
        WHERE f."createdAt" >= TIMESTAMP '{SINCE}' AND f."createdAt" <= TIMESTAMP '{AS_OF}'
          AND (f."rating" IS NULL OR f."rating" BETWEEN 1 AND 5)"#
    )
}
