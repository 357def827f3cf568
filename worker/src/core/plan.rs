//! The plan: units in order, what each writes, and the fingerprint that says when it has changed.

use serde::{Deserialize, Serialize};

/// The type of a written column, as both databases know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text.
    Text,
    /// A 32-bit integer.
    Integer,
    /// A double.
    Double,
    /// An instant to the millisecond, UTC, without a zone: `TIMESTAMP(3)`.
    Timestamp,
    /// A JSON document.
    Json,
}

/// A column that a unit writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// How a unit writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Write {
    /// New rows; one whose key is there already is left alone.
    Insert,
    /// New values for columns of rows that are there; the values before are kept.
    Update {
        /// The SQL condition on the destination row under which it may be overwritten.
        guard: String,
    },
    /// No new rows: those that stand as a run wrote them are removed, and kept as they stood.
    Remove,
    /// The values that a run overwrote, where those that it wrote still stand; these are kept.
    Restore,
}

impl Write {
    /// Whether it takes back what a run wrote.
    #[must_use]
    pub fn takes_back(&self) -> bool {
        matches!(self, Self::Remove | Self::Restore)
    }
}

/// Where a unit writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The table.
    pub table: String,
    /// Its primary key, of type text.
    pub key: String,
    /// The columns written, the key first.
    pub columns: Vec<Column>,
    /// How.
    pub write: Write,
}

impl Destination {
    /// The columns written beside the key.
    #[must_use]
    pub fn values(&self) -> &[Column] {
        &self.columns[1..]
    }
}

/// What a unit is: the part of it that the journal pins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Raised with every change of what it writes.
    pub version: u32,
    /// One line for people.
    pub summary: String,
    /// `critical`, `high`, `medium` or `low`.
    pub priority: String,
    /// Units that must be complete before this one begins.
    pub depends_on: Vec<String>,
    /// The parts of its source, worked through one after the other.
    pub sections: Vec<String>,
    /// Where it writes.
    pub destination: Destination,
}

/// A unit as a run pinned it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitPin {
    /// The unit.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The fingerprint of its definition.
    pub fingerprint: String,
    /// Units that must be complete before this one begins.
    pub depends_on: Vec<String>,
    /// Where it writes.
    pub destination: Destination,
    /// The destination's columns at the time: a row's digest covers these, so a column added later changes none.
    pub image: Vec<String>,
}

/// The fingerprint of a definition: BLAKE3 over what decides its result, so not over its words for people.
#[must_use]
pub fn fingerprint(definition: &Definition) -> String {
    let Definition {
        name,
        version,
        depends_on,
        sections,
        destination,
        summary: _,
        priority: _,
    } = definition;
    let decisive = serde_json::json!([name, version, depends_on, sections, destination]);
    blake3::hash(decisive.to_string().as_bytes())
        .to_hex()
        .to_string()
}

/// The fingerprint of a plan: BLAKE3 over its units' fingerprints in order.
#[must_use]
pub fn plan_fingerprint<'a>(units: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for unit in units {
        hasher.update(unit.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// What differs between a run's pinned units and today's plan, one line each; empty where nothing does.
#[must_use]
pub fn changes(pinned: &[UnitPin], today: &[Definition]) -> Vec<String> {
    let mut changes = Vec::new();
    for pin in pinned {
        match today.iter().find(|unit| unit.name == pin.name) {
            None => changes.push(format!("unit {} is gone", pin.name)),
            Some(unit) if unit.version != pin.version => changes.push(format!(
                "unit {} was version {} and is now {}",
                pin.name, pin.version, unit.version
            )),
            Some(unit) if fingerprint(unit) != pin.fingerprint => changes.push(format!(
                "unit {} is defined differently under the same version {}",
                pin.name, pin.version
            )),
            Some(_) => {}
        }
    }
    for unit in today {
        if !pinned.iter().any(|pin| pin.name == unit.name) {
            changes.push(format!("unit {} is new", unit.name));
        }
    }
    let order = |names: Vec<&str>| names.join(", ");
    if changes.is_empty() {
        let before = order(pinned.iter().map(|pin| pin.name.as_str()).collect());
        let now = order(today.iter().map(|unit| unit.name.as_str()).collect());
        if before != now {
            changes.push(format!("the order was {before} and is now {now}"));
        }
    }
    changes
}
