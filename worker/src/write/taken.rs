//! What a table made of the rows that were written to it: its triggers and rules may change a row, swallow it, or put it
//! elsewhere, after or instead of what the statement gives back.

use std::collections::{HashMap, HashSet};

use sea_orm::ConnectionTrait;

use super::standing::{Lock, digests};
use crate::backend::{self, Dialect, quote};
use crate::core::plan::{Destination, UnitPin, Write};
use crate::error::{Doing, Error, Result};
use crate::provenance::Written;
use crate::unit::Row;

/// Rows, as the table took them.
#[derive(Debug)]
pub struct Taken {
    /// Those that it has, as they stand.
    pub written: Vec<Written>,
    /// The keys of those that it neither took nor has.
    pub swallowed: HashSet<String>,
}

/// Looks at what became of `rows`, of which the statement gave back `written`. Where triggers fire after it
/// (`is_followed`), what it gave back may not be what stands.
///
/// # Errors
/// [`Error::Refused`]: a trigger gives rows other keys, or puts them where the statement cannot see them, so that the
/// journal could not name them. The database's.
pub async fn taken(
    connection: &impl ConnectionTrait,
    pin: &UnitPin,
    rows: &[Row],
    mut written: Vec<Written>,
    is_followed: bool,
) -> Result<Taken> {
    let destination = &pin.destination;
    let is_same = |(row, written): (&Row, &Written)| row.key == written.key;
    // As it mostly is: every row, in the order in which it was sent.
    if !is_followed && written.len() == rows.len() && rows.iter().zip(&written).all(is_same) {
        return Ok(Taken {
            written,
            swallowed: HashSet::new(),
        });
    }
    let asked: HashSet<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    if written.iter().any(|row| !asked.contains(row.key.as_str())) {
        return Err(elsewhere(destination, "gives rows other keys"));
    }
    if is_followed && !written.is_empty() {
        let keys: Vec<_> = written.iter().map(|row| row.key.as_str()).collect();
        let mut standing = digests(connection, destination, &pin.image, &keys, Lock::None).await?;
        written.retain_mut(|row| match standing.remove(&row.key) {
            Some(digest) => {
                row.digest = digest;
                true
            }
            None => false,
        });
    }
    let mut left = asked;
    if destination.write == Write::Insert {
        // What is not in the place of what stood before is the application's doing.
        for row in rows.iter().filter(|row| row.expects.is_some()) {
            left.remove(row.key.as_str());
        }
    }
    for row in &written {
        left.remove(row.key.as_str());
    }
    let swallowed = match left.is_empty() {
        true => HashSet::new(),
        false => swallowed(connection, pin, rows, &left).await?,
    };
    Ok(Taken { written, swallowed })
}

/// Which of these rows, that the statement did not write, are not there either; of rows to be updated, those that are
/// still due.
async fn swallowed(
    connection: &impl ConnectionTrait,
    pin: &UnitPin,
    rows: &[Row],
    left: &HashSet<&str>,
) -> Result<HashSet<String>> {
    let destination = &pin.destination;
    let dialect = Dialect::of(connection);
    let (table, key) = (quote(&destination.table), quote(&destination.key));
    let condition = match &destination.write {
        Write::Update { guard } => guard,
        Write::Insert | Write::Remove | Write::Restore => "TRUE",
    };
    let sql = format!(
        "SELECT {key} AS \"key\", {} AS \"ours\", {} AS \"image\" FROM {table} WHERE {} AND ({condition})",
        dialect.is_of_this_transaction(&table),
        dialect.image(&destination.table, &pin.image),
        dialect.is_any(&key, "$1"),
    );
    let doing = || format!("looking for rows in {}", destination.table);
    let keys: Vec<_> = left.iter().copied().collect();
    let found = backend::all(connection, &sql, [dialect.texts(&keys)]).await;
    let mut there = HashSet::new();
    let expected: HashMap<&str, u64> = rows
        .iter()
        .filter_map(|row| Some((row.key.as_str(), row.expects?)))
        .collect();
    for row in found.doing(doing())? {
        if destination.write == Write::Insert && row.try_get("", "ours").doing(doing())? {
            return Err(elsewhere(destination, "puts rows elsewhere"));
        }
        let key: String = row.try_get("", "key").doing(doing())?;
        let digest = dialect.digest(&row, "image").doing(doing())?;
        // One that somebody edited since it was looked at is not due any more.
        if expected
            .get(key.as_str())
            .is_none_or(|expected| *expected == digest)
        {
            there.insert(key);
        }
    }
    Ok(match destination.write {
        Write::Insert | Write::Remove | Write::Restore => {
            let absent = left.iter().filter(|key| !there.contains(**key));
            absent.map(|key| (*key).to_owned()).collect()
        }
        Write::Update { .. } => there,
    })
}

fn elsewhere(destination: &Destination, what: &str) -> Error {
    Error::Refused(format!(
        "a trigger or rule of {} {what}: the journal could not name them, and a rollback not find them. Nothing of \
         this batch was kept; take the trigger off, or write into the table that it writes into",
        destination.table
    ))
}
