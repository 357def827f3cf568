//! What the events of steering hold: what operators wish of a run, and what its processes make of it.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

use serde::{Deserialize, Serialize};

/// Somebody's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Who.
    pub by: String,
    /// What they had to say.
    pub note: Option<String>,
}

/// What may be set while a run is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// How long a batch should take.
    BatchTarget,
    /// Source rows a batch.
    BatchRows,
    /// How fast.
    Pace,
    /// Partitions that each process works on at once.
    Workers,
}

/// Somebody wishes for other settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsChanged {
    /// The value of each, spelled as on a command line; none: as each process's own command line says.
    pub settings: BTreeMap<Setting, Option<String>>,
    /// Who.
    pub by: String,
    /// What they had to say.
    pub note: Option<String>,
}

/// A process works by other settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsApplied {
    /// Those that are others from here on, spelled as on a command line.
    pub settings: BTreeMap<Setting, String>,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::BatchTarget,
        Self::BatchRows,
        Self::Pace,
        Self::Workers,
    ];

    /// What it is called on the command line and in the journal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BatchTarget => "batch-target",
            Self::BatchRows => "batch-rows",
            Self::Pace => "pace",
            Self::Workers => "workers",
        }
    }
}

/// `by Mia: lunch`, on one line.
impl Display for Word {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        write!(out, "by {}", plain(&self.by))?;
        match &self.note {
            Some(note) => write!(out, ": {}", plain(note)),
            None => Ok(()),
        }
    }
}

/// Somebody's words on one line, which cannot speak to a terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        for character in word.chars() {
            match character.is_control() {
                true => plain.extend(character.escape_default()),
                false => plain.push(character),
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Setting, Word};

    /// The journal and the command line spell them the same.
    #[test]
    fn a_setting_has_one_name() {
        for setting in Setting::ALL {
            let stored = serde_json::to_value(setting).expect("a word");
            assert_eq!(stored, setting.name());
        }
    }
    #[test]
    fn a_word_is_one_line() {
        let word = Word {
            by: "Mia".into(),
            note: Some("a\n b\u{1b}[2J".into()),
        };
        assert_eq!(word.to_string(), "by Mia: a b\\u{1b}[2J");
    }
}
