//! `backstitch_partition`.

use sea_orm::entity::prelude::*;

/// A projection: how far each partition is, as its stream says. It can be rebuilt from the journal.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "backstitch_partition")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run: String,
    /// The partition's stream.
    #[sea_orm(primary_key, auto_increment = false)]
    pub stream: String,
    /// The unit that it is a part of.
    pub unit: String,
    /// The pass over the source, from 1; passes from 2 catch up.
    pub pass: i32,
    /// The section of the unit's source, from 0.
    pub section: i32,
    /// The part of the section, from 0.
    pub part: i32,
    /// The key range's lower end, excluded.
    pub lower: Option<String>,
    /// The key range's upper end, included.
    pub upper: Option<String>,
    /// The source rows that were expected when the pass was planned.
    pub estimate: i64,
    /// `open`, `done` or `fenced` (an undo has begun: no batch may follow).
    pub status: String,
    /// The last source row that is accounted for, a JSON array of key parts.
    pub cursor: Option<String>,
    /// The stream's last event.
    pub seq: i64,
    /// The hash of the stream's last event.
    pub head: String,
    /// Batches committed.
    pub batches: i64,
    /// Source rows read.
    pub read: i64,
    /// Rows written.
    pub written: i64,
    /// Source rows that needed nothing.
    pub skipped: i64,
    /// Bad rows set aside.
    pub quarantined: i64,
    /// The seq of the batch that was undone last; batches are undone from the newest to the oldest.
    pub undone_to: Option<i64>,
    /// Rows that an undo removed or put back.
    pub removed: i64,
    /// Rows that an undo left alone because they were edited since.
    pub kept: i64,
    /// Rows that an undo did not find any more.
    pub gone: i64,
    /// When the first event was appended, milliseconds since 1970.
    pub first_at: i64,
    /// When the last event was appended, milliseconds since 1970.
    pub last_at: i64,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
