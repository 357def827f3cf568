//! How a smoke test ended, in one line.

use worker::core::event::SmokeTested;
use worker::report::duration;
use worker::smoke::Tested;

use super::text::line;

/// It ended well.
pub(crate) fn passed(tested: &SmokeTested) -> String {
    format!(
        "✅ smoke test of {} passed after {}, and is noted",
        line(&tested.environment),
        took(tested)
    )
}

/// It did not.
pub(crate) fn failed(tested: &Tested) -> String {
    let event = &tested.event;
    let command = line(&event.command.join(" "));
    let environment = line(&event.environment);
    match (&tested.unstarted, event.exit, tested.signal) {
        (Some(why), _, _) => format!(
            "the smoke test of {environment} could not be started, which is noted: {command}: {why}"
        ),
        (None, Some(code), _) => format!(
            "the smoke test of {environment} failed after {}, which is noted: {command}: exit code {code}",
            took(event)
        ),
        (None, None, signal) => format!(
            "the smoke test of {environment} was ended after {} by signal {}, which is noted: {command}",
            took(event),
            signal.map_or("?".into(), |signal| signal.to_string())
        ),
    }
}

/// Somebody asked to stop.
pub(crate) fn interrupted(tested: &Tested) -> String {
    let ended = match tested.event.exit {
        Some(code) => format!("with exit code {code}"),
        None => "by the signal".to_owned(),
    };
    format!("interrupted: the command ended {ended}, which is noted")
}

#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
fn took(tested: &SmokeTested) -> String {
    duration(tested.millis as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(exit: Option<i32>, signal: Option<i32>, unstarted: Option<&str>) -> Tested {
        Tested {
            event: SmokeTested {
                environment: "staging".into(),
                command: vec!["npm".into(), "te\u{1b}st".into()],
                exit,
                millis: 2_000,
                digest: String::new(),
                output: String::new(),
            },
            unstarted: unstarted.map(Into::into),
            signal,
        }
    }

    #[test]
    fn how_it_ended_is_said() {
        for (tested, word) in [
            (tested(Some(1), None, None), "exit code 1"),
            (tested(None, Some(9), None), "by signal 9"),
            (
                tested(None, None, Some("there is no such program")),
                "no such program",
            ),
        ] {
            let failed = failed(&tested);
            assert!(failed.contains(word) && failed.contains("npm"), "{failed}");
            assert!(!failed.contains('\u{1b}'));
        }
    }
}
