//! The source tables in memory, row for row.

use anyhow::{Context, Result};

use crate::database::Database;
use crate::moment::Moment;
use crate::source::{Kind, Value, read};

/// All sources. A table that the database lacks is empty.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub(super) campaigns: Vec<Campaign>,
    pub(super) jobs: Vec<Job>,
    pub(super) tasks: Vec<AgentTask>,
    pub(super) deals: Vec<Deal>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) feedback: Vec<Feedback>,
}

#[derive(Clone, Debug)]
pub(super) struct Campaign {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) metadata: Option<String>,
    pub(super) created: Moment,
    pub(super) prompt: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) campaign: String,
    pub(super) tenant: String,
    pub(super) impressions: i64,
    pub(super) clicks: i64,
    pub(super) conversions: i64,
    pub(super) at: Moment,
}

impl Job {
    pub(super) fn is_negative(&self) -> bool {
        self.impressions < 0 || self.clicks < 0 || self.conversions < 0
    }
}

#[derive(Clone, Debug)]
pub(super) struct AgentTask {
    pub(super) id: String,
    pub(super) campaign: String,
    pub(super) asset: Option<String>,
    pub(super) agent: String,
    pub(super) status: String,
    pub(super) tokens_in: i64,
    pub(super) tokens_out: i64,
    pub(super) latency: i64,
    pub(super) model: String,
    pub(super) cost: String,
    pub(super) completed: Moment,
}

#[derive(Clone, Debug)]
pub(super) struct Deal {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) kind: String,
    pub(super) stage: String,
    pub(super) acv: f64,
    pub(super) closed: Option<Moment>,
}

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) metric: String,
    pub(super) value: f64,
    pub(super) period: String,
    pub(super) department: Option<String>,
    pub(super) metadata: Option<String>,
    pub(super) captured: Moment,
}

#[derive(Clone, Debug)]
pub(super) struct Feedback {
    pub(super) id: String,
    pub(super) agent_type: String,
    pub(super) task: String,
    pub(super) source: String,
    pub(super) rating: Option<i64>,
    pub(super) comment: Option<String>,
    pub(super) action: Option<String>,
    pub(super) created: Moment,
    pub(super) author: String,
}

impl Sources {
    /// Reads every source table. Read them before a run: it fills prompts in.
    pub async fn load(database: &Database) -> Result<Self> {
        let campaigns = campaigns(database).await?;
        Ok(Self {
            jobs: jobs(database, &campaigns).await?,
            campaigns,
            tasks: tasks(database).await?,
            deals: deals(database).await?,
            snapshots: snapshots(database).await?,
            feedback: feedback(database).await?,
        })
    }
}

async fn campaigns(database: &Database) -> Result<Vec<Campaign>> {
    let mut columns = vec![
        ("id", Kind::Text),
        ("tenantId", Kind::Text),
        ("metadata", Kind::Json),
        ("createdAt", Kind::Moment),
    ];
    if database.has_column("Campaign", "prompt").await? {
        columns.push(("prompt", Kind::Text));
    }
    let rows = read(database, "Campaign", &columns).await?;
    rows.into_iter()
        .map(|row| {
            let mut row = Cells(row.into_iter());
            Ok(Campaign {
                id: row.text()?,
                tenant: row.text()?,
                metadata: row.maybe_text()?,
                created: row.moment()?,
                prompt: row.maybe_text().unwrap_or(None),
            })
        })
        .collect()
}

async fn jobs(database: &Database, campaigns: &[Campaign]) -> Result<Vec<Job>> {
    let mut parents = std::collections::BTreeMap::new();
    for row in read(
        database,
        "Asset",
        &[("id", Kind::Text), ("campaignId", Kind::Text)],
    )
    .await?
    {
        let mut row = Cells(row.into_iter());
        parents.insert(row.text()?, row.text()?);
    }
    let columns = [
        ("id", Kind::Text),
        ("assetId", Kind::Text),
        ("impressions", Kind::Int),
        ("clicks", Kind::Int),
        ("conversions", Kind::Int),
        ("postedAt", Kind::Moment),
        ("createdAt", Kind::Moment),
    ];
    let mut jobs = Vec::new();
    for row in read(database, "PublishJob", &columns).await? {
        let mut row = Cells(row.into_iter());
        let (id, asset) = (row.text()?, row.text()?);
        let campaign = parents
            .get(&asset)
            .context("a job without an asset")?
            .clone();
        let owner = campaigns
            .iter()
            .find(|one| one.id == campaign)
            .context("an asset without a campaign")?;
        let tenant = owner.tenant.clone();
        let [impressions, clicks, conversions] = [
            row.maybe_int()?.unwrap_or(0),
            row.maybe_int()?.unwrap_or(0),
            row.maybe_int()?.unwrap_or(0),
        ];
        let posted = row.maybe_moment()?;
        let created = row.moment()?;
        let at = posted.unwrap_or(created);
        jobs.push(Job {
            id,
            campaign,
            tenant,
            impressions,
            clicks,
            conversions,
            at,
        });
    }
    Ok(jobs)
}

