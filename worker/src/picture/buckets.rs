//! Sums by time, in bounded memory: where a run takes longer than there is room for, two stretches of time become one.

use std::collections::BTreeMap;

/// What can be summed up.
pub trait Sum: Default {
    /// Adds what another one holds.
    fn add(&mut self, other: Self);
}

impl Sum for u64 {
    fn add(&mut self, other: Self) {
        *self = self.saturating_add(other);
    }
}

/// What gives way where there are too many stretches of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// Detail: stretches become twice as long.
    Wider,
    /// The past: the oldest are forgotten.
    Newest,
}

/// Sums by stretches of time that are equally long.
#[derive(Clone, Debug)]
pub struct Buckets<T> {
    width: i64,
    most: i64,
    room: Room,
    held: BTreeMap<i64, T>,
}

impl<T: Sum> Buckets<T> {
    /// From the first to the last moment, with at most so many stretches, of `width` milliseconds at least.
    #[must_use]
    pub fn whole(width: i64, most: i64) -> Self {
        Self {
            width: width.max(1),
            most: most.max(2),
            room: Room::Wider,
            held: BTreeMap::new(),
        }
    }

    /// The newest so many stretches of `width` milliseconds alone.
    #[must_use]
    pub fn newest(width: i64, most: i64) -> Self {
        Self {
            room: Room::Newest,
            ..Self::whole(width, most)
        }
    }

    /// How long a stretch is, milliseconds.
    #[must_use]
    pub fn width(&self) -> i64 {
        self.width
    }

    /// The sum that a moment belongs to; none: it is too long ago.
    pub fn at(&mut self, at: i64) -> Option<&mut T> {
        loop {
            let key = at.div_euclid(self.width);
            let first = self.held.keys().next().map_or(key, |first| key.min(*first));
            let last = self
                .held
                .keys()
                .next_back()
                .map_or(key, |last| key.max(*last));
            if last - first < self.most {
                return Some(self.held.entry(key).or_default());
            }
            match self.room {
                Room::Wider => self.widen(),
                Room::Newest if key <= last - self.most => return None,
                Room::Newest => self.held = self.held.split_off(&(last - self.most + 1)),
            }
        }
    }

    /// The sums in the order of time, each with the moment at which its stretch begins; stretches without any are left out.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, &T)> {
        self.held.iter().map(|(key, sum)| (key * self.width, sum))
    }

    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        for (key, sum) in std::mem::take(&mut self.held) {
            self.held.entry(key.div_euclid(2)).or_default().add(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Buckets;

    proptest! {
        /// Whatever comes in whatever order: nothing is lost, and there are never more than there may be.
        #[test]
        fn nothing_is_lost_and_the_room_is_kept(moments in prop::collection::vec(0_i64..10_000_000, 1..200)) {
            let mut buckets = Buckets::<u64>::whole(10, 16);
            for at in &moments {
                *buckets.at(*at).expect("room for every moment") += 1;
            }
            prop_assert_eq!(buckets.iter().map(|(_, sum)| *sum).sum::<u64>(), moments.len() as u64);
            prop_assert!(buckets.iter().count() <= 16);
            for (from, sum) in buckets.iter() {
                let inside = moments.iter().filter(|at| (from..from + buckets.width()).contains(*at)).count();
                prop_assert_eq!(*sum, inside as u64);
            }
        }

        /// The newest are exact, whatever was forgotten.
        #[test]
        fn the_newest_are_all_there(moments in prop::collection::vec(0_i64..10_000, 1..200)) {
            let mut buckets = Buckets::<u64>::newest(10, 16);
            for at in &moments {
                if let Some(sum) = buckets.at(*at) {
                    *sum += 1;
                }
            }
            let last = moments.iter().max().expect("one at least").div_euclid(10);
            for (from, sum) in buckets.iter() {
                prop_assert!(from.div_euclid(10) > last - 16);
                let inside = moments.iter().filter(|at| at.div_euclid(10) == from.div_euclid(10)).count();
                prop_assert_eq!(*sum, inside as u64);
            }
        }
    }
}
