//! What the demo holds, read by queries that share nothing with its making.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta};
use serde_json::Value;

use super::super::words::TENANTS;
use super::super::{Outcome, Size, create};
use super::Scratch;

#[tokio::test]
async fn odd_sizes_work() {
    for (campaigns, tasks) in [(0, 5), (1, 0), (1, 5_000), (3, 1)] {
        let scratch = Scratch::new(&format!("odd-{campaigns}-{tasks}")).await;
        let size = Size {
            campaigns,
            tasks,
            ..Size::default()
        };
        let made = create(&scratch.db, &size, |_| {}).await.unwrap();
        assert!(matches!(made, Outcome::Created(counts) if counts.campaigns == campaigns));
        let found = executions(&scratch).await.len();
        assert_eq!(
            found,
            if campaigns == 0 {
                0
            } else {
                usize::try_from(tasks).unwrap()
            }
        );
    }
}

/// An execution's identity: campaign, agent, asset and the millisecond of its end.
type Execution = (String, String, Option<String>, i64);

/// The distinct good executions of the whole database, by a reading of its own.
async fn executions(scratch: &Scratch) -> BTreeSet<Execution> {
    let mut found = BTreeSet::new();
    let as_of = Size::default().as_of;
    for row in scratch
        .rows(r#"SELECT "id", "metadata" FROM "Campaign" WHERE "metadata" IS NOT NULL"#)
        .await
    {
        let campaign: String = row.try_get("", "id").unwrap();
        let metadata: Value =
            serde_json::from_str(&row.try_get::<String>("", "metadata").unwrap()).unwrap();
        for task in metadata["agentTasks"].as_array().into_iter().flatten() {
            let Some(at) = task["completedAt"].as_str() else {
                continue;
            };
            let at = DateTime::parse_from_rfc3339(at).unwrap();
            if at > as_of || task["cost"].is_string() {
                continue;
            }
            let millis = (at.timestamp_micros() + 500).div_euclid(1_000);
            let asset = task["assetId"].as_str().map(str::to_owned);
            found.insert((
                campaign.clone(),
                task["agentId"].as_str().unwrap().to_owned(),
                asset,
                millis,
            ));
        }
    }
    let rows = r#"SELECT "campaignId", coalesce("agentId", "agentType") AS agent, "assetId", coalesce("completedAt", "createdAt") AS at
                  FROM "AgentTask" WHERE "status" IN ('done', 'error')"#;
    for row in scratch.rows(rows).await {
        let at: String = row.try_get("", "at").unwrap();
        let at = chrono::NaiveDateTime::parse_from_str(&at, "%Y-%m-%d %H:%M:%S%.3f")
            .unwrap()
            .and_utc();
        found.insert((
            row.try_get("", "campaignId").unwrap(),
            row.try_get("", "agent").unwrap(),
            row.try_get("", "assetId").unwrap(),
            at.timestamp_millis(),
        ));
    }
    found
}

#[tokio::test]
async fn the_default_holds_the_volumes_of_the_plan() {
    let scratch = Scratch::new("default").await;
    let Outcome::Created(counts) = create(&scratch.db, &Size::default(), |_| {}).await.unwrap()
    else {
        panic!("the database was empty");
    };
    assert_eq!(
        (counts.campaigns, counts.publish_jobs, counts.user_feedback),
        (500, 2_000, 100)
    );
    assert!((2_000..9_000).contains(&counts.agent_tasks), "{counts:?}");
    assert_eq!(executions(&scratch).await.len(), 50_000);
    let prompts = r#""Campaign" WHERE json_type("metadata", '$.prompt') = 'text' AND trim("metadata" ->> 'prompt', char(9, 10, 13, 32)) <> ''"#;
    assert_eq!(scratch.count(prompts).await, 156);
    assert_eq!(
        scratch
            .count(r#""UserFeedback" WHERE "rating" NOT BETWEEN 1 AND 5"#)
            .await,
        1
    );
    assert_eq!(scratch.count(r#""PublishJob" WHERE "clicks" < 0"#).await, 1);
    assert_eq!(
        scratch
            .count(r#""Campaign" WHERE json_type("metadata", '$.prompt') = 'integer'"#)
            .await,
        1
    );
    assert_eq!(
        scratch
            .count(r#""Campaign" WHERE json_type("metadata", '$.agentTasks') = 'object'"#)
            .await,
        1
    );
    let elements = r#""Campaign" c, json_each(c."metadata", '$.agentTasks') t WHERE json_type(c."metadata", '$.agentTasks') = 'array'"#;
    assert_eq!(
        scratch
            .count(&format!(
                "{elements} AND json_type(t.value, '$.cost') = 'text'"
            ))
            .await,
        1
    );
    assert_eq!(
        scratch
            .count(&format!("{elements} AND t.value ->> 'completedAt' IS NULL"))
            .await,
        1
    );
    assert_eq!(
        scratch
            .count(&format!(
                "{elements} AND t.value ->> 'completedAt' > '2025-11-04T00:00:00Z'"
            ))
            .await,
        1
    );
    for (table, column) in [
        ("Campaign", "updatedAt"),
        ("Asset", "createdAt"),
        ("PublishJob", "createdAt"),
        ("PublishJob", "postedAt"),
        ("AgentTask", "createdAt"),
        ("AgentTask", "completedAt"),
        ("Deal", "openedAt"),
        ("Deal", "closedAt"),
        ("KpiSnapshot", "capturedAt"),
        ("UserFeedback", "createdAt"),
    ] {
        let late = format!(r#""{table}" WHERE "{column}" > '2025-11-04 00:00:00.000'"#);
        assert_eq!(scratch.count(&late).await, 0, "{late}");
    }
}

#[tokio::test]
async fn each_tenant_gets_a_plausible_number_of_kpi_rows() {
    let scratch = Scratch::new("kpis").await;
    create(&scratch.db, &Size::default(), |_| {}).await.unwrap();
    let today = Size::default().as_of.date_naive();
    for tenant in TENANTS {
        let deals = |having: &str| {
            format!(
                r#"SELECT date("closedAt") AS day FROM "Deal" WHERE "tenantId" = '{}' AND "closedAt" IS NOT NULL AND {having}"#,
                tenant.id
            )
        };
        let seen = format!(
            r#"SELECT date(coalesce(j."postedAt", j."createdAt")) AS day FROM "PublishJob" j JOIN "Asset" a ON a."id" = j."assetId"
               JOIN "Campaign" c ON c."id" = a."campaignId" WHERE c."tenantId" = '{}' AND j."impressions" > 0"#,
            tenant.id
        );
        let mut rows = 0;
        for sql in [
            deals("kind <> 'churn' AND stage = 'ClosedWon'"),
            deals("kind <> 'churn'"),
            deals("1 = 1"),
            seen,
        ] {
            let found = scratch.rows(&sql).await;
            let days: BTreeSet<NaiveDate> = found
                .iter()
                .map(|row| row.try_get::<String>("", "day").unwrap().parse().unwrap())
                .collect();
            for back in 0..90 {
                let day = today - TimeDelta::days(back);
                let starts = [
                    day - TimeDelta::days(6),
                    day - TimeDelta::days(13),
                    day - TimeDelta::days(29),
                    day.with_day(1)
                        .unwrap()
                        .with_month0(day.month0() / 3 * 3)
                        .unwrap(),
                    day.with_ordinal(1).unwrap(),
                ];
                rows += starts
                    .iter()
                    .filter(|start| days.range(**start..=day).next().is_some())
                    .count();
            }
        }
        assert!((1_000..=1_800).contains(&rows), "{}: {rows}", tenant.id);
    }
}

#[tokio::test]
async fn shares_and_ids_are_sound() {
    let scratch = Scratch::new("sound").await;
    create(&scratch.db, &Size::default(), |_| {}).await.unwrap();
    let mut per_tenant = BTreeMap::new();
    let mut ascending = 0;
    let mut last = String::new();
    for row in scratch
        .rows(r#"SELECT "id", "tenantId" FROM "Campaign" ORDER BY rowid"#)
        .await
    {
        let id: String = row.try_get("", "id").unwrap();
        assert!(id.len() == 25 && id.starts_with('c'), "{id}");
        ascending += i32::from(id > last);
        last = id;
        *per_tenant
            .entry(row.try_get::<String>("", "tenantId").unwrap())
            .or_insert(0) += 1;
    }
    assert!((200..300).contains(&ascending), "{ascending}");
    assert!(
        per_tenant.len() == 3 && per_tenant.values().all(|campaigns| *campaigns >= 60),
        "{per_tenant:?}"
    );
}
