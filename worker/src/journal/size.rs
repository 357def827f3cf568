//! What the journal takes on disk.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;

use crate::backend::{self, Dialect};
use crate::error::{Doing, Result};

/// The journal's tables with their indexes.
const SIZES: &str = "SELECT t AS \"name\", CAST(pg_total_relation_size(to_regclass(quote_ident(t))) AS BIGINT) AS \"bytes\" \
                     FROM unnest(ARRAY['backstitch_journal', 'backstitch_journal_rows']) t";

/// The bytes that each of the journal's tables takes on disk, indexes included; empty on SQLite, which tells of the whole
/// file alone.
///
/// # Errors
/// The database's.
pub async fn disk(connection: &impl ConnectionTrait) -> Result<BTreeMap<String, i64>> {
    if Dialect::of(connection) == Dialect::Sqlite {
        return Ok(BTreeMap::new());
    }
    let rows = backend::all(connection, SIZES, []).await;
    let sizes = rows.and_then(|rows| {
        let size = rows
            .iter()
            .map(|row| Ok((row.try_get("", "name")?, row.try_get("", "bytes")?)));
        size.collect()
    });
    sizes.doing("reading the journal's size")
}
