//! `Deal`.

use sea_orm::entity::prelude::*;

/// A deal in the sales pipeline (phase 4.5, optional); `acv` is US dollars a year.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "Deal", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub tenant_id: String,
    pub kind: String,
    pub stage: String,
    pub acv: f64,
    pub opened_at: DateTime,
    pub closed_at: Option<DateTime>,
}

/// None: the units read with SQL of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
