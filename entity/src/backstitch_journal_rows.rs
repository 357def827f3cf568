//! `backstitch_journal_rows`.

use sea_orm::entity::prelude::*;

/// Provenance: which rows the batch of one event wrote, packed.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "backstitch_journal_rows")]
pub struct Model {
    /// The run of the event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run: String,
    /// The stream of the event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub stream: String,
    /// The seq of the event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// The destination table.
    #[sea_orm(primary_key, auto_increment = false)]
    pub table_name: String,
    /// How many rows were written.
    pub rows: i32,
    /// Their keys, each as a 4-byte little-endian length and UTF-8 bytes.
    pub keys: Vec<u8>,
    /// The digest of each row as the database returned it, 8 bytes each, little-endian.
    pub digests: Vec<u8>,
    /// For updates: a JSON array with the values before, in the order of the keys.
    pub before: Option<Vec<u8>>,
    /// What all keys between the first and the last begin with. None where `least` is.
    pub shared: Option<String>,
    /// The first of the keys in the order of their bytes. None where a release before this column wrote the batch, or
    /// a key is too long for an index.
    pub least: Option<String>,
    /// The last of them.
    pub greatest: Option<String>,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
