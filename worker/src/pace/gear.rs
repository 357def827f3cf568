//! How much this process does at once, and for what share of the time: less as soon as those who work beside it have to
//! wait longer than usual, more again once they do not.

use std::time::{Duration, Instant};

use super::latency::Compared;

/// How many times as long as usual somebody may wait before the process does less.
const NOTICED: f64 = 1.5;
/// From here on it does much less at once, where it is long as well: three milliseconds instead of one harm nobody.
const HARMFUL: f64 = 3.0;
const LONG: Duration = Duration::from_millis(5);
/// Up to here it may do more.
const UNNOTICED: f64 = 1.25;
/// What is only noticed takes it no lower than this share of the time: the night is short as well.
const LOWEST_FOR_NOTICED: u8 = 65;

/// How long a gear is kept at least before a lower one, where somebody is harmed and where it is only noticed.
const BRIEF: Duration = Duration::from_millis(1_500);
const DWELL: Duration = Duration::from_secs(3);
/// How long nobody must have noticed anything before a higher gear.
const CALM: Duration = Duration::from_secs(5);
/// The same before it does more than one thing at once beside others; twice as long after each time that they noticed.
const TRIAL: Duration = Duration::from_secs(60);
const LONGEST_TRIAL: Duration = Duration::from_secs(960);

/// How much is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gear {
    /// Whatever the workers do.
    Full,
    /// One batch is written, while others are read.
    OneWrite,
    /// One batch is read or written, this share of the time, in percent.
    One(u8),
}

/// From the fastest to the slowest.
const GEARS: [Gear; 11] = [
    Gear::Full,
    Gear::OneWrite,
    Gear::One(100),
    Gear::One(80),
    Gear::One(65),
    Gear::One(50),
    Gear::One(35),
    Gear::One(25),
    Gear::One(18),
    Gear::One(12),
    Gear::One(8),
];

/// The place of the gear that is taken as soon as somebody else is here.
const BESIDE_OTHERS: usize = 2;

impl Gear {
    /// In words, for the journal.
    pub(super) fn words(self) -> String {
        match self {
            Self::Full => "full speed".into(),
            Self::OneWrite => "one batch written at a time".into(),
            Self::One(100) => "one batch at a time".into(),
            Self::One(share) => format!("one batch at a time, {share} % of the time"),
        }
    }

    /// Whether there is none lower.
    pub(super) fn is_lowest(self) -> bool {
        GEARS.last() == Some(&self)
    }

    /// How long to pause after so much work.
    pub(super) fn pause(self, worked: Duration) -> Duration {
        match self {
            Self::Full | Self::OneWrite => Duration::ZERO,
            Self::One(share) => worked.mul_f64(100.0 / f64::from(share.clamp(1, 100)) - 1.0),
        }
    }

    /// How long a batch may take at most.
    pub(super) fn batch(self) -> Option<Duration> {
        match self {
            Self::Full => None,
            Self::OneWrite | Self::One(100) => Some(Duration::from_millis(100)),
            Self::One(_) => Some(Duration::from_millis(50)),
        }
    }
}

/// What the process meets.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    /// Whether somebody else works here, and how that is known.
    pub(super) others: Option<String>,
    /// How long they wait.
    pub(super) latency: Option<Compared>,
    /// What else asks for less, whoever is here.
    pub(super) pressure: Option<String>,
}

/// Chooses the gear.
#[derive(Debug)]
pub(super) struct Gearbox {
    place: usize,
    /// Whether it has taken note of those who work beside it.
    is_beside: bool,
    /// When the gear was taken.
    since: Option<Instant>,
    /// Since when nobody has noticed anything.
    calm_since: Option<Instant>,
    trial: Duration,
}

impl Default for Gearbox {
    fn default() -> Self {
        Self {
            place: 0,
            is_beside: false,
            since: None,
            calm_since: None,
            trial: TRIAL,
        }
    }
}

