//! What a deep validation found, as checks beside the others.

use std::collections::BTreeMap;

use super::{Deep, Unit};
use crate::core::event::Found;
use crate::validate::{Checked, Report};

/// Adds what was found to a report.
pub(super) fn add(
    report: &mut Report,
    stream: String,
    head: &str,
    found: BTreeMap<String, Found>,
    written: &BTreeMap<String, i64>,
) {
    let mut units: BTreeMap<String, Unit> = written
        .iter()
        .map(|(name, written)| {
            let unit = Unit {
                written: *written,
                found: Found::default(),
            };
            (name.clone(), unit)
        })
        .collect();
    for (name, found) in found {
        units.entry(name).or_default().found = found;
    }
    report.checks.extend(checks(&units));
    report.deep = Some(Deep {
        stream,
        head: head.to_owned(),
        verified: units.values().map(|unit| unit.found.verified).sum(),
        written: units.values().map(|unit| unit.written).sum(),
        units,
    });
}

fn checks(units: &BTreeMap<String, Unit>) -> Vec<Checked> {
    let check = |what: &str, is_error, note: &str, of: fn(&Found) -> i64, keys: Keys| Checked {
        what: what.to_owned(),
        count: units.values().map(|unit| of(&unit.found)).sum(),
        is_error,
        note: note.to_owned(),
        examples: examples(units, keys),
    };
    vec![
        check(
            "rows that are not what their source gives",
            true,
            "they stand as we wrote them; a source that changed since looks the same: `cli repair` writes what it gives \
             now",
            |found| found.wrong,
            |found| &found.wrong_keys,
        ),
        check(
            "rows that their source gives and nobody wrote",
            true,
            "dated back, or lost: `cli repair` writes them",
            |found| found.missing,
            |found| &found.missing_keys,
        ),
        check(
            "bad source rows that were not set aside",
            true,
            "they became bad since, or came since",
            |found| found.bad,
            |found| &found.bad_keys,
        ),
        check(
            "rows that the application changed or deleted since",
            false,
            "its own doing: left as they are",
            |found| found.changed,
            |found| &found.changed_keys,
        ),
        check(
            "rows under our keys that the application wrote",
            false,
            "its own: left as they are",
            |found| found.foreign,
            |found| &found.foreign_keys,
        ),
        check(
            "rows that triggers or rules may have changed",
            false,
            "they stand as the table took them and are not what their source gives; whether that is the triggers' doing, \
             nobody can tell from outside",
            |found| found.altered,
            |found| &found.altered_keys,
        ),
        check(
            "rows of another run that this one gives otherwise",
            false,
            "written as of another instant: they cannot be told wrong as of this one",
            |found| found.elsewhere,
            |_| &[],
        ),
    ]
}

/// Which keys of what was found.
type Keys = fn(&Found) -> &[String];

fn examples(units: &BTreeMap<String, Unit>, keys: Keys) -> Vec<String> {
    let of_unit = |(name, unit): (&String, &Unit)| {
        let named = keys(&unit.found).iter();
        let named = named.map(|key| format!("{name} {key}"));
        named.collect::<Vec<_>>()
    };
    units.iter().flat_map(of_unit).collect()
}
