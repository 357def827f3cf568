//! Whether somebody else works in the database: not a monitor that looks in now and then, but somebody who keeps coming.

use std::collections::VecDeque;

/// Looks that are remembered.
const LOOKS: usize = 10;
/// Of the newest so many …
const NEWEST: usize = 4;
/// … somebody must have been seen in so many, to be somebody who works here.
const ENOUGH: usize = 3;
/// Seen in fewer of all remembered looks, they are gone.
const FEW: usize = 2;

/// In which of the last looks somebody was seen, the newest first.
#[derive(Debug, Default)]
pub(super) struct Presence {
    looks: VecDeque<bool>,
    is_here: bool,
}

impl Presence {
    /// Takes note of whether somebody has worked since the look before; gives whether somebody works here. At the first look
    /// whoever is seen counts, so that nobody is disturbed before they are noticed.
    pub(super) fn look(&mut self, is_seen: bool) -> bool {
        let is_first = self.looks.is_empty();
        self.looks.push_front(is_seen);
        self.looks.truncate(LOOKS);
        let seen = |looks: usize| self.looks.iter().take(looks).filter(|seen| **seen).count();
        self.is_here = match self.is_here {
            false => (is_first && is_seen) || seen(NEWEST) >= ENOUGH,
            true => seen(LOOKS) >= FEW,
        };
        self.is_here
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ENOUGH, LOOKS, Presence};

    #[test]
    fn whoever_is_there_at_first_counts_at_once_and_is_soon_forgotten() {
        let mut presence = Presence::default();
        assert!(presence.look(true));
        assert!(!presence.look(false));
    }

    /// One that asks its questions within a moment, every so many looks.
    #[test]
    fn a_monitor_is_nobody() {
        for every in [6, 12, 30] {
            let mut presence = Presence::default();
            presence.look(false);
            for look in 0..1_000 {
                // Its moment may lie across two looks.
                assert!(
                    !presence.look(look % every < 2),
                    "every {every}, look {look}"
                );
            }
        }
    }

    #[test]
    fn who_keeps_coming_is_here_and_stays_here() {
        let mut presence = Presence::default();
        presence.look(false);
        let here: Vec<_> = (0..100).map(|_| presence.look(true)).collect();
        assert!(here[ENOUGH - 1..].iter().all(|here| *here));
        // Once a second is enough to stay.
        assert!((0..100).all(|look| presence.look(look % 2 == 0)));
    }

    proptest! {
        #[test]
        fn nobody_is_here_once_all_is_quiet(looks in prop::collection::vec(any::<bool>(), 0..50)) {
            let mut presence = Presence::default();
            for is_seen in looks {
                presence.look(is_seen);
            }
            let last = (0..LOOKS).map(|_| presence.look(false)).last();
            prop_assert_eq!(last, Some(false));
        }
    }
}
