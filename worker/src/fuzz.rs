//! What the tests of the parsers share: texts that are nearly right, and a bound on the memory that reading one may take.

use proptest::prelude::*;
use proptest::sample::Index;

/// What parsers stumble over.
const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "null",
    "true",
    "-",
    ".",
    "0",
    "1e9",
    "e999999999",
    "-0.0",
    "NaN",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\\n",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{1f600}",
    "%",
    "=",
    "?",
    "#",
    "/",
    "//",
    "@",
    "'",
    " ",
    "+",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:60.999999999+23:59",
    "2025-02-30T00:00:00Z",
];

/// One change of a text.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, Index),
    Remove(Index, Index),
    Repeat(Index, Index, u8),
    Nest(Index, Index, u16),
    Splice(Index, Index, Index),
    Cut(Index),
}

/// Bytes that began as one of these texts.
pub(crate) fn nearly(seeds: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, token)| Change::Insert(at, token)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Remove(from, to)),
        (any::<Index>(), any::<Index>(), 2..20_u8)
            .prop_map(|(from, to, times)| Change::Repeat(from, to, times)),
        (any::<Index>(), any::<Index>(), 1..5_000_u16)
            .prop_map(|(at, token, times)| Change::Nest(at, token, times)),
        (any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(at, seed, from)| Change::Splice(at, seed, from)),
        any::<Index>().prop_map(Change::Cut),
    ];
    (any::<Index>(), prop::collection::vec(change, 0..6)).prop_map(move |(seed, changes)| {
        let mut bytes = seeds[seed.index(seeds.len())].clone().into_bytes();
        for change in changes {
            apply(&mut bytes, &change, &seeds);
        }
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, change: &Change, seeds: &[String]) {
    let place = |index: &Index| index.index(bytes.len() + 1);
    let token = |index: &Index| TOKENS[index.index(TOKENS.len())].as_bytes();
    match change {
        Change::Flip(at, bit) => {
            let at = place(at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Change::Insert(at, with) => {
            let at = place(at);
            bytes.splice(at..at, token(with).iter().copied());
        }
        Change::Remove(from, to) => {
            let (from, to) = ordered(place(from), place(to));
            bytes.drain(from..to);
        }
        Change::Repeat(from, to, times) => {
            let (from, to) = ordered(place(from), place(to));
            let part = bytes[from..to].repeat(usize::from(*times));
            // What grows without end says nothing new.
            if part.len() < 100_000 {
                bytes.splice(from..to, part);
            }
        }
        Change::Nest(at, with, times) => {
            let at = place(at);
            bytes.splice(at..at, token(with).repeat(usize::from(*times)));
        }
        Change::Splice(at, seed, from) => {
            let other = seeds[seed.index(seeds.len())].as_bytes();
            let at = place(at);
            bytes.splice(at..at, other[from.index(other.len() + 1)..].iter().copied());
        }
        Change::Cut(at) => bytes.truncate(place(at)),
    }
}

fn ordered(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

/// Reads an input and asserts that doing so held at most `times` its size at a time, and a little. Counts this thread's
/// memory alone, so tests beside it do not matter.
pub(crate) fn bounded<T>(size: usize, times: u64, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(read()));
    let most = size as u64 * times + 16_384;
    assert!(
        info.bytes_max <= most,
        "{size} bytes took {} at a time, over {most}",
        info.bytes_max
    );
    result.expect("it was read")
}
