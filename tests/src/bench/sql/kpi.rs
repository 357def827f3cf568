//! `kpi_history` as one statement: daily sums, summed over each window of each day.

use super::{AS_OF, SINCE};

/// The statement. Days of a tenant without any figure have no row.
#[must_use]
pub(crate) fn history() -> String {
    format!(
        r#"INSERT INTO "KPIHistory" ("id", "metricName", "metricValue", "period", "department", "metadata", "createdAt", "tenantId")
        WITH windows AS (
          SELECT d::date AS day, p.period, p.first, d::date - p.first + 1 AS days
          FROM generate_series(DATE '{AS_OF}' - 89, DATE '{AS_OF}', INTERVAL '1 day') d
          CROSS JOIN LATERAL (VALUES ('7d', d::date - 6), ('14d', d::date - 13), ('30d', d::date - 29),
            ('qtd', date_trunc('quarter', d)::date), ('ytd', date_trunc('year', d)::date)) p(period, first)
        ),
        tenants AS (SELECT "tenantId" FROM "Campaign" UNION SELECT "tenantId" FROM "Deal"),
        deals AS (
          SELECT "tenantId", "closedAt"::date AS day, COUNT(*) AS closed,
            COUNT(*) FILTER (WHERE "kind" <> 'churn' AND "stage" = 'ClosedWon') AS won,
            COUNT(*) FILTER (WHERE "kind" <> 'churn' AND "stage" = 'ClosedLost') AS lost,
            COALESCE(SUM("acv") FILTER (WHERE "kind" <> 'churn' AND "stage" = 'ClosedWon'), 0) AS gained,
            COALESCE(SUM("acv") FILTER (WHERE "kind" = 'churn'), 0) AS churned
          FROM "Deal" WHERE "closedAt" IS NOT NULL AND "kind" IN ('new', 'expansion', 'churn') GROUP BY 1, 2
        ),
        jobs AS (
          SELECT c."tenantId", COALESCE(j."postedAt", j."createdAt")::date AS day,
            SUM(j."clicks")::bigint AS clicks, SUM(j."impressions")::bigint AS impressions
          FROM "PublishJob" j JOIN "Asset" a ON a."id" = j."assetId" JOIN "Campaign" c ON c."id" = a."campaignId"
          WHERE COALESCE(LEAST(j."impressions", j."clicks", j."conversions"), 0) >= 0 GROUP BY 1, 2
        ),
        sales AS (
          SELECT t."tenantId", w.day, w.period, w.days, SUM(d.closed) AS closed, SUM(d.won) AS won, SUM(d.lost) AS lost,
            SUM(d.gained) AS gained, SUM(d.churned) AS churned
          FROM tenants t CROSS JOIN windows w
          JOIN deals d ON d."tenantId" = t."tenantId" AND d.day BETWEEN w.first AND w.day GROUP BY 1, 2, 3, 4
        ),
        reach AS (
          SELECT t."tenantId", w.day, w.period, SUM(j.clicks) AS clicks, SUM(j.impressions) AS impressions
          FROM tenants t CROSS JOIN windows w
          JOIN jobs j ON j."tenantId" = t."tenantId" AND j.day BETWEEN w.first AND w.day GROUP BY 1, 2, 3
        ),
        computed AS (
          SELECT s."tenantId", s.day, s.period, m.metric, m.value FROM sales s
          CROSS JOIN LATERAL (VALUES
            ('arr_run_rate', CASE WHEN s.won > 0 THEN s.gained * 12 / (s.days / 30.0::double precision) END),
            ('pipeline_velocity', CASE WHEN s.closed > 0 THEN (s.gained - s.churned) / 12 / s.days END),
            ('win_rate', CASE WHEN s.won + s.lost > 0 THEN s.won::double precision / (s.won + s.lost)::double precision END)
          ) m(metric, value) WHERE m.value IS NOT NULL
          UNION ALL
          SELECT r."tenantId", r.day, r.period, 'content_ctr', r.clicks::double precision / r.impressions::double precision
          FROM reach r WHERE r.impressions > 0
        ),
        snapshots AS (
          SELECT k.*, k."capturedAt"::date AS day,
            k."metricName" IN ('arr_run_rate', 'pipeline_velocity', 'win_rate', 'content_ctr')
              AND k."period" IN ('7d', '14d', '30d', 'qtd', 'ytd')
              AND COALESCE(k."department", 'executive') = 'executive'
              AND k."capturedAt"::date BETWEEN DATE '{AS_OF}' - 89 AND DATE '{AS_OF}' AS takes
          FROM "KpiSnapshot" k
        ),
        taken AS (
          SELECT DISTINCT ON ("tenantId", day, "period", "metricName") * FROM snapshots WHERE takes
          ORDER BY "tenantId", day, "period", "metricName", "capturedAt" DESC, "id" DESC
        )
        SELECT md5(concat_ws('|', COALESCE(k."tenantId", c."tenantId"), COALESCE(k."metricName", c.metric),
            COALESCE(k."period", c.period), COALESCE(k.day, c.day))),
          COALESCE(k."metricName", c.metric), COALESCE(k."metricValue", c.value), COALESCE(k."period", c.period), 'executive',
          CASE WHEN k."id" IS NULL THEN '{{"source":"computed"}}'::jsonb ELSE k."metadata" END,
          COALESCE(k.day, c.day)::timestamp, COALESCE(k."tenantId", c."tenantId")
        FROM computed c
        FULL JOIN taken k ON k."tenantId" = c."tenantId" AND k.day = c.day AND k."period" = c.period AND k."metricName" = c.metric
        UNION ALL
        SELECT md5('snapshot|' || s."id"), s."metricName", s."metricValue", s."period", s."department", s."metadata", s."capturedAt", s."tenantId"
        FROM snapshots s
        WHERE NOT s.takes AND s."capturedAt" >= TIMESTAMP '{SINCE}' AND s."capturedAt" <= TIMESTAMP '{AS_OF}'"#
    )
}
