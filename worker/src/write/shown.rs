//! Rows of a destination as texts: for people who want to see what would be written, and to be kept where they are put back.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::{as_texts, values};
use crate::backend::{self, Dialect, quote};
use crate::core::plan::Destination;
use crate::error::{Doing, Result};

/// The columns that a unit writes beside the key, as texts, by key.
///
/// # Errors
/// The database's.
pub async fn shown(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    keys: &[&str],
) -> Result<HashMap<String, Vec<Option<String>>>> {
    let dialect = Dialect::of(connection);
    let key = quote(&destination.key);
    let sql = format!(
        "SELECT {key} AS \"key\", {} FROM {} WHERE {}",
        as_texts(dialect, destination, "now"),
        quote(&destination.table),
        dialect.is_any(&key, "$1"),
    );
    let doing = format!("looking at rows of {}", destination.table);
    let rows = backend::all(connection, &sql, [dialect.texts(keys)]).await;
    let mut shown = HashMap::new();
    for row in rows.doing(doing.as_str())? {
        let count = destination.values().len();
        let texts = values(&row, "now", count).doing(doing.as_str())?;
        shown.insert(row.try_get("", "key").doing(doing.as_str())?, texts);
    }
    Ok(shown)
}
