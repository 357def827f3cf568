//! A verdict: samples folded into what each target came to. Pure: no clock, no source.

use std::collections::BTreeMap;
use std::time::Duration;

use super::slo::Target;
use crate::core::event::{GateSampled, TargetJudged};

/// How a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was watched for as long as it was to be.
    Complete,
    /// Somebody asked to stop.
    Interrupted,
    /// A target was missed, and the first miss was to end it.
    FailedFast,
}

/// What a target came to so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Samples with a value.
    pub samples: u64,
    /// Those among them that missed the target.
    pub missed: u64,
    /// Samples without a value, those that were never taken included.
    pub gaps: u64,
    /// The worst value.
    pub worst: Option<f64>,
    /// Why there was no value the first time.
    pub first_gap: Option<String>,
}

/// The samples of a watch, folded.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    targets: &'a [Target],
    tallies: Vec<Tally>,
    /// The place of the next sample.
    next: u64,
}

/// Why a sample is missing for all targets at once.
const NOT_TAKEN: &str =
    "the sample was not taken in time: the machine slept, or the one before took too long";

impl<'a> Verdict<'a> {
    /// Nothing was sampled yet.
    #[must_use]
    pub fn new(targets: &'a [Target]) -> Self {
        Self {
            targets,
            tallies: vec![Tally::default(); targets.len()],
            next: 1,
        }
    }

    /// Takes a sample; those between the one before and it were not taken.
    pub fn take(&mut self, sample: &GateSampled) {
        self.skip_to(sample.tick);
        self.next = sample.tick + 1;
        for (target, tally) in self.targets.iter().zip(&mut self.tallies) {
            match sample.values.get(&target.name).copied().flatten() {
                Some(value) => {
                    tally.samples += 1;
                    tally.missed += u64::from(!target.limit.is_met(value));
                    let worst = tally.worst.unwrap_or(value);
                    tally.worst = Some(target.limit.worse(worst, value));
                }
                None => {
                    let why = sample.gaps.get(&target.name);
                    tally.gap(1, why.map_or("nothing was measured", String::as_str));
                }
            }
        }
    }

    fn skip_to(&mut self, tick: u64) {
        let missing = tick.saturating_sub(self.next);
        if missing > 0 {
            for tally in &mut self.tallies {
                tally.gap(missing, NOT_TAKEN);
            }
        }
    }

    /// What each target came to so far, in their order.
    #[must_use]
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Whether more of a target is missed, or unknown, than it allows, however many samples follow, of so many in all.
    #[must_use]
    pub fn is_lost(&self, due: u64) -> bool {
        let mut both = self.targets.iter().zip(&self.tallies);
        both.any(|(target, tally)| !tally.is_within(target, due.max(1)))
    }

    /// The verdict, where so many samples were due: what each target came to, and why the gate is closed; no reason: it is
    /// open.
    #[must_use]
    pub fn judge(
        mut self,
        due: u64,
        ending: Ending,
        watched: Duration,
        length: Duration,
    ) -> (BTreeMap<String, TargetJudged>, Vec<String>) {
        self.skip_to(due + 1);
        let mut reasons = Vec::new();
        let mut judged = BTreeMap::new();
        for (target, tally) in self.targets.iter().zip(self.tallies) {
            let met = tally.samples > 0 && tally.is_within(target, due);
            if !met {
                reasons.push(tally.reason(target, due));
            }
            judged.insert(
                target.name.clone(),
                TargetJudged {
                    met,
                    limit: target.limit.to_string(),
                    worst: tally.worst,
                    samples: tally.samples,
                    missed: tally.missed,
                    gaps: tally.gaps,
                },
            );
        }
        let how = match ending {
            Ending::Complete => None,
            Ending::Interrupted => Some("it was interrupted"),
            Ending::FailedFast => Some("the first miss ended it"),
        };
        if let Some(how) = how {
            let seconds = |length: Duration| {
                humantime::format_duration(Duration::from_secs(length.as_secs())).to_string()
            };
            reasons.push(format!(
                "not watched to the end: {how} after {} of {}",
                seconds(watched),
                seconds(length)
            ));
        }
        (judged, reasons)
    }
}

impl Tally {
    fn gap(&mut self, gaps: u64, why: &str) {
        self.gaps += gaps;
        self.first_gap.get_or_insert_with(|| why.to_owned());
    }

    /// Whether no more than the target allows is missed or unknown, where so many samples are due.
    #[expect(clippy::cast_precision_loss, reason = "a share of samples")]
    fn is_within(&self, target: &Target, due: u64) -> bool {
        self.gaps <= target.allow_gaps && self.missed as f64 <= target.allow_missed * due as f64
    }

