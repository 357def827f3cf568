//! Provenance, decoded a second time from the bytes: every row that a run wrote has exactly one entry, and no entry is
//! for nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

use crate::database::Database;
use crate::json::Json;
use crate::standing::Key;

/// How often the journal says that each row was written, without the batches that were undone.
pub async fn entries(database: &Database) -> Result<BTreeMap<Key, u64>> {
    let undone = undone(database).await?;
    let sql = "SELECT run, stream, CAST(seq AS TEXT), table_name, keys, CAST(rows AS TEXT) \
               FROM backstitch_journal_rows ORDER BY run, stream, seq";
    let mut entries = BTreeMap::new();
    for row in database.query(sql).await? {
        let run: String = row.try_get_by_index(0)?;
        let stream: String = row.try_get_by_index(1)?;
        let seq: String = row.try_get_by_index(2)?;
        let table: String = row.try_get_by_index(3)?;
        let keys: Vec<u8> = row.try_get_by_index(4)?;
        let rows: String = row.try_get_by_index(5)?;
        let keys =
            decode(&keys).with_context(|| format!("batch {seq} of {stream} of run {run}"))?;
        ensure!(
            keys.len().to_string() == rows,
            "batch {seq} of {stream} has {} keys and says {rows}",
            keys.len()
        );
        if undone.contains(&(run, stream, seq)) {
            continue;
        }
        for key in keys {
            *entries.entry((table.clone(), key)).or_default() += 1;
        }
    }
    Ok(entries)
}

/// The rows that batches wrote of which the event `j` meets a condition, as often as they were written.
pub async fn of_batches(database: &Database, condition: &str) -> Result<Vec<Key>> {
    let sql = format!(
        "SELECT r.table_name, r.keys FROM backstitch_journal_rows r JOIN backstitch_journal j \
         ON j.run = r.run AND j.stream = r.stream AND j.seq = r.seq WHERE {condition}"
    );
    let mut written = Vec::new();
    for row in database.query(&sql).await? {
        let table: String = row.try_get_by_index(0)?;
        let keys: Vec<u8> = row.try_get_by_index(1)?;
        written.extend(decode(&keys)?.into_iter().map(|key| (table.clone(), key)));
    }
    Ok(written)
}

/// Fails unless exactly these rows have an entry, and each has one.
pub fn check(entries: &BTreeMap<Key, u64>, written: &BTreeSet<Key>) -> Result<()> {
    let mut wrong = Vec::new();
    for (row, count) in entries {
        if *count != 1 {
            wrong.push(format!("{row:?} has {count} entries"));
        }
        if !written.contains(row) {
            wrong.push(format!("{row:?} has an entry and was not written"));
        }
    }
    for row in written.iter().filter(|row| !entries.contains_key(*row)) {
        wrong.push(format!("{row:?} was written and has no entry"));
    }
    wrong.truncate(10);
    ensure!(
        wrong.is_empty(),
        "provenance is not complete:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

/// The batches that were undone: run, stream, seq.
async fn undone(database: &Database) -> Result<BTreeSet<(String, String, String)>> {
    let sql = "SELECT run, stream, payload FROM backstitch_journal WHERE kind = 'BatchUndone'";
    let mut undone = BTreeSet::new();
    for row in database.query(sql).await? {
        let payload: String = row.try_get_by_index(2)?;
        let payload = Json::parse(&payload).map_err(anyhow::Error::msg)?;
        let batch = payload.get("batch").context("a batch's number")?;
        let seq = whole(batch).with_context(|| format!("the number {batch}"))?;
        let is_new = undone.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?, seq));
        ensure!(is_new, "a batch was undone twice: {payload}");
    }
    Ok(undone)
}

/// A whole number of the canonical spelling (digits, and a power of ten) as plain digits.
fn whole(number: &Json) -> Option<String> {
    let text = number.to_string();
    let (digits, power) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let zeros: usize = power.parse().ok()?;
    Some(format!("{digits}{}", "0".repeat(zeros)))
}

/// Keys, each as a length of four bytes, the lowest first, and so many bytes of text.
fn decode(mut bytes: &[u8]) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at_checked(4).context("a length")?;
        let length = length
            .iter()
            .rev()
            .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        let (key, rest) = rest.split_at_checked(length).context("a key")?;
        keys.push(String::from_utf8(key.to_vec())?);
        bytes = rest;
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::{check, decode, whole};
    use crate::json::Json;

    #[test]
    fn keys_are_decoded() {
        let bytes = b"\x01\0\0\0a\0\0\0\0\x03\0\0\0\xe2\x82\xac";
        assert_eq!(decode(bytes).expect("three keys"), ["a", "", "€"]);
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode(b"\x01\0\0").is_err());
    }

    #[test]
    fn whole_numbers_are_spelt_out() {
        for number in ["0", "7", "10", "1200", "101"] {
            let json = Json::parse(number).expect("a number");
            assert_eq!(whole(&json).as_deref(), Some(number));
        }
    }

    #[test]
    fn a_missing_a_doubled_and_a_groundless_entry_are_seen() {
        let key = |key: &str| ("T".to_owned(), key.to_owned());
        let written = [key("a"), key("b")].into();
        assert!(check(&[(key("a"), 1), (key("b"), 1)].into(), &written).is_ok());
        assert!(check(&[(key("a"), 1)].into(), &written).is_err());
        assert!(check(&[(key("a"), 1), (key("b"), 2)].into(), &written).is_err());
        let groundless = [(key("a"), 1), (key("b"), 1), (key("c"), 1)];
        assert!(check(&groundless.into(), &written).is_err());
    }
}
