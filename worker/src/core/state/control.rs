//! What operators wish of a run: what its stream `control` folds into. Each rollback of it has such a stream of its own, so
//! that what was wished of the work does not bind who takes it back.

use std::collections::BTreeMap;

use super::{Illegal, RunState, RunStatus};
use crate::core::event::{Event, Setting, SettingsChanged, Word};
use crate::core::replay::CONTROL_STREAM;

/// Whether the work is to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    #[default]
    Going,
    /// It is to hold.
    Paused(Word),
    /// It is to end, and nobody is to go on with it.
    Cancelled(Word),
}

/// A value that somebody wishes for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wished {
    /// The value, spelled as on a command line.
    pub value: String,
    /// Who.
    pub by: String,
}

/// What is wished of a run, or of one of its rollbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlState {
    /// Whether it is to go on.
    pub standing: Standing,
    /// The settings that are others than the command lines say.
    pub settings: BTreeMap<Setting, Wished>,
}

impl ControlState {
    /// The next state.
    ///
    /// # Errors
    /// The event is illegal here; the state is unchanged.
    pub fn apply(&mut self, stream: &str, event: &Event) -> Result<(), Illegal> {
        let refuse = |why: &str| {
            Err(Illegal {
                state: format!("{} ({stream})", self.standing.word()),
                event: event.kind(),
                why: why.into(),
            })
        };
        match event {
            Event::RunPaused(word) => match self.standing {
                Standing::Going => self.standing = Standing::Paused(word.clone()),
                Standing::Paused(_) | Standing::Cancelled(_) => {
                    return refuse("what does not go on cannot be paused");
                }
            },
            Event::RunResumed(_) => match self.standing {
                Standing::Going => return refuse("it goes on already"),
                Standing::Paused(_) | Standing::Cancelled(_) => self.standing = Standing::Going,
            },
            Event::RunCancelled(word) => match self.standing {
                Standing::Cancelled(_) => return refuse("it is cancelled already"),
                _ if stream != CONTROL_STREAM => return refuse("a rollback is not cancelled"),
                Standing::Going | Standing::Paused(_) => {
                    self.standing = Standing::Cancelled(word.clone());
                }
            },
            Event::SettingsChanged(changed) => {
                if changed.settings.is_empty() || !self.differs(changed) {
                    return refuse("it changes nothing");
                }
                self.set(changed);
            }
            _ => return refuse("it belongs to another stream"),
        }
        Ok(())
    }

    /// The value that is wished for.
    #[must_use]
    pub fn wished(&self, setting: Setting) -> Option<&str> {
        self.settings
            .get(&setting)
            .map(|wished| wished.value.as_str())
    }

    /// Whether each setting becomes another.
    fn differs(&self, changed: &SettingsChanged) -> bool {
        let mut settings = changed.settings.iter();
        settings.all(|(setting, value)| self.wished(*setting) != value.as_deref())
    }

    fn set(&mut self, changed: &SettingsChanged) {
        for (setting, value) in &changed.settings {
            match value {
                Some(value) => {
                    let wished = Wished {
                        value: value.clone(),
                        by: changed.by.clone(),
                    };
                    self.settings.insert(*setting, wished);
                }
                None => {
                    self.settings.remove(setting);
                }
            }
        }
    }
}

impl Standing {
    /// The word for people and for `--json`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Going => "going",
            Self::Paused(_) => "paused",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// Whose word it is, where somebody has changed it.
    #[must_use]
    pub fn whose(&self) -> Option<&Word> {
        match self {
            Self::Going => None,
            Self::Paused(word) | Self::Cancelled(word) => Some(word),
        }
    }
}

impl RunState {
    /// The stream that holds what is wished of the run now: `control` while it is worked on, `control/n` while it is rolled
    /// back for the nth time; none where there is nothing to steer.
    #[must_use]
    pub fn control(&self) -> Option<String> {
        match self.status {
            RunStatus::Running => Some(CONTROL_STREAM.to_owned()),
            RunStatus::Undoing => Some(of_rollback(self.undos)),
            RunStatus::Completed | RunStatus::PartlyRolledBack | RunStatus::RolledBack => None,
        }
    }

    /// Whether a stream holds, or once held, what is wished of the run.
    #[must_use]
    pub fn is_control(&self, stream: &str) -> bool {
        let Some(number) = stream.strip_prefix(CONTROL_STREAM) else {
            return false;
        };
        let number = number.strip_prefix('/').and_then(|text| text.parse().ok());
        match number {
            Some(number) => (1..=self.undos).contains(&number) && stream == of_rollback(number),
            None => stream == CONTROL_STREAM,
        }
    }
}

fn of_rollback(number: usize) -> String {
    format!("{CONTROL_STREAM}/{number}")
}

#[cfg(test)]
mod tests {
    use super::{ControlState, Standing};
    use crate::core::event::{Event, Setting, SettingsChanged, Word};

    fn mia() -> Word {
        Word {
            by: "Mia".into(),
            note: None,
        }
    }

    fn set(setting: Setting, value: Option<&str>) -> Event {
        Event::SettingsChanged(SettingsChanged {
            settings: [(setting, value.map(Into::into))].into(),
            by: "Mia".into(),
            note: None,
        })
    }

    /// Each event where the table allows it and where it does not, which changes nothing.
    #[test]
    fn wishes_follow_their_table() {
        let [paused, resumed, cancelled] = [
            Event::RunPaused(mia()),
            Event::RunResumed(mia()),
            Event::RunCancelled(mia()),
        ];
        let mut state = ControlState::default();
        for (event, refused) in [
            (&paused, vec![&resumed]),
            (&resumed, vec![&paused]),
            (&paused, vec![&resumed]),
            (&cancelled, vec![&paused]),
            (&resumed, vec![&paused, &cancelled]),
            (&cancelled, vec![&resumed]),
        ] {
            for other in refused {
                let before = state.clone();
                assert!(state.apply("control", other).is_err(), "{other:?}");
                assert_eq!(state, before);
            }
            state.apply("control", event).expect("the table allows it");
        }
        assert_eq!(state.standing, Standing::Cancelled(mia()));
        let mut rollback = ControlState::default();
        assert!(rollback.apply("control/1", &cancelled).is_err());
        rollback.apply("control/1", &paused).expect("it may hold");
    }

    #[test]
    fn a_setting_stands_until_it_is_set_again() {
        let mut state = ControlState::default();
        let mut apply = |event: &Event| state.apply("control", event);
        assert!(apply(&set(Setting::Pace, None)).is_err(), "it is so");
        apply(&set(Setting::Pace, Some("off"))).expect("another");
        assert!(apply(&set(Setting::Pace, Some("off"))).is_err(), "it is so");
        apply(&set(Setting::Workers, Some("4"))).expect("another");
        apply(&set(Setting::Pace, None)).expect("another");
        let wished = Setting::ALL.map(|setting| state.wished(setting));
        assert_eq!(wished, [None, None, None, Some("4")]);
    }
}
