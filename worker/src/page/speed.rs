//! Rows a second over time, with holds and restarts.

use maud::{Markup, html};

use super::chart::{self, Frame, Span, columns, nice, per_second};
use crate::picture::Picture;
use crate::picture::standing::clock;
use crate::report::{self, number};

/// Words of the run that are shown, the newest.
const MARKS: usize = 30;

/// Rows read a second, with what happened meanwhile.
pub(super) fn section(picture: &Picture) -> Markup {
    let fold = &picture.fold;
    let span = Span::of(picture);
    let width = fold.whole.width();
    let rates: Vec<_> = fold
        .whole
        .iter()
        .map(|(from, sample)| {
            let (read, removed) = (
                per_second(sample.read, width),
                per_second(sample.removed, width),
            );
            (from, read, removed)
        })
        .collect();
    let top = nice(rates.iter().fold(0.0, |top: f64, (_, read, removed)| {
        top.max(*read).max(*removed)
    }));
    let area = |of: fn(&(i64, f64, f64)) -> f64| {
        columns(
            rates
                .iter()
                .filter(|rate| of(rate) > 0.0)
                .map(|rate| (span.x(rate.0), span.x(rate.0 + width), of(rate) / top)),
        )
    };
    let holds = fold.holds.all();
    let restarts = restarts(picture);
    let undone = rates.iter().any(|(_, _, removed)| *removed > 0.0);
    let frame = Frame {
        id: "c-speed",
        title: "Rows per second over time",
        summary: summary(picture, restarts.len(), holds.len()),
        y: [1.0, 0.5, 0.0]
            .map(|share| report::rate(share * top))
            .into(),
        span,
    };
    html! {
        p class="legend" {
            span class="key" { svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" { rect class="area" width="10" height="10" {} } "rows read" }
            @if undone { span class="key" { svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" { rect class="undo" width="10" height="10" {} } "rows taken back" } }
            @if !restarts.is_empty() { span class="key" { svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" { line class="restart" x1="5" x2="5" y1="0" y2="10" {} } "a process began anew" } }
            (chart::legend(&holds))
        }
        (frame.draw(&html! {
            (chart::bands(&holds, span))
            path class="area" d=(area(|rate| rate.1)) {}
            path class="undo" d=(area(|rate| rate.2)) {}
            @for (at, what) in &restarts {
                @let x = format!("{:.1}", span.x(*at));
                line class="restart" x1=(x) x2=(x) y1="0" y2="100" { title { (what) } }
            }
        }))
        details id="d-speed" {
            summary { "The same as numbers, and what happened" }
            div class="wide" tabindex="0" role="region" aria-label="Rows per second, a table" {
                table {
                    thead { tr { th scope="col" { "from (UTC)" } th scope="col" { "to" } th scope="col" class="n" { "rows/s" } th scope="col" class="n" { "rows read" } th scope="col" class="n" { "bad" } @if undone { th scope="col" class="n" { "taken back" } } } }
                    tbody {
                        @for (from, to, sample) in chart::lines(fold) {
                            tr {
                                td { (span.label(from)) } td { (span.label(to)) }
                                td class="n" { (report::rate(per_second(sample.read, to - from))) }
                                td class="n" { (number(sample.read)) } td class="n" { (number(sample.bad)) }
                                @if undone { td class="n" { (number(sample.removed)) } }
                            }
                        }
                    }
                }
            }
            (happened(picture, &restarts))
        }
    }
}

fn summary(picture: &Picture, restarts: usize, holds: usize) -> String {
    let fold = &picture.fold;
    let read: i64 = fold.whole.iter().map(|(_, sample)| sample.read).sum();
    format!(
        "{} source rows read from {} to {}; {restarts} times a process began anew, {holds} holds. A table follows.",
        number(read),
        clock(picture.run.started_at),
        clock(picture.run.last_at)
    )
}

/// Processes that began where another had ended, or later than the first ones.
fn restarts(picture: &Picture) -> Vec<(i64, String)> {
    let mut restarts: Vec<_> = picture
        .fold
        .processes
        .lanes()
        .iter()
        .flat_map(|lane| lane.iter().skip(1))
        .filter(|process| !process.release.is_empty())
        .map(|process| {
            (
                process.from,
                format!("{} began anew at {}", process.worker, clock(process.from)),
            )
        })
        .collect();
    restarts.sort();
    restarts
}

/// What operators and the run itself did, the newest first.
fn happened(picture: &Picture, restarts: &[(i64, String)]) -> Markup {
    let marks = picture
        .fold
        .marks
        .iter()
        .map(|mark| (mark.at, mark.what.clone()));
    let restarts = restarts.iter().map(|(at, what)| {
        (
            *at,
            what.split(" at ").next().unwrap_or_default().to_owned(),
        )
    });
    let holds = picture
        .fold
        .holds
        .all()
        .into_iter()
        .map(|hold| (hold.from, chart::told(&hold)));
    let mut all: Vec<_> = marks.chain(restarts).chain(holds).collect();
    all.sort_by(|a, b| b.cmp(a));
    all.truncate(MARKS);
    html! {
        h3 { "What happened, the newest first" }
        ol class="events" reversed {
            @for (at, what) in all { li { span class="time" { (clock(at)) } " " bdi { (what) } } }
        }
    }
}
