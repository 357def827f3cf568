//! Chooses what comes next by a tape of numbers, and writes the events of the run's own stream.

use std::collections::BTreeMap;

use worker::core::event::{
    Event, Mark, OwedIndex, PartitionPlanned, RunStarted, Setting, SettingsApplied, UnitCompleted,
};
use worker::core::plan::{Destination, UnitPin, Write};

use super::book::{Book, Move, Partition, Phase, Unit, Wish};
use super::{History, RUN};

/// A history that is being written.
pub(super) struct Driver<'a> {
    tape: std::slice::Iter<'a, u16>,
    pub(super) book: Book,
    pub(super) history: History,
}

impl<'a> Driver<'a> {
    /// Writes a history; the same tape gives the same.
    pub(super) fn drive(tape: &'a [u16]) -> History {
        let mut driver = Self {
            tape: tape.iter(),
            book: Book {
                phase: Phase::Running,
                units: Vec::new(),
                partitions: Vec::new(),
                undoing: Vec::new(),
                database: "d0".into(),
                max_bad: 0.001,
                as_of: 1,
                undos: 0,
                wish: Wish::Going,
                set: BTreeMap::new(),
            },
            history: History {
                entries: Vec::new(),
                ends: BTreeMap::new(),
            },
        };
        driver.begin();
        while let Some(choice) = driver.tape.next() {
            let moves = driver.book.moves();
            driver.take(moves[usize::from(*choice) % moves.len()]);
        }
        driver.history
    }

    /// A number below `bound`, from the tape; 0 at its end.
    pub(super) fn draw(&mut self, bound: i64) -> i64 {
        i64::from(self.tape.next().copied().unwrap_or(0)) % bound
    }

    /// Appends an event to a stream.
    pub(super) fn say(&mut self, stream: &str, event: Event) {
        self.history.entries.push((stream.to_owned(), event));
    }

    fn begin(&mut self) {
        let count = 1 + self.draw(3);
        for place in 0..usize::try_from(count).expect("few units") {
            let depends = place > 0 && self.draw(2) == 1;
            let owed = usize::try_from(self.draw(3)).expect("few indexes");
            self.book.units.push(Unit {
                name: format!("u{place}"),
                depends_on: depends.then(|| place - 1),
                pass: 0,
                instant: 0,
                is_followed: false,
                is_caught_up: false,
                is_stopped: false,
                is_complete: false,
                is_marked: false,
                is_undone: false,
                owed,
                built: 0,
            });
        }
        let pin = |unit: &Unit| UnitPin {
            name: unit.name.clone(),
            version: 1,
            fingerprint: "f".into(),
            depends_on: unit.depends_on.iter().map(|on| format!("u{on}")).collect(),
            destination: Destination {
                table: "T".into(),
                key: "id".into(),
                columns: Vec::new(),
                write: Write::Insert,
            },
            image: vec!["id".into()],
        };
        let owed = |unit: &Unit| {
            let name = unit.name.clone();
            (0..unit.owed).map(move |index| OwedIndex {
                unit: name.clone(),
                table: "T".into(),
                name: format!("{name}_i{index}"),
                sql: "CREATE INDEX".into(),
            })
        };
        let started = RunStarted {
            plan: "p".into(),
            units: self.book.units.iter().map(pin).collect(),
            as_of: self.book.as_of,
            window_days: 90,
            max_bad: self.book.max_bad,
            inputs: Vec::new(),
            missing: Vec::new(),
            database: self.book.database.clone(),
            indexes: self.book.units.iter().flat_map(owed).collect(),
            repairs: None,
        };
        self.say(RUN, Event::RunStarted(started));
    }

