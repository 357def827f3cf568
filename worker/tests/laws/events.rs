//! Stored events, nearly right: reading one never panics and takes no more memory than its size allows; what can be read
//! folds, or is refused.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use worker::core::event::Event;
use worker::core::replay::Replay;

use crate::fuzz::{bounded, nearly};
use crate::history::histories;
use crate::replay::replay;

/// A JSON value takes 32 bytes where its text takes 2, a vector that grows holds three times its length for a moment, and
/// a payload is held twice while it is read.
const TIMES: u64 = 200;

/// Kinds of events that a run's streams hold; the others are the runbook's.
const IN_RUNS: usize = 31;

/// Payloads of every kind.
fn payloads() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let mut kinds = BTreeSet::new();
    let mut payloads = Vec::new();
    while kinds.len() < IN_RUNS {
        let history = histories()
            .new_tree(&mut runner)
            .expect("a history")
            .current();
        for (_, event) in history.entries {
            if kinds.insert(event.kind()) {
                payloads.push(event.payload().expect("plain data"));
            }
        }
    }
    let runbook = crate::runbook::history();
    payloads.extend(
        runbook
            .iter()
            .map(|(_, event)| event.payload().expect("plain data")),
    );
    payloads
}

/// Every kind, and one that nobody knows.
fn kinds() -> Vec<&'static str> {
    worker::core::event::KINDS
        .into_iter()
        .chain(["Unheard"])
        .collect()
}

proptest! {
    #[test]
    fn no_payload_panics(bytes in nearly(payloads()), kind in any::<Index>()) {
        let text = String::from_utf8_lossy(&bytes);
        let kinds = kinds();
        let kind = kinds[kind.index(kinds.len())];
        if let Ok(event) = bounded(text.len(), TIMES, || Event::parse(kind, &text)) {
            prop_assert_eq!(event.kind(), kind);
            let again = event.payload().expect("what was read can be written");
            prop_assert_eq!(Event::parse(kind, &again).expect("and read again"), event);
        }
    }

    /// A journal that somebody changed, whose hashes nobody has looked at yet.
    #[test]
    fn what_can_be_read_folds_or_is_refused(
        history in histories(),
        places in prop::collection::vec((any::<Index>(), any::<Index>(), any::<Index>()), 1..4),
    ) {
        let mut entries = history.entries.clone();
        for (place, number, with) in places {
            let (_, event) = &mut entries[place.index(history.entries.len())];
            let changed = with_number(&event.payload().expect("plain data"), number, with);
            if let Ok(changed) = Event::parse(event.kind(), &changed) {
                *event = changed;
            }
        }
        let mut replay = Replay::default();
        for (stream, event) in &entries {
            let before = replay.clone();
            if replay.apply(stream, event).is_err() {
                prop_assert_eq!(&replay, &before);
            }
        }
    }
}

/// A payload, one of whose numbers is another.
fn with_number(payload: &str, number: Index, with: Index) -> String {
    let numbers = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let is_number =
        |part: &str| part.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    let parts: Vec<_> = payload
        .split_inclusive([':', ',', '}', '{', '[', ']', '"'])
        .collect();
    let places: Vec<_> = (0..parts.len())
        .filter(|place| is_number(parts[*place]))
        .collect();
    if places.is_empty() {
        return payload.to_owned();
    }
    let place = places[number.index(places.len())];
    let end = parts[place].trim_start_matches(|digit: char| digit.is_ascii_digit() || digit == '-');
    let number = format!("{}{end}", numbers[with.index(numbers.len())]);
    let mut changed: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
    changed[place] = number;
    changed.concat()
}

/// Deeper than any event, and than any stack: refused, not followed down.
#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}null{}", open.repeat(1_000_000), close.repeat(1_000_000));
        for kind in kinds() {
            bounded(deep.len(), 2, || Event::parse(kind, &deep)).expect_err(kind);
        }
    }
}

/// The seeds are payloads that can be read, one of each kind.
#[test]
fn the_payloads_are_of_every_kind() {
    let seeds = payloads();
    let reads = |kind: &&str| seeds.iter().any(|seed| Event::parse(kind, seed).is_ok());
    let kinds = kinds();
    let read = kinds.iter().filter(|kind| reads(kind)).count();
    assert_eq!(read, kinds.len() - 1);
    assert!(replay(&[]).run.is_none());
}
