//! The journal as a timeline: a lane for each worker, when it committed, when it held, and the gap that a crash left.

use maud::{Markup, html};

use super::chart::{self, HIGH, Span};
use crate::picture::Picture;
use crate::picture::holds::Hold;
use crate::picture::process::{Lane, Life, Process};
use crate::picture::standing::clock;
use crate::report::number;

/// Lanes that are drawn.
const LANES: usize = 24;
/// Processes of the table, the newest.
const LINES: usize = 40;

/// The lanes, and their processes as a table.
pub(super) fn section(picture: &Picture) -> Markup {
    let span = Span::of(picture);
    let lanes = picture.fold.processes.lanes();
    let holds = picture.fold.holds.all();
    let crashes = lanes
        .iter()
        .flatten()
        .filter(|process| picture.life(process) == Life::Silent)
        .count();
    html! {
        p class="legend" {
            span class="key" { svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" { rect class="done" width="10" height="10" {} } "commits batches" }
            span class="key" { svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" { rect class="idle" width="10" height="10" {} } "there, without a batch" }
            @if crashes > 0 { span class="key" { svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" { rect class="gap" width="10" height="10" {} } "gap after it ended without a word" } }
            (chart::legend(&holds))
        }
        @if lanes.is_empty() { p { "No process has begun to work on it." } }
        div class="lanes" {
            @for (place, lane) in lanes.iter().take(LANES).enumerate() {
                div class="lane" {
                    span class="name" { "Lane " (place + 1) @if let Some(last) = lane.last() { span class="sub" { (last.worker) } } }
                    (draw(picture, lane, place, &holds, span))
                }
            }
            div class="lane" aria-hidden="true" {
                span class="name" {}
                div class="x" { @for at in [span.from, span.from + (span.to - span.from) / 2, span.to] { span { (span.label(at)) } } }
            }
        }
        @if lanes.len() > LANES { p { "and " (lanes.len() - LANES) " more lanes" } }
        (table(picture))
    }
}

fn draw(picture: &Picture, lane: &Lane, place: usize, holds: &[Hold], span: Span) -> Markup {
    let signals = chart::signals(holds);
    let (title, desc) = (format!("lane-{place}-t"), format!("lane-{place}-d"));
    let now = picture.run.now;
    html! {
        svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-labelledby=(format!("{title} {desc}")) {
            title id=(title) { "Lane " (place + 1) }
            desc id=(desc) { @for process in lane { (told(picture, process)) ". " } }
            @for (at, process) in lane.iter().enumerate() {
                @let life = picture.life(process);
                @let end = if life == Life::Works { span.to.min(now.max(process.last)) } else { process.last };
                @let (x, width) = span.stretch(process.from, end);
                rect class="idle" x=(format!("{x:.1}")) y="38" width=(format!("{width:.1}")) height="24" { title { (told(picture, process)) } }
                path class="done" d=(worked(process, span)) {}
                @if life == Life::Silent {
                    @let until = lane.get(at + 1).map_or(if picture.run.state == "running" { span.to } else { process.last }, |next| next.from);
                    @let (x, width) = span.stretch(process.last, until);
                    rect class="gap" x=(format!("{x:.1}")) y="10" width=(format!("{width:.1}")) height="80" {
                        title { (format!("{} ended without a word after {}", process.worker, clock(process.last))) }
                    }
                    line class="crash" x1=(format!("{x:.1}")) x2=(format!("{x:.1}")) y1="0" y2=(HIGH) {}
                }
                @for hold in holds.iter().filter(|hold| hold.worker == process.worker) {
                    @let (x, width) = span.stretch(hold.from, hold.to.unwrap_or(end));
                    rect class=(chart::look(&signals, &hold.signal)) x=(format!("{x:.1}")) y="0" width=(format!("{width:.1}")) height=(HIGH) { title { (chart::told(hold)) } }
                }
            }
        }
    }
}

/// The stretches in which a process committed batches, as one path; those that touch are one.
fn worked(process: &Process, span: Span) -> String {
    let width = process.worked.width();
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for (from, _) in process.worked.iter() {
        match stretches.last_mut() {
            Some((_, to)) if *to == from => *to = from + width,
            _ => stretches.push((from, from + width)),
        }
    }
    stretches
        .into_iter()
        .map(|(from, to)| {
            let (x, width) = span.stretch(from.max(process.from), to.min(process.last));
            format!("M{x:.1} 20H{:.1}V80H{x:.1}Z", x + width)
        })
        .collect()
}

fn told(picture: &Picture, process: &Process) -> String {
    format!(
        "{}: {} batches from {}, {}",
        process.worker,
        number(i64::try_from(process.batches).unwrap_or(i64::MAX)),
        clock(process.from),
        ended(picture, process)
    )
}

fn ended(picture: &Picture, process: &Process) -> String {
    match (picture.life(process), &process.stopped) {
        (_, Some((at, reason))) => format!("ended at {}: {reason}", clock(*at)),
        (Life::Works, None) => match picture.fold.holds.of(&process.worker) {
            Some(hold) => format!("holds since {}", clock(hold.from)),
            None => "works".to_owned(),
        },
        (Life::Stopped, None) => format!("over, last heard of at {}", clock(process.last)),
        (_, None) => format!("ended without a word after {}", clock(process.last)),
    }
}

fn table(picture: &Picture) -> Markup {
    let mut processes: Vec<_> = picture.fold.processes.iter().collect();
    processes.sort_by_key(|process| std::cmp::Reverse(process.from));
    let more = processes.len().saturating_sub(LINES) as u64 + picture.fold.processes.dropped;
    html! {
        details id="d-timeline" {
            summary { "The processes as a table, the newest first" }
            div class="wide" tabindex="0" role="region" aria-label="Processes, a table" {
                table {
                    thead { tr { th scope="col" { "worker" } th scope="col" { "release" } th scope="col" class="n" { "process" } th scope="col" { "began" } th scope="col" { "last event" } th scope="col" class="n" { "batches" } th scope="col" { "now" } } }
                    tbody {
                        @for process in processes.into_iter().take(LINES) {
                            tr {
                                th scope="row" { bdi { (process.worker) } } td { (process.release) }
                                td class="n" { (process.process) }
                                td class="time" { (clock(process.from)) } td class="time" { (clock(process.last)) }
                                td class="n" { (number(i64::try_from(process.batches).unwrap_or(i64::MAX))) }
                                td { bdi { (ended(picture, process)) } }
                            }
                        }
                    }
                }
            }
            @if more > 0 { p { "and " (more) " before these" } }
        }
    }
}
