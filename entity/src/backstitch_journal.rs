//! `backstitch_journal`.

use sea_orm::entity::prelude::*;

/// The journal: one event a row, append-only and hash-chained by stream.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "backstitch_journal")]
pub struct Model {
    /// The order in which the database took the events; display only, the truth is (run, stream, seq).
    #[sea_orm(primary_key)]
    pub position: i64,
    /// The run that the event belongs to.
    pub run: String,
    /// Events of one stream are ordered among themselves: `run`, `<unit>/<pass>.<section>.<part>`, `worker/<id>`.
    pub stream: String,
    /// The place within the stream, from 1, without gaps.
    pub seq: i64,
    /// What happened, in the past tense: `BatchCommitted`.
    pub kind: String,
    /// The format version of the payload.
    pub version: i32,
    /// The unit that it concerns, repeated from the payload for look-ups.
    pub unit: Option<String>,
    /// The source key that it concerns, repeated from the payload for look-ups.
    pub key: Option<String>,
    /// JSON text, byte for byte as hashed.
    pub payload: String,
    /// Who appended it.
    pub worker: String,
    /// When, by the database's clock: milliseconds since 1970, UTC.
    pub at: i64,
    /// The hash of the stream's event before this one; 64 zeros for the first.
    pub prev: String,
    /// BLAKE3 over all of the above but `position`, in hexadecimal.
    pub hash: String,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
