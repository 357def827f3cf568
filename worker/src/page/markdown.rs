//! The short form of the report, for a ticket that takes Markdown. What others wrote is escaped, so that it stays text.

use std::fmt::Write;

use super::chart::{coarse, condensed, millis, per_second};
use super::state;
use crate::picture::Picture;
use crate::picture::standing::clock;
use crate::report::{self, number};

/// Lines of a list at most.
const LINES: usize = 20;

/// The short form.
#[must_use]
pub fn short(picture: &Picture, digest: &str) -> String {
    let (run, standing) = (&picture.run, &picture.standing);
    let mut text = format!(
        "# Backstitch: run {}\n\n**{}**, {}\n\n",
        plain(&run.run),
        plain(&standing.word),
        plain(&standing.why)
    );
    if let Some(left) = &picture.left {
        let _ = writeln!(text, "- {}", plain(&state::left(left)));
    }
    #[expect(clippy::cast_precision_loss, reason = "a duration for people")]
    let took = coarse((run.last_at - run.started_at) as f64 / 1_000.0);
    let _ = writeln!(
        text,
        "- as of {}, {} days back",
        clock(run.as_of),
        run.window_days
    );
    let _ = writeln!(
        text,
        "- from {} to {} ({took})",
        clock(run.started_at),
        clock(run.last_at)
    );
    if let Some((from, to, sum)) = condensed(&picture.fold, 1).into_iter().next() {
        let percentiles =
            [50, 95, 99].map(|percent| sum.took.percentile(percent).map_or("–".to_owned(), millis));
        let _ = writeln!(
            text,
            "- {} rows/s on average; a batch took {} (p50), {} (p95), {} (p99)",
            report::rate(per_second(sum.read, to - from)),
            percentiles[0],
            percentiles[1],
            percentiles[2]
        );
    }
    text.push_str("\n| unit | state | rows read | written | set aside | left | taken back | kept |\n|---|---|--:|--:|--:|--:|--:|--:|\n");
    for unit in &picture.units {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            plain(&unit.unit),
            plain(&unit.state),
            number(unit.done + unit.quarantined),
            number(unit.written),
            number(unit.quarantined),
            number(unit.left + unit.in_flight),
            number(unit.undone.0),
            number(unit.undone.1)
        );
    }
    for (heading, counted) in [
        ("Set aside", &picture.fold.quarantine),
        ("Kept by the undo", &picture.fold.kept),
    ] {
        if counted.by.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "\n## {heading}\n\n| unit | reason | rows |\n|---|---|--:|\n"
        );
        let mut by: Vec<_> = counted.by.iter().collect();
        by.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
        for ((unit, reason), rows) in by.into_iter().take(LINES) {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                plain(unit),
                plain(reason),
                number(*rows)
            );
        }
    }
    if !picture.fold.holds.sums().is_empty() {
        text.push_str("\n## Holds\n\n| held for | holds | together |\n|---|--:|--:|\n");
        for (signal, (count, sum)) in picture.fold.holds.sums() {
            let _ = writeln!(text, "| {} | {count} | {} |", plain(signal), millis(*sum));
        }
    }
    if !picture.gates.is_empty() {
        text.push_str("\n## Gates\n\n");
        for gate in &picture.gates {
            let _ = writeln!(
                text,
                "- {}: {}, {}",
                plain(&gate.environment),
                gate.verdict,
                clock(gate.at)
            );
        }
    }
    let _ = write!(
        text,
        "\nRead from the journal at {}; {} events; digest of its heads `{}`.\n",
        clock(run.now),
        number(i64::try_from(picture.fold.events).unwrap_or(i64::MAX)),
        plain(digest)
    );
    text
}

/// Somebody's words on one line, in which nothing is markup.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in crate::core::event::plain(text).chars() {
        match character {
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '!' | '|' | '#' | '~' => {
                plain.push('\\');
                plain.push(character);
            }
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_is_markup() {
        assert_eq!(
            plain("<script>|a|\n![x](http://evil) `b`"),
            "&lt;script&gt;\\|a\\| \\!\\[x\\]\\(http://evil\\) \\`b\\`"
        );
    }
}
