//! `UserFeedback`.

use sea_orm::entity::prelude::*;

/// A user's verdict on an agent's work (phase 4.5, optional).
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "UserFeedback", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub agent_type: String,
    pub task_id: String,
    pub source: String,
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
