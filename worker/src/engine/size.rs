//! How many source rows a batch has: towards a target time, so that no batch holds others up for long, and none is so small
//! that its own cost counts. What a batch was worth is a unit's, so that its next partition begins where the last ended.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a batch may take whatever its target is; it holds vacuum back for as long.
pub(super) const LONG: Duration = Duration::from_secs(1);

/// Why a batch is halved: the database refused it for its time.
const TIMEOUT: &str = "a statement ran into its timeout, or waited too long for a lock";

/// How many batches of a size tell whether it is right: one alone may have met somebody else's checkpoint.
const ENOUGH: u32 = 4;

/// The most rows a batch may have, whoever asks.
const MOST: u32 = 50_000;

/// The bounds of a batch's target.
const TARGETS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Bounds of a batch, as an operator says them: `500..10000`, or `2000` for as many each time and fewer only after trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    min: u32,
    first: u32,
    max: u32,
}

/// How large batches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Source rows.
    pub rows: Rows,
    /// How long a batch should take.
    pub target: Duration,
}

/// Another size, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resize {
    /// Rows until now.
    pub(super) from: u32,
    /// Rows from now on.
    pub(super) to: u32,
    /// Why.
    pub(super) reason: String,
}

/// The sizes of a process's batches, by unit.
#[derive(Debug)]
pub(super) struct Sizes {
    sizing: Mutex<Sizing>,
    units: Mutex<HashMap<String, Standing>>,
}

/// A unit's size, and what batches of it took.
#[derive(Debug)]
struct Standing {
    rows: u32,
    batches: u32,
    took: Duration,
}

impl Rows {
    /// As many each time.
    #[must_use]
    pub fn fixed(rows: u32) -> Self {
        Self {
            min: rows,
            first: rows,
            max: rows,
        }
    }

    /// What a batch begins with.
    #[must_use]
    pub fn first(self) -> u32 {
        self.first
    }

    fn is_fixed(self) -> bool {
        self.min == self.max
    }
}

impl Sizing {
    /// What follows from a batch of `rows` that took so long; none where it was about right.
    fn after(self, rows: u32, took: Duration, target: Duration) -> Option<Resize> {
        let Rows { min, first: _, max } = self.rows;
        let to = |to: u32, reason: String| {
            (to != rows).then_some(Resize {
                from: rows,
                to,
                reason,
            })
        };
        if took > LONG {
            return to((rows / 2).max(1), "a batch took over a second".into());
        }
        if self.rows.is_fixed() || rows < min {
            // Smaller than was asked for, after trouble that is over.
            let is_well = took < LONG / 2 && rows < min;
            return match is_well {
                true => to(
                    rows.saturating_mul(2).min(min),
                    "a smaller batch went well".into(),
                ),
                false => None,
            };
        }
        let told = || {
            format!(
                "a batch took {} ms of {}",
                took.as_millis(),
                target.as_millis()
            )
        };
        if took > target.mul_f64(1.5) {
            let less = u128::from(rows) * target.as_nanos() / took.as_nanos().max(1);
            let less = u32::try_from(less).unwrap_or(rows).max(rows / 2);
            return to(less.clamp(min, max), told());
        }
        if took < target.mul_f64(0.75) {
            let more = rows.saturating_add((rows / 2).max(1));
            return to(more.clamp(min, max), told());
        }
        None
    }
}

impl Sizes {
    pub(super) fn new(sizing: Sizing) -> Self {
        Self {
            sizing: Mutex::new(sizing),
            units: Mutex::default(),
        }
    }

    fn sizing(&self) -> Sizing {
        *self.sizing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes other bounds and another target from here on; what is within its bounds stays as large as it is.
    pub(super) fn set(&self, sizing: Sizing) {
        let mut current = self.sizing.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut *current, sizing);
        drop(current);
        if was == sizing {
            return;
        }
        let Rows { min, first: _, max } = sizing.rows;
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        for standing in units.values_mut() {
            standing.begin(standing.rows.clamp(min, max));
        }
    }

    /// How long a batch should take where nothing asks for less.
    pub(super) fn target(&self) -> Duration {
        self.sizing().target
    }

    /// What a unit's next batch is to have: where less time is wanted for a while, fewer rows in proportion.
    pub(super) fn of(&self, unit: &str, target: Duration) -> u32 {
        self.on(unit, |standing| self.within(standing.rows, target))
    }

