//! Sources on PostgreSQL, made by the server: the same rows each time, and none of them bad but those meant to be.

use super::super::size::{CAMPAIGNS, Size};
use super::{AS_OF, SINCE};

/// A campaign's id, as SQL of its number: a cuid's form, which ascends with time.
#[must_use]
pub(crate) fn campaign_id(number: &str) -> String {
    format!("'cm' || lpad(to_hex({number}), 8, '0') || substr(md5(CAST({number} AS text)), 1, 15)")
}

/// Campaigns with as many tasks in their metadata as make the size, completed within the window in order of time.
#[must_use]
pub(crate) fn events(size: Size) -> Vec<String> {
    let tasks = size.events() / CAMPAIGNS;
    let id = campaign_id("n");
    vec![format!(
        r#"INSERT INTO "Campaign" ("id", "tenantId", "name", "status", "metadata", "createdAt", "updatedAt")
        SELECT {id}, 'tenant-' || lpad((n % 20)::text, 2, '0'), 'Campaign ' || n, 'active',
          jsonb_build_object('channel', 'email', 'agentTasks', made.tasks), created, created
        FROM (SELECT n, date_trunc('milliseconds', TIMESTAMP '{SINCE} 01:00:00' + n * (INTERVAL '80 days' / {CAMPAIGNS})) AS created
              FROM generate_series(1, {CAMPAIGNS}) n) c
        CROSS JOIN LATERAL (
          SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'agentId', (ARRAY['strategy-agent', 'copy-agent', 'visual-agent', 'video-agent', 'seo-agent', 'email-agent',
              'social-agent', 'review-agent', 'budget-agent', 'insight-agent'])[1 + h % 10],
            'assetId', CASE WHEN h % 5 > 0 THEN 'asset_' || substr(md5((n * 7 + h % 4)::text), 1, 16) END,
            'duration', 200 + h / 16 % 90000, 'tokensIn', 50 + h / 32 % 6000, 'tokensOut', 20 + h / 64 % 3000,
            'cost', round((h / 128 % 2000)::numeric / 10000, 4), 'success', h % 20 <> 7,
            'model', (ARRAY['gpt-4.1', 'gpt-4.1-mini', 'claude-sonnet-4'])[1 + h % 3],
            'completedAt', to_char(created + t * ((TIMESTAMP '{AS_OF}' - created) / ({tasks} + 1)), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
          )) ORDER BY t) AS tasks
          FROM (SELECT t, hashint8(n::bigint * 1000003 + t)::bigint & 2147483647 AS h FROM generate_series(1, {tasks}) t) drawn
        ) made"#
    )]
}

