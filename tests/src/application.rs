//! The live application: it writes into the destinations too, and none of its rows may ever be touched.

use anyhow::Result;

use crate::database::Database;
use crate::moment::Moment;
use crate::source::{Table, Value, insert};

/// Rows that the application writes into every destination.
/// The tag keeps the ids of two calls apart, and decides where they sort.
pub async fn write_rows(database: &Database, tag: &str, at: Moment) -> Result<()> {
    let campaign: String = database
        .value("SELECT \"id\" FROM \"Campaign\" ORDER BY \"id\" LIMIT 1")
        .await?;
    for table in rows(tag, &campaign, at) {
        insert(database, &table).await?;
    }
    Ok(())
}

fn rows(tag: &str, campaign: &str, at: Moment) -> [Table; 4] {
    let text = |text: &str| Value::Text(text.to_owned());
    let ids: Vec<Value> = (0..3)
        .map(|number| Value::Text(format!("{tag}-{number}")))
        .collect();
    let each = |rest: &[Value]| -> Vec<Vec<Value>> {
        ids.iter()
            .map(|id| [std::slice::from_ref(id), rest].concat())
            .collect()
    };
    let at = Value::Moment(at);
    [
        Table {
            name: "IntelligenceEvent",
            columns: &[
                "id",
                "eventType",
                "entityType",
                "entityId",
                "payload",
                "severity",
                "createdAt",
                "tenantId",
            ],
            rows: each(&[
                text("AgentTaskCompleted"),
                text("agent"),
                text("strategy"),
                Value::Json(format!("{{\"campaignId\": \"{tag}\"}}")),
                text("info"),
                at.clone(),
                text("acme"),
            ]),
        },
        Table {
            name: "PromptPerformance",
            columns: &[
                "id",
                "campaignId",
                "promptText",
                "impressions",
                "clicks",
                "createdAt",
                "updatedAt",
            ],
            rows: each(&[
                text(campaign),
                text("by the application"),
                Value::Int(10),
                Value::Int(1),
                at.clone(),
                at.clone(),
            ]),
        },
        Table {
            name: "KPIHistory",
            columns: &[
                "id",
                "metricName",
                "metricValue",
                "period",
                "department",
                "createdAt",
                "tenantId",
            ],
            rows: each(&[
                text("win_rate"),
                Value::Double(0.5),
                text("7d"),
                text("executive"),
                at.clone(),
                text("acme"),
            ]),
        },
        Table {
            name: "AgentFeedback",
            columns: &[
                "id",
                "agentType",
                "taskId",
                "feedbackType",
                "rating",
                "createdAt",
                "createdBy",
            ],
            rows: each(&[
                text("Copy"),
                text("task"),
                text("human"),
                Value::Int(5),
                at.clone(),
                text("someone"),
            ]),
        },
    ]
}
