//! Days and periods: which days a run computes, and where each period's window begins. Days are counted from 1970.

use chrono::{DateTime, Datelike, NaiveDate};

use super::PERIODS;
use crate::source::Source;
use crate::time::DAY;

/// The days that a run computes KPIs for, and those that their windows reach back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    /// The first day with rows.
    pub(super) first_day: i64,
    /// The last, `as_of`'s.
    pub(super) last_day: i64,
    /// The earliest day of any window.
    start: i64,
}

impl Calendar {
    /// The days of the window that began with the run, up to the instant that it stands for now.
    pub(super) fn new(source: &Source) -> Self {
        let last_day = source.as_of.div_euclid(DAY);
        let first_day = source.begun.div_euclid(DAY) - i64::from(source.window_days.max(1)) + 1;
        let starts = (0..PERIODS.len()).map(|period| window_start(period, first_day));
        Self {
            first_day,
            last_day,
            start: starts.min().unwrap_or(first_day),
        }
    }

    /// From the first instant of the earliest window to the end of the last day, excluded.
    pub(super) fn covered(&self) -> (i64, i64) {
        (self.start * DAY, (self.last_day + 1) * DAY)
    }

    pub(super) fn days_covered(&self) -> i64 {
        self.last_day - self.start + 1
    }

    /// A covered day's place, from 0.
    pub(super) fn place(&self, day: i64) -> usize {
        let place = (day - self.start).clamp(0, self.days_covered() - 1);
        usize::try_from(place).unwrap_or(0)
    }
}

/// The first day of the window of a period that ends on a day.
pub(super) fn window_start(period: usize, day: i64) -> i64 {
    match PERIODS[period] {
        "7d" => day - 6,
        "14d" => day - 13,
        "30d" => day - 29,
        "qtd" => first_of(day, |date| date.month0() / 3 * 3 + 1),
        _ => first_of(day, |_| 1),
    }
}

/// The first day of a month of the day's year.
fn first_of(day: i64, month: impl Fn(NaiveDate) -> u32) -> i64 {
    let Some(instant) = DateTime::from_timestamp_millis(day * DAY) else {
        return day;
    };
    let date = instant.date_naive();
    let first = NaiveDate::from_ymd_opt(date.year(), month(date), 1).unwrap_or(date);
    day - (date - first).num_days()
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::window_start;

    fn day(year: i32, month: u32, day: u32) -> i64 {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");
        let date = NaiveDate::from_ymd_opt(year, month, day).expect("a date");
        (date - epoch).num_days()
    }

    #[test]
    fn windows_begin_where_the_contract_says() {
        let last = day(2025, 11, 4);
        assert_eq!(window_start(0, last), day(2025, 10, 29));
        assert_eq!(window_start(1, last), day(2025, 10, 22));
        assert_eq!(window_start(2, last), day(2025, 10, 6));
        assert_eq!(window_start(3, last), day(2025, 10, 1));
        assert_eq!(window_start(4, last), day(2025, 1, 1));
        assert_eq!(window_start(3, day(2024, 3, 31)), day(2024, 1, 1));
        assert_eq!(window_start(3, day(2024, 4, 1)), day(2024, 4, 1));
    }
}
