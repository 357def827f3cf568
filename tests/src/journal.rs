//! What the journal's tables say, read with plain SQL.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::database::Database;

/// How many rows each unit has set aside in the latest run. A row that was set aside twice is an error.
pub async fn quarantined(database: &Database) -> Result<BTreeMap<String, usize>> {
    let sql = format!(
        "SELECT unit, COUNT(*), COUNT(DISTINCT key) FROM backstitch_journal \
         WHERE kind = 'RowQuarantined' AND run = ({LATEST}) GROUP BY unit ORDER BY unit"
    );
    let mut counts = BTreeMap::new();
    for row in database.query(&sql).await? {
        let unit: String = row.try_get_by_index(0)?;
        let events: i64 = row.try_get_by_index(1)?;
        let keys: i64 = row.try_get_by_index(2)?;
        ensure!(
            events == keys,
            "{unit} has {events} quarantine events for {keys} different keys"
        );
        counts.insert(unit, usize::try_from(events)?);
    }
    Ok(counts)
}

/// The source keys that a unit has set aside in the latest run, for a failure's message.
pub async fn quarantined_keys(database: &Database, unit: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT key || ' ' || payload FROM backstitch_journal \
         WHERE kind = 'RowQuarantined' AND unit = '{unit}' AND run = ({LATEST}) ORDER BY position"
    );
    database.texts(&sql).await
}

/// How many events of a kind there are, of one unit or of all.
pub async fn events(database: &Database, kind: &str, unit: Option<&str>) -> Result<i64> {
    let filter = unit
        .map(|unit| format!(" AND unit = '{unit}'"))
        .unwrap_or_default();
    database
        .value(&format!(
            "SELECT COUNT(*) FROM backstitch_journal WHERE kind = '{kind}'{filter}"
        ))
        .await
}

/// Whether the journal's tables are there yet.
pub async fn exists(database: &Database) -> Result<bool> {
    database.has_table("backstitch_journal").await
}

/// The run that the last event of any run belongs to.
const LATEST: &str =
    "SELECT run FROM backstitch_journal WHERE run <> 'runbook' ORDER BY position DESC LIMIT 1";
