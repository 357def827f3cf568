//! What operators wish of a run.

use std::collections::BTreeMap;

use serde::Serialize;
use worker::control::Ordered;
use worker::core::event::{Event, Setting, SettingsApplied, SettingsChanged};
use worker::core::state::RunStatus;
use worker::status;

use super::status::ago;
use super::text::line;

/// What came of an order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Steering {
    run: String,
    /// `running` or `rolling back`.
    state: &'static str,
    /// `going`, `paused` or `cancelled`.
    standing: &'static str,
    /// Who paused or cancelled it.
    by: Option<String>,
    /// What they had to say.
    note: Option<String>,
    /// The settings that are others than the command lines say.
    settings: BTreeMap<Setting, String>,
    /// Whether anything was appended; false: it was so already.
    changed: bool,
    #[serde(skip)]
    command: &'static str,
}

impl Steering {
    /// Sums up what came of an order.
    pub(crate) fn of(run: String, ordered: &Ordered) -> Self {
        let control = &ordered.state;
        let whose = control.standing.whose();
        Self {
            run,
            state: ordered.status.word(),
            standing: control.standing.word(),
            by: whose.map(|word| word.by.clone()),
            note: whose.and_then(|word| word.note.clone()),
            settings: control
                .settings
                .iter()
                .map(|(setting, wished)| (*setting, wished.value.clone()))
                .collect(),
            changed: ordered.is_changed,
            command: match ordered.status {
                RunStatus::Undoing => "cli rollback",
                _ => ordered.purpose.command(),
            },
        }
    }

    /// The word of whoever paused or cancelled it.
    fn word(&self) -> String {
        word(self.by.as_deref(), self.note.as_deref())
    }
}

/// What came of it, in a line.
pub(crate) fn ordered(steering: &Steering) -> String {
    let Steering { run, command, .. } = steering;
    let already = if steering.changed { "" } else { "already " };
    let mut text = match steering.standing {
        "paused" => format!(
            "run {run} is {already}paused{}: every process at it holds within 2 s; `cli run resume --by NAME` lets it go on",
            steering.word()
        ),
        "cancelled" => format!(
            "run {run} is {already}cancelled{}: every process at it ends within 2 s, and all that was committed stays; `cli \
             run resume --by NAME` allows `{command}` to go on, `cli rollback --run {run}` takes it back",
            steering.word()
        ),
        _ => format!(
            "run {run} is {already}to go on; where no process is at it, `{command}` goes on"
        ),
    };
    text = line(&text);
    if !steering.settings.is_empty() {
        text.push_str(&format!("\nset by hand: {}", spelled(&steering.settings)));
    }
    text
}

/// What came of other settings, in a line.
pub(crate) fn set(steering: &Steering) -> String {
    let already = if steering.changed { "" } else { "already " };
    let what = match steering.settings.is_empty() {
        true => "what each process's command line says".to_owned(),
        false => spelled(&steering.settings),
    };
    format!(
        "run {} is {already}to go by {what}; every process at it does within 2 s",
        steering.run
    )
}

/// The state of a run that does not go on because somebody wishes so; none: nobody does.
pub(super) fn stands(run: &status::Run, steered: &status::Steered) -> Option<String> {
    let word = word(steered.by.as_deref(), steered.note.as_deref());
    let since = steered.since.map_or(0, |since| run.now - since);
    let stands = match steered.standing {
        "paused" => {
            let nobody = match (run.workers, run.state == RunStatus::Running.word()) {
                (0, true) => "; no worker is at it",
                _ => "",
            };
            format!(
                "paused for {}{word}; `cli run resume --by NAME` lets it go on{nobody}",
                ago(since)
            )
        }
        "cancelled" => format!(
            "cancelled {} ago{word}; `cli run resume --by NAME` allows it to go on, `cli rollback --run {}` takes it back",
            ago(since),
            run.run
        ),
        _ => return None,
    };
    let stands = line(&stands);
    Some(match run.state == RunStatus::Undoing.word() {
        true => format!("{}, {stands}", run.state),
        false => stands,
    })
}

/// The settings that are others than the command lines say.
pub(super) fn settings(steered: &status::Steered) -> String {
    spelled(&steered.settings)
}

fn spelled(settings: &BTreeMap<Setting, String>) -> String {
    let spelled = settings
        .iter()
        .map(|(setting, value)| format!("{}={value}", setting.name()));
    spelled.collect::<Vec<_>>().join(", ")
}

fn word(by: Option<&str>, note: Option<&str>) -> String {
    match (by, note) {
        (None, _) => String::new(),
        (Some(by), None) => format!(", by {by}"),
        (Some(by), Some(note)) => format!(", by {by}: {note}"),
    }
}

/// What an event of steering says; nothing of any other.
pub(super) fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunPaused(word) => format!("paused {word}"),
        Event::RunResumed(word) => format!("resumed {word}"),
        Event::RunCancelled(word) => format!("cancelled {word}"),
        Event::SettingsChanged(changed) => changed_words(changed),
        Event::SettingsApplied(SettingsApplied { settings }) => {
            format!("goes by {} from here on", spelled(settings))
        }
        _ => return None,
    })
}

fn changed_words(changed: &SettingsChanged) -> String {
    let settings = changed.settings.iter().map(|(setting, value)| {
        let value = value.as_deref().unwrap_or("default");
        format!("{}={value}", setting.name())
    });
    format!(
        "{}{}",
        settings.collect::<Vec<_>>().join(", "),
        word(Some(&changed.by), changed.note.as_deref())
    )
}

#[cfg(test)]
mod tests {
    use worker::core::event::{Purpose, Word};
    use worker::core::state::{ControlState, Standing, Wished};

    use super::*;

    fn steering(standing: Standing, is_changed: bool) -> Steering {
        let wished = Wished {
            value: "4".into(),
            by: "Mia".into(),
        };
        let ordered = Ordered {
            state: ControlState {
                standing,
                settings: [(Setting::Workers, wished)].into(),
            },
            status: RunStatus::Running,
            purpose: Purpose::Backfill,
            is_changed,
        };
        Steering::of("0199".into(), &ordered)
    }

    #[test]
    fn an_order_says_what_came_of_it() {
        let mia = Word {
            by: "Mia".into(),
            note: Some("lunch\n\u{1b}[2J".into()),
        };
        let paused = ordered(&steering(Standing::Paused(mia.clone()), true));
        assert!(
            paused.contains("is paused, by Mia: lunch \\u{1b}[2J: every"),
            "{paused}"
        );
        assert!(paused.ends_with("\nset by hand: workers=4"), "{paused}");
        let again = ordered(&steering(Standing::Cancelled(mia), false));
        assert!(again.contains("is already cancelled, by Mia"), "{again}");
        let going = ordered(&steering(Standing::Going, true));
        assert!(going.contains("`worker run` goes on"), "{going}");
        assert!(set(&steering(Standing::Going, true)).contains("is to go by workers=4"));
    }
}