impl Gearbox {
    /// The gear that is in.
    pub(super) fn gear(&self) -> Gear {
        GEARS.get(self.place).copied().unwrap_or(Gear::Full)
    }

    /// Takes note of what the process meets; gives why the gear is another from now on, where it is.
    pub(super) fn look(&mut self, now: Instant, load: &Load) -> Option<String> {
        let Some(others) = load.others.as_ref().or(load.pressure.as_ref()) else {
            *self = Self {
                place: self.place,
                since: self.since,
                ..Self::default()
            };
            return self.change(now, 0, || "nobody else works here".into());
        };
        let is_new = !std::mem::replace(&mut self.is_beside, true);
        if is_new || (load.pressure.is_some() && self.place < BESIDE_OTHERS) {
            let why = load.pressure.as_ref().unwrap_or(others);
            return self.change(now, BESIDE_OTHERS, || why.clone());
        }
        let kept = self.since.map(|since| now.saturating_duration_since(since));
        let has_kept = |least: Duration| kept.is_none_or(|kept| kept >= least);
        let ratio = load.latency.map_or(1.0, Compared::ratio);
        let words = || slower(load.latency);
        // Two things at once are a trial, which nobody must notice at all.
        let is_trial = self.place < BESIDE_OTHERS;
        let noticed = if is_trial { UNNOTICED } else { NOTICED };
        if ratio >= noticed {
            self.calm_since = None;
        }
        if is_trial && ratio >= noticed {
            self.trial = (2 * self.trial).min(LONGEST_TRIAL);
            return self.change(now, BESIDE_OTHERS, words);
        }
        let is_long = load
            .latency
            .is_some_and(|compared| compared.longer() >= LONG);
        if ratio >= HARMFUL && is_long && has_kept(BRIEF) {
            return self.change(now, (self.place + 2).min(GEARS.len() - 1), words);
        }
        if ratio >= noticed {
            let lower = self.place + 1;
            let is_low = GEARS
                .get(lower)
                .is_none_or(|gear| matches!(gear, Gear::One(share) if *share < LOWEST_FOR_NOTICED));
            return match is_low || !has_kept(DWELL) {
                true => None,
                false => self.change(now, lower, words),
            };
        }
        if ratio > UNNOTICED {
            self.calm_since = None;
            return None;
        }
        let since = *self.calm_since.get_or_insert(now);
        let wait = match self.place > BESIDE_OTHERS {
            true => CALM,
            false => self.trial,
        };
        let is_higher = self.place > 0 && load.pressure.is_none();
        let is_calm = now.saturating_duration_since(since) >= wait && has_kept(wait);
        match is_higher && is_calm {
            true => self.change(now, self.place - 1, || {
                "nobody waits longer than usual".into()
            }),
            false => None,
        }
    }

    fn change(&mut self, now: Instant, place: usize, why: impl Fn() -> String) -> Option<String> {
        if place == self.place {
            return None;
        }
        self.place = place;
        self.since = Some(now);
        self.calm_since = None;
        Some(why())
    }
}

