//! Requests of our own: how long an address takes to answer, and how often it does not as it should.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::Agent;
use url::Url;

use super::http::{self, Authorities};
use super::target::Quantity;
use super::{Measured, Trouble};

/// Requests in a sample where the file says nothing.
pub const REQUESTS: u32 = 10;

/// Requests in a sample at most.
pub const MOST: u32 = 1_000;

/// How much of an answer is read; a page that people wait for is smaller.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// A probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What is asked for.
    pub url: Url,
    /// The status of a good answer.
    pub expect: u16,
    /// Requests in a sample, one after the other.
    pub requests: u32,
    /// How long each may take.
    pub timeout: Duration,
    /// What is made of them.
    pub statistic: Statistic,
    /// A file of certificates in PEM to trust in place of the public authorities.
    pub ca: Option<PathBuf>,
}

/// What is made of a sample's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The time within which half of them were answered.
    P50,
    /// The time within which 95 % were.
    P95,
    /// The time within which 99 % were.
    P99,
    /// The time of the slowest.
    Max,
    /// The share of those that were not answered as expected.
    ErrorRate,
}

impl Statistic {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::P50, Self::P95, Self::P99, Self::Max, Self::ErrorRate];

    /// As the file names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::ErrorRate => "error-rate",
        }
    }

    /// What it measures.
    #[must_use]
    pub fn quantity(self) -> Quantity {
        match self {
            Self::ErrorRate => Quantity::Share,
            _ => Quantity::Time,
        }
    }

    /// In hundredths of the requests; none for what is no percentile.
    fn percentile(self) -> Option<u64> {
        match self {
            Self::P50 => Some(50),
            Self::P95 => Some(95),
            Self::P99 => Some(99),
            Self::Max => Some(100),
            Self::ErrorRate => None,
        }
    }
}

/// How a request ended: how long it took, or why it does not count as answered.
type Answer = Result<Duration, String>;

/// Takes a sample: blocks for as long as the requests take, at most until `deadline`. Requests that it leaves no time for
/// count as not answered.
///
/// # Errors
/// A percentile falls among requests that were not answered as expected.
pub fn sample(probe: &Probe, authorities: Option<&Authorities>, deadline: Instant) -> Measured {
    let agent = http::agent(authorities);
    let answers: Vec<_> = (0..probe.requests)
        .map(|_| request(&agent, probe, deadline))
        .collect();
    judge(&answers, probe.statistic)
}

fn request(agent: &Agent, probe: &Probe, deadline: Instant) -> Answer {
    let begun = Instant::now();
    let left = deadline.saturating_duration_since(begun);
    if left.is_zero() {
        return Err(
            "the requests before it took all the time that there is between two samples".into(),
        );
    }
    let timeout = probe.timeout.min(left);
    let told = |error| http::trouble(&error, timeout).why().to_owned();
    let request = agent.get(probe.url.as_str());
    let request = request.config().timeout_global(Some(timeout)).build();
    let mut answer = request.call().map_err(told)?;
    // A page is loaded once it is here to its end.
    let mut body = answer.body_mut().with_config().limit(MOST_BYTES).reader();
    std::io::copy(&mut body, &mut std::io::sink())
        .map_err(|_| format!("the answer broke off, or took more than {timeout:?}"))?;
    match answer.status().as_u16() {
        status if status == probe.expect => Ok(begun.elapsed()),
        status => Err(format!("status {status} in place of {}", probe.expect)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a thousand requests at most")]
fn judge(answers: &[Answer], statistic: Statistic) -> Measured {
    let failed: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .collect();
    let Some(percentile) = statistic.percentile() else {
        return Ok(failed.len() as f64 / answers.len() as f64);
    };
    let mut times: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    times.sort();
    // The nearest rank: so many of them took no longer. What was not answered took longer than all.
    let rank = (percentile * answers.len() as u64).div_ceil(100).max(1);
    let place = usize::try_from(rank - 1).unwrap_or(usize::MAX);
    match times.get(place) {
        Some(time) => Ok(time.as_secs_f64()),
        None => Err(Trouble::Gap(format!(
            "{} of {} requests failed: {}",
            failed.len(),
            answers.len(),
            failed.first().map_or("", |why| why.as_str())
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(good: u64, bad: usize) -> Vec<Answer> {
        let good = (1..=good).rev().map(|n| Ok(Duration::from_secs(n)));
        let bad = std::iter::repeat_n(Err("status 500".to_owned()), bad);
        good.chain(bad).collect()
    }

    fn value(answers: &[Answer], statistic: Statistic) -> f64 {
        judge(answers, statistic).expect("a value")
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let twenty = answers(20, 0);
        for (statistic, seconds) in [
            (Statistic::P50, 10.0),
            (Statistic::P95, 19.0),
            (Statistic::P99, 20.0),
            (Statistic::Max, 20.0),
            (Statistic::ErrorRate, 0.0),
        ] {
            let found = value(&twenty, statistic);
            assert!((found - seconds).abs() < 1e-9, "{statistic:?}: {found}");
        }
        assert!((value(&answers(1, 0), Statistic::P50) - 1.0).abs() < 1e-9);
    }

    /// A page that fails fast is not a fast page.
    #[test]
    fn what_failed_counts_as_slower_than_all() {
        let one = answers(19, 1);
        assert!((value(&one, Statistic::P95) - 19.0).abs() < 1e-9);
        assert!((value(&one, Statistic::ErrorRate) - 0.05).abs() < 1e-9);
        let gap = judge(&answers(18, 2), Statistic::P95).expect_err("a gap");
        assert_eq!(gap.why(), "2 of 20 requests failed: status 500");
        assert!(judge(&answers(0, 3), Statistic::P50).is_err());
    }
}