    fn within(&self, rows: u32, target: Duration) -> u32 {
        let sizing = self.sizing();
        if target >= sizing.target || sizing.rows.is_fixed() {
            return rows;
        }
        let share = u128::from(rows) * target.as_nanos() / sizing.target.as_nanos().max(1);
        u32::try_from(share).unwrap_or(rows).max(1)
    }

    /// Hears that a batch of `rows` took so long. Gives what follows from it: nothing where it was about right, where it is
    /// too early to tell, or where the size is another one by now.
    pub(super) fn took(
        &self,
        unit: &str,
        rows: u32,
        took: Duration,
        target: Duration,
    ) -> Option<Resize> {
        self.on(unit, |standing| {
            if self.within(standing.rows, target) != rows {
                return None;
            }
            standing.batches += 1;
            standing.took += took;
            let usual = match took > LONG {
                true => took,
                // After trouble that is over, one batch is enough.
                false if standing.batches < ENOUGH && standing.rows >= self.sizing().rows.min => {
                    return None;
                }
                false => standing.took / standing.batches,
            };
            let resize = self.sizing().after(standing.rows, usual, target);
            standing.begin(resize.as_ref().map_or(standing.rows, |resize| resize.to));
            resize
        })
    }

    /// Hears that a batch of `rows` ran into a limit of time.
    pub(super) fn timed_out(&self, unit: &str, rows: u32) -> Option<Resize> {
        self.on(unit, |standing| {
            let from = standing.rows;
            // One that was larger, or smaller for a while, tells of its size at most.
            let to = rows.min(from) / 2;
            if to == 0 || rows > from {
                return None;
            }
            standing.begin(to);
            Some(Resize {
                from,
                to,
                reason: TIMEOUT.into(),
            })
        })
    }

    fn on<T>(&self, unit: &str, act: impl FnOnce(&mut Standing) -> T) -> T {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = units.entry(unit.to_owned()).or_insert_with(|| Standing {
            rows: self.sizing().rows.first,
            batches: 0,
            took: Duration::ZERO,
        });
        act(standing)
    }
}

impl Standing {
    fn begin(&mut self, rows: u32) {
        self.rows = rows;
        self.batches = 0;
        self.took = Duration::ZERO;
    }
}

impl Default for Rows {
    /// Small enough that a batch stays within its time on a slow disk, and a process within 64 MiB; large enough that
    /// planning its queries does not count.
    fn default() -> Self {
        Self {
            min: 200,
            first: 2_000,
            max: 5_000,
        }
    }
}

impl Default for Sizing {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            target: Duration::from_millis(250),
        }
    }
}

/// Reads how long a batch should take: `250ms`.
///
/// # Errors
/// It is no duration, or too short or too long a one; in words.
pub fn target(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(target) if (TARGETS.0..=TARGETS.1).contains(&target) => Ok(target),
        _ => Err("it must be a duration from 10ms to 1s".into()),
    }
}

