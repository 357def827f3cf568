//! `PromptPerformance`.

use sea_orm::entity::prelude::*;

/// How a campaign's prompt performed (phase 5).
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "PromptPerformance", rename_all = "camelCase")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub campaign_id: String,
    pub prompt_text: String,
    pub variant_id: Option<String>,
    pub impressions: i32,
    pub clicks: i32,
    pub conversions: i32,
    pub ctr: f64,
    pub cvr: f64,
    pub avg_time_on_page: Option<f64>,
    pub bounce_rate: Option<f64>,
    pub reward_score: f64,
    pub created_at: DateTime,
    pub updated_at: DateTime,
}

/// None: the units read with SQL of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
