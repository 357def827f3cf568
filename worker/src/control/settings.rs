//! What may be set while a run is under way, how it is spelled, and what a process works by.

use std::collections::BTreeMap;

use crate::core::event::Setting;
use crate::core::state::Wished;
use crate::engine::{self, Sizing};
use crate::error::{Error, Result};
use crate::pace::Speed;

/// The most partitions that a process works on at once.
pub const MOST_WORKERS: usize = 64;

/// The word for what the command line says.
const DEFAULT: &str = "default";

/// What a process works by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How large batches are.
    pub sizing: Sizing,
    /// How fast.
    pub pace: Speed,
    /// Partitions worked on at once.
    pub workers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sizing: Sizing::default(),
            pace: Speed::default(),
            workers: 1,
        }
    }
}

impl Settings {
    /// The same with what somebody wishes for.
    ///
    /// # Errors
    /// [`Error::Damaged`]: a wish is none that anybody could have made.
    pub fn with(mut self, wishes: &BTreeMap<Setting, Wished>) -> Result<Self> {
        for (setting, wished) in wishes {
            self.put(*setting, &wished.value).map_err(|_| {
                Error::Damaged(format!("somebody set {} to no such value", setting.name()))
            })?;
        }
        Ok(self)
    }

    /// A setting as it is spelled on a command line.
    #[must_use]
    pub fn show(&self, setting: Setting) -> String {
        match setting {
            Setting::BatchTarget => humantime::format_duration(self.sizing.target).to_string(),
            Setting::BatchRows => self.sizing.rows.to_string(),
            Setting::Pace => self.pace.to_string(),
            Setting::Workers => self.workers.to_string(),
        }
    }

    /// Reads a setting; in words what it must be where it is not.
    fn put(&mut self, setting: Setting, text: &str) -> Result<(), String> {
        match setting {
            Setting::BatchTarget => self.sizing.target = engine::target(text)?,
            Setting::BatchRows => self.sizing.rows = text.parse()?,
            Setting::Pace => self.pace = text.parse()?,
            Setting::Workers => match text.parse() {
                Ok(workers) if (1..=MOST_WORKERS).contains(&workers) => self.workers = workers,
                _ => return Err(format!("it must be a number from 1 to {MOST_WORKERS}")),
            },
        }
        Ok(())
    }
}

/// Reads `pace=2000/s`, or `pace=default` for what each process's command line says: none.
///
/// # Errors
/// What may be set, in words.
pub fn parse(text: &str) -> Result<(Setting, Option<String>), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let Some(setting) = Setting::ALL
        .into_iter()
        .find(|setting| setting.name() == name)
    else {
        return Err(format!(
            "{name:?} cannot be set: {}",
            Setting::ALL.map(example).join(", ")
        ));
    };
    if value == DEFAULT {
        return Ok((setting, None));
    }
    let mut settings = Settings::default();
    match settings.put(setting, value) {
        Ok(()) => Ok((setting, Some(settings.show(setting)))),
        Err(why) => Err(format!("{why}, as in {}", example(setting))),
    }
}

/// How a setting is written.
fn example(setting: Setting) -> String {
    let value = match setting {
        Setting::BatchTarget => "500ms (10ms to 1s)",
        Setting::BatchRows => "500..10000 (or one number)",
        Setting::Pace => "2000/s (or auto, off)",
        Setting::Workers => "4 (1 to 64)",
    };
    format!("{}={value}, or {0}={DEFAULT}", setting.name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{MOST_WORKERS, Settings, parse};
    use crate::control::CONNECTIONS;
    use crate::core::event::Setting;
    use crate::core::state::Wished;

    #[test]
    fn a_setting_is_read_as_the_command_line_reads_it() {
        for (text, is) in [
            ("pace=2000/s", Some((Setting::Pace, Some("2000/s")))),
            ("pace=default", Some((Setting::Pace, None))),
            (
                "batch-target=500ms",
                Some((Setting::BatchTarget, Some("500ms"))),
            ),
            (
                "batch-rows=500..10000",
                Some((Setting::BatchRows, Some("500..10000"))),
            ),
            ("workers=64", Some((Setting::Workers, Some("64")))),
            ("workers=007", Some((Setting::Workers, Some("7")))),
            ("workers=65", None),
            ("workers=0", None),
            ("workers", None),
            ("workers=", None),
            ("pace=fast", None),
            ("batch-target=2s", None),
            ("Pace=auto", None),
            ("max-bad=1%", None),
            ("", None),
            ("=", None),
        ] {
            let read = parse(text).ok();
            let read = read
                .as_ref()
                .map(|(setting, value)| (*setting, value.as_deref()));
            assert_eq!(read, is, "{text}");
        }
        let error = parse("max-bad=1%").expect_err("no such setting");
        assert!(
            Setting::ALL
                .iter()
                .all(|setting| error.contains(setting.name())),
            "{error}"
        );
    }

    #[test]
    fn there_are_connections_for_the_most_workers() {
        assert_eq!(usize::try_from(CONNECTIONS), Ok(2 * MOST_WORKERS + 4));
    }

    #[test]
    fn a_wish_overrides_one_setting() {
        let wished = |value: &str| Wished {
            value: value.into(),
            by: "Mia".into(),
        };
        let own = Settings::default();
        let wishes = BTreeMap::from([
            (Setting::Pace, wished("off")),
            (Setting::Workers, wished("4")),
        ]);
        let settings = own.with(&wishes).expect("good wishes");
        assert_eq!(
            (settings.show(Setting::Pace), settings.workers),
            ("off".into(), 4)
        );
        assert_eq!(settings.sizing, own.sizing);
        let bad = BTreeMap::from([(Setting::Workers, wished("many"))]);
        assert!(own.with(&bad).is_err());
    }
}
