//! `KPIHistory`.

use sea_orm::entity::prelude::*;

/// One KPI of one tenant, period and day (phase 5).
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "KPIHistory", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub metric_name: String,
    pub metric_value: f64,
    pub period: String,
    pub department: Option<String>,
    pub metadata: Option<Json>,
    pub created_at: DateTime,
    pub tenant_id: String,
}

/// None: the units read with SQL of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