/// What the other four units read: campaigns with prompts, one in four of them published, deals, snapshots, feedback.
#[must_use]
pub(crate) fn others(size: Size) -> Vec<String> {
    let campaigns = size.prompts();
    let id = campaign_id("n");
    let made = format!(
        "date_trunc('milliseconds', TIMESTAMP '{AS_OF}' - n * (INTERVAL '100 days' / {campaigns}))"
    );
    let hash = "hashint8(n)::bigint & 2147483647";
    let (deals, snapshots) = (campaigns / 10, campaigns / 100);
    vec![
        format!(
            r#"INSERT INTO "Campaign" ("id", "tenantId", "name", "status", "metadata", "createdAt", "updatedAt")
            SELECT {id}, 'tenant-' || lpad((n % 20)::text, 2, '0'), 'Campaign ' || n, 'active',
              jsonb_build_object('channel', 'email', 'prompt', ' Launch collection ' || n || ' for ' || md5(n::text) ||
                ' with a warm voice, two short paragraphs and one clear call to action '), {made}, {made}
            FROM generate_series(1, {campaigns}) n"#
        ),
        format!(
            r#"INSERT INTO "Asset" ("id", "campaignId", "type", "createdAt")
            SELECT 'as' || lpad(to_hex(n), 8, '0') || a, {id}, 'image', {made}
            FROM generate_series(4, {campaigns}, 4) n, generate_series(1, 2) a"#
        ),
        format!(
            r#"INSERT INTO "PublishJob" ("id", "assetId", "platform", "status", "impressions", "clicks", "conversions", "postedAt", "createdAt")
            SELECT 'pj' || lpad(to_hex(n), 8, '0') || a || j, 'as' || lpad(to_hex(n), 8, '0') || a, 'instagram', 'posted',
              1000 + h % 90000, h / 8 % 1000, h / 16 % 50, {made}, {made}
            FROM generate_series(4, {campaigns}, 4) n, generate_series(1, 2) a, generate_series(1, 2) j,
              LATERAL (SELECT hashint8(n::bigint * 10 + a * 2 + j)::bigint & 2147483647 AS h) drawn"#
        ),
        format!(
            r#"INSERT INTO "Deal" ("id", "tenantId", "kind", "stage", "acv", "openedAt", "closedAt")
            SELECT 'de' || lpad(to_hex(n), 8, '0'), 'tenant-' || lpad((n % 20)::text, 2, '0'),
              (ARRAY['new', 'expansion', 'churn'])[1 + h % 3], (ARRAY['ClosedWon', 'ClosedLost', 'Demo'])[1 + h / 8 % 3],
              (500000 + h % 9000000) / 100.0, TIMESTAMP '2024-12-01',
              CASE WHEN h / 8 % 3 < 2 THEN TIMESTAMP '2025-01-01' + h % 306 * INTERVAL '1 day' + INTERVAL '9 hours' END
            FROM generate_series(1, {deals}) n, LATERAL (SELECT {hash} AS h) drawn"#
        ),
        format!(
            r#"INSERT INTO "KpiSnapshot" ("id", "tenantId", "metricName", "metricValue", "period", "department", "metadata", "capturedAt")
            SELECT 'sn' || lpad(to_hex(n), 8, '0'), 'tenant-' || lpad((n % 20)::text, 2, '0'),
              (ARRAY['win_rate', 'content_ctr', 'nps'])[1 + h % 3], h % 1000 / 1000.0, (ARRAY['7d', '30d', 'monthly'])[1 + h / 8 % 3],
              (ARRAY['executive', 'sales', NULL])[1 + h / 32 % 3], '{{"source": "report"}}',
              TIMESTAMP '{SINCE} 06:00:00' + n * (INTERVAL '89 days' / {snapshots})
            FROM generate_series(1, {snapshots}) n, LATERAL (SELECT {hash} AS h) drawn"#
        ),
        format!(
            r#"INSERT INTO "UserFeedback" ("id", "agentType", "taskId", "source", "rating", "comment", "actionTaken", "createdAt", "createdBy")
            SELECT 'uf' || lpad(to_hex(n), 8, '0'), (ARRAY['Strategy', 'Copy', 'Visual', 'Video'])[1 + h % 4],
              'task_' || substr(md5(n::text), 1, 16), (ARRAY['human', 'system', 'automated'])[1 + h / 8 % 3], 1 + h / 16 % 5,
              CASE WHEN h % 5 > 1 THEN 'Reads well, shorten the second paragraph of draft ' || n END,
              CASE WHEN h % 7 = 0 THEN 'rewritten' END, {made}, 'user-' || h % 500
            FROM generate_series(1, {campaigns}) n, LATERAL (SELECT {hash} AS h) drawn"#
        ),
    ]
}

/// Good rows behind the bad ones of [`bad_feedback`].
pub(crate) const GOOD: u32 = 20_000;

/// Feedback of which all but the last rows are off the scale, and so become an event each.
#[must_use]
pub(crate) fn bad_feedback(size: Size) -> Vec<String> {
    let bad = size.journal();
    vec![format!(
        r#"INSERT INTO "UserFeedback" ("id", "agentType", "taskId", "source", "rating", "createdAt", "createdBy")
        SELECT 'uf' || lpad(to_hex(n), 8, '0'), 'Copy', 'task', 'human', CASE WHEN n <= {bad} THEN 9 ELSE 3 END,
          TIMESTAMP '{SINCE} 06:00:00', 'user'
        FROM generate_series(1, {bad} + {GOOD}) n"#
    )]
}
