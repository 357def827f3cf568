//! Rows that were set aside as bad, and rows that an undo kept: by unit and reason, and the newest of them. Keys and reasons
//! are others' words: they are text, whatever they hold.

use maud::{Markup, html};

use crate::picture::Picture;
use crate::picture::counted::Counted;
use crate::picture::standing::clock;
use crate::report::number;

/// Bad rows.
pub(super) fn quarantine(picture: &Picture) -> Markup {
    html! {
        @if picture.fold.quarantine.by.is_empty() {
            p { "No row was set aside." }
        } @else {
            (counted(&picture.fold.quarantine, "d-quarantine", "Rows set aside, by unit and reason"))
            p class="note" { "Keys and reasons alone are journaled, never values. " code { "cli quarantine show KEY" } " tells of one, " code { "cli quarantine replay" } " tries them again once they are mended." }
        }
    }
}

/// Rows that an undo kept.
pub(super) fn kept(picture: &Picture) -> Markup {
    let removed: i64 = picture.units.iter().map(|unit| unit.undone.0).sum();
    html! {
        @if removed == 0 && picture.fold.kept.by.is_empty() {
            p { "Nothing was taken back." }
        } @else {
            p { (number(removed)) " rows were removed or put back, " (number(picture.fold.kept.rows())) " were kept." }
            @if !picture.fold.kept.by.is_empty() {
                (counted(&picture.fold.kept, "d-kept", "Rows kept, by unit and reason"))
            }
        }
    }
}

/// Reasons that are shown at once; the others can be opened.
const FIRST: usize = 10;

fn counted(counted: &Counted, id: &str, caption: &str) -> Markup {
    let mut by: Vec<_> = counted.by.iter().collect();
    by.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
    html! {
        (reasons(by.iter().take(FIRST).copied(), caption))
        @if by.len() > FIRST {
            details id=(format!("{id}-more")) {
                summary { (by.len() - FIRST) " more reasons" }
                (reasons(by.iter().skip(FIRST).copied(), &format!("{caption}, the others")))
            }
        }
        details id=(id) {
            summary { "The newest " (counted.newest.len()) ", with their keys" }
            div class="wide" tabindex="0" role="region" aria-label=(format!("{caption}, the newest")) {
                table {
                    thead { tr { th scope="col" { "when" } th scope="col" { "unit" } th scope="col" { "key" } th scope="col" { "reason" } } }
                    tbody {
                        @for row in counted.newest.iter().rev() {
                            tr { td class="time" { (clock(row.at)) } td { bdi { (row.unit) } } td class="key" { bdi { (row.key) } } td { bdi { (row.reason) } } }
                        }
                    }
                }
            }
        }
    }
}

fn reasons<'a>(by: impl Iterator<Item = (&'a (String, String), &'a i64)>, caption: &str) -> Markup {
    html! {
        div class="wide" tabindex="0" role="region" aria-label=(caption) {
            table class="reasons" {
                thead { tr { th scope="col" class="n" { "rows" } th scope="col" { "unit" } th scope="col" { "reason" } } }
                tbody {
                    @for ((unit, reason), rows) in by {
                        tr { td class="n" { (number(*rows)) } th scope="row" { bdi { (unit) } } td { bdi { (reason) } } }
                    }
                }
            }
        }
    }
}
