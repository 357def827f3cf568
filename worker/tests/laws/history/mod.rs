//! Random histories of a run, as an engine and an undo without faults would write them. The driver keeps a book of its
//! own of what may come next and never asks the core.

mod book;
mod driver;
mod rows;
mod wishes;

use std::collections::BTreeMap;
use std::fmt;

use proptest::prelude::*;
use worker::core::event::{Cursor, Event};

use self::driver::Driver;

/// The run's own stream.
pub(crate) const RUN: &str = "run";

/// An event and the stream that it stands in.
pub(crate) type Entry = (String, Event);

/// A run's events in the order in which they happened.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) entries: Vec<Entry>,
    /// The last key of each partition; its keys are the numbers from 1.
    pub(crate) ends: BTreeMap<String, i64>,
}

/// Histories of every length, from a run that has just begun to one that is rolled back.
pub(crate) fn histories() -> impl Strategy<Value = History> {
    prop::collection::vec(any::<u16>(), 0..320).prop_map(|tape| Driver::drive(&tape))
}

/// The keys of a cursor: how far it is.
pub(crate) fn place(cursor: Option<&Cursor>) -> i64 {
    cursor.map_or(0, |cursor| cursor[0].parse().expect("a number"))
}

/// A line an event, so that a failure can be read.
impl fmt::Debug for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (stream, event)) in self.entries.iter().enumerate() {
            writeln!(formatter, "{place} {stream}: {event:?}")?;
        }
        Ok(())
    }
}
