//! `PublishJob`.

use sea_orm::entity::prelude::*;

/// One publication of an asset and its counts (phase 4.5).
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "PublishJob", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub asset_id: String,
    pub platform: String,
    pub status: String,
    pub impressions: Option<i32>,
    pub clicks: Option<i32>,
    pub conversions: Option<i32>,
    pub posted_at: Option<DateTime>,
    pub created_at: DateTime,
}

/// None: the units read with SQL of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
