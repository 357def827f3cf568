//! `IntelligenceEvent`.

use sea_orm::entity::prelude::*;

/// What happened to an entity, as phase 5 records it.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "IntelligenceEvent", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub event_type: String,
    pub entity_type: String,
    pub entity_id: String,
    pub payload: Json,
    pub severity: String,
    pub created_at: DateTime,
    pub tenant_id: String,
}

/// None: the units read with SQL of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
