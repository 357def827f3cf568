//! Instants: RFC 3339 in, milliseconds since 1970 out, rounded as PostgreSQL rounds.

use chrono::{DateTime, Utc};

/// Milliseconds in a day.
pub const DAY: i64 = 86_400_000;

/// Microseconds from 1970 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// The instant that a text in RFC 3339 names (any offset), as `timestamp(3)` stores it; none where it names none.
///
/// PostgreSQL first rounds the fraction to microseconds (ties to even), then the microseconds since 2000 to
/// milliseconds (ties away from zero): `ParseFractionalSecond` and `AdjustTimestampForTypmod` in its sources.
#[must_use]
pub fn parse_millis(text: &str) -> Option<i64> {
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    // A leap second carries 1,000,000,000 nanoseconds and more: it is the next minute's first.
    let fraction = f64::from(instant.timestamp_subsec_nanos()) / 1e9;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fraction is below 2, so this is below 2,000,001"
    )]
    let micros = (fraction * 1e6).round_ties_even() as i64;
    let micros = instant.timestamp().checked_mul(1_000_000)? + micros - EPOCH_2000;
    let millis = if micros >= 0 {
        (micros + 500) / 1_000
    } else {
        -((-micros + 500) / 1_000)
    };
    Some(millis + EPOCH_2000 / 1_000)
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
    use super::{parse_millis, show};

    /// What PostgreSQL 15 answers to `SELECT '…'::timestamptz(3)`.
    #[test]
    fn instants_are_rounded_as_postgresql_rounds() {
        for (text, stored) in [
            ("2025-11-04T00:00:00Z", "2025-11-04T00:00:00.000Z"),
            ("2025-11-04T02:00:00.1234+02:00", "2025-11-04T00:00:00.123Z"),
            ("2025-11-04T00:00:00.0005Z", "2025-11-04T00:00:00.001Z"),
            ("2025-11-04T00:00:00.0004999Z", "2025-11-04T00:00:00.001Z"),
            ("2025-11-04T00:00:00.0004994Z", "2025-11-04T00:00:00.000Z"),
            ("2024-12-31T23:59:59.9996Z", "2025-01-01T00:00:00.000Z"),
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
        for text in ["", "2025-11-04", "yesterday", "2025-11-04T00:00:00"] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
    }
}
