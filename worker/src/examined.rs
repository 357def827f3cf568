//! What an undo does with the rows of a batch: the rule alone, which needs no database.

use std::collections::{HashMap, HashSet};

use crate::core::event::Kept;
use crate::provenance::Written;

/// Why a row is kept.
const EDITED: &str = "edited since it was written";

/// Why a row is kept that the database did not give up.
const DEFENDED: &str = "a trigger or a rule of its table keeps it";

/// Why a row that was removed is not put back.
const TAKEN: &str = "another row stands in its place";

/// A batch's rows, by what an undo does with them.
#[derive(Debug)]
pub struct Examined<'a> {
    /// They stand as they were written.
    pub ours: Vec<&'a Written>,
    /// They are left alone.
    pub kept: Vec<Kept>,
    /// How many are not there any more.
    pub gone: i64,
}

impl<'a> Examined<'a> {
    /// Sorts the rows that a batch wrote by what stands in the destination now, each key with its digest, and by which
    /// of them rows of other tables refer to.
    #[must_use]
    pub fn of(
        written: &'a [Written],
        standing: &HashMap<String, u64>,
        referred: &HashMap<String, &str>,
    ) -> Self {
        let mut examined = Self {
            ours: Vec::new(),
            kept: Vec::new(),
            gone: 0,
        };
        for row in written {
            let why = match (standing.get(&row.key), referred.get(&row.key)) {
                (None, _) => {
                    examined.gone += 1;
                    continue;
                }
                (Some(digest), _) if *digest != row.digest => Some(EDITED.to_owned()),
                (Some(_), Some(table)) => Some(format!("rows of {table} refer to it")),
                (Some(_), None) => None,
            };
            match why {
                Some(why) => examined.kept.push(Kept {
                    key: row.key.clone(),
                    why,
                }),
                None => examined.ours.push(row),
            }
        }
        examined
    }

    /// Sorts the rows that a batch removed: those that stand nowhere may be put back, in the place of the others somebody has
    /// put something else.
    #[must_use]
    pub fn of_removed(written: &'a [Written], standing: &HashMap<String, u64>) -> Self {
        let (taken, ours): (Vec<_>, Vec<_>) = written
            .iter()
            .partition(|row| standing.contains_key(&row.key));
        let kept = |row: &Written| Kept {
            key: row.key.clone(),
            why: TAKEN.to_owned(),
        };
        Self {
            ours,
            kept: taken.into_iter().map(kept).collect(),
            gone: 0,
        }
    }

    /// The same once those of its own that the database gave up are known.
    #[must_use]
    pub fn after(mut self, given_up: &HashSet<String>) -> Self {
        let (ours, defended) = std::mem::take(&mut self.ours)
            .into_iter()
            .partition(|row| given_up.contains(&row.key));
        self.ours = ours;
        let defended: Vec<&Written> = defended;
        self.kept.extend(defended.into_iter().map(|row| Kept {
            key: row.key.clone(),
            why: DEFENDED.to_owned(),
        }));
        self
    }
}
