//! `KPIHistory`: every tenant, day, period and metric by itself, each from all rows.

use std::collections::BTreeSet;

use super::sources::{Deal, Job, Snapshot, Sources};
use super::{Bad, Question, is_sound};
use crate::compare::Row;
use crate::json::Json;
use crate::moment::{Moment, civil, day_of};
use crate::source::Value;

const METRICS: [&str; 4] = [
    "arr_run_rate",
    "pipeline_velocity",
    "win_rate",
    "content_ctr",
];
const PERIODS: [&str; 5] = ["7d", "14d", "30d", "qtd", "ytd"];

pub(super) fn expect(sources: &Sources, question: &Question) -> (Vec<Row>, Bad) {
    let last = question.as_of.day();
    let days = question.begun.day() - (question.window_days - 1)..=last;
    let tenants: BTreeSet<&str> = sources
        .campaigns
        .iter()
        .map(|campaign| campaign.tenant.as_str())
        .chain(sources.deals.iter().map(|deal| deal.tenant.as_str()))
        // One that only snapshots know has no computed rows, but theirs.
        .chain(sources.snapshots.iter().map(|one| one.tenant.as_str()))
        .collect();
    let (mut rows, mut bad) = (Vec::new(), bad_sources(sources, question, *days.start()));
    for tenant in tenants {
        if !is_sound(tenant) {
            bad.certain.push(format!("tenant {tenant:?}"));
            continue;
        }
        let own = Tenant::new(sources, tenant);
        for day in days.clone() {
            for period in PERIODS {
                for metric in METRICS {
                    let slot = format!(
                        "{tenant} {metric} {period} {}",
                        Moment::start_of(day).stored()
                    );
                    let computed = own.value(metric, Window::new(period, day));
                    let snapshot = own.snapshot(metric, period, day);
                    match (snapshot, computed) {
                        (Some(found), computed) => {
                            bad.arguable +=
                                usize::from(computed.is_some_and(|value| !value.is_finite()));
                            rows.push(row(
                                metric,
                                found.value,
                                period,
                                Some("executive"),
                                found.metadata.clone(),
                                Moment::start_of(day),
                                tenant,
                            ));
                        }
                        (None, Some(value)) if value.is_finite() => {
                            let metadata = Some("{\"source\": \"computed\"}".to_owned());
                            rows.push(row(
                                metric,
                                value,
                                period,
                                Some("executive"),
                                metadata,
                                Moment::start_of(day),
                                tenant,
                            ));
                        }
                        (None, Some(value)) => bad.certain.push(format!("{slot} is {value}")),
                        (None, None) => {}
                    }
                }
            }
        }
    }
    for snapshot in &sources.snapshots {
        let takes_a_place = is_of_the_table(snapshot) && days.contains(&snapshot.captured.day());
        if !takes_a_place && !question.holds(snapshot.captured) {
            continue;
        }
        if !is_writable(snapshot) {
            bad.certain.push(format!("snapshot {}", snapshot.id));
        } else if !takes_a_place {
            rows.push(row(
                &snapshot.metric,
                snapshot.value,
                &snapshot.period,
                snapshot.department.as_deref(),
                snapshot.metadata.clone(),
                snapshot.captured,
                &snapshot.tenant,
            ));
        }
    }
    (rows, bad)
}

fn row(
    metric: &str,
    value: f64,
    period: &str,
    department: Option<&str>,
    metadata: Option<String>,
    at: Moment,
    tenant: &str,
) -> Row {
    vec![
        Value::Text(metric.to_owned()),
        Value::Double(value),
        Value::Text(period.to_owned()),
        department.map_or(Value::Null, |name| Value::Text(name.to_owned())),
        metadata.map_or(Value::Null, Value::Json),
        Value::Moment(at),
        Value::Text(tenant.to_owned()),
    ]
}

fn is_of_the_table(snapshot: &Snapshot) -> bool {
    METRICS.contains(&snapshot.metric.as_str())
        && PERIODS.contains(&snapshot.period.as_str())
        && matches!(snapshot.department.as_deref(), None | Some("executive"))
}

/// Whether everything that a snapshot carries over can be stored.
fn is_writable(snapshot: &Snapshot) -> bool {
    let holds_nul = |json: &Json| json.to_string().contains("\\u0000");
    let metadata = snapshot.metadata.as_deref().map(Json::parse);
    let department = snapshot.department.as_deref().unwrap_or_default();
    [
        &snapshot.tenant,
        &snapshot.metric,
        &snapshot.period,
        department,
    ]
    .into_iter()
    .all(is_sound)
        && metadata.is_none_or(|json| json.is_ok_and(|json| !holds_nul(&json)))
}

/// Days from the first to the last, both included.
#[derive(Clone, Copy)]
struct Window {
    first: i64,
    last: i64,
}

impl Window {
    fn new(period: &str, last: i64) -> Self {
        let (year, month, _) = civil(last);
        let first = match period {
            "7d" => last - 6,
            "14d" => last - 13,
            "30d" => last - 29,
            "qtd" => day_of(year, (month - 1) / 3 * 3 + 1, 1),
            _ => day_of(year, 1, 1),
        };
        Self { first, last }
    }

    fn holds(self, moment: Moment) -> bool {
        (self.first..=self.last).contains(&moment.day())
    }

    fn days(self) -> f64 {
        f64::from(i32::try_from(self.last - self.first + 1).expect("a window is short"))
    }
}

/// The rows of one tenant, without the bad ones.
struct Tenant<'a> {
    deals: Vec<(&'a Deal, Moment)>,
    jobs: Vec<&'a Job>,
    snapshots: Vec<&'a Snapshot>,
}

