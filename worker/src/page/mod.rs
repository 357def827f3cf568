//! A picture as HTML with drawings in it: the live page and the report. It can be read without scripts, by a keyboard and by
//! a screen reader; every text in it is escaped, whoever wrote it.

mod batches;
mod chart;
mod gates;
pub mod markdown;
mod rows;
mod speed;
mod state;
mod timeline;
mod units;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::picture::Picture;
use crate::picture::standing::clock;
use crate::report::number;

/// The stylesheet of page and report.
pub const STYLE: &str = include_str!("style.css");
/// What keeps the live page up to date; the page can be read without.
pub const SCRIPT: &str = include_str!("live.js");
/// The page's icon.
pub const ICON: &str = include_str!("icon.svg");

/// The live page's policy: nothing from elsewhere, and nothing inline.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A part of the page that is replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its id in the page.
    pub id: &'static str,
    /// Its heading.
    pub heading: &'static str,
    /// What it shows, as HTML.
    pub html: String,
}

/// What the live page shows of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// How the run stands, in one line: what is told when it changes.
    pub line: String,
    /// The page's sections, in their order.
    pub sections: Vec<Section>,
}

/// What the page shows of a picture; none: nothing was run yet.
#[must_use]
pub fn show(picture: Option<&Picture>) -> Shown {
    let Some(picture) = picture else {
        let html = html! {
            div class="state quiet" { p class="word" { "Nothing was run yet" } p class="next" { "→ worker run" } }
        };
        return Shown {
            line: "Nothing was run yet".to_owned(),
            sections: vec![section("state", "State", &html)],
        };
    };
    let mut sections = vec![
        section("state", "State", &state::section(picture)),
        section("units", "Units", &units::section(picture)),
        section("speed", "Rows per second", &speed::section(picture)),
        section("batches", "Batches", &batches::section(picture)),
        section("timeline", "Timeline", &timeline::section(picture)),
        section("quarantine", "Quarantine", &rows::quarantine(picture)),
        section("gates", "Gates", &gates::section(picture)),
        section("undo", "Undo", &rows::kept(picture)),
    ];
    sections.push(section("about", "About", &about(picture)));
    Shown {
        line: state::line(picture),
        sections,
    }
}

/// The live page, as it is before anything is updated.
#[must_use]
pub fn live(shown: &Shown) -> String {
    let head = html! {
        link rel="stylesheet" href="style.css";
        link rel="icon" href="icon.svg" type="image/svg+xml";
        script src="live.js" defer {}
        noscript { meta http-equiv="refresh" content="10"; }
    };
    document(
        &head,
        &shown.line,
        shown,
        &html! {
            p class="banner" id="lost" role="status" hidden {}
            p class="hidden" id="line" role="status" { (shown.line) }
            noscript { p class="note" { "Without scripts this page reloads every ten seconds." } }
        },
    )
}

/// The report: one file that needs nothing else.
#[must_use]
pub fn report(picture: &Picture, digest: &str) -> String {
    let mut shown = show(Some(picture));
    // Nothing changes in it any more, so all of it may be seen at once, also on paper.
    for section in &mut shown.sections {
        section.html = section.html.replace("<details id=", "<details open id=");
    }
    let style = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'"
    );
    let head = html! {
        meta http-equiv="Content-Security-Policy" content=(policy);
        style { (PreEscaped(STYLE)) }
        link rel="icon" href="data:,";
    };
    let title = format!("Run {}", picture.run.run);
    document(
        &head,
        &title,
        &shown,
        &html! {
            p {
                "Report of run " code { (picture.run.run) } ", read from the journal at "
                span class="time" { (clock(picture.run.now)) } ". Digest of the journal's heads: " code { (digest) }
                " (" code { "cli journal head" } ")."
            }
        },
    )
}

fn document(head: &Markup, title: &str, shown: &Shown, above: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                (head)
                title { (title) " – Backstitch" }
            }
            body {
                a class="skip" href="#state" { "To the state" }
                header {
                    h1 { "Backstitch" }
                    nav aria-label="Sections" {
                        @for section in &shown.sections { a href=(format!("#{}", section.id)) { (section.heading) } " " }
                    }
                }
                main {
                    (above)
                    @for section in &shown.sections {
                        section aria-labelledby=(format!("h-{}", section.id)) {
                            h2 id=(format!("h-{}", section.id)) { (section.heading) }
                            div id=(section.id) { (PreEscaped(&section.html)) }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn section(id: &'static str, heading: &'static str, html: &Markup) -> Section {
    Section {
        id,
        heading,
        html: html.clone().into_string(),
    }
}

/// What the page is of.
fn about(picture: &Picture) -> Markup {
    let (run, fold) = (&picture.run, &picture.fold);
    let count = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
    let disk: i64 = picture.disk.values().sum();
    html! {
        dl class="facts" {
            div { dt { "run" } dd { code { (run.run) } } }
            div { dt { "purpose" } dd { (run.purpose.command()) } }
            @if let Some(repairs) = &run.repairs { div { dt { "of run" } dd { code { (repairs) } } } }
            div { dt { "window" } dd { (run.window_days) " days" } }
            div { dt { "events of the run" } dd { (count(fold.events)) } }
            @if disk > 0 { div { dt { "journal on disk" } dd { (number(disk / 1_048_576)) " MiB" } } }
            div { dt { "shown by" } dd { "Backstitch " (env!("CARGO_PKG_VERSION")) } }
        }
        p class="note" { "Times are the database's clock, UTC. Everything here is read from the journal." }
    }
}
