//! `AgentFeedback`.

use sea_orm::entity::prelude::*;

/// Feedback on an agent's work (phase 5).
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "AgentFeedback", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub agent_type: String,
    pub task_id: String,
    pub feedback_type: String,
    pub rating: Option<i32>,
    pub comment: Option<String>,
    pub action_taken: Option<String>,
    pub created_at: DateTime,
    pub created_by: String,
}

/// None: the units read with SQL of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
