//! What all charts share: scales, the time axis, the frame with its text equivalent. A chart is drawn in a box of 1000 by 100
//! that is stretched to whatever room there is; its words stand beside it as text, so that they stay legible.

use std::fmt::Write;

use maud::{Markup, html};

use crate::picture::Picture;
use crate::picture::buckets::Sum;
use crate::picture::fold::{Fold, Sample};
use crate::picture::holds::Hold;
use crate::picture::standing::clock;
use crate::report;

/// The width of the box.
pub(super) const WIDE: f64 = 1_000.0;
/// Its height.
pub(super) const HIGH: f64 = 100.0;
/// From here on a moment's date is told, milliseconds.
const LONG: i64 = 72_000_000;
/// Lines of a chart's table.
const LINES: usize = 12;
/// Kinds of bands that look different.
const LOOKS: usize = 6;

/// The time that a chart shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// From, milliseconds since 1970.
    pub(super) from: i64,
    /// To.
    pub(super) to: i64,
}

impl Span {
    /// The whole run: up to now, where it is open.
    pub(super) fn of(picture: &Picture) -> Self {
        let (run, whole) = (&picture.run, &picture.fold.whole);
        let is_open = matches!(run.state, "running" | "rolling back");
        let last = match is_open {
            true => run.now.max(run.last_at),
            false => run.last_at,
        };
        let drawn = whole
            .iter()
            .next_back()
            .map_or(last, |(from, _)| from + whole.width());
        Self {
            from: run.started_at.min(last),
            to: drawn.max(last).max(run.started_at + 1_000),
        }
    }

    /// Where a moment is, in the box.
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    pub(super) fn x(self, at: i64) -> f64 {
        let share = (at - self.from) as f64 / (self.to - self.from) as f64;
        (share * WIDE).clamp(0.0, WIDE)
    }

    /// What a moment of it is called: with the date, where it lasts for long.
    pub(super) fn label(self, at: i64) -> String {
        match self.to - self.from {
            ..LONG => hour(at),
            _ => clock(at).get(5..16).unwrap_or_default().to_owned(),
        }
    }

    /// Where a stretch of time is: its left end, and how wide it is, enough to be seen.
    pub(super) fn stretch(self, from: i64, to: i64) -> (f64, f64) {
        let (left, right) = (self.x(from), self.x(to));
        (left, (right - left).max(1.5))
    }
}

/// The sums of the run, each with the moments at which its stretch begins and ends, in so many stretches at most.
pub(super) fn condensed(fold: &Fold, most: usize) -> Vec<(i64, i64, Sample)> {
    let width = fold.whole.width();
    let all: Vec<_> = fold.whole.iter().collect();
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return Vec::new();
    };
    let (first, last) = (first.0, last.0);
    let (stretches, most) = ((last - first) / width + 1, i64::try_from(most).unwrap_or(1));
    let each = ((stretches + most - 1) / most).max(1) * width;
    let mut sums: Vec<(i64, i64, Sample)> = Vec::new();
    for (from, sample) in all {
        let start = first + (from - first).div_euclid(each) * each;
        match sums.last_mut() {
            Some((begin, _, sum)) if *begin == start => sum.add(sample.clone()),
            _ => sums.push((start, (start + each).min(last + width), sample.clone())),
        }
    }
    sums
}

/// The same for a chart's table.
pub(super) fn lines(fold: &Fold) -> Vec<(i64, i64, Sample)> {
    condensed(fold, LINES)
}

/// A round number that is no smaller.
pub(super) fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

/// Columns from the bottom, as one path: each with its left end, its right end and its height from 0 to 1.
pub(super) fn columns(columns: impl Iterator<Item = (f64, f64, f64)>) -> String {
    let mut path = String::new();
    for (left, right, share) in columns {
        let top = HIGH * (1.0 - share.clamp(0.0, 1.0));
        let _ = write!(path, "M{left:.1} {HIGH}V{top:.1}H{right:.1}V{HIGH}Z");
    }
    path
}

/// A line of steps, as one path; it is broken where nothing was measured.
pub(super) fn steps(points: impl Iterator<Item = (f64, f64, Option<f64>)>) -> String {
    let (mut path, mut end) = (String::new(), None);
    for (left, right, share) in points {
        let Some(share) = share else {
            end = None;
            continue;
        };
        let y = HIGH * (1.0 - share.clamp(0.0, 1.0));
        let joins = end.is_some_and(|end: f64| (end - left).abs() < 0.05);
        let _ = match joins {
            true => write!(path, "V{y:.1}H{right:.1}"),
            false => write!(path, "M{left:.1} {y:.1}H{right:.1}"),
        };
        end = Some(right);
    }
    path
}

/// The signals of all holds in the order in which they first held: each looks different, as far as there are looks.
pub(super) fn signals(holds: &[Hold]) -> Vec<&str> {
    let mut signals: Vec<&str> = Vec::new();
    for hold in holds {
        if !signals.contains(&hold.signal.as_str()) {
            signals.push(&hold.signal);
        }
    }
    signals
}

/// The class of a band.
pub(super) fn look(signals: &[&str], signal: &str) -> String {
    let place = signals
        .iter()
        .position(|other| *other == signal)
        .unwrap_or(0);
    format!("band b{}", place % LOOKS)
}

