//! The same on SQLite: the source of events, and one statement that turns it into them.

use super::super::size::{CAMPAIGNS, Size};
use super::{AS_OF, SINCE};

/// Campaigns with tasks in their metadata.
#[must_use]
pub(crate) fn events(size: Size) -> String {
    let tasks = size.events_on_sqlite() / CAMPAIGNS;
    format!(
        r#"WITH RECURSIVE
          campaigns (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM campaigns WHERE n < {CAMPAIGNS}),
          places (t) AS (SELECT 1 UNION ALL SELECT t + 1 FROM places WHERE t < {tasks}),
          made (n, created) AS (SELECT n, julianday('{SINCE} 01:00:00') + n * 80.0 / {CAMPAIGNS} FROM campaigns)
        INSERT INTO "Campaign" ("id", "tenantId", "name", "status", "metadata", "createdAt", "updatedAt")
        SELECT printf('cm%08x%015d', n, n * 7919), printf('tenant-%02d', n % 20), 'Campaign ' || n, 'active',
          (SELECT json_object('channel', 'email', 'agentTasks', json_group_array(json_object(
            'agentId', substr('strategy-agent copy-agent     visual-agent   video-agent    ', 1 + (t * 7 % 4) * 15, 10),
            'assetId', printf('asset_%016x', n * 7 + t % 4), 'duration', 200 + (n * 31 + t * 7919) % 90000,
            'tokensIn', 50 + (n + t * 104729) % 6000, 'tokensOut', 20 + (n + t * 1299709) % 3000,
            'cost', ((n + t) % 2000) / 10000.0, 'success', json(CASE WHEN t % 20 = 7 THEN 'false' ELSE 'true' END),
            'model', 'gpt-4.1',
            'completedAt', strftime('%Y-%m-%dT%H:%M:%fZ', created + t * ((julianday('{AS_OF}') - created) / ({tasks} + 1)))
          ))) FROM places),
          strftime('%Y-%m-%d %H:%M:%f', created), strftime('%Y-%m-%d %H:%M:%f', created)
        FROM made"#
    )
}

/// Events as one would write it: with ids that ascend, since SQLite has no hash.
#[must_use]
pub(crate) fn instead() -> String {
    format!(
        r#"INSERT INTO "IntelligenceEvent" ("id", "eventType", "entityType", "entityId", "payload", "severity", "createdAt", "tenantId")
        SELECT c."id" || '-' || printf('%06d', t.key), 'AgentTaskCompleted', 'agent', t.value ->> 'agentId',
          json_object('campaignId', c."id", 'assetId', t.value -> 'assetId', 'duration', t.value -> 'duration',
            'tokensIn', t.value -> 'tokensIn', 'tokensOut', t.value -> 'tokensOut', 'cost', t.value -> 'cost',
            'success', t.value -> 'success', 'model', t.value -> 'model'),
          CASE WHEN t.value ->> 'success' THEN 'info' ELSE 'high' END,
          strftime('%Y-%m-%d %H:%M:%f', t.value ->> 'completedAt'), c."tenantId"
        FROM "Campaign" c, json_each(c."metadata", '$.agentTasks') t
        WHERE c."createdAt" >= '{SINCE} 00:00:00.000' AND c."createdAt" <= '{AS_OF} 00:00:00.000'"#
    )
}
