//! `KpiSnapshot`.

use sea_orm::entity::prelude::*;

/// A KPI that an earlier report captured (phase 4.5, optional).
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "KpiSnapshot", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub tenant_id: String,
    pub metric_name: String,
    pub metric_value: f64,
    pub period: String,
    pub department: Option<String>,
    pub metadata: Option<Json>,
    pub captured_at: DateTime,
}

/// None: the units read with SQL of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
