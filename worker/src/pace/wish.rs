//! What makes the work hold because an operator wishes it: the hours, a query, a replica that is late.

use std::time::Duration;

use super::gate::Bounds;
use super::reading::{Reading, bounds_of_a_word};
use super::seconds;
use super::window::{Window, clock};

/// What the readings are called that an operator wishes for.
const WINDOW: &str = "window";
const HOLD_WHEN: &str = "hold-when";
pub(super) const REPLICA: &str = "replica";

/// Whether a reading is one of these, and so is looked at whatever the speed.
pub(super) fn is_one(key: &str) -> bool {
    [WINDOW, HOLD_WHEN, REPLICA]
        .iter()
        .any(|name| key.starts_with(name))
}

/// The hours in which the work may go on; none where it always may.
pub(super) fn hours(windows: &[Window], now: i64) -> Option<Reading> {
    if windows.is_empty() {
        return None;
    }
    let is_open = windows.iter().any(|window| window.is_open(now));
    let named: Vec<_> = windows.iter().map(ToString::to_string).collect();
    let (shown, limit) = (clock(now), named.join(", "));
    Some(Reading {
        key: WINDOW.into(),
        signal: "outside the hours of --window".into(),
        value: if is_open { 0.0 } else { 1.0 },
        bounds: bounds_of_a_word(Duration::ZERO, Duration::ZERO),
        told: format!("it is {shown} by the database's clock, and --window is {limit}"),
        shown,
        limit,
    })
}

/// An answer to a query of the operator's, or why there is none.
pub(super) fn asked(place: usize, query: &str, answer: Result<Option<String>, String>) -> Reading {
    let (is_over, shown) = match answer {
        Ok(None) => (false, "nothing".to_owned()),
        Ok(Some(answer)) if is_no(&answer) => (false, "no".to_owned()),
        // A value may be anything, somebody's name as well: only numbers are shown.
        Ok(Some(answer)) => match answer.trim().parse::<f64>() {
            Ok(number) => (true, number.to_string()),
            Err(_) => (true, "yes".to_owned()),
        },
        // A guard that cannot be asked guards nothing.
        Err(why) => (true, format!("the query fails: {why}")),
    };
    let query = shortened(query);
    Reading {
        key: format!("{HOLD_WHEN} {place}"),
        signal: format!("--hold-when \"{query}\""),
        value: if is_over { 1.0 } else { 0.0 },
        bounds: bounds_of_a_word(Duration::ZERO, Duration::from_secs(2)),
        told: format!("--hold-when \"{query}\": {shown}"),
        shown,
        limit: "nothing, false or 0".into(),
    }
}

fn is_no(answer: &str) -> bool {
    let answer = answer.trim();
    matches!(answer, "f" | "false" | "") || answer.parse::<f64>().is_ok_and(|number| number == 0.0)
}

/// A query on one line, as much of it as tells it from others.
fn shortened(query: &str) -> String {
    const MOST: usize = 120;
    let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// How far the slowest replica is behind. It lets the work go on once it has come up with half of that, so that the work
/// does not stutter.
pub(super) fn of_replica(name: &str, by: Duration, limit: Duration) -> Reading {
    let (shown, at_most) = (seconds(by), seconds(limit));
    Reading {
        key: REPLICA.into(),
        signal: format!("replica {name} is behind"),
        value: by.as_secs_f64(),
        bounds: Bounds {
            over: limit.as_secs_f64(),
            under: limit.as_secs_f64() / 2.0,
            patience: Duration::ZERO,
            calm: Duration::ZERO,
        },
        told: format!(
            "replica {name} is {shown} behind, --max-replica-lag is {at_most}; the work goes on by itself below half of \
             that (where it is late on purpose: --ignore-replica {name})"
        ),
        shown,
        limit: at_most,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{asked, hours, is_one};
    use crate::pace::reading::tests::holds;
    use crate::pace::window::Window;

    #[test]
    fn an_answer_that_is_not_no_holds() {
        for (answer, is_over) in [
            (None, false),
            (Some("false"), false),
            (Some("f"), false),
            (Some("0"), false),
            (Some("0.00"), false),
            (Some(""), false),
            (Some("true"), true),
            (Some("t"), true),
            (Some("1"), true),
            (Some("-3"), true),
            (Some("somebody@example.com"), true),
        ] {
            let reading = asked(0, "SELECT 1", Ok(answer.map(ToOwned::to_owned)));
            assert_eq!(holds(&reading), is_over, "{answer:?}");
            assert!(!reading.shown.contains('@'), "a value is shown");
        }
        assert!(hours(&[], 0).is_none());
        let failing = asked(0, "SELECT 1", Err("it is gone".into()));
        assert!(holds(&failing) && is_one(&failing.key) && !is_one("waiting"));
    }

    proptest! {
        /// The hours of the journal's words are those that are decided by.
        #[test]
        fn outside_its_hours_it_holds(now in 0_i64..4_000_000_000_000, from in 0_u16..24, to in 0_u16..24) {
            prop_assume!(from != to);
            let window: Window = format!("{from:02}:00-{to:02}:00").parse().expect("a window");
            let reading = hours(&[window], now).expect("a window");
            prop_assert_eq!(holds(&reading), !window.is_open(now));
        }
    }
}