    fn take(&mut self, next: Move) {
        match next {
            Move::Plan(unit) => self.plan(unit),
            Move::Batch(partition) => self.batch(partition),
            Move::Stop(unit) => {
                self.book.units[unit].is_stopped = true;
                let event = Event::UnitStopped {
                    unit: self.book.units[unit].name.clone(),
                    read: self.draw(100),
                    quarantined: self.draw(100),
                    allowed: 10,
                };
                self.say(RUN, event);
            }
            Move::Reopen(unit) => {
                self.book.units[unit].is_stopped = false;
                let unit = self.book.units[unit].name.clone();
                self.say(RUN, Event::UnitReopened { unit });
            }
            Move::Index(unit) => {
                let unit = &mut self.book.units[unit];
                let event = Event::IndexBuilt {
                    unit: unit.name.clone(),
                    index: format!("{}_i{}", unit.name, unit.built),
                    millis: 1,
                };
                unit.built += 1;
                self.say(RUN, event);
            }
            Move::Complete(unit) => {
                self.book.units[unit].is_complete = true;
                let unit = &self.book.units[unit];
                let event = Event::UnitCompleted(UnitCompleted {
                    unit: unit.name.clone(),
                    passes: unit.pass,
                    written: 0,
                    quarantined: 0,
                    refreshed: 0,
                    changed: 0,
                    heads: BTreeMap::from([(unit.name.clone(), "head".into())]),
                    unchanged: unit.is_marked,
                });
                self.say(RUN, event);
            }
            Move::CompleteRun => {
                self.book.phase = Phase::Completed;
                let event = Event::RunCompleted {
                    written: 0,
                    quarantined: 0,
                };
                self.say(RUN, event);
            }
            Move::Adopt => {
                for unit in &mut self.book.units {
                    unit.is_marked = false;
                }
                let to = format!("d{}", self.draw(5));
                let from = std::mem::replace(&mut self.book.database, to.clone());
                self.say(RUN, Event::DatabaseAdopted { from, to });
            }
            Move::Budget => {
                let to = [0.0, 0.001, 0.5, 1.0][usize::try_from(self.draw(4)).expect("small")];
                let from = std::mem::replace(&mut self.book.max_bad, to);
                self.say(RUN, Event::BudgetChanged { from, to });
            }
            Move::Follow => {
                let followed = 1 + self.draw(1 << self.book.units.len().min(2));
                let mut units = Vec::new();
                for (place, unit) in self.book.units.iter_mut().enumerate() {
                    unit.is_followed = followed >> place & 1 == 1;
                    if unit.is_followed {
                        units.push(unit.name.clone());
                    }
                }
                if units.is_empty() {
                    self.book.units[0].is_followed = true;
                    units.push(self.book.units[0].name.clone());
                }
                let every_millis = 1_000;
                self.say(
                    RUN,
                    Event::FollowStarted {
                        units,
                        every_millis,
                    },
                );
            }
            Move::Advance => {
                let to = self.book.as_of + 1 + self.draw(3);
                let from = std::mem::replace(&mut self.book.as_of, to);
                for unit in &mut self.book.units {
                    unit.is_marked = false;
                }
                self.say(RUN, Event::AsOfAdvanced { from, to });
            }
            Move::CatchUp(unit) => {
                let unit = &mut self.book.units[unit];
                unit.is_caught_up = true;
                let event = Event::UnitCaughtUp {
                    unit: unit.name.clone(),
                    passes: unit.pass,
                };
                self.say(RUN, event);
            }
            Move::EndFollow => {
                let mut units = Vec::new();
                for unit in &mut self.book.units {
                    if std::mem::take(&mut unit.is_followed) {
                        units.push(unit.name.clone());
                    }
                }
                self.say(RUN, Event::FollowEnded { units });
            }
            Move::Worker => {
                let event = match self.draw(8) {
                    0 => Event::WorkerStarted {
                        release: "0".into(),
                        process: 1,
                        workers: 2,
                    },
                    1 => Event::BatchResized {
                        unit: "u0".into(),
                        from: 2,
                        to: 1,
                        reason: String::new(),
                    },
                    2 => Event::HoldStarted {
                        signal: "s".into(),
                        value: "2s".into(),
                        limit: "1s".into(),
                    },
                    3 => Event::HoldEnded {
                        signal: "s".into(),
                        value: "0s".into(),
                        millis: 1,
                    },
                    4 => Event::PaceChanged {
                        from: "fast".into(),
                        to: "slow".into(),
                        reason: String::new(),
                    },
                    5 => Event::CaughtUp {
                        units: vec!["u0".into()],
                        as_of: 1,
                    },
                    6 => Event::SettingsApplied(SettingsApplied {
                        settings: BTreeMap::from([(Setting::Pace, "off".into())]),
                    }),
                    _ => Event::WorkerStopped {
                        reason: String::new(),
                    },
                };
                self.say("worker/w", event);
            }
            Move::Steer => self.steer(),
            Move::Undo => self.undo(),
            Move::UndoBatch(partition) => self.undo_batch(partition),
            Move::EndUndo => {
                let units = std::mem::take(&mut self.book.undoing);
                self.book.phase = Phase::RolledBack;
                let units = units.into_iter().map(|unit| {
                    self.book.units[unit].is_undone = true;
                    self.book.units[unit].name.clone()
                });
                let event = Event::UndoCompleted {
                    units: units.collect(),
                    removed: 0,
                    kept: 0,
                    gone: 0,
                };
                self.say(RUN, event);
            }
        }
    }

    fn plan(&mut self, place: usize) {
        self.book.units[place].pass += 1;
        self.book.units[place].instant = self.book.as_of;
        let (unit, pass) = (
            self.book.units[place].name.clone(),
            self.book.units[place].pass,
        );
        self.book.units[place].is_marked = self.draw(2) == 0;
        if self.book.units[place].is_marked {
            let mark = Mark {
                life: None,
                oldest: self.draw(100).to_string(),
                rows: BTreeMap::from([(unit.clone(), self.draw(100))]),
            };
            let unit = unit.clone();
            self.say(RUN, Event::SourceMarked { unit, pass, mark });
        }
        for part in 0..=self.draw(2) {
            let end = self.draw(12);
            let planned = PartitionPlanned {
                unit: unit.clone(),
                pass,
                section: 0,
                part: i32::try_from(part).expect("few parts"),
                lower: None,
                upper: Some(end.to_string()),
                estimate: end,
            };
            let stream = format!("{unit}/{pass}.0.{part}");
            self.history.ends.insert(stream.clone(), end);
            self.say(RUN, Event::PartitionPlanned(planned));
            self.book.partitions.push(Partition {
                unit: place,
                stream,
                pass,
                end,
                at: 0,
                is_done: false,
                seq: 0,
                batches: Vec::new(),
            });
        }
    }

    fn undo(&mut self) {
        let due: Vec<_> = self.book.due().collect();
        let chosen = self.draw(1 << due.len().max(1));
        let mut units: Vec<_> = due
            .iter()
            .enumerate()
            .filter(|(bit, _)| chosen >> bit & 1 == 1)
            .map(|(_, unit)| *unit)
            .collect();
        if units.is_empty() {
            units = due;
        }
        if units.is_empty() {
            return;
        }
        units.reverse();
        let names = units.iter().map(|unit| self.book.units[*unit].name.clone());
        let event = Event::UndoStarted {
            units: names.collect(),
            reason: "why".into(),
        };
        self.book.undoing = units;
        self.book.phase = Phase::Undoing;
        // A rollback is steered for itself.
        self.book.undos += 1;
        self.book.wish = Wish::Going;
        self.book.set.clear();
        self.say(RUN, event);
    }
}
