//! What a rehearsal tells: its numbers, bad rows by key, and rows as they would be written.

use serde::Serialize;

use crate::backend::Transaction;
use crate::core::event::PlanRehearsed;
use crate::core::plan::{Destination, Write};
use crate::error::Result;
use crate::provenance::Written;
use crate::write;

/// What a rehearsal came to.
#[derive(Clone, Debug, Serialize)]
pub struct Rehearsal {
    /// What the runbook keeps of it: numbers, and no row.
    #[serde(flatten)]
    pub event: PlanRehearsed,
    /// What is shown of each unit, in the plan's order.
    pub shown: Vec<Shown>,
}

/// What is shown of a unit.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The unit.
    pub unit: String,
    /// Bad rows, a few: their keys in the source, and what is wrong with them.
    pub bad: Vec<(String, String)>,
    /// Rows as they would be written, a few.
    pub rows: Vec<Change>,
}

/// A row as it would be written.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Its key in the destination.
    pub key: String,
    /// Each column that is written beside the key.
    pub columns: Vec<Column>,
}

/// A column as it would be written.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its value before; none: NULL, or no row.
    pub before: Option<String>,
    /// Its value after.
    pub after: Option<String>,
}

/// A few written rows as they stand now, as long as none is rolled back; in place of a value, where none may be shown, how
/// long it is.
///
/// # Errors
/// The database's.
pub(super) async fn changes(
    transaction: &Transaction,
    destination: &Destination,
    few: &[Written],
    has_values: bool,
) -> Result<Vec<Change>> {
    if few.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = few.iter().map(|row| row.key.as_str()).collect();
    let mut now = write::shown(transaction, destination, &keys).await?;
    let mut changes = Vec::new();
    for row in few {
        let after = now.remove(&row.key).unwrap_or_default().into_iter();
        let before = match (&destination.write, &row.before) {
            (Write::Update { .. }, Some(before)) => before.clone(),
            _ => vec![None; destination.values().len()],
        };
        let columns = destination
            .values()
            .iter()
            .zip(before.into_iter().zip(after));
        let columns = columns.map(|(column, (before, after))| Column {
            name: column.name.clone(),
            before: told(before, has_values),
            after: told(after, has_values),
        });
        changes.push(Change {
            key: row.key.clone(),
            columns: columns.collect(),
        });
    }
    Ok(changes)
}

/// A value, or in its place how long it is.
fn told(value: Option<String>, has_values: bool) -> Option<String> {
    value.map(|value| match has_values {
        true => value,
        false => match value.chars().count() {
            1 => "‹1 character›".into(),
            count => format!("‹{count} characters›"),
        },
    })
}
