//! What operators wish of a run and of its rollbacks.

use std::collections::BTreeMap;

use worker::core::event::{Event, Setting, SettingsChanged, Word};

use super::book::{Phase, Wish};
use super::driver::Driver;

impl Driver<'_> {
    /// Somebody wishes for something that is not so yet.
    pub(super) fn steer(&mut self) {
        let is_rollback = self.book.phase == Phase::Undoing;
        let stream = match is_rollback {
            true => format!("control/{}", self.book.undos),
            false => "control".to_owned(),
        };
        let word = Word {
            by: "w".into(),
            note: (self.draw(2) == 0).then(|| "why".into()),
        };
        let event = match (self.draw(3), self.book.wish) {
            (0, Wish::Going) => {
                self.book.wish = Wish::Paused;
                Event::RunPaused(word)
            }
            (0, Wish::Paused | Wish::Cancelled) => {
                self.book.wish = Wish::Going;
                Event::RunResumed(word)
            }
            (1, Wish::Going | Wish::Paused) if !is_rollback => {
                self.book.wish = Wish::Cancelled;
                Event::RunCancelled(word)
            }
            _ => self.set(word),
        };
        self.say(&stream, event);
    }

    fn set(&mut self, Word { by, note }: Word) -> Event {
        let place = usize::try_from(self.draw(4)).expect("few settings");
        let setting = Setting::ALL[place];
        let before = self.book.set.get(&setting).cloned();
        let values = [None, Some("1".to_owned()), Some("2".to_owned())];
        let mut others = values.into_iter().filter(|value| *value != before);
        let skipped = usize::try_from(self.draw(2)).expect("few values");
        let value = others.nth(skipped).expect("two others");
        match &value {
            Some(value) => drop(self.book.set.insert(setting, value.clone())),
            None => drop(self.book.set.remove(&setting)),
        }
        Event::SettingsChanged(SettingsChanged {
            settings: BTreeMap::from([(setting, value)]),
            by,
            note,
        })
    }
}
