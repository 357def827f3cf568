//! Taking rows back in a batch: the rule of an undo, with what stood kept as provenance, so that it can be put back.

use std::collections::HashSet;

use crate::backend::{Database, Reference, Transaction};
use crate::core::event::Kept;
use crate::core::plan::{UnitPin, Write};
use crate::error::{Error, Result};
use crate::provenance::Written;
use crate::standing::{examine, references};
use crate::unit::{Cell, Row};
use crate::write::{self, Lock};

/// What it takes to take a unit's rows back.
#[derive(Debug)]
pub(crate) struct Back {
    /// The foreign keys onto its destination.
    references: Vec<Reference>,
    /// All columns of its destination.
    columns: Vec<String>,
}

impl Back {
    /// For a unit; none for one that writes.
    ///
    /// # Errors
    /// The database's; [`Error::Refused`]: another table inherits from the destination.
    pub(crate) async fn of(database: &Database, pin: &UnitPin) -> Result<Option<Self>> {
        if !pin.destination.write.takes_back() {
            return Ok(None);
        }
        Ok(Some(Self {
            references: references(database, pin).await?,
            columns: database.columns(&pin.destination.table).await?,
        }))
    }
}

/// Rows that were to be taken back, by what became of them.
pub(super) struct Withdrawn {
    /// They are taken back.
    pub(super) written: Vec<Written>,
    /// They are left alone.
    pub(super) kept: Vec<Kept>,
    /// How many were not there any more.
    pub(super) gone: i64,
}

/// Takes rows back that stand as they were written; each says by its digest how, and holds the values before where these
/// are put back.
///
/// # Errors
/// The database's.
pub(super) async fn withdraw(
    transaction: &Transaction,
    pin: &UnitPin,
    back: &Back,
    rows: &[Row],
) -> Result<Withdrawn> {
    let destination = &pin.destination;
    let journaled = rows.iter().map(journaled).collect::<Result<Vec<_>>>()?;
    let nothing = HashSet::new();
    let asked = (&*journaled, &nothing);
    let found = examine(transaction, pin, &back.references, asked, Lock::ForUpdate).await?;
    let keys: Vec<_> = found.ours.iter().map(|row| row.key.as_str()).collect();
    let mut written = Vec::with_capacity(keys.len());
    if keys.is_empty() {
        // Nothing stands as it was written.
    } else if destination.write == Write::Remove {
        let mut whole = write::remove_whole(transaction, destination, &back.columns, &keys).await?;
        written.extend(found.ours.iter().filter_map(|row| {
            Some(Written {
                key: row.key.clone(),
                digest: row.digest,
                before: Some(vec![Some(whole.remove(&row.key)?)]),
            })
        }));
    } else {
        let mut held = write::shown(transaction, destination, &keys).await?;
        let restored = write::restore(transaction, destination, &found.ours).await?;
        let digests =
            write::digests(transaction, destination, &pin.image, &keys, Lock::None).await?;
        let ours = found.ours.iter().filter(|row| restored.contains(&row.key));
        written.extend(ours.filter_map(|row| {
            Some(Written {
                key: row.key.clone(),
                digest: *digests.get(&row.key)?,
                before: Some(held.remove(&row.key)?),
            })
        }));
    }
    let taken = written.iter().map(|row| row.key.clone()).collect();
    let found = found.after(&taken);
    Ok(Withdrawn {
        written,
        kept: found.kept,
        gone: found.gone,
    })
}

/// The row as its provenance has it.
fn journaled(row: &Row) -> Result<Written> {
    let damaged = || Error::Damaged("a row that is to be taken back says not how it stood".into());
    let text = |cell: &Cell| match cell {
        Cell::Null => Ok(None),
        Cell::Text(text) => Ok(Some(text.clone())),
        _ => Err(damaged()),
    };
    let before = row.values.iter().map(text).collect::<Result<Vec<_>>>()?;
    Ok(Written {
        key: row.key.clone(),
        digest: row.expects.ok_or_else(damaged)?,
        before: (!before.is_empty()).then_some(before),
    })
}
