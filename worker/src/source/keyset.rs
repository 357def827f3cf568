//! The condition of a page: behind the cursor, within the range.

use sea_orm::Value;

use super::key;
use crate::core::event::Cursor;
use crate::unit::Range;

/// The SQL condition of a page: behind the cursor, within the range. The database alone compares.
#[derive(Clone, Debug)]
pub struct Keyset {
    conditions: Vec<String>,
    values: Vec<Value>,
    limit: usize,
}

impl Keyset {
    /// Rows whose `column` lies behind the cursor's first part and within the range.
    #[must_use]
    pub fn new(column: &str, range: &Range, after: Option<&Cursor>) -> Self {
        Self::with_comparison(column, range, after, ">")
    }

    /// The same, with the rows that share the cursor's first part: those of them that are still to come are told by
    /// another condition.
    #[must_use]
    pub fn inclusive(column: &str, range: &Range, after: Option<&Cursor>) -> Self {
        Self::with_comparison(column, range, after, ">=")
    }

    fn with_comparison(
        column: &str,
        range: &Range,
        after: Option<&Cursor>,
        comparison: &str,
    ) -> Self {
        let mut keyset = Self {
            conditions: Vec::new(),
            values: Vec::new(),
            limit: 0,
        };
        match after.and_then(|cursor| cursor.first()) {
            Some(first) => {
                let place = keyset.bind_key(first);
                keyset.and(format!("{column} {comparison} {place}"));
            }
            None => {
                if let Some(lower) = &range.lower {
                    let place = keyset.bind_key(lower);
                    keyset.and(format!("{column} > {place}"));
                }
            }
        }
        if let Some(upper) = &range.upper {
            let place = keyset.bind_key(upper);
            keyset.and(format!("{column} <= {place}"));
        }
        keyset
    }

    /// Adds a condition.
    pub fn and(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    /// Binds a value; gives its placeholder.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Binds a key, as a cursor or a range spells it; gives an expression for it.
    pub fn bind_key(&mut self, spelling: &str) -> String {
        let (value, around) = key::bound(spelling);
        around(self.bind(value))
    }

    /// Binds the limit; gives its placeholder.
    pub fn bind_limit(&mut self, limit: u32) -> String {
        self.limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.bind(i64::from(limit))
    }

    /// All conditions as one.
    #[must_use]
    pub fn condition(&self) -> String {
        if self.conditions.is_empty() {
            return "TRUE".into();
        }
        self.conditions.join(" AND ")
    }

    /// The bound values.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        self.values.clone()
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }
}
