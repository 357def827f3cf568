//! Instants: RFC 3339 in, milliseconds since 1970 out, rounded as PostgreSQL rounds.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// Milliseconds in a day.
pub const DAY: i64 = 86_400_000;

/// Microseconds from 1970 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// The instant that a text in RFC 3339 names (any offset; a space may stand for the T), as `timestamp(3)` stores it;
/// none where it names none.
///
/// PostgreSQL first rounds the fraction to microseconds (ties to even), then the microseconds since 2000 to
/// milliseconds (ties away from zero): `ParseFractionalSecond` and `AdjustTimestampForTypmod` in its sources. A library
/// would cut the fraction at nanoseconds, and take a minus sign (U+2212) for the hyphen of an offset.
#[must_use]
pub fn parse_millis(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.split_at_checked(9)?;
    let [year, month, day] = numbers(date, [4, 2, 2], '-')?;
    let [hour, minute, second] = numbers(time.strip_prefix(['T', 't', ' '])?, [2, 2, 2], ':')?;
    let (micros, zone) = match rest.strip_prefix('.') {
        Some(rest) => fraction(rest)?,
        None => (0, rest),
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    // A leap second is the next minute's first.
    let time = NaiveTime::from_hms_opt(hour, minute, second.min(59))?;
    if second > 60 {
        return None;
    }
    let seconds = date.and_time(time).and_utc().timestamp() + i64::from(second / 60);
    let micros = (seconds - offset(zone)?) * 1_000_000 + micros - EPOCH_2000;
    let millis = if micros >= 0 {
        (micros + 500) / 1_000
    } else {
        -((-micros + 500) / 1_000)
    };
    Some(millis + EPOCH_2000 / 1_000)
}

/// Three numbers of so many digits, and a separator between them.
fn numbers(text: &str, digits: [usize; 3], separator: char) -> Option<[u32; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// The microseconds that the digits ahead stand for, and what follows them.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let fraction: f64 = format!("0.{digits}").parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fraction is 1 at most, so this is a million at most"
    )]
    let micros = (fraction * 1e6).round_ties_even() as i64;
    Some((micros, rest))
}

/// The seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, time) = match zone {
        "Z" | "z" => return Some(0),
        _ => (zone.starts_with('-'), zone.strip_prefix(['+', '-'])?),
    };
    let [hours, minutes, _] = numbers(&format!("{time}:00"), [2, 2, 2], ':')?;
    let seconds = i64::from(hours * 3_600 + minutes * 60);
    (hours < 24 && minutes < 60).then_some(if sign { -seconds } else { seconds })
}

/// The instant that somebody named on a command line: RFC 3339, or a date, which is its 00:00 UTC.
///
/// # Errors
/// It is neither, or lies outside the years that both databases compare (1970 to 9999); the text says how to write it.
pub fn named(text: &str) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    let instant = match text.parse::<NaiveDate>() {
        Ok(date) => date.and_time(NaiveTime::MIN).and_utc(),
        Err(_) => DateTime::parse_from_rfc3339(text)
            .map_err(|_| "write it like 2025-11-04T00:00:00Z, or 2025-11-04 for its 00:00 UTC")?
            .to_utc(),
    };
    match (0..253_402_300_800).contains(&instant.timestamp()) {
        true => Ok(instant),
        false => Err("it must lie between 1970 and 9999".into()),
    }
}

/// An instant for people: `2025-11-04T00:00:00.000Z`.
#[must_use]
pub fn show(millis: i64) -> String {
    match DateTime::<Utc>::from_timestamp_millis(millis) {
        Some(instant) => instant.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        None => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{named, parse_millis, show};
    use crate::fuzz::{bounded, nearly};

    /// What PostgreSQL 15 answers to `SELECT '…'::timestamptz(3)`.
    #[test]
    fn instants_are_rounded_as_postgresql_rounds() {
        for (text, stored) in [
            ("2025-11-04T00:00:00Z", "2025-11-04T00:00:00.000Z"),
            ("2025-11-04T02:00:00.1234+02:00", "2025-11-04T00:00:00.123Z"),
            ("2025-11-04T00:00:00.0005Z", "2025-11-04T00:00:00.001Z"),
            ("2025-11-04T00:00:00.0004999Z", "2025-11-04T00:00:00.001Z"),
            ("2025-11-04T00:00:00.0004994Z", "2025-11-04T00:00:00.000Z"),
            (
                "2025-11-04T00:00:00.0004994999999999999999999Z",
                "2025-11-04T00:00:00.001Z",
            ),
            (
                "2025-11-04T00:00:00.00049949999Z",
                "2025-11-04T00:00:00.000Z",
            ),
            (
                "2025-11-04T00:00:00.00049950001Z",
                "2025-11-04T00:00:00.001Z",
            ),
            (
                "2025-11-04 00:00:00.0014999999Z",
                "2025-11-04T00:00:00.002Z",
            ),
            ("2024-12-31t23:59:59.9996z", "2025-01-01T00:00:00.000Z"),
            (
                "2024-12-31T23:59:59.9999999999Z",
                "2025-01-01T00:00:00.000Z",
            ),
            ("1999-12-31T23:59:59.9995Z", "1999-12-31T23:59:59.999Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(
                parse_millis(text).map(show).as_deref(),
                Some(stored),
                "{text}"
            );
        }
        for text in [
            "",
            "2025-11-04",
            "yesterday",
            "2025-11-04T00:00:00",
            "2025-11-04_00:00:00Z",
            "2025-11-04T00:00:00\u{2212}05:00",
            "2025-11-04T00:00:00+24:00",
            "2025-11-04T00:00:00+00:60",
            "2025-11-04T00:00:00+0000",
            "2025-11-04T00:00:00.Z",
            "2025-11-04T00:00:00,5Z",
            "2025-11-04T00:00:61Z",
            "2025-11-04T24:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-11-04T00:00Z",
            "+025-11-04T00:00:00Z",
            "2025-11-04T00:00:00Z ",
            "2025-11-0é00:00:00Z",
        ] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
    }
    proptest! {
        /// What is nearly a time: no panic, and what is read can be shown and read again.
        #[test]
        fn no_time_panics(bytes in nearly(vec![
            "2025-11-04T02:00:00.1234+02:00".into(),
            "0000-01-01T00:00:00+23:59".into(),
            "9999-12-31T23:59:60.999999999-23:59".into(),
        ])) {
            let text = String::from_utf8_lossy(&bytes);
            if let Some(millis) = bounded(text.len(), 4, || parse_millis(&text)) {
                let shown = show(millis);
                // Beyond the years of four digits, a time has another form.
                if shown.len() == "2025-11-04T00:00:00.000Z".len() {
                    prop_assert_eq!(parse_millis(&shown), Some(millis));
                }
            }
        }
    }

    #[test]
    fn a_date_is_its_first_instant() {
        let millis = |text| named(text).map(|instant| show(instant.timestamp_millis()));
        for text in ["2025-11-04", "2025-11-04T02:00:00+02:00"] {
            assert_eq!(millis(text).as_deref(), Ok("2025-11-04T00:00:00.000Z"));
        }
        for text in [
            "",
            "yesterday",
            "2025-02-30",
            "2025-11-04T00:00:00",
            "0001-01-01",
        ] {
            assert!(millis(text).is_err(), "{text}");
        }
    }
}
