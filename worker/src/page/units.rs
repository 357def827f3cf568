//! The units: how much of each is done, in flight, set aside and left.

use maud::{Markup, html};

use super::chart::{HIGH, WIDE};
use crate::picture::{Picture, UnitView};
use crate::report::{self, number};

/// A table of the units, with a bar each.
pub(super) fn section(picture: &Picture) -> Markup {
    let has_undone = picture.units.iter().any(|unit| unit.undone != (0, 0));
    html! {
        p class="legend" {
            (key("done", "done")) (key("flight", "in flight: in batches that are not committed, about"))
            (key("aside", "set aside")) (key("rest", "left"))
        }
        div class="wide" tabindex="0" role="region" aria-label="Units, a table" {
            table class="units" role="table" {
                thead role="rowgroup" { tr role="row" {
                    th role="columnheader" scope="col" { "Unit" } th role="columnheader" scope="col" { "Source rows" } th role="columnheader" scope="col" class="n" { "done" }
                    th role="columnheader" scope="col" class="n" { "in flight" } th role="columnheader" scope="col" class="n" { "set aside" }
                    th role="columnheader" scope="col" class="n" { "left" } th role="columnheader" scope="col" class="n" { "rows/s" }
                    th role="columnheader" scope="col" class="n" { "written" }
                    @if has_undone { th role="columnheader" scope="col" class="n" { "taken back" } th role="columnheader" scope="col" class="n" { "kept" } }
                } }
                tbody role="rowgroup" {
                    @for unit in &picture.units {
                        tr role="row" {
                            th role="rowheader" scope="row" { bdi { (unit.unit) } span class="sub" { (unit.state) } }
                            td role="cell" class="bar" { (bar(unit)) span class="sub" { (format!("{:.0} %", unit.percent.floor())) } }
                            td role="cell" data-label="done" class="n" { (number(unit.done)) }
                            td role="cell" data-label="in flight" class="n" { (number(unit.in_flight)) }
                            td role="cell" data-label="set aside" class=(if unit.quarantined > 0 { "n alarm" } else { "n" }) { (number(unit.quarantined)) }
                            td role="cell" data-label="left" class="n" { (left(unit)) }
                            td role="cell" data-label="rows/s" class="n" { (unit.rows_per_second.map_or("–".to_owned(), report::rate)) }
                            td role="cell" data-label="written" class="n" { (number(unit.written)) }
                            @if has_undone { td role="cell" data-label="taken back" class="n" { (number(unit.undone.0)) } td role="cell" data-label="kept" class="n" { (number(unit.undone.1)) } }
                        }
                    }
                }
            }
        }
    }
}

fn left(unit: &UnitView) -> String {
    match unit.state.as_str() {
        "pending" => "not counted yet".to_owned(),
        _ => number(unit.left),
    }
}

fn key(class: &str, text: &str) -> Markup {
    html! {
        span class="key" {
            svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" { rect class=(class) width="10" height="10" {} }
            (text)
        }
    }
}

/// The numbers stand beside it, so it is no picture to those who cannot see it.
#[expect(clippy::cast_precision_loss, reason = "shares of a bar")]
fn bar(unit: &UnitView) -> Markup {
    let aside = unit.quarantined.min(unit.done + unit.quarantined);
    let parts = [
        ("done", unit.done),
        ("flight", unit.in_flight),
        ("aside", aside),
        ("rest", unit.left),
    ];
    let all = parts.iter().map(|(_, rows)| *rows).sum::<i64>().max(1) as f64;
    let mut x = 0.0;
    html! {
        svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true" {
            rect class="rest" width=(WIDE) height=(HIGH) {}
            @for (class, rows) in parts.into_iter().filter(|(class, rows)| *rows > 0 && *class != "rest") {
                @let width = (rows as f64 / all * WIDE).max(4.0);
                rect class=(class) x=(format!("{x:.1}")) width=(format!("{width:.1}")) height=(HIGH) {}
                @let () = x += width;
            }
        }
    }
}
