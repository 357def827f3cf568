//! Which of a run's rows are meant: those that meet every condition that is set.

use serde::{Deserialize, Serialize};

/// A part of what a run wrote: the rows that meet every condition that is set; none set: all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Of these units alone; empty: of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Of this tenant, as the row tells while it is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whose key in the destination is not below this one, by their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_key: Option<String>,
    /// Whose key in the destination is not above this one, by their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_key: Option<String>,
    /// Written by these batches alone, each as its stream and seq: `agent_feedback/1.0.0/12`; empty: by any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<String>,
    /// Written by these workers alone; empty: by any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<String>,
    /// Written at this instant or later, milliseconds since 1970, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Written before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Written by this version of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
}

/// A batch, as far as a scope asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Its unit.
    pub unit: &'a str,
    /// Its stream.
    pub stream: &'a str,
    /// Its event's seq.
    pub seq: i64,
    /// Who committed it.
    pub worker: &'a str,
    /// That worker's version of the program, where it is known.
    pub release: Option<&'a str>,
    /// When, milliseconds since 1970.
    pub at: i64,
}

impl Scope {
    /// Whether it means all that a run wrote into these units, so that nothing depends on batches or rows.
    #[must_use]
    pub fn is_whole_units(&self) -> bool {
        let Self { units, .. } = self;
        let whole = Self {
            units: units.clone(),
            ..Self::default()
        };
        *self == whole
    }

    /// Whether rows of a batch may be meant.
    #[must_use]
    pub fn holds_batch(&self, batch: Told<'_>) -> bool {
        let named = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|listed| listed == name)
        };
        let place = format!("{}/{}", batch.stream, batch.seq);
        named(&self.units, batch.unit)
            && named(&self.batches, &place)
            && named(&self.workers, batch.worker)
            && self.since.is_none_or(|since| batch.at >= since)
            && self.until.is_none_or(|until| batch.at < until)
            && self
                .written_by
                .as_deref()
                .is_none_or(|release| batch.release == Some(release))
    }

    /// Whether a row of such a batch may be meant, by its key.
    #[must_use]
    pub fn holds_key(&self, key: &str) -> bool {
        self.from_key.as_deref().is_none_or(|from| key >= from)
            && self.to_key.as_deref().is_none_or(|to| key <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, Told};

    const BATCH: Told<'static> = Told {
        unit: "u",
        stream: "u/1.0.0",
        seq: 7,
        worker: "worker-a",
        release: Some("1.2.0"),
        at: 1_000,
    };

    fn scope(set: impl FnOnce(&mut Scope)) -> Scope {
        let mut scope = Scope::default();
        set(&mut scope);
        scope
    }

    #[test]
    fn every_condition_counts() {
        let holding = [
            Scope::default(),
            scope(|scope| scope.units = vec!["v".into(), "u".into()]),
            scope(|scope| scope.batches = vec!["u/1.0.0/7".into()]),
            scope(|scope| scope.workers = vec!["worker-a".into()]),
            scope(|scope| scope.since = Some(1_000)),
            scope(|scope| scope.until = Some(1_001)),
            scope(|scope| scope.written_by = Some("1.2.0".into())),
        ];
        for scope in &holding {
            assert!(scope.holds_batch(BATCH), "{scope:?}");
        }
        let others = [
            scope(|scope| scope.units = vec!["v".into()]),
            scope(|scope| scope.batches = vec!["u/1.0.0/70".into()]),
            scope(|scope| scope.batches = vec!["u/1.0.1/7".into()]),
            scope(|scope| scope.workers = vec!["worker-b".into()]),
            scope(|scope| scope.since = Some(1_001)),
            scope(|scope| scope.until = Some(1_000)),
            scope(|scope| scope.written_by = Some("1.2".into())),
        ];
        for scope in &others {
            assert!(!scope.holds_batch(BATCH), "{scope:?}");
        }
        let unknown = Told {
            release: None,
            ..BATCH
        };
        assert!(!holding[6].holds_batch(unknown));
    }

    #[test]
    fn both_ends_of_a_key_range_belong_to_it() {
        let range = scope(|scope| {
            scope.from_key = Some("b".into());
            scope.to_key = Some("d".into());
        });
        let held = ["a", "b", "c", "d", "d0", "e"].map(|key| range.holds_key(key));
        assert_eq!(held, [false, true, true, true, false, false]);
    }

    #[test]
    fn units_alone_are_whole() {
        assert!(Scope::default().is_whole_units());
        assert!(scope(|scope| scope.units = vec!["u".into()]).is_whole_units());
        assert!(!scope(|scope| scope.tenant = Some("t".into())).is_whole_units());
    }
}
