//! A watch while it goes on: a sparkline for each target on a terminal, a line for each sample elsewhere.

use std::collections::VecDeque;
use std::time::Duration;

use worker::core::event::GateSampled;
use worker::gate::slo::Target;
use worker::gate::verdict::Tally;

use super::time;
use crate::render::text::line;

/// Samples in a sparkline.
const WIDTH: usize = 24;

/// Its heights, and what stands for a gap.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const GAP: char = '·';

/// The newest samples of each target.
pub(crate) struct Lines<'a> {
    targets: &'a [Target],
    samples: VecDeque<GateSampled>,
}

impl<'a> Lines<'a> {
    /// Nothing was sampled yet.
    pub(crate) fn new(targets: &'a [Target]) -> Self {
        Self {
            targets,
            samples: VecDeque::new(),
        }
    }

    /// Takes a sample.
    pub(crate) fn take(&mut self, sample: &GateSampled) {
        self.samples.push_back(sample.clone());
        if self.samples.len() > WIDTH {
            self.samples.pop_front();
        }
    }

    /// A line for each target, and one for the time that is left.
    pub(crate) fn live(&self, tallies: &[Tally], left: Duration) -> Vec<String> {
        let longest = |of: fn(&Target) -> usize| self.targets.iter().map(of).max().unwrap_or(0);
        let names = longest(|target| target.name.chars().count());
        let limits = longest(|target| target.limit.to_string().chars().count());
        let mut lines: Vec<_> = self
            .targets
            .iter()
            .zip(tallies)
            .map(|(target, tally)| {
                let values: Vec<_> = self.samples.iter().map(|of| value(of, target)).collect();
                let last = match values.last().copied().flatten() {
                    Some(value) => target.limit.show(value),
                    None => "unknown".to_owned(),
                };
                let is_well = tally.missed == 0 && tally.gaps == 0;
                format!(
                    "{} {:<names$}  {:<WIDTH$}  {last:>12}  {:<limits$}  {} missed, {} gaps",
                    if is_well { "✅" } else { "❌" },
                    target.name,
                    spark(&values),
                    target.limit.to_string(),
                    tally.missed,
                    tally.gaps,
                )
            })
            .collect();
        lines.push(format!("{} left", time(left)));
        lines
    }

    /// A line for a sample.
    pub(crate) fn plain(&self, sample: &GateSampled) -> String {
        let words = self
            .targets
            .iter()
            .map(|target| match value(sample, target) {
                Some(value) => {
                    let missed = if target.limit.is_met(value) {
                        ""
                    } else {
                        " MISSED"
                    };
                    format!("{} {}{missed}", target.name, target.limit.show(value))
                }
                None => {
                    let why = sample.gaps.get(&target.name);
                    let why = why.map_or(String::new(), |why| line(why));
                    format!("{} unknown ({why})", target.name)
                }
            });
        let words: Vec<_> = words.collect();
        format!("sample {}: {}", sample.tick, words.join(", "))
    }
}

fn value(sample: &GateSampled, target: &Target) -> Option<f64> {
    sample.values.get(&target.name).copied().flatten()
}

/// Heights between the least and the greatest of these values; a gap is none.
fn spark(values: &[Option<f64>]) -> String {
    let known = values.iter().copied().flatten();
    let least = known.clone().fold(f64::INFINITY, f64::min);
    let most = known.fold(f64::NEG_INFINITY, f64::max);
    let height = |value: f64| {
        let share = match most > least {
            true => (value - least) / (most - least),
            false => 0.0,
        };
        // The eighth of the way that it has come.
        let eighths = (1..8_u8).filter(|eighth| share * 8.0 >= f64::from(*eighth));
        HEIGHTS[eighths.count()]
    };
    let sign = |value: &Option<f64>| value.map_or(GAP, height);
    values.iter().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use worker::gate::Slo;

    use super::*;

    #[test]
    fn sparklines_show_heights_and_gaps() {
        let values: Vec<_> = (0..=7).map(|value| Some(f64::from(value))).collect();
        assert_eq!(spark(&values), "▁▂▃▄▅▆▇█");
        assert_eq!(spark(&[Some(3.0), None, Some(3.0)]), "▁·▁");
        assert_eq!(spark(&[None, Some(1.0), Some(0.0)]), "·█▁");
        assert_eq!(spark(&[None]), "·");
    }

    #[test]
    fn each_target_has_its_line() {
        let text = "[environment.a]\nfor = \"2h\"\n[[target]]\nname = \"load\"\nsource = \"probe\"\nurl = \
                    \"http://x/\"\nstatistic = \"max\"\nbelow = \"500 ms\"\n";
        let slo = Slo::parse(text).expect("sound");
        let mut lines = Lines::new(&slo.targets);
        let sample = |tick, value| GateSampled {
            tick,
            values: BTreeMap::from([("load".to_owned(), value)]),
            gaps: BTreeMap::from([("load".to_owned(), "no\u{1b} answer".to_owned())]),
        };
        for tick in 1..=30 {
            lines.take(&sample(tick, Some(0.1)));
        }
        lines.take(&sample(31, Some(0.75)));
        let tally = Tally {
            samples: 31,
            missed: 1,
            ..Tally::default()
        };
        let shown = lines.live(&[tally], Duration::from_millis(90_500));
        assert_eq!(shown.len(), 2);
        for word in ["❌ load", "▁█", "750 ms", "< 500 ms", "1 missed, 0 gaps"] {
            assert!(shown[0].contains(word), "{shown:?}");
        }
        assert_eq!(shown[1], "1m 30s left");
        let plain = lines.plain(&sample(31, Some(0.75)));
        assert_eq!(plain, "sample 31: load 750 ms MISSED");
        let gap = lines.plain(&sample(32, None));
        assert!(gap.contains("unknown") && !gap.contains('\u{1b}'), "{gap}");
    }
}
