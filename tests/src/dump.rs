//! Whole tables as text, ids included, so that two end states can be compared byte for byte.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::database::{Backend, Database};

/// The tables that the plan writes new rows into.
pub const DESTINATIONS: [&str; 4] = [
    "IntelligenceEvent",
    "PromptPerformance",
    "KPIHistory",
    "AgentFeedback",
];

/// The tables that the plan reads.
pub const SOURCES: [&str; 7] = [
    "Campaign",
    "Asset",
    "PublishJob",
    "AgentTask",
    "Deal",
    "KpiSnapshot",
    "UserFeedback",
];

/// Tables with their rows, each row one text, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump(BTreeMap<String, Vec<String>>);

/// Everything that a run reads or writes, without the journal.
pub async fn all(database: &Database) -> Result<Dump> {
    let tables: Vec<&str> = SOURCES.into_iter().chain(DESTINATIONS).collect();
    of(database, &tables).await
}

/// Some tables; one that does not exist is left out.
pub async fn of(database: &Database, tables: &[&str]) -> Result<Dump> {
    let mut dump = BTreeMap::new();
    for table in tables {
        if database.has_table(table).await? {
            dump.insert((*table).to_owned(), rows(database, table).await?);
        }
    }
    Ok(Dump(dump))
}

/// The rows of one table as texts, by their ids.
pub async fn keyed(database: &Database, table: &str) -> Result<BTreeMap<String, String>> {
    let text = text(database, table).await?;
    let sql = format!("SELECT \"id\", {text} FROM \"{table}\" AS row");
    let mut rows = BTreeMap::new();
    for row in database.query(&sql).await? {
        rows.insert(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    }
    Ok(rows)
}

async fn rows(database: &Database, table: &str) -> Result<Vec<String>> {
    let text = text(database, table).await?;
    let collation = match database.backend {
        Backend::Postgres => "COLLATE \"C\"",
        Backend::Sqlite => "",
    };
    let sql = format!("SELECT {text} FROM \"{table}\" AS row ORDER BY row.\"id\" {collation}");
    database.texts(&sql).await
}

/// What makes one text of a row.
async fn text(database: &Database, table: &str) -> Result<String> {
    Ok(match database.backend {
        Backend::Postgres => "row::text".to_owned(),
        Backend::Sqlite => {
            let sql = format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid");
            let names = database.texts(&sql).await?;
            let quoted: Vec<String> = names
                .iter()
                .map(|name| format!("quote(\"{name}\")"))
                .collect();
            quoted.join(" || ',' || ")
        }
    })
}

impl Dump {
    /// How many rows all tables hold.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether no table holds a row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of one table.
    #[must_use]
    pub fn table(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Where another end state differs from this one, in words; empty where it does not.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let names: std::collections::BTreeSet<&String> =
            self.0.keys().chain(other.0.keys()).collect();
        for name in names {
            let (ours, theirs) = (self.table(name), other.table(name));
            if ours == theirs {
                continue;
            }
            lines.push(format!(
                "{name}: {} rows against {}",
                ours.len(),
                theirs.len()
            ));
            lines.extend(missing(ours, theirs).map(|row| format!("  only in the first:  {row}")));
            lines.extend(missing(theirs, ours).map(|row| format!("  only in the second: {row}")));
        }
        lines
    }
}

/// The first few rows of one table that the other lacks.
fn missing<'a>(from: &'a [String], other: &[String]) -> impl Iterator<Item = String> + 'a {
    let other: std::collections::BTreeSet<String> = other.iter().cloned().collect();
    let lacking = from.iter().filter(move |row| !other.contains(*row));
    lacking.take(4).map(|row| row.chars().take(400).collect())
}
