//! Whether sources and destinations are what the plan's units expect.

use std::collections::HashSet;

use crate::backend::Database;
use crate::core::plan::{Destination, Write};
use crate::engine::Plan;
use crate::error::{Error, Result};
use crate::source::Source;

/// The source that a plan reads, checked.
///
/// # Errors
/// [`Error::Usage`]: a table or a column that a unit reads is missing.
pub async fn source(
    database: &Database,
    plan: &Plan,
    as_of: i64,
    window_days: u32,
) -> Result<Source> {
    let missing = check_source(database, plan).await?;
    Ok(Source::new(database.clone(), as_of, window_days, missing))
}

/// The optional tables that the database lacks, in order.
///
/// # Errors
/// [`Error::Usage`]: a table or a column that a unit reads is missing.
pub async fn missing(database: &Database, plan: &Plan) -> Result<Vec<String>> {
    let mut missing: Vec<_> = check_source(database, plan).await?.into_iter().collect();
    missing.sort();
    Ok(missing)
}

/// Checks that the tables and columns that a plan's units read exist; gives the optional tables that do not.
///
/// # Errors
/// [`Error::Usage`], naming the first that is missing.
pub async fn check_source(database: &Database, plan: &Plan) -> Result<HashSet<String>> {
    let (missing, faults) = look_at_source(database, plan).await?;
    match faults.into_iter().next() {
        None => Ok(missing),
        Some(fault) => Err(Error::Usage(fault)),
    }
}

/// The optional tables that the database lacks, and what is wrong with the others, one line each.
///
/// # Errors
/// The database's.
pub async fn look_at_source(
    database: &Database,
    plan: &Plan,
) -> Result<(HashSet<String>, Vec<String>)> {
    let mut missing = HashSet::new();
    let mut faults = Vec::new();
    for unit in plan.iter() {
        for table in unit.tables() {
            let columns = database.columns(&table.name).await?;
            if columns.is_empty() {
                if table.optional {
                    missing.insert(table.name);
                    continue;
                }
                faults.push(format!(
                    "this database has no table {}, which unit {} reads: check that the URL names the database of \
                     the application (to try Backstitch on made-up data: `worker run --demo`)",
                    table.name,
                    unit.definition().name
                ));
            } else if let Some(column) = table
                .columns
                .iter()
                .find(|column| !columns.contains(column))
            {
                faults.push(format!(
                    "table {} has no column {column}, which unit {} reads: compare it with the schema that the plan \
                     was made for",
                    table.name,
                    unit.definition().name
                ));
            }
        }
    }
    Ok((missing, faults))
}

/// The columns that the digests of a destination's rows cover: for inserts all that there are, for updates those that
/// are overwritten.
///
/// # Errors
/// [`Error::Usage`]: the destination lacks a column.
pub async fn image(database: &Database, destination: &Destination) -> Result<Vec<String>> {
    database.check_without_heirs(&destination.table).await?;
    let columns = database.columns(&destination.table).await?;
    if let Some(column) = destination
        .columns
        .iter()
        .find(|column| !columns.contains(&column.name))
    {
        return Err(Error::Usage(format!(
            "the destination {} has no column {}: compare it with `cli schema status`",
            destination.table, column.name
        )));
    }
    Ok(match destination.write {
        Write::Insert | Write::Remove => columns,
        Write::Update { .. } | Write::Restore => destination
            .values()
            .iter()
            .map(|column| column.name.clone())
            .collect(),
    })
}
