//! Counts by what people wrote or met, in bounded memory: whatever is beyond the room is counted together.

use std::collections::{BTreeMap, VecDeque};

/// Kinds that are told apart.
const KINDS: usize = 100;
/// The newest that are kept whole.
const NEWEST: usize = 50;
/// What the others are counted as.
pub const OTHERS: &str = "other reasons";

/// Rows by unit and reason, and the newest of them.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// By unit and reason.
    pub by: BTreeMap<(String, String), i64>,
    /// The newest, oldest first.
    pub newest: VecDeque<Row>,
}

/// A row that was set aside or left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Its unit.
    pub unit: String,
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl Counted {
    /// Counts one in.
    pub fn note(&mut self, row: Row) {
        let mut by = (row.unit.clone(), row.reason.clone());
        if self.by.len() >= KINDS && !self.by.contains_key(&by) {
            by.1 = OTHERS.to_owned();
        }
        *self.by.entry(by).or_default() += 1;
        // Streams are read one after the other, so what comes last need not be the newest.
        let place = self.newest.partition_point(|other| other.at <= row.at);
        self.newest.insert(place, row);
        if self.newest.len() > NEWEST {
            self.newest.pop_front();
        }
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.by.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_reasons_there_are_all_rows_count() {
        let mut counted = Counted::default();
        for row in 0..1_000_i64 {
            counted.note(Row {
                at: (row * 7) % 1_000,
                unit: "u".into(),
                key: row.to_string(),
                reason: format!("reason {row}"),
            });
        }
        assert_eq!(counted.rows(), 1_000);
        assert!(counted.by.len() <= KINDS + 1);
        let newest: Vec<_> = counted.newest.iter().map(|row| row.at).collect();
        assert_eq!(newest, (950..1_000).collect::<Vec<_>>());
    }
}
