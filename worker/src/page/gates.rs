//! The gates of the database.

use maud::{Markup, html};

use super::chart::coarse;
use crate::picture::Picture;
use crate::picture::gates::GateView;
use crate::picture::standing::clock;

/// Each gate with its targets.
pub(super) fn section(picture: &Picture) -> Markup {
    html! {
        @if picture.gates.is_empty() { p { "No gate was watched." } }
        @for gate in &picture.gates { (one(gate)) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
fn one(gate: &GateView) -> Markup {
    let class = match gate.verdict {
        "open" => "good",
        "closed" => "bad",
        _ => "waits",
    };
    let (watched, required) = gate.seconds;
    html! {
        h3 { bdi { (gate.environment) } ": " span class=(format!("tag {class}")) { (gate.verdict) } }
        p {
            "watched for " (coarse(watched as f64)) " of " (coarse(required as f64))
            @if gate.verdict == "being watched" { ", sampled last at " } @else { ", judged at " }
            span class="time" { (clock(gate.at)) }
        }
        @if !gate.reasons.is_empty() { ul { @for reason in &gate.reasons { li { bdi { (reason) } } } } }
        div class="wide" tabindex="0" role="region" aria-label=(format!("Targets of {}", gate.environment)) {
            table {
                thead { tr { th scope="col" { "target" } th scope="col" { "limit" } th scope="col" class="n" { (if gate.verdict == "being watched" { "now" } else { "worst" }) } th scope="col" { "met" } } }
                tbody {
                    @for (name, limit, value, met) in &gate.targets {
                        tr {
                            th scope="row" { bdi { (name) } } td { bdi { (limit) } }
                            td class="n" { (value.map_or("–".to_owned(), |value| format!("{value:.4}"))) }
                            td { (match met { Some(true) => "yes", Some(false) => "no", None => "–" }) }
                        }
                    }
                }
            }
        }
    }
}