fn slower(latency: Option<Compared>) -> String {
    latency.map_or_else(String::new, |compared| {
        format!(
            "a small question takes {:.1} ms beside a batch, {:.1} ms without one",
            compared.now.as_secs_f64() * 1_000.0,
            compared.usual.as_secs_f64() * 1_000.0
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{BESIDE_OTHERS, BRIEF, Compared, GEARS, Gear, Gearbox, Load};

    const LOOK: Duration = Duration::from_millis(500);

    fn load(is_beside: bool, ratio: f64) -> Load {
        let usual = Duration::from_millis(2);
        Load {
            others: is_beside.then(|| "somebody".to_owned()),
            latency: is_beside.then(|| Compared {
                now: usual.mul_f64(ratio),
                usual,
            }),
            pressure: None,
        }
    }

    /// The gear after so many looks at the same.
    fn after(gearbox: &mut Gearbox, now: &mut Instant, looks: u32, load: &Load) -> Gear {
        for _ in 0..looks {
            *now += LOOK;
            gearbox.look(*now, load);
        }
        gearbox.gear()
    }

    #[test]
    fn alone_it_is_at_full_speed_and_beside_others_at_once_gentle() {
        let (mut gearbox, mut now) = (Gearbox::default(), Instant::now());
        assert_eq!(
            after(&mut gearbox, &mut now, 10, &load(false, 1.0)),
            Gear::Full
        );
        assert_eq!(
            after(&mut gearbox, &mut now, 1, &load(true, 1.0)),
            Gear::One(100)
        );
        assert_eq!(
            after(&mut gearbox, &mut now, 1, &load(false, 1.0)),
            Gear::Full
        );
    }

    #[test]
    fn what_is_noticed_costs_a_third_and_what_harms_nearly_all() {
        let (mut gearbox, mut now) = (Gearbox::default(), Instant::now());
        assert_eq!(
            after(&mut gearbox, &mut now, 200, &load(true, 2.0)),
            Gear::One(65)
        );
        assert_eq!(
            after(&mut gearbox, &mut now, 200, &load(true, 4.0)),
            Gear::One(8)
        );
        assert_eq!(
            after(&mut gearbox, &mut now, 200, &load(true, 1.4)),
            Gear::One(8)
        );
        assert_eq!(
            after(&mut gearbox, &mut now, 100, &load(true, 1.0)),
            Gear::One(100)
        );
    }

    /// Where nobody notices, it ends at full speed; where they notice that, it tries ever more rarely.
    #[test]
    fn more_at_once_is_tried_and_given_up() {
        let (mut gearbox, mut now) = (Gearbox::default(), Instant::now());
        assert_eq!(
            after(&mut gearbox, &mut now, 300, &load(true, 1.0)),
            Gear::Full
        );
        let (mut trials, looks) = (0, 20_000);
        for _ in 0..looks {
            let ratio = if matches!(gearbox.gear(), Gear::One(_)) {
                1.0
            } else {
                1.4
            };
            let was = gearbox.gear();
            after(&mut gearbox, &mut now, 1, &load(true, ratio));
            trials += u32::from(was == Gear::One(100) && gearbox.gear() == Gear::OneWrite);
        }
        assert!(
            (3..20).contains(&trials),
            "{trials} trials in {:?}",
            looks * LOOK
        );
    }

    proptest! {
        /// Whatever it has met, alone it is at full speed at once; and while somebody is here no gear is given up for a
        /// lower one within a second.
        #[test]
        fn it_recovers_and_never_flaps(met in prop::collection::vec((any::<bool>(), 0.5_f64..8.0), 1..300)) {
            let (mut gearbox, mut now) = (Gearbox::default(), Instant::now());
            let mut turned: Option<Instant> = None;
            for (is_beside, ratio) in met {
                let was = gearbox.place;
                now += LOOK;
                let is_told = gearbox.look(now, &load(is_beside, ratio)).is_some();
                prop_assert_eq!(is_told, gearbox.place != was);
                if is_beside && gearbox.place > was && was >= BESIDE_OTHERS {
                    let kept = turned.map(|turned| now - turned);
                    prop_assert!(kept.is_none_or(|kept| kept >= BRIEF), "{:?}", kept);
                }
                if gearbox.place != was {
                    turned = Some(now);
                }
            }
            gearbox.look(now + LOOK, &load(false, 1.0));
            prop_assert_eq!(gearbox.gear(), Gear::Full);
        }

        /// Worked and paused, it works for the gear's share of the time.
        #[test]
        fn a_pause_is_in_proportion(millis in 1_u64..10_000, place in BESIDE_OTHERS..GEARS.len()) {
            let (gear, worked) = (GEARS[place], Duration::from_millis(millis));
            let Gear::One(share) = gear else { return Err(TestCaseError::reject("none")) };
            let found = worked.as_secs_f64() / (worked + gear.pause(worked)).as_secs_f64();
            prop_assert!((found - f64::from(share) / 100.0).abs() < 1e-6);
        }
    }
}