impl FromStr for Rows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|rows| (1..=MOST).contains(rows));
        let wrong =
            || format!("it must be a number from 1 to {MOST}, or two of them such as 500..10000");
        match text.split_once("..") {
            None => number(text).map(Self::fixed).ok_or_else(wrong),
            Some((min, max)) => match (number(min), number(max)) {
                (Some(min), Some(max)) if min <= max => Ok(Self {
                    min,
                    first: Self::default().first.clamp(min, max),
                    max,
                }),
                _ => Err(wrong()),
            },
        }
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_fixed() {
            true => write!(out, "{}", self.max),
            false => write!(out, "{}..{}", self.min, self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{LONG, Rows, Sizes, Sizing};

    const TARGET: Duration = Duration::from_millis(250);

    fn sizing(rows: &str) -> Sizing {
        Sizing {
            rows: Rows::from_str(rows).expect("good bounds"),
            ..Sizing::default()
        }
    }

    #[test]
    fn bounds_are_a_number_or_two() {
        for (text, shown) in [
            ("2000", Some("2000")),
            ("500..10000", Some("500..10000")),
            ("1..50000", Some("1..50000")),
            ("7..7", Some("7")),
            ("0", None),
            ("50001", None),
            ("0..5", None),
            ("9..5", None),
            ("..5", None),
            ("5..", None),
            ("-1", None),
            ("", None),
        ] {
            let rows = Rows::from_str(text).ok().map(|rows| rows.to_string());
            assert_eq!(rows.as_deref(), shown, "{text}");
        }
        let default = Rows::default();
        assert_eq!(Rows::from_str(&default.to_string()), Ok(default));
    }

    /// A unit's size settles where a batch takes the target, whatever a row costs, and stays there.
    #[test]
    fn a_size_settles() {
        for micros in [1, 30, 300, 3_000, 30_000] {
            let sizes = Sizes::new(sizing("1..50000"));
            let cost = |rows: u32| Duration::from_micros(micros) * rows;
            for _ in 0..300 {
                let rows = sizes.of("u", TARGET);
                sizes.took("u", rows, cost(rows), TARGET);
            }
            let rows = sizes.of("u", TARGET);
            for _ in 0..10 {
                assert_eq!(sizes.took("u", rows, cost(rows), TARGET), None);
            }
            let is_right = cost(rows) >= TARGET.mul_f64(0.75) && cost(rows) <= TARGET.mul_f64(1.5);
            assert!(is_right || rows == 50_000, "{micros}: {rows}");
        }
    }

    #[test]
    fn less_time_is_fewer_rows_and_for_a_while() {
        let sizes = Sizes::new(sizing("100..10000"));
        assert_eq!(sizes.of("u", TARGET / 5), 400);
        for _ in 0..4 {
            sizes.took("u", 400, TARGET / 5, TARGET / 5);
        }
        assert_eq!(
            (sizes.of("u", TARGET), sizes.of("u", TARGET * 2)),
            (2_000, 2_000)
        );
    }

    #[test]
    fn other_bounds_hold_at_once() {
        let sizes = Sizes::new(sizing("100..10000"));
        assert_eq!(sizes.of("u", TARGET), 2_000);
        sizes.set(sizing("50"));
        assert_eq!((sizes.of("u", TARGET), sizes.of("v", TARGET)), (50, 50));
        // A batch of before that ends now says nothing.
        assert_eq!(sizes.took("u", 2_000, LONG * 2, TARGET), None);
        sizes.set(Sizing {
            target: TARGET / 2,
            ..sizing("20..10000")
        });
        assert_eq!((sizes.of("u", TARGET), sizes.target()), (50, TARGET / 2));
    }

    #[test]
    fn a_sibling_that_was_first_has_changed_it() {
        let sizes = Sizes::new(sizing("100..10000"));
        assert!(sizes.timed_out("u", 2_000).is_some());
        assert_eq!(sizes.timed_out("u", 2_000), None);
        assert_eq!(
            (sizes.of("u", TARGET), sizes.of("v", TARGET)),
            (1_000, 2_000)
        );
    }

    #[test]
    fn trouble_goes_below_the_bounds_and_comes_back() {
        let sizes = Sizes::new(sizing("2000"));
        let quick = Duration::from_millis(10);
        assert!(sizes.timed_out("u", 2_000).is_some());
        assert!(sizes.took("u", 1_000, LONG * 2, TARGET).is_some());
        assert_eq!(sizes.of("u", TARGET), 500);
        for rows in [500, 1_000, 2_000] {
            for _ in 0..4 {
                sizes.took("u", rows, quick, TARGET);
            }
        }
        assert_eq!(sizes.of("u", TARGET), 2_000);
    }

    proptest! {
        /// Whatever batches take, sizes stay at least 1 and at most the upper bound, and a resize is what changes them.
        #[test]
        fn sizes_keep_within_bounds(
            (min, max) in (1..5_000_u32, 0..5_000_u32).prop_map(|(min, more)| (min, min + more)),
            took in prop::collection::vec(prop::option::of(0..5_000_u64), 0..100),
        ) {
            let sizes = Sizes::new(sizing(&format!("{min}..{max}")));
            for took in took {
                let rows = sizes.of("u", TARGET);
                let resize = match took {
                    Some(millis) => sizes.took("u", rows, Duration::from_millis(millis), TARGET),
                    None => sizes.timed_out("u", rows),
                };
                let now = sizes.of("u", TARGET);
                prop_assert!(now >= 1 && now <= max);
                prop_assert_eq!(resize.map(|resize| resize.to), (now != rows).then_some(now));
            }
        }
    }
}
