//! Hours of the day in which the work may go on.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// Minutes in a day.
const DAY: u16 = 24 * 60;

/// A part of each day, UTC, as an operator says it: `02:00-04:00`; one that ends before it begins goes over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first minute of the day.
    from: u16,
    /// The minute of the day after the last.
    to: u16,
}

impl Window {
    /// Whether it is open at an instant, milliseconds since 1970, UTC.
    #[must_use]
    pub fn is_open(self, at: i64) -> bool {
        let minute = minute(at);
        match self.from < self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

/// The minute of the day, UTC, of an instant in milliseconds since 1970.
fn minute(at: i64) -> u16 {
    u16::try_from(at.div_euclid(60_000).rem_euclid(i64::from(DAY))).unwrap_or(0)
}

/// The time of day of an instant, milliseconds since 1970: `13:05 UTC`.
pub(super) fn clock(at: i64) -> String {
    let minute = minute(at);
    format!("{:02}:{:02} UTC", minute / 60, minute % 60)
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ends = text
            .split_once('-')
            .and_then(|(from, to)| Some((time(from)?, time(to)?)));
        match ends {
            Some((from, to)) if from < DAY && from != to => Ok(Self { from, to }),
            _ => Err(
                "it must be two different times of the day, UTC, such as 02:00-04:00 or 22:30-05:00".into(),
            ),
        }
    }
}

/// `02:00` as minutes, `24:00` at most.
fn time(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, digits| {
        let are_digits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        are_digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour, 2)?, number(minute, 2)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

impl Display for Window {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { from, to } = self;
        write!(
            out,
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use proptest::prelude::*;

    use super::{Window, clock};

    fn at(day: i64, hour: i64, minute: i64) -> i64 {
        ((day * 24 + hour) * 60 + minute) * 60_000
    }

    #[test]
    fn a_window_is_two_times() {
        for (text, is_one) in [
            ("02:00-04:00", true),
            ("22:30-05:00", true),
            ("00:00-24:00", true),
            ("23:59-00:00", true),
            ("02:00-02:00", false),
            ("24:00-02:00", false),
            ("2:00-4:00", false),
            ("02:60-04:00", false),
            ("02:00", false),
            ("02:00-25:00", false),
            ("02:00-04:00-06:00", false),
            ("+2:00-04:00", false),
            ("", false),
        ] {
            let parsed = Window::from_str(text);
            assert_eq!(parsed.is_ok(), is_one, "{text}");
            if let Ok(window) = parsed {
                assert_eq!(window.to_string(), text);
            }
        }
    }

    #[test]
    fn it_holds_its_first_minute_and_not_its_last() {
        let window = Window::from_str("02:00-04:00").expect("a window");
        for (hour, minute, is_open) in [
            (1, 59, false),
            (2, 0, true),
            (3, 59, true),
            (4, 0, false),
            (14, 0, false),
        ] {
            assert_eq!(
                window.is_open(at(20_000, hour, minute)),
                is_open,
                "{hour}:{minute}"
            );
        }
        assert_eq!(clock(at(20_000, 3, 5)), "03:05 UTC");
    }

    proptest! {
        /// Two windows that make a day: exactly one of them is open, whatever the instant, before 1970 as well.
        #[test]
        fn the_rest_of_the_day_is_its_opposite(from in 0_u16..1_440, to in 0_u16..1_440, instant in -4_000_000_000_000_i64..4_000_000_000_000) {
            prop_assume!(from != to);
            let (one, other) = (Window { from, to }, Window { from: to, to: from });
            prop_assert!(one.is_open(instant) != other.is_open(instant));
        }
    }
}
