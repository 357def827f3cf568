//! Instants around the edges of windows and days, and the many ways to spell one.

use super::Maker;
use crate::moment::{DAY, Moment};
use crate::random::Random;

/// Offsets from UTC in minutes.
const OFFSETS: [i64; 6] = [0, -480, 345, 840, 60, -720];

/// Texts that are no instant of RFC 3339.
pub(super) const NO_INSTANTS: [&str; 11] = [
    "yesterday",
    "",
    "2025-10-01",
    "2023-01-01T10:00:00",
    "2023-02-30T10:00:00Z",
    "2023-01-01T25:00:00Z",
    "2023-01-01T10:00:00+0200",
    "01.01.2023 10:00",
    "2023-13-01T10:00:00Z",
    "2023-01-01T10:00:00\u{2212}02:00",
    "2023-01-01_10:00:00Z",
];

/// Instants that are rare but right.
const RARE: [&str; 9] = [
    "2016-12-31T23:59:60Z",
    "2017-01-01T05:44:60+05:45",
    "0001-06-01T00:00:00Z",
    "1969-12-31T23:59:59.9995Z",
    "1999-12-31T23:59:59.9995Z",
    "2000-01-01T00:00:00.0005Z",
    "2022-12-31T23:59:59.9999999Z",
    "2022-12-31T23:59:59.00049949999999999999999Z",
    "2022-12-31 23:59:59.123456789012345+05:45",
];

impl Maker {
    /// When a campaign, or another row that a window selects, was made.
    pub(super) fn created(&mut self) -> Moment {
        let (since, as_of) = (self.profile.since().0, self.profile.as_of.0);
        let random = &mut self.random;
        Moment(match random.index(16) {
            0 => since,
            1 => since - 1,
            2 => since + 1,
            3 => as_of,
            4 => as_of + 1,
            5 => as_of + random.between(1, 40) * DAY,
            6 | 7 => since - random.between(1, 300 * DAY),
            _ => random.between(since, as_of),
        })
    }

    /// When something was closed, posted or captured: over more than a year, often on the edge of a day.
    /// Nothing lies between `as_of` and the end of its day, where the contract can be read in two ways.
    pub(super) fn happened(&mut self) -> Moment {
        let (since, as_of) = (self.profile.since(), self.profile.as_of);
        let random = &mut self.random;
        let day = if random.chance(0.6) {
            random.between(since.day() - 1, as_of.day())
        } else {
            random.between(as_of.day() - 420, as_of.day() + 3)
        };
        let inside = match random.index(5) {
            0 => 0,
            1 => DAY - 1,
            _ => random.between(0, DAY - 1),
        };
        let moment = Moment(day * DAY + inside);
        if moment > as_of && moment.day() == as_of.day() {
            as_of
        } else {
            moment
        }
    }

    /// When an execution was completed.
    pub(super) fn completed(&mut self) -> Moment {
        let as_of = self.profile.as_of.0;
        match self.random.index(12) {
            0 => self.profile.as_of,
            1 => Moment(self.random.between(as_of / DAY - 100, as_of / DAY - 1) * DAY),
            _ => Moment(self.random.between(as_of - 100 * DAY, as_of - 2000)),
        }
    }
}

/// One of the rare instants, as a text.
pub(super) fn rare(random: &mut Random) -> String {
    random.pick(&RARE).to_owned()
}

/// An instant in one of the spellings that round to it.
pub(super) fn spell(moment: Moment, random: &mut Random) -> String {
    let offset = if random.chance(0.5) {
        0
    } else {
        random.pick(&OFFSETS)
    };
    let millis = moment.0.rem_euclid(1000);
    let (start, fraction) = match random.index(9) {
        7 => (moment, format!(".{millis:03}49949999999")),
        8 if millis > 0 => (Moment(moment.0 - 1), format!(".{:03}4999", millis - 1)),
        0 if millis == 0 => (moment, String::new()),
        1 => (moment, format!(".{millis:03}4")),
        2 => (moment, format!(".{millis:03}499")),
        3 => (moment, format!(".{millis:03}000000000")),
        4 if millis > 0 => (Moment(moment.0 - 1), format!(".{:03}5", millis - 1)),
        5 if millis > 0 => (Moment(moment.0 - 1), format!(".{:03}9999999", millis - 1)),
        _ => (moment, format!(".{millis:03}")),
    };
    let local = Moment(start.0 + offset * 60_000).stored();
    let local = local
        .split('.')
        .next()
        .unwrap_or_default()
        .replacen(' ', "T", 1);
    let zone = match (offset, random.index(4)) {
        (0, 0) => "+00:00".to_owned(),
        (0, _) => "Z".to_owned(),
        (minutes, _) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    };
    let text = format!("{local}{fraction}{zone}");
    match random.index(30) {
        0 => text.to_lowercase(),
        1 => text.replacen('T', " ", 1),
        _ => text,
    }
}

/// An instant as a column of a database is given it, with digits that the column rounds away or keeps.
pub(super) fn stored_finer(moment: Moment, random: &mut Random) -> String {
    let millis = moment.0.rem_euclid(1000);
    let (start, fraction) = match random.index(5) {
        0 => (moment, format!("{millis:03}4")),
        1 => (moment, format!("{millis:03}000")),
        2 if millis > 0 => (Moment(moment.0 - 1), format!("{:03}5", millis - 1)),
        3 if millis > 0 => (Moment(moment.0 - 1), format!("{:03}4999", millis - 1)),
        4 if millis > 0 => (Moment(moment.0 - 1), format!("{:03}999", millis - 1)),
        _ => (moment, format!("{millis:03}")),
    };
    let stored = start.stored();
    let second = stored.split('.').next().unwrap_or_default();
    format!("{second}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::{spell, stored_finer};
    use crate::moment::Moment;
    use crate::random::Random;

    #[test]
    fn every_spelling_reads_as_the_instant() {
        let mut random = Random::new(5);
        for _ in 0..2000 {
            let moment = Moment(random.between(946_684_800_000, 1_900_000_000_000));
            let text = spell(moment, &mut random);
            assert_eq!(Moment::parse_rfc3339(&text), Some(moment), "{text}");
            let text = stored_finer(moment, &mut random);
            assert_eq!(Moment::parse_stored(&text), Some(moment), "{text}");
        }
    }
}
