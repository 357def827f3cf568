//! Randomness that is a pure function of where it is used.
//!
//! Every drawn value depends on the seed, the kind of row and the row's number, never on what was drawn for another row:
//! so rows come out the same in whatever order and batches they are made.

/// Step of the splitmix64 sequence: 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a stream of random values is for. The numbers are part of the contents: changing one changes every demo.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Stream {
    Campaign = 1,
    Metadata = 2,
    Asset = 3,
    PublishJob = 4,
    Task = 5,
    ActiveTask = 6,
    Deal = 7,
    Snapshot = 8,
    Feedback = 9,
}

/// A splitmix64 generator (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The values for one row: `keys` number it among the rows of its stream.
    pub(super) fn new(seed: u64, stream: Stream, keys: &[u64]) -> Self {
        let start = mix(mix(seed.wrapping_add(STEP)) ^ stream as u64);
        Self(
            keys.iter()
                .fold(start, |state, key| mix(state.wrapping_add(STEP) ^ key)),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number from 0 up to, but not including, `end` (0 where `end` is not positive).
    pub(super) fn below(&mut self, end: i64) -> i64 {
        (self.next() >> 1).cast_signed() % end.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn int(&mut self, low: i32, high: i32) -> i32 {
        let (low, high) = (i64::from(low), i64::from(high));
        i32::try_from(low + self.below(high - low + 1)).unwrap_or(i32::MAX)
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn percent(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which must not be empty.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at =
            usize::try_from(self.next() % u64::try_from(choices.len()).unwrap_or(1)).unwrap_or(0);
        &choices[at]
    }

    /// An id as the application's client library makes them, in everything but the clock: 25 characters that do not ascend.
    pub(super) fn id(&mut self) -> String {
        const DIGITS: [char; 36] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g',
            'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x',
            'y', 'z',
        ];
        let mut id = String::with_capacity(25);
        id.push('c');
        for _ in 0..2 {
            let mut bits = self.next();
            for _ in 0..12 {
                id.push(DIGITS[usize::try_from(bits % 36).unwrap_or(0)]);
                bits /= 36;
            }
        }
        id
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Hands out a total in proportion to weights, one share after another, with nothing left over at the end.
#[derive(Debug)]
pub(super) struct Shares {
    total: u64,
    all_weights: u64,
    weights_so_far: u64,
    given: u64,
}

impl Shares {
    pub(super) fn new(total: u64, all_weights: u64) -> Self {
        Self {
            total,
            all_weights,
            weights_so_far: 0,
            given: 0,
        }
    }

    /// What falls to the next one, whose weight is `weight`.
    pub(super) fn next(&mut self, weight: u64) -> u64 {
        self.weights_so_far += weight;
        let due = u128::from(self.total) * u128::from(self.weights_so_far)
            / u128::from(self.all_weights.max(1));
        let share = u64::try_from(due)
            .unwrap_or(self.total)
            .saturating_sub(self.given);
        self.given += share;
        share
    }
}

/// True for `chosen` of every `of` numbers, evenly spread, and never for the first of them where `chosen < of`.
pub(super) fn spread(number: u64, chosen: u64, of: u64) -> bool {
    let before = |number: u64| u128::from(number) * u128::from(chosen) / u128::from(of.max(1));
    before(number + 1) > before(number)
}