async fn tasks(database: &Database) -> Result<Vec<AgentTask>> {
    let columns = [
        ("id", Kind::Text),
        ("campaignId", Kind::Text),
        ("assetId", Kind::Text),
        ("agentId", Kind::Text),
        ("agentType", Kind::Text),
        ("status", Kind::Text),
        ("tokensIn", Kind::Int),
        ("tokensOut", Kind::Int),
        ("latencyMs", Kind::Int),
        ("model", Kind::Text),
        ("costUsd", Kind::Decimal),
        ("completedAt", Kind::Moment),
        ("createdAt", Kind::Moment),
    ];
    let rows = optional(database, "AgentTask", &columns).await?;
    rows.into_iter()
        .map(|mut row| {
            let (id, campaign, asset) = (row.text()?, row.text()?, row.maybe_text()?);
            let (agent, kind) = (row.maybe_text()?, row.text()?);
            Ok(AgentTask {
                id,
                campaign,
                asset,
                agent: agent.unwrap_or(kind),
                status: row.text()?,
                tokens_in: row.int()?,
                tokens_out: row.int()?,
                latency: row.int()?,
                model: row.text()?,
                cost: row.text()?,
                completed: {
                    let (completed, created) = (row.maybe_moment()?, row.moment()?);
                    completed.unwrap_or(created)
                },
            })
        })
        .collect()
}

async fn deals(database: &Database) -> Result<Vec<Deal>> {
    let columns = [
        ("id", Kind::Text),
        ("tenantId", Kind::Text),
        ("kind", Kind::Text),
        ("stage", Kind::Text),
        ("acv", Kind::Double),
        ("closedAt", Kind::Moment),
    ];
    let rows = optional(database, "Deal", &columns).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Deal {
                id: row.text()?,
                tenant: row.text()?,
                kind: row.text()?,
                stage: row.text()?,
                acv: row.double()?,
                closed: row.maybe_moment()?,
            })
        })
        .collect()
}

async fn snapshots(database: &Database) -> Result<Vec<Snapshot>> {
    let columns = [
        ("id", Kind::Text),
        ("tenantId", Kind::Text),
        ("metricName", Kind::Text),
        ("metricValue", Kind::Double),
        ("period", Kind::Text),
        ("department", Kind::Text),
        ("metadata", Kind::Json),
        ("capturedAt", Kind::Moment),
    ];
    let rows = optional(database, "KpiSnapshot", &columns).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Snapshot {
                id: row.text()?,
                tenant: row.text()?,
                metric: row.text()?,
                value: row.double()?,
                period: row.text()?,
                department: row.maybe_text()?,
                metadata: row.maybe_text()?,
                captured: row.moment()?,
            })
        })
        .collect()
}

async fn feedback(database: &Database) -> Result<Vec<Feedback>> {
    let columns = [
        ("id", Kind::Text),
        ("agentType", Kind::Text),
        ("taskId", Kind::Text),
        ("source", Kind::Text),
        ("rating", Kind::Int),
        ("comment", Kind::Text),
        ("actionTaken", Kind::Text),
        ("createdAt", Kind::Moment),
        ("createdBy", Kind::Text),
    ];
    let rows = optional(database, "UserFeedback", &columns).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Feedback {
                id: row.text()?,
                agent_type: row.text()?,
                task: row.text()?,
                source: row.text()?,
                rating: row.maybe_int()?,
                comment: row.maybe_text()?,
                action: row.maybe_text()?,
                created: row.moment()?,
                author: row.text()?,
            })
        })
        .collect()
}

async fn optional(
    database: &Database,
    table: &str,
    columns: &[(&str, Kind)],
) -> Result<Vec<Cells>> {
    if !database.has_table(table).await? {
        return Ok(Vec::new());
    }
    let rows = read(database, table, columns).await?;
    Ok(rows.into_iter().map(|row| Cells(row.into_iter())).collect())
}

/// A row's cells, taken one after the other.
struct Cells(std::vec::IntoIter<Value>);

impl Cells {
    fn maybe_text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some(Value::Text(text) | Value::Json(text) | Value::Decimal(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            other => anyhow::bail!("{other:?} is no text"),
        }
    }

    fn text(&mut self) -> Result<String> {
        self.maybe_text()?.context("a text that is NULL")
    }

    fn maybe_int(&mut self) -> Result<Option<i64>> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            other => anyhow::bail!("{other:?} is no whole number"),
        }
    }

    fn int(&mut self) -> Result<i64> {
        self.maybe_int()?.context("a whole number that is NULL")
    }

    fn double(&mut self) -> Result<f64> {
        match self.0.next() {
            Some(Value::Double(number)) => Ok(number),
            other => anyhow::bail!("{other:?} is no double"),
        }
    }

    fn maybe_moment(&mut self) -> Result<Option<Moment>> {
        match self.0.next() {
            Some(Value::Moment(moment)) => Ok(Some(moment)),
            Some(Value::Null) => Ok(None),
            other => anyhow::bail!("{other:?} is no instant"),
        }
    }

    fn moment(&mut self) -> Result<Moment> {
        self.maybe_moment()?.context("an instant that is NULL")
    }
}
