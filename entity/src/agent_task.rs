//! `AgentTask`.

use sea_orm::entity::prelude::*;

/// An agent execution that was kept as a row (phase 4.5, optional).
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "AgentTask", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub campaign_id: String,
    pub asset_id: Option<String>,
    pub agent_id: Option<String>,
    pub agent_type: String,
    pub status: String,
    pub tokens_in: i32,
    pub tokens_out: i32,
    pub latency_ms: i32,
    pub model: String,
    pub cost_usd: String,
    pub error: Option<String>,
    pub created_at: DateTime,
    pub completed_at: Option<DateTime>,
}

/// None: the units read with SQL of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
