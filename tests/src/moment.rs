//! Instants to the millisecond, read from RFC 3339 and rounded as PostgreSQL's `timestamp(3)` does.
//!
//! Written by hand on purpose: the worker reads times with a library, and this is its check.

/// Milliseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

/// Milliseconds in a day.
pub const DAY: i64 = 86_400_000;

/// Seconds from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const POSTGRES_EPOCH: i64 = 946_684_800;

impl Moment {
    /// Reads an RFC 3339 instant with any offset and any number of digits after the second; a space may stand for the T.
    /// A leap second is the first moment of the next minute.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let mut rest = text;
        let year = digits(&mut rest, 4)?;
        let month = after(&mut rest, "-").and_then(|()| digits(&mut rest, 2))?;
        let day = after(&mut rest, "-").and_then(|()| digits(&mut rest, 2))?;
        ["T", "t", " "]
            .iter()
            .find_map(|separator| after(&mut rest, separator))?;
        let hour = digits(&mut rest, 2)?;
        let minute = after(&mut rest, ":").and_then(|()| digits(&mut rest, 2))?;
        let second = after(&mut rest, ":").and_then(|()| digits(&mut rest, 2))?;
        let micros = if after(&mut rest, ".").is_some() {
            fraction(&mut rest)?
        } else {
            0
        };
        let offset = if after(&mut rest, "Z")
            .or_else(|| after(&mut rest, "z"))
            .is_some()
        {
            0
        } else {
            let sign = match (after(&mut rest, "+"), after(&mut rest, "-")) {
                (Some(()), _) => 1,
                (None, Some(())) => -1,
                (None, None) => return None,
            };
            let hours = digits(&mut rest, 2)?;
            let minutes = after(&mut rest, ":").and_then(|()| digits(&mut rest, 2))?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        };
        if !rest.is_empty() || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        if !(1..=12).contains(&month) || day < 1 || day > month_length(year, month) {
            return None;
        }
        let seconds =
            day_of(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Some(Self::from_micros(
            (seconds - POSTGRES_EPOCH) * 1_000_000 + micros,
        ))
    }

    /// Rounds microseconds since 2000 to milliseconds, halves away from 2000.
    fn from_micros(since_2000: i64) -> Self {
        let millis = if since_2000 >= 0 {
            (since_2000 + 500) / 1000
        } else {
            -((500 - since_2000) / 1000)
        };
        Self(millis + POSTGRES_EPOCH * 1000)
    }

    /// Reads what both databases hold and show: `YYYY-MM-DD HH:MM:SS.mmm` in UTC.
    #[must_use]
    pub fn parse_stored(text: &str) -> Option<Self> {
        Self::parse_rfc3339(&format!("{}Z", text.replacen(' ', "T", 1)))
    }

    /// As both databases hold it.
    #[must_use]
    pub fn stored(self) -> String {
        let (year, month, day) = civil(self.day());
        let inside = self.0.rem_euclid(DAY);
        format!(
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}",
            inside / 3_600_000,
            inside / 60_000 % 60,
            inside / 1000 % 60,
            inside % 1000
        )
    }

    /// As RFC 3339 in UTC, with milliseconds.
    #[must_use]
    pub fn rfc3339(self) -> String {
        format!("{}Z", self.stored().replacen(' ', "T", 1))
    }

    /// The number of its UTC day.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// The first instant of a day.
    #[must_use]
    pub fn start_of(day: i64) -> Self {
        Self(day * DAY)
    }
}

/// The number of a date's day, counted from 1970-01-01.
#[must_use]
pub fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let years_before = year - 1;
    let leap_days =
        years_before.div_euclid(4) - years_before.div_euclid(100) + years_before.div_euclid(400);
    let months_before: i64 = (1..month).map(|earlier| month_length(year, earlier)).sum();
    years_before * 365 + leap_days + months_before + day - 1 - 719_162
}

/// The date of a day: year, month, day of the month.
#[must_use]
pub fn civil(day: i64) -> (i64, i64, i64) {
    // The average year is 146097 / 400 days long; one less is never too late.
    let mut year = 1969 + (day * 400).div_euclid(146_097);
    while day_of(year + 1, 1, 1) <= day {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && day_of(year, month + 1, 1) <= day {
        month += 1;
    }
    (year, month, day - day_of(year, month, 1) + 1)
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn after(rest: &mut &str, expected: &str) -> Option<()> {
    *rest = rest.strip_prefix(expected)?;
    Some(())
}

fn digits(rest: &mut &str, count: usize) -> Option<i64> {
    let head = rest.get(..count)?;
    if !head.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    *rest = &rest[count..];
    head.parse().ok()
}

/// The digits after the second, as microseconds; a half goes to the even one. PostgreSQL reads them as a double, so
/// what lies closer to a half than doubles tell apart is one.
fn fraction(rest: &mut &str) -> Option<i64> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (text, tail) = rest.split_at(length);
    if text.is_empty() {
        return None;
    }
    *rest = tail;
    let scaled = format!("0.{text}").parse::<f64>().ok()? * 1e6;
    let below: i32 = format!("{:.0}", scaled.floor()).parse().ok()?;
    let up = match (scaled - f64::from(below)).total_cmp(&0.5) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => below % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    Some(i64::from(below) + i64::from(up))
}

#[cfg(test)]
mod tests {
    use super::{Moment, civil, day_of};

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        assert_eq!(day_of(1970, 1, 1), 0);
        assert_eq!(day_of(2000, 3, 1), 11_017);
        for day in (-719_162..3_000_000).step_by(97) {
            let (year, month, date) = civil(day);
            assert!((1..=12).contains(&month) && (1..=31).contains(&date));
            assert_eq!(day_of(year, month, date), day);
        }
    }

    #[test]
    fn offsets_and_leap_seconds_are_read() {
        let read = |text| Moment::parse_rfc3339(text).map(Moment::stored);
        assert_eq!(
            read("2025-03-01T00:15:00+05:45").as_deref(),
            Some("2025-02-28 18:30:00.000")
        );
        assert_eq!(
            read("2016-12-31T23:59:60Z").as_deref(),
            Some("2017-01-01 00:00:00.000")
        );
        assert_eq!(
            read("2025-12-31T23:59:59.9995Z").as_deref(),
            Some("2026-01-01 00:00:00.000")
        );
        assert_eq!(
            read("2025-03-01 00:15:00.0004994999999999999999999z").as_deref(),
            Some("2025-03-01 00:15:00.001")
        );
        assert_eq!(
            read("1999-12-31T23:59:59.9985Z").as_deref(),
            Some("1999-12-31 23:59:59.998")
        );
        assert_eq!(
            read("0001-06-01t00:00:00z").as_deref(),
            Some("0001-06-01 00:00:00.000")
        );
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "yesterday",
            "2025-10-01",
            "2025-10-01T10:00:00",
            "2025-02-29T10:00:00Z",
            "2025-10-01T24:00:00Z",
            "2025-10-01T10:00:00+0200",
            "2025-10-01T10:00:00.Z",
            "2025-10-01T10:00:00Z ",
            "2025-10-01T10:00:00\u{2212}02:00",
            "12025-10-01T10:00:00Z",
            "2025-10-01T10:00:61Z",
        ] {
            assert_eq!(Moment::parse_rfc3339(text), None, "{text}");
        }
    }
}