    fn reason(&self, target: &Target, due: u64) -> String {
        let mut parts = Vec::new();
        if self.missed > 0 {
            let worst = self
                .worst
                .map_or(String::new(), |worst| target.limit.show(worst));
            parts.push(format!(
                "{} of {due} samples missed {}, the worst {worst}",
                self.missed, target.limit
            ));
        }
        if self.gaps > 0 {
            let why = self.first_gap.as_deref().unwrap_or_default();
            parts.push(format!(
                "unknown in {} of {due} samples, first because: {why}",
                self.gaps
            ));
        }
        if parts.is_empty() {
            parts.push("it was never sampled".into());
        }
        format!("{}: {}", target.name, parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Slo;

    fn targets(more: &str) -> Vec<Target> {
        let text = format!(
            "{more}\n[environment.staging]\nfor = \"2h\"\n[[target]]\nname = \"a\"\nsource = \"probe\"\nurl = \
             \"http://x/\"\nstatistic = \"max\"\nbelow = \"500 ms\"\n"
        );
        Slo::parse(&text).expect("sound").targets
    }

    fn sample(tick: u64, value: Option<f64>) -> GateSampled {
        let gaps = match value {
            Some(_) => BTreeMap::new(),
            None => BTreeMap::from([("a".to_owned(), "no connection".to_owned())]),
        };
        GateSampled {
            tick,
            values: BTreeMap::from([("a".to_owned(), value)]),
            gaps,
        }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    fn judged(more: &str, due: u64, samples: &[GateSampled]) -> (TargetJudged, Vec<String>) {
        let targets = targets(more);
        let mut verdict = Verdict::new(&targets);
        for sample in samples {
            verdict.take(sample);
        }
        let (mut targets, reasons) = verdict.judge(due, Ending::Complete, HOUR, HOUR);
        (targets.remove("a").expect("a"), reasons)
    }

    #[test]
    fn it_is_open_where_every_sample_is_met() {
        let samples = [sample(1, Some(0.1)), sample(2, Some(0.3))];
        let (target, reasons) = judged("", 2, &samples);
        assert_eq!(reasons, Vec::<String>::new());
        assert!(target.met && target.worst == Some(0.3) && target.samples == 2);
    }

    #[test]
    fn one_miss_closes_it() {
        let samples = [sample(1, Some(0.5)), sample(2, Some(0.3))];
        let (target, reasons) = judged("", 2, &samples);
        assert!(!target.met && target.missed == 1);
        assert_eq!(
            reasons,
            ["a: 1 of 2 samples missed < 500 ms, the worst 500 ms"]
        );
    }

    #[test]
    fn a_gap_is_not_a_pass() {
        for (due, samples, word) in [
            (
                2,
                vec![sample(1, Some(0.1)), sample(2, None)],
                "no connection",
            ),
            (
                3,
                vec![sample(1, Some(0.1)), sample(3, Some(0.1))],
                "not taken",
            ),
            (
                3,
                vec![sample(1, Some(0.1)), sample(2, Some(0.1))],
                "not taken",
            ),
            (1, vec![], "not taken"),
            (0, vec![], "never sampled"),
        ] {
            let (target, reasons) = judged("", due, &samples);
            assert!(!target.met, "{samples:?}");
            assert_eq!(target.samples + target.gaps, due);
            assert!(reasons[0].contains(word), "{reasons:?}");
        }
    }

    #[test]
    fn what_is_allowed_is_allowed_and_no_more() {
        let allowed = "allow_missed = \"34 %\"\nallow_gaps = 1";
        let some = [sample(1, Some(0.1)), sample(2, Some(0.9)), sample(3, None)];
        assert!(judged(allowed, 3, &some).0.met);
        let more = [sample(1, Some(0.9)), sample(2, Some(0.9)), sample(3, None)];
        assert!(!judged(allowed, 3, &more).0.met);
        assert!(!judged(allowed, 4, &some).0.met);
    }

    #[test]
    fn what_was_not_watched_to_its_end_is_closed() {
        let targets = targets("");
        for (ending, word) in [
            (Ending::Interrupted, "interrupted after 10s of 1h"),
            (Ending::FailedFast, "first miss"),
        ] {
            let mut verdict = Verdict::new(&targets);
            verdict.take(&sample(1, Some(0.1)));
            let (_, reasons) = verdict.judge(1, ending, Duration::from_millis(10_400), HOUR);
            assert!(
                reasons.len() == 1 && reasons[0].contains(word),
                "{reasons:?}"
            );
        }
    }

    #[test]
    fn a_lost_verdict_is_known_early() {
        let targets = targets("allow_missed = \"50 %\"");
        let mut verdict = Verdict::new(&targets);
        verdict.take(&sample(1, Some(0.9)));
        assert!(!verdict.is_lost(2));
        verdict.take(&sample(2, Some(0.9)));
        assert!(verdict.is_lost(2));
    }
}