/// Bands where processes held.
pub(super) fn bands(holds: &[Hold], span: Span) -> Markup {
    let signals = signals(holds);
    html! {
        @for hold in holds {
            @let (x, width) = span.stretch(hold.from, hold.to.unwrap_or(span.to));
            rect class=(look(&signals, &hold.signal)) x=(format!("{x:.1}")) y="0" width=(format!("{width:.1}")) height=(HIGH) {
                title { (told(hold)) }
            }
        }
    }
}

/// A hold in words.
pub(super) fn told(hold: &Hold) -> String {
    let until = match hold.to {
        Some(to) => format!("to {}", clock(to)),
        None => "and still".to_owned(),
    };
    let limit = match hold.limit.is_empty() {
        true => String::new(),
        false => format!(", limit {}", hold.limit),
    };
    format!(
        "{}: {}{limit}, from {} {until}",
        hold.signal,
        hold.value,
        clock(hold.from)
    )
}

/// What the bands mean.
pub(super) fn legend(holds: &[Hold]) -> Markup {
    let signals = signals(holds);
    html! {
        @for signal in &signals {
            span class="key" {
                svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" {
                    rect class=(look(&signals, signal)) width="10" height="10" {}
                }
                "held: " bdi { (signal) }
            }
        }
    }
}

/// A chart's frame: what is drawn, with words for its axes, and for those who cannot see it.
pub(super) struct Frame<'a> {
    /// What it is called in the page.
    pub(super) id: &'a str,
    /// What it shows.
    pub(super) title: &'a str,
    /// What there is to see, in a sentence or two.
    pub(super) summary: String,
    /// The labels of its vertical axis, from the top.
    pub(super) y: Vec<String>,
    /// The time that it shows.
    pub(super) span: Span,
}

impl Frame<'_> {
    /// The chart.
    pub(super) fn draw(&self, inside: &Markup) -> Markup {
        let (title, desc) = (format!("{}-t", self.id), format!("{}-d", self.id));
        let middle = self.span.from + (self.span.to - self.span.from) / 2;
        html! {
            div class="chart" {
                div class="y" aria-hidden="true" { @for label in &self.y { span { (label) } } }
                svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-labelledby=(format!("{title} {desc}")) {
                    title id=(title) { (self.title) }
                    desc id=(desc) { (self.summary) }
                    @for line in 0..self.y.len().max(2) {
                        @let y = HIGH * share(line, self.y.len().max(2) - 1);
                        line class="grid" x1="0" x2=(WIDE) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
                    }
                    (inside)
                }
                div class="x" aria-hidden="true" {
                    @for at in [self.span.from, middle, self.span.to] { span { (self.span.label(at)) } }
                }
            }
        }
    }
}

/// `place` of `of`.
#[expect(clippy::cast_precision_loss, reason = "a few lines")]
fn share(place: usize, of: usize) -> f64 {
    place as f64 / of.max(1) as f64
}

/// The time of day: `02:13:05`.
pub(super) fn hour(at: i64) -> String {
    let clock = clock(at);
    clock.get(11..19).unwrap_or(&clock).to_owned()
}

/// Rows a second, of rows in so many milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(super) fn per_second(rows: i64, millis: i64) -> f64 {
    rows as f64 * 1_000.0 / millis.max(1) as f64
}

/// A duration for people, to two digits or so: `45 s`, `12 min`, `5 h 20 min`.
#[expect(clippy::cast_possible_truncation, reason = "a duration for people")]
pub(super) fn coarse(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e12).round() as i64;
    match seconds {
        ..60 => format!("{seconds} s"),
        60..5_400 => format!("{} min", (seconds + 30) / 60),
        5_400..172_800 => {
            let minutes = (seconds + 30) / 60;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
        _ => format!("{} days", report::number((seconds + 43_200) / 86_400)),
    }
}

/// Milliseconds for people: `340 ms`, `1.2 s`.
#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
pub(super) fn millis(millis: u64) -> String {
    match millis {
        ..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", millis as f64 / 1_000.0),
        _ => coarse(millis as f64 / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, is) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (480.0, 500.0),
            (999.0, 1_000.0),
        ] {
            assert!((nice(value) - is).abs() < 1e-9, "{value}: {}", nice(value));
        }
    }

    #[test]
    fn durations_are_coarse() {
        for (seconds, is) in [
            (0.4, "0 s"),
            (59.0, "59 s"),
            (61.0, "1 min"),
            (100.0, "2 min"),
            (19_200.0, "5 h 20 min"),
            (864_000.0, "10 days"),
            (f64::INFINITY, "11,574,074 days"),
        ] {
            assert_eq!(coarse(seconds), is);
        }
    }

    #[test]
    fn a_line_is_broken_where_nothing_was_measured() {
        let points = [
            (0.0, 1.0, Some(1.0)),
            (1.0, 2.0, Some(0.0)),
            (2.0, 3.0, None),
            (3.0, 4.0, Some(0.5)),
        ];
        assert_eq!(
            steps(points.into_iter()),
            "M0.0 0.0H1.0V100.0H2.0M3.0 50.0H4.0"
        );
    }
}
