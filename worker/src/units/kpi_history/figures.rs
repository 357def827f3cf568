//! What a tenant's windows are made of: a prefix sum a day. A window of any length is then a difference of two days.

use std::collections::HashMap;

use super::calendar::Calendar;
use super::exact::Sum;
use super::{METRICS, PERIODS};
use crate::unit::Item;

/// A tenant's figures, by day.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// For each day of the calendar, what came before its end; one more at the front, before the first.
    days: Vec<Day>,
    /// Snapshots that take a computed value's place, by (metric, period, day).
    pub(super) snapshots: HashMap<(usize, usize, i64), Snapshot>,
    /// Deals and publish jobs that count nowhere.
    pub(super) bad: Vec<Item>,
    /// Snapshots that would take a place. The section of snapshots reads them too: they count as read there.
    pub(super) bad_snapshots: Vec<Item>,
    /// How many deals and publish jobs count.
    pub(super) summed: i64,
}

/// Sums up to the end of a day.
#[derive(Clone, Debug, Default)]
pub(super) struct Day {
    /// Yearly value of won deals, new and expansion.
    pub(super) won_value: Sum,
    /// Yearly value of churned deals.
    pub(super) churned_value: Sum,
    /// Deals closed, whatever their stage.
    pub(super) closed: i64,
    /// Of these, new and expansion deals won.
    pub(super) won: i64,
    /// And lost.
    pub(super) lost: i64,
    /// Of publish jobs.
    pub(super) clicks: i64,
    /// Of publish jobs.
    pub(super) impressions: i64,
}

/// A KPI as an earlier report captured it.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) value: f64,
    pub(super) metadata: Metadata,
}

/// A snapshot's metadata: a group of tenants has too many snapshots to keep all of it.
#[derive(Clone, Debug)]
pub(super) enum Metadata {
    /// It is short, or there is none.
    Kept(Option<String>),
    /// It is read again, by the snapshot's key, when its day is written.
    Large { id: String },
}

impl Figures {
    /// Figures of a tenant without any row.
    pub(super) fn new(calendar: &Calendar) -> Self {
        let days = usize::try_from(calendar.days_covered()).unwrap_or(0) + 1;
        Self {
            days: vec![Day::default(); days],
            ..Self::default()
        }
    }

    /// What happened on one day alone, as long as nothing is summed up.
    pub(super) fn day(&mut self, calendar: &Calendar, day: i64) -> &mut Day {
        &mut self.days[calendar.place(day) + 1]
    }

    /// Turns the days' own figures into sums up to each day's end.
    pub(super) fn sum_up(&mut self) {
        for day in 1..self.days.len() {
            let (before, rest) = self.days.split_at_mut(day);
            rest[0].add(&before[day - 1]);
        }
    }

    /// A metric's value over the window from one day to another, both included; none where it has none.
    pub(super) fn value(
        &self,
        metric: usize,
        calendar: &Calendar,
        from: i64,
        to: i64,
    ) -> Option<f64> {
        let before = &self.days[calendar.place(from)];
        let upto = &self.days[calendar.place(to) + 1];
        #[expect(
            clippy::cast_precision_loss,
            reason = "a window has far fewer than 2^53 days"
        )]
        let days = (to - from + 1) as f64;
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts are far below 2^53, and a ratio of larger ones is rounded anyway"
        )]
        let ratio = |numerator: i64, denominator: i64| numerator as f64 / denominator as f64;
        let won = upto.won - before.won;
        let lost = upto.lost - before.lost;
        match METRICS[metric] {
            "arr_run_rate" => {
                let value = upto.won_value.since(&before.won_value).to_f64();
                (won > 0).then(|| value * 12.0 / (days / 30.0))
            }
            "pipeline_velocity" => {
                let mut value = upto.won_value.since(&before.won_value);
                let churned = upto.churned_value.since(&before.churned_value);
                value = value.since(&churned);
                (upto.closed > before.closed).then(|| value.to_f64() / 12.0 / days)
            }
            "win_rate" => (won + lost > 0).then(|| ratio(won, won + lost)),
            _ => {
                let impressions = upto.impressions - before.impressions;
                (impressions > 0).then(|| ratio(upto.clicks - before.clicks, impressions))
            }
        }
    }
}

impl Day {
    fn add(&mut self, before: &Self) {
        self.won_value.add_sum(&before.won_value);
        self.churned_value.add_sum(&before.churned_value);
        self.closed += before.closed;
        self.won += before.won;
        self.lost += before.lost;
        self.clicks += before.clicks;
        self.impressions += before.impressions;
    }
}

/// The place of a metric and period in the contract's table; none where they are not in it.
pub(super) fn slot(metric: &str, period: &str) -> Option<(usize, usize)> {
    let metric = METRICS.iter().position(|name| *name == metric)?;
    let period = PERIODS.iter().position(|name| *name == period)?;
    Some((metric, period))
}
