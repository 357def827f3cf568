//! What the fold must keep to, whatever it is given.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::fold::{Fold, Place};
use crate::core::event::{BatchCommitted, Event};

/// A batch of `unit`, as a worker would tell it.
fn batch(unit: &str, read: i64, millis: u64) -> Event {
    Event::BatchCommitted(BatchCommitted {
        unit: unit.into(),
        from: None,
        to: None,
        last: false,
        read,
        written: read,
        refreshed: 0,
        skipped: BTreeMap::new(),
        quarantined: 0,
        provenance: None,
        millis: Some(millis),
    })
}

fn take(fold: &mut Fold, (stream, worker, at): (usize, usize, i64), event: Event) {
    let (stream, worker) = (format!("u/{stream}.0.0"), format!("w{worker}"));
    let place = Place {
        stream: &stream,
        worker: &worker,
        at,
        bytes: 100,
    };
    fold.apply(place, event);
}

fn bad(key: usize) -> Event {
    Event::RowQuarantined {
        unit: "u".into(),
        key: key.to_string(),
        reason: format!("reason {key}"),
    }
}

/// A million events take no more room than a hundred thousand.
#[test]
fn memory_is_bounded() {
    let held = |events: usize| {
        let mut fold = Fold::default();
        let measured = allocation_counter::measure(|| {
            for event in 0..events {
                let at = i64::try_from(event).expect("few") * 40;
                let place = (event % 50, (event / 1_000) % 500, at);
                match event % 10 {
                    0 => take(&mut fold, place, bad(event)),
                    _ => take(
                        &mut fold,
                        place,
                        batch("u", 500, (event as u64 * 7_919) % 90_000),
                    ),
                }
            }
        });
        assert_eq!(fold.events, events as u64);
        measured.bytes_current
    };
    let (some, many) = (held(100_000), held(1_000_000));
    assert!(many < 4_000_000, "{many} bytes are held");
    assert!(many < some * 2, "{some} bytes grew to {many}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Streams may be read in any order: what comes of them is the same, and all of it.
    #[test]
    fn the_order_of_streams_does_not_matter(
        events in prop::collection::vec((0_usize..4, 0_usize..3, 1_i64..900, 1_u64..5_000, prop::bool::weighted(0.2)), 1..120),
    ) {
        let mut streams: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        let mut at = 0;
        for (place, (stream, worker, read, millis, is_bad)) in events.iter().enumerate() {
            at += i64::try_from(*millis).expect("few") * 3;
            let event = match is_bad {
                true => bad(place),
                false => batch("u", *read, *millis),
            };
            streams.entry(*stream).or_default().push(((*stream, *worker, at), event));
        }
        let (mut forward, mut backward) = (Fold::default(), Fold::default());
        for (place, event) in streams.values().flatten() {
            take(&mut forward, *place, event.clone());
        }
        for (place, event) in streams.values().rev().flatten() {
            take(&mut backward, *place, event.clone());
        }
        prop_assert_eq!(format!("{forward:?}"), format!("{backward:?}"));
        let read: i64 = events.iter().filter(|event| !event.4).map(|event| event.2).sum();
        prop_assert_eq!(forward.whole.iter().map(|(_, sample)| sample.read).sum::<i64>(), read);
        let bad = i64::try_from(events.iter().filter(|event| event.4).count()).expect("few");
        prop_assert_eq!(forward.quarantine.rows(), bad);
        let batches: u64 = forward.processes.iter().map(|process| process.batches).sum();
        prop_assert_eq!(batches, forward.units.get("u").map_or(0, |unit| unit.batches));
    }
}
