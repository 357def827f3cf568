//! When a fault strikes: instants drawn from the seed, most of them in the midst of batches.
//!
//! Before PostgreSQL time is counted in messages that pass through the proxy, so that neither a slow machine nor a busy
//! one shifts the instants; on SQLite in microseconds.

use std::time::Duration;

use crate::proxy::{Action, Side, Step, Trip, Within};
use crate::random::Random;

/// How long a program takes undisturbed, in messages or microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual {
    /// Until its first batch.
    pub(super) start: u64,
    /// Until its end.
    pub(super) whole: u64,
    /// What that is on the clock.
    pub(super) clock: Duration,
    /// The steps of its batches.
    pub(super) steps: &'static [Step],
}

/// The steps of a batch.
pub(super) const BATCH: &[Step] = &[
    Step::Claiming,
    Step::Rows,
    Step::Provenance,
    Step::Cursor,
    Step::Event,
    Step::Committing,
];

/// The steps of a batch that is taken back.
pub(super) const UNDO: &[Step] = &[Step::Rows, Step::Cursor, Step::Event, Step::Committing];

impl Usual {
    /// How long a fault waits for its moment; where the program waits for something itself, it strikes all the same.
    pub(super) fn patience(&self) -> Duration {
        self.clock
            .clamp(Duration::from_millis(300), Duration::from_secs(2))
    }

    /// How much longer a program shall live that has lived for so long.
    pub(super) fn draw(&self, random: &mut Random, lived: u64) -> u64 {
        if random.chance(0.1) {
            return up_to(random, self.start);
        }
        let batches = self.whole.saturating_sub(self.start);
        let span = batches / random.pick(&[40, 15, 5]);
        self.start.saturating_sub(lived) + up_to(random, span)
    }

    /// The same as a fault of the proxy's; every third is aimed at a step of a batch.
    pub(super) fn trip(&self, random: &mut Random, lived: u64, action: Action) -> Trip {
        let side = random.pick(&[None, Some(Side::Client), Some(Side::Server)]);
        if random.chance(0.33) {
            return Trip {
                side,
                within: Within::Step(random.pick(self.steps)),
                after: up_to(random, 8),
                action,
            };
        }
        Trip {
            side: None,
            within: Within::Anything,
            after: self.draw(random, lived),
            action,
        }
    }
}

fn up_to(random: &mut Random, most: u64) -> u64 {
    1 + random.bits() % most.max(1)
}
