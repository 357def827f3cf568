//! The live application during a rollback: it writes rows of its own, and edits rows that the rollback is about to
//! remove. None of them may be touched.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::phase::{Job, Phase};
use crate::database::Database;
use crate::random::Random;
use crate::standing::Key;

/// What an edited row says.
const MARK: &str = "edited meanwhile";

/// More edits would leave the rollback little to do.
const MOST: usize = 60;

/// Edits now and then until the phase is over. Gives the rows whose edit was acknowledged.
pub(super) async fn edit(phase: &Phase, mut random: Random) -> Result<Vec<Key>> {
    let mut edited = Vec::new();
    if phase.job == Job::Run {
        return Ok(edited);
    }
    while !phase.is_over() && edited.len() < MOST {
        let pause = u64::try_from(random.between(5, 60))?;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let place = random.between(0, 400);
        // While the server is down, the application's edit fails; one whose answer is lost may have been made.
        if let Ok(keys) = edit_one(&phase.scenario.database, place).await {
            keys.iter().for_each(|_| phase.ledger.edit());
            edited.extend(keys);
        }
    }
    Ok(edited)
}

/// Edits an event, a prompt, and writes an event anew.
async fn edit_one(database: &Database, place: i64) -> Result<Vec<Key>> {
    let mut edited = Vec::new();
    let event = format!(
        "UPDATE \"IntelligenceEvent\" SET \"severity\" = '{MARK}' WHERE \"id\" IN \
         (SELECT \"id\" FROM \"IntelligenceEvent\" WHERE \"severity\" IN ('info', 'high') AND \"id\" NOT LIKE '!%' AND \"id\" NOT LIKE '~%' \
         ORDER BY \"id\" LIMIT 1 OFFSET {place}) RETURNING \"id\""
    );
    let prompt = format!(
        "UPDATE \"Campaign\" SET \"prompt\" = '{MARK}' WHERE \"prompt\" IS NOT NULL AND \"id\" IN \
         (SELECT \"id\" FROM \"Campaign\" WHERE \"prompt\" <> '{MARK}' ORDER BY \"id\" LIMIT 1 OFFSET {}) RETURNING \"id\"",
        place / 8
    );
    let written = format!(
        "INSERT INTO \"IntelligenceEvent\" (\"id\", \"eventType\", \"entityType\", \"entityId\", \"payload\", \
         \"severity\", \"createdAt\", \"tenantId\") VALUES ('{:08x}-written-meanwhile', 'AgentTaskCompleted', 'agent', \
         'a', '{{}}', '{MARK}', '2025-01-01 00:00:00.000', 'acme') ON CONFLICT DO NOTHING RETURNING \"id\"",
        place.wrapping_mul(10_737_418)
    );
    for (table, sql) in [
        ("IntelligenceEvent", event),
        ("Campaign", prompt),
        ("IntelligenceEvent", written),
    ] {
        let keys = database.texts(&sql).await?;
        edited.extend(keys.into_iter().map(|key| (table.to_owned(), key)));
    }
    Ok(edited)
}

/// The rows that the application has edited or written; fails where one is missing whose edit was acknowledged.
pub(super) async fn edits(database: &Database, acknowledged: &[Key]) -> Result<BTreeSet<Key>> {
    let mut found = BTreeSet::new();
    for (table, column) in [("IntelligenceEvent", "severity"), ("Campaign", "prompt")] {
        let sql = format!("SELECT \"id\" FROM \"{table}\" WHERE \"{column}\" = '{MARK}'");
        let keys = database.texts(&sql).await?;
        found.extend(keys.into_iter().map(|key| (table.to_owned(), key)));
    }
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|key| !found.contains(*key))
        .collect();
    ensure!(
        missing.is_empty(),
        "rows that the application edited were touched: {missing:?}"
    );
    Ok(found)
}

/// The application takes back what it did, so that what is left is the rollback's doing alone.
pub(super) async fn take_back(database: &Database) -> Result<()> {
    database
        .execute(&format!(
            "DELETE FROM \"IntelligenceEvent\" WHERE \"severity\" = '{MARK}'"
        ))
        .await?;
    database
        .execute(&format!(
            "UPDATE \"Campaign\" SET \"prompt\" = NULL WHERE \"prompt\" = '{MARK}'"
        ))
        .await?;
    Ok(())
}
