//! What stands in the database: every row of every source and destination as text, and how two states differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use anyhow::Result;

use crate::database::Database;
use crate::dump::{self, DESTINATIONS, SOURCES};

/// Every row by its table and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing(pub BTreeMap<&'static str, BTreeMap<String, String>>);

/// A row: its table and its key.
pub type Key = (String, String);

/// How many rows are not as they must be.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Rows that must be there and are not.
    pub lost: u64,
    /// Rows that say what another says that must be there.
    pub doubled: u64,
    /// Other rows that must not be there.
    pub left_over: u64,
    /// Rows whose values are others.
    pub changed: u64,
    /// The first few, in words.
    pub lines: Vec<String>,
}

/// How many differing rows are shown.
const SHOWN: usize = 12;

impl Standing {
    /// Reads everything; a table that does not exist is left out.
    pub async fn read(database: &Database) -> Result<Self> {
        let mut standing = BTreeMap::new();
        for table in SOURCES.into_iter().chain(DESTINATIONS) {
            if database.has_table(table).await? {
                standing.insert(table, dump::keyed(database, table).await?);
            }
        }
        Ok(Self(standing))
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of this state, where `base` had others or none: what a run has written.
    #[must_use]
    pub fn since(&self, base: &Self) -> BTreeSet<Key> {
        let mut written = BTreeSet::new();
        for (table, rows) in &self.0 {
            let before = base.0.get(table);
            let is_new = |key: &String, text: &String| {
                before.and_then(|before| before.get(key)) != Some(text)
            };
            let new = rows.iter().filter(|(key, text)| is_new(key, text));
            written.extend(new.map(|(key, _)| ((*table).to_owned(), key.clone())));
        }
        written
    }

    /// All rows but these.
    #[must_use]
    pub fn without(&self, keys: &BTreeSet<Key>) -> Self {
        let mut left = self.clone();
        for (table, key) in keys {
            if let Some(rows) = left.0.get_mut(table.as_str()) {
                rows.remove(key);
            }
        }
        left
    }

    /// Rows that are in any of the two; where both have one, this one's.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = other.0.clone();
        for (table, rows) in &self.0 {
            let rows = rows.iter().map(|(key, text)| (key.clone(), text.clone()));
            both.entry(table).or_default().extend(rows);
        }
        Self(both)
    }

    /// How `found` differs from this, which is what must be there.
    #[must_use]
    pub fn compare(&self, found: &Self) -> Difference {
        let mut difference = Difference::default();
        let empty = BTreeMap::new();
        let tables: BTreeSet<_> = self.0.keys().chain(found.0.keys()).collect();
        for table in tables {
            let must = self.0.get(table).unwrap_or(&empty);
            let is = found.0.get(table).unwrap_or(&empty);
            difference.add(&compare(table, must, is));
        }
        difference
    }

    /// How a state differs from one between two others: each row must be as it was before, or as it will be after.
    #[must_use]
    pub fn compare_between(before: &Self, after: &Self, found: &Self) -> Difference {
        let mut expected = after.clone();
        for (table, rows) in &mut expected.0 {
            let was = before.0.get(table);
            let is = found.0.get(table);
            rows.retain(|key, text| {
                let was = was.and_then(|rows| rows.get(key));
                let is = is.and_then(|rows| rows.get(key));
                if is == was
                    && let Some(was) = was
                {
                    text.clone_from(was);
                }
                is.is_some() || was.is_some()
            });
        }
        expected.compare(found)
    }
}

fn compare(
    table: &str,
    must: &BTreeMap<String, String>,
    is: &BTreeMap<String, String>,
) -> Difference {
    let mut difference = Difference::default();
    let bare = |key: &str, text: &str| text.replacen(key, "", 1);
    let contents: BTreeSet<String> = must.iter().map(|(key, text)| bare(key, text)).collect();
    for (key, text) in must {
        match is.get(key) {
            None => {
                difference.lost += 1;
                difference.show(table, "lost", text);
            }
            Some(found) if found != text => {
                difference.changed += 1;
                difference.show(table, "was", text);
                difference.show(table, "is", found);
            }
            Some(_) => {}
        }
    }
    for (key, text) in is.iter().filter(|(key, _)| !must.contains_key(*key)) {
        if contents.contains(&bare(key, text)) {
            difference.doubled += 1;
            difference.show(table, "doubled", text);
        } else {
            difference.left_over += 1;
            difference.show(table, "left over", text);
        }
    }
    difference
}

impl Difference {
    /// Whether there is none.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.lost + self.doubled + self.left_over + self.changed == 0
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.left_over += other.left_over;
        self.changed += other.changed;
        let room = SHOWN.saturating_sub(self.lines.len());
        self.lines.extend(other.lines.iter().take(room).cloned());
    }

    fn show(&mut self, table: &str, what: &str, text: &str) {
        if self.lines.len() < SHOWN {
            let text: String = text.chars().take(300).collect();
            self.lines.push(format!("{table}, {what}: {text}"));
        }
    }
}

impl Display for Difference {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "rows lost: {}, doubled: {}, left over: {}, changed: {}",
            self.lost, self.doubled, self.left_over, self.changed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Standing;

    fn standing(rows: &[(&str, &str)]) -> Standing {
        let rows = rows
            .iter()
            .map(|(key, text)| ((*key).to_owned(), format!("({key},{text})")));
        Standing([("T", rows.collect())].into())
    }

    #[test]
    fn lost_doubled_left_over_and_changed_rows_are_told_apart() {
        let must = standing(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let found = standing(&[("b", "2"), ("c", "4"), ("d", "2"), ("e", "5")]);
        let difference = must.compare(&found);
        assert_eq!(
            difference.to_string(),
            "rows lost: 1, doubled: 1, left over: 1, changed: 1"
        );
        assert!(must.compare(&must).is_nothing());
    }

    #[test]
    fn between_two_states_each_row_is_as_in_one_of_them() {
        let before = standing(&[("a", "1"), ("p", "null")]);
        let after = standing(&[("a", "1"), ("p", "prompt"), ("n", "new")]);
        for found in [
            before.clone(),
            after.clone(),
            standing(&[("a", "1"), ("p", "null"), ("n", "new")]),
            standing(&[("a", "1"), ("p", "prompt")]),
        ] {
            assert!(Standing::compare_between(&before, &after, &found).is_nothing());
        }
        for found in [
            standing(&[("p", "null")]),
            standing(&[("a", "1"), ("p", "other")]),
            standing(&[("a", "1"), ("p", "null"), ("n", "old")]),
            standing(&[("a", "1"), ("p", "null"), ("x", "new")]),
        ] {
            assert!(!Standing::compare_between(&before, &after, &found).is_nothing());
        }
    }

    #[test]
    fn what_was_written_since_is_what_differs() {
        let before = standing(&[("a", "1"), ("p", "null")]);
        let after = standing(&[("a", "1"), ("p", "prompt"), ("n", "new")]);
        let written: Vec<_> = after
            .since(&before)
            .into_iter()
            .map(|(_, key)| key)
            .collect();
        assert_eq!(written, ["n", "p"]);
        assert_eq!(before.and(&after).since(&before).len(), 1);
    }
}
