//! How the run stands: the first thing that somebody who is woken reads.

use maud::{Markup, html};

use super::chart::coarse;
use crate::picture::Picture;
use crate::picture::left::Left;
use crate::picture::standing::{Tone, clock};
use crate::report;

/// How the run stands, in one line without numbers that change all the time: what a screen reader tells when it changes.
pub(super) fn line(picture: &Picture) -> String {
    let standing = &picture.standing;
    format!("{}: {}", standing.word, standing.why)
}

/// How long it will still take.
pub(super) fn left(left: &Left) -> String {
    let (low, high) = (coarse(left.low), coarse(left.high));
    let range = match low == high {
        true => format!("about {low} left"),
        false => format!("{low} to {high} left"),
    };
    match left.is_at_least {
        true => format!("{range}, and the units that have not begun"),
        false => range,
    }
}

/// How much of it is done, and how long the rest will take; none where it is over.
fn told(picture: &Picture) -> Option<String> {
    if picture.run.state != "running" || picture.run.following.is_some() {
        return None;
    }
    let (read, expected) = picture
        .run
        .units
        .iter()
        .fold((0, 0), |(read, expected), unit| {
            (
                read + unit.read.min(unit.expected),
                expected + unit.expected,
            )
        });
    let done = match picture
        .units
        .iter()
        .all(|unit| unit.percent >= 100.0 || unit.state.starts_with("catching up"))
    {
        true => "all is written once, late rows are looked for".to_owned(),
        false => format!(
            "{} % of the source rows counted so far",
            share(read, expected)
        ),
    };
    Some(match &picture.left {
        Some(left) => {
            let once = match picture.standing.tone {
                Tone::Good => "",
                _ => " once it goes on",
            };
            format!("{done}, {}{once}", self::left(left))
        }
        None => done,
    })
}

/// How many of a hundred, rounded down.
fn share(part: i64, of: i64) -> i64 {
    (100 * part).checked_div(of).unwrap_or(0)
}

/// The class of a tone.
pub(super) fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Waits => "waits",
        Tone::Bad => "bad",
        Tone::Quiet => "quiet",
    }
}

/// The state, and the whole run's bar.
pub(super) fn section(picture: &Picture) -> Markup {
    let (standing, run) = (&picture.standing, &picture.run);
    let icon = match standing.tone {
        Tone::Good => "●",
        Tone::Waits => "❚❚",
        Tone::Bad => "▲",
        Tone::Quiet => "○",
    };
    let written: i64 = picture.units.iter().map(|unit| unit.written).sum();
    let bad: i64 = picture.units.iter().map(|unit| unit.quarantined).sum();
    html! {
        div class=(format!("state {}", class(standing.tone))) {
            p class="word" { span class="icon" aria-hidden="true" { (icon) } (standing.word) }
            p class="why" { bdi { (standing.why) } }
            @if let Some(told) = told(picture) { p class="left" { (told) } }
            @if let Some(next) = &standing.next { p class="next" { "→ " bdi { (next) } } }
        }
        dl class="facts" {
            div { dt { "rows written" } dd id="rows-written" { (report::number(written)) } }
            div { dt { "set aside as bad" } dd { (report::number(bad)) } }
            @if let Some((rate, _)) = now(picture) { div { dt { "rows read per second" } dd { (report::rate(rate)) } } }
            @if let Some(following) = &run.following {
                div {
                    dt { "behind the sources" }
                    dd { (following.behind_millis.map_or("not known yet".to_owned(), |millis| {
                        super::chart::millis(millis.max(0).unsigned_abs())
                    })) }
                }
            }
            div { dt { "as of" } dd class="time" { (clock(run.as_of)) } }
            div { dt { "began" } dd class="time" { (clock(run.started_at)) } }
            div { dt { "last event" } dd class="time" { (clock(run.last_at)) } }
        }
        @if let Some(steered) = run.steered.as_ref().filter(|steered| !steered.settings.is_empty()) {
            p {
                "Set by operators: "
                @for (setting, value) in &steered.settings { code { (setting.name()) "=" (value) } " " }
            }
        }
        @if !picture.is_whole {
            p class="note" { "The journal is still being read: charts and counts of events below are growing." }
        }
        @if picture.unread > 0 {
            p class="note" {
                (report::number(picture.unread.try_into().unwrap_or(i64::MAX)))
                " events of a newer release are left out: open this page with that one."
            }
        }
    }
}

/// Rows read a second in the last half minute or so, and the moment from which it was counted; none where the run is not
/// under way.
fn now(picture: &Picture) -> Option<(f64, i64)> {
    if picture.run.state != "running" {
        return None;
    }
    let newest = &picture.fold.newest;
    let from = picture.run.now - 3 * newest.width();
    let read: i64 = newest
        .iter()
        .filter(|(at, _)| *at >= from)
        .map(|(_, sample)| sample.read)
        .sum();
    let begin = from.div_euclid(newest.width()) * newest.width() + newest.width();
    let begin = begin.max(picture.run.started_at);
    Some((
        super::chart::per_second(read, picture.run.now - begin),
        begin,
    ))
}