impl<'a> Tenant<'a> {
    fn new(sources: &'a Sources, tenant: &str) -> Self {
        let closed = sources
            .deals
            .iter()
            .filter_map(|deal| Some((deal, deal.closed?)));
        Self {
            deals: closed
                .filter(|(deal, _)| deal.tenant == tenant && deal.acv.is_finite())
                .collect(),
            jobs: sources
                .jobs
                .iter()
                .filter(|job| job.tenant == tenant && !job.is_negative())
                .collect(),
            snapshots: sources
                .snapshots
                .iter()
                .filter(|snapshot| snapshot.tenant == tenant && is_writable(snapshot))
                .collect(),
        }
    }

    fn value(&self, metric: &str, window: Window) -> Option<f64> {
        if metric == "content_ctr" {
            let jobs = self.jobs.iter().filter(|job| window.holds(job.at));
            let (shown, clicked) = jobs.fold((0, 0), |(shown, clicked), job| {
                (shown + job.impressions, clicked + job.clicks)
            });
            return (shown > 0).then(|| whole(clicked) / whole(shown));
        }
        let closed: Vec<&Deal> = self
            .deals
            .iter()
            .filter(|(_, at)| window.holds(*at))
            .map(|(deal, _)| *deal)
            .collect();
        let gained = |stage: &str| -> Vec<&Deal> {
            let wanted = closed.iter().filter(|deal| {
                deal.stage == stage && ["new", "expansion"].contains(&deal.kind.as_str())
            });
            wanted.copied().collect()
        };
        let (won, lost) = (gained("ClosedWon"), gained("ClosedLost"));
        match metric {
            "arr_run_rate" => {
                let total = sum(won.iter().map(|deal| deal.acv));
                (!won.is_empty()).then(|| total * 12.0 / (window.days() / 30.0))
            }
            "pipeline_velocity" => {
                let up = won.iter().map(|deal| deal.acv / 12.0);
                let down = closed
                    .iter()
                    .filter(|deal| deal.kind == "churn")
                    .map(|deal| -deal.acv / 12.0);
                (!closed.is_empty()).then(|| sum(up.chain(down)) / window.days())
            }
            _ => {
                let decided = won.len() + lost.len();
                (decided > 0).then(|| count(won.len()) / count(decided))
            }
        }
    }

    /// The snapshot that takes a place: the latest captured, then the highest id. They come in the order that the database
    /// gives to their ids, and of equals the last one is taken.
    fn snapshot(&self, metric: &str, period: &str, day: i64) -> Option<&'a Snapshot> {
        let fitting = self.snapshots.iter().filter(|snapshot| {
            is_of_the_table(snapshot)
                && snapshot.metric == metric
                && snapshot.period == period
                && snapshot.captured.day() == day
        });
        fitting.max_by_key(|snapshot| snapshot.captured).copied()
    }
}

/// Deals and jobs that count nowhere. Whether one outside of every window is even looked at is the worker's to
/// choose, and so is what it calls a row dated after `as_of`.
fn bad_sources(sources: &Sources, question: &Question, first_day: i64) -> Bad {
    let mut bad = Bad::default();
    let starts = PERIODS
        .iter()
        .map(|period| Window::new(period, first_day).first);
    let span = Window {
        first: starts.min().unwrap_or(first_day),
        last: question.as_of.day(),
    };
    let mut judge = |place: &str, tenant: &str, at: Option<Moment>, is_bad: bool| {
        // A tenant that cannot be written is set aside as a whole.
        if !is_sound(tenant) {
            return;
        }
        let later = at.is_some_and(|at| at > question.as_of);
        if is_bad && !later && at.is_some_and(|at| span.holds(at)) {
            bad.certain.push(place.to_owned());
        } else {
            bad.arguable += usize::from(is_bad || later);
        }
    };
    for deal in &sources.deals {
        judge(
            &format!("deal {} of {}", deal.id, deal.acv),
            &deal.tenant,
            deal.closed,
            !deal.acv.is_finite(),
        );
    }
    for job in &sources.jobs {
        judge(
            &format!("job {} with a negative count", job.id),
            &job.tenant,
            Some(job.at),
            job.is_negative(),
        );
    }
    for snapshot in &sources.snapshots {
        judge(
            &snapshot.id,
            &snapshot.tenant,
            Some(snapshot.captured),
            false,
        );
    }
    bad
}

/// A sum whose rounding errors are carried along and added at the end.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = total + value;
        lost += if total.abs() >= value.abs() {
            (total - next) + value
        } else {
            (value - next) + total
        };
        total = next;
    }
    total + lost
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sums of generated counts are far below 2^53"
)]
fn whole(number: i64) -> f64 {
    number as f64
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("few deals"))
}

#[cfg(test)]
mod tests {
    use super::{Window, sum};
    use crate::moment::{civil, day_of};

    #[test]
    fn windows_begin_where_the_contract_says() {
        let last = day_of(2024, 3, 1);
        let first = |period| civil(Window::new(period, last).first);
        assert_eq!(first("7d"), (2024, 2, 24));
        assert_eq!(first("30d"), (2024, 2, 1));
        assert_eq!(first("qtd"), (2024, 1, 1));
        assert_eq!(first("ytd"), (2024, 1, 1));
        assert_eq!(
            civil(Window::new("qtd", day_of(2024, 12, 31)).first),
            (2024, 10, 1)
        );
    }

    #[test]
    fn small_summands_survive_large_ones() {
        assert_eq!(sum([1e17, 0.25, -1e17].into_iter()), 0.25);
    }
}
