//! What the source row of a bad row holds now: for whoever is to mend it. Personal data, so only where somebody asks for it.

use std::collections::BTreeMap;

use sea_orm::QueryResult;

use crate::backend::{Database, quote};
use crate::error::{Doing, Result};
use crate::unit::{SourceTable, Unit};

/// A source row, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its table.
    pub table: String,
    /// Its columns that the unit reads, as text; none for NULL.
    pub values: BTreeMap<String, Option<String>>,
}

/// The source row that a unit set aside under a key: the row of that key in one of the unit's tables, the first column of
/// each being its key; else, of a row that was a part of a document, the row that holds it, whose key is the first part of
/// `c1/tasks/3`. None where no table has it: a line of a log file, or a row that was computed or is gone.
///
/// # Errors
/// The database's.
pub async fn held(database: &Database, unit: &dyn Unit, key: &str) -> Result<Option<Held>> {
    let tables = unit.tables();
    let owner = key.split_once('/').map(|(owner, _)| owner);
    for key in std::iter::once(key).chain(owner) {
        for table in &tables {
            if let Some(held) = row(database, table, key).await? {
                return Ok(Some(held));
            }
        }
    }
    Ok(None)
}

async fn row(database: &Database, table: &SourceTable, key: &str) -> Result<Option<Held>> {
    let Some(id) = table.columns.first() else {
        return Ok(None);
    };
    let doing = || format!("reading a row of {}", table.name);
    if table.optional && database.columns(&table.name).await?.is_empty() {
        return Ok(None);
    }
    let dialect = database.dialect();
    let columns: Vec<_> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let text = dialect.double_as_text(&quote(column));
            format!("{text} AS \"c{index}\"")
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM {} WHERE {} = $1",
        columns.join(", "),
        quote(&table.name),
        quote(id)
    );
    let found = database.one(&sql, [key.into()]).await.doing(doing())?;
    let values = |row: QueryResult| {
        let columns = table.columns.iter().enumerate();
        columns
            .map(|(index, column)| Ok((column.clone(), row.try_get("", &format!("c{index}"))?)))
            .collect()
    };
    let values = found.map(values).transpose().doing(doing())?;
    Ok(values.map(|values| Held {
        table: table.name.clone(),
        values,
    }))
}
