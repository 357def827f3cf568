//! How long batches took, above how large they were, with bands where processes held.

use maud::{Markup, html};

use super::chart::{self, Frame, Span, columns, millis, nice, steps};
use crate::picture::Picture;
use crate::report::number;

/// The percentiles that are drawn, and their classes.
const DRAWN: [(u64, &str); 3] = [(99, "p99"), (95, "p95"), (50, "p50")];

/// Both charts, one above the other.
pub(super) fn section(picture: &Picture) -> Markup {
    let fold = &picture.fold;
    let span = Span::of(picture);
    let width = fold.whole.width();
    let holds = fold.holds.all();
    let decades = decades(picture);
    let lines = DRAWN.map(|(percent, class)| {
        let points = fold.whole.iter().map(|(from, sample)| {
            let took = sample.took.percentile(percent);
            (
                span.x(from),
                span.x(from + width),
                took.map(|took| decades.place(took)),
            )
        });
        (class, steps(points))
    });
    let sizes: Vec<_> = fold
        .whole
        .iter()
        .filter(|(_, sample)| sample.batches > 0)
        .map(|(from, sample)| (from, size(sample.read, sample.batches)))
        .collect();
    let top = nice(sizes.iter().fold(0.0, |top: f64, (_, size)| top.max(*size)));
    let took = Frame {
        id: "c-took",
        title: "How long batches took, over time",
        summary: summary(picture),
        y: decades.labels(),
        span,
    };
    let large = Frame {
        id: "c-size",
        title: "Source rows a batch, over time",
        summary: format!(
            "Up to {} source rows a batch on average. A table follows.",
            crate::report::rate(top)
        ),
        y: [1.0, 0.0]
            .map(|share| crate::report::rate(share * top))
            .into(),
        span,
    };
    html! {
        p class="legend" {
            @for (percent, class) in DRAWN.into_iter().rev() {
                span class="key" {
                    svg class="swatch line" viewBox="0 0 30 10" aria-hidden="true" { path class=(class) d="M0 5H30" {} }
                    "p" (percent)
                }
            }
            (chart::legend(&holds))
        }
        h3 { "Time a batch took" }
        (took.draw(&html! {
            (chart::bands(&holds, span))
            @for (class, path) in &lines { path class=(class) d=(path) {} }
        }))
        h3 { "Source rows a batch" }
        div class="low" {
            (large.draw(&html! {
                (chart::bands(&holds, span))
                path class="area" d=(columns(sizes.iter().map(|(from, size)| (span.x(*from), span.x(from + width), size / top)))) {}
            }))
        }
        details id="d-batches" {
            summary { "The same as numbers" }
            div class="wide" tabindex="0" role="region" aria-label="Batches, a table" {
                table {
                    thead { tr {
                        th scope="col" { "from (UTC)" } th scope="col" class="n" { "batches" }
                        @for percent in [50, 95, 99] { th scope="col" class="n" { "p" (percent) } }
                        th scope="col" class="n" { "rows a batch" }
                    } }
                    tbody {
                        @for (from, _, sample) in chart::lines(fold) {
                            tr {
                                td { (span.label(from)) } td class="n" { (number(sample.batches)) }
                                @for percent in [50, 95, 99] {
                                    td class="n" { (sample.took.percentile(percent).map_or("–".to_owned(), millis)) }
                                }
                                td class="n" { (crate::report::rate(size(sample.read, sample.batches))) }
                            }
                        }
                    }
                }
            }
            p { "A time is what a batch's transaction had taken when its event was made: the rows are written then, the commit follows. Percentiles are exact to a sixteenth." }
            (sums(picture))
        }
    }
}

/// What holds summed up to.
fn sums(picture: &Picture) -> Markup {
    let sums = picture.fold.holds.sums();
    html! {
        @if !sums.is_empty() {
            table {
                caption { "Holds that are over" }
                thead { tr { th scope="col" { "held for" } th scope="col" class="n" { "holds" } th scope="col" class="n" { "together" } } }
                tbody {
                    @for (signal, (count, sum)) in sums {
                        tr {
                            th scope="row" { bdi { (signal) } }
                            td class="n" { (number(i64::try_from(*count).unwrap_or(i64::MAX))) }
                            td class="n" { (millis(*sum)) }
                        }
                    }
                }
            }
        }
    }
}

fn summary(picture: &Picture) -> String {
    let all = chart::condensed(&picture.fold, 1);
    let told = all.first().and_then(|(_, _, sample)| {
        let [p50, p95, p99] = [50, 95, 99].map(|percent| sample.took.percentile(percent));
        Some(format!(
            "Of all batches, half took up to {}, 95 of a hundred up to {}, 99 up to {}. A table follows.",
            millis(p50?),
            millis(p95?),
            millis(p99?)
        ))
    });
    told.unwrap_or_else(|| "No batch tells how long it took.".to_owned())
}

/// Source rows a batch.
#[expect(clippy::cast_precision_loss, reason = "an average for people")]
fn size(read: i64, batches: i64) -> f64 {
    read as f64 / batches.max(1) as f64
}

/// Powers of ten, milliseconds: what times are drawn between.
#[derive(Clone, Copy, Debug)]
struct Decades {
    low: u32,
    high: u32,
}

fn decades(picture: &Picture) -> Decades {
    let times = picture.fold.whole.iter();
    let times: Vec<_> = times
        .flat_map(|(_, sample)| [50, 99].map(|percent| sample.took.percentile(percent)))
        .flatten()
        .map(|took| took.max(1))
        .collect();
    let low = times.iter().min().map_or(1, |least| least.ilog10());
    let high = times.iter().max().map_or(2, |most| most.ilog10() + 1);
    Decades {
        low,
        high: high.max(low + 1),
    }
}

impl Decades {
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    fn place(self, took: u64) -> f64 {
        let power = (took.max(1) as f64).log10();
        (power - f64::from(self.low)) / f64::from(self.high - self.low)
    }

    fn labels(self) -> Vec<String> {
        (self.low..=self.high)
            .rev()
            .map(|power| label(10_u64.pow(power)))
            .collect()
    }
}

fn label(took: u64) -> String {
    match took {
        ..1_000 => format!("{took} ms"),
        _ => format!("{} s", took / 1_000),
    }
}
