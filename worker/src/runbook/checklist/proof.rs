//! Which event proves an item: the rules, over the runbook and over where the plan's units were completed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Done, Proof};
use crate::backend::{Database, Dialect};
use crate::core::event::{Backup, BackupMethod, Event};
use crate::core::replay::RUN_STREAM;
use crate::core::state::UnitStatus;
use crate::error::Result;
use crate::journal::{self, Entry, Filter};
use crate::runbook::{Noted, Runbook};
use crate::{projection, runs, schema};

/// Units' completions that are looked at for the last one that wrote; a run has a few.
const COMPLETED: u64 = 1_000;

/// What proofs are looked for in.
pub(super) struct Facts<'a> {
    book: &'a Runbook,
    dialect: Dialect,
    /// Where each unit was completed, for those whose rows stand.
    units: BTreeMap<String, Entry>,
    /// Where rows were written or taken back last.
    changed: Option<i64>,
    /// Where rows were taken back last.
    pub(super) undone: Option<i64>,
    is_applied: bool,
}

impl<'a> Facts<'a> {
    pub(super) async fn load(database: &Database, book: &'a Runbook) -> Result<Self> {
        let mut facts = Self {
            book,
            dialect: database.dialect(),
            units: BTreeMap::new(),
            changed: None,
            undone: None,
            is_applied: schema::status(database)
                .await?
                .iter()
                .all(|change| change.is_applied),
        };
        if facts.is_applied {
            facts.units = completed(database).await?;
            facts.changed = last_change(database).await?;
            facts.undone = last_undo(database).await?;
        }
        Ok(facts)
    }

    pub(super) fn proof(&self, proof: Proof) -> Option<Done> {
        match proof {
            Proof::Person => None,
            Proof::Backup => self.event(|event| backup(event).map(|_| true)),
            Proof::Dump => self.event(|event| {
                let method = &backup(event)?.method;
                (!matches!(method, BackupMethod::Command { .. })).then_some(true)
            }),
            Proof::RestoreRehearsed => self.event(|event| match event {
                Event::BackupVerified(verified) if verified.full => {
                    Some(verified.problems.is_empty())
                }
                Event::BackupRestored(restored) => Some(restored.problems.is_empty()),
                _ => None,
            }),
            Proof::SqlReviewed => self.event(|event| match event {
                Event::SqlReviewed { digest, .. } => Some(*digest == schema::digest(self.dialect)),
                _ => None,
            }),
            // Where an administrator applied the reviewed SQL by hand, that it was found as expected is the proof.
            Proof::SchemaApplied => self
                .event(|event| matches!(event, Event::SchemaApplied { .. }).then_some(true))
                .or_else(|| self.proof(Proof::SchemaVerified))
                .filter(|_| self.is_applied),
            // What was verified before the schema was applied last is no proof of it.
            Proof::SchemaVerified => self.event(|event| match event {
                Event::SchemaVerified { differences } => Some(differences.is_empty()),
                Event::SchemaApplied { .. } => Some(false),
                _ => None,
            }),
            Proof::Units(units) => {
                let completed: Option<Vec<_>> =
                    units.iter().map(|unit| self.units.get(*unit)).collect();
                let last = completed?.into_iter().max_by_key(|entry| entry.position);
                last.map(Done::proven)
            }
            Proof::Validated => self.validated(false),
            Proof::ValidatedDeeply => self.validated(true),
            Proof::Smoke(wanted) => self.event(|event| match event {
                Event::SmokeTested(tested) if tested.environment == wanted => {
                    Some(tested.exit == Some(0))
                }
                _ => None,
            }),
            Proof::Gate(wanted) => self.event(|event| match event {
                Event::GateJudged(judged) if judged.environment == wanted => {
                    Some(judged.open && judged.watched_seconds >= judged.required_seconds)
                }
                _ => None,
            }),
        }
    }

    /// The newest event that bears on an item, where it speaks for it.
    fn event(&self, speaks: impl FnMut(&'a Event) -> Option<bool>) -> Option<Done> {
        let (noted, speaks_for_it) = self.book.newest(speaks)?;
        speaks_for_it.then(|| Done::proven(&noted.entry))
    }

    fn validated(&self, deeply: bool) -> Option<Done> {
        let sound = sound_validation(self.book, self.changed).ok()?;
        let noted = match deeply {
            true => sound.deep?,
            false => sound.newest,
        };
        Some(Done::proven(&noted.entry))
    }
}

/// The newest validations, where they are sound.
#[derive(Clone, Copy, Debug)]
pub struct Sound<'a> {
    /// The newest one.
    pub newest: &'a Noted,
    /// The newest that computed rows from their sources again, where there is one since rows changed last.
    pub deep: Option<&'a Noted>,
}

/// Why validations prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// None was noted since rows were written or taken back last.
    #[error("no validation is on record since rows were written or taken back last")]
    Missing,
    /// The newest one, or the newest deep one, found errors: these.
    #[error("the newest validation found: {}", .0.join("; "))]
    Errors(Vec<String>),
}

/// The newest validation, and the newest deep one, since rows were written or taken back last (`changed`). A shallow one
/// cannot see what a deep one has found, so it does not take its place.
///
/// # Errors
/// Why they prove nothing.
pub fn sound_validation(
    book: &Runbook,
    changed: Option<i64>,
) -> std::result::Result<Sound<'_>, Unsound> {
    let is_current = |noted: &&Noted| Some(noted.entry.position) > changed;
    let current = book.events.iter().rev().filter(is_current);
    let validated = current.filter_map(|noted| match &noted.event {
        Event::Validated(validated) if validated.run.is_some() => Some((noted, validated)),
        _ => None,
    });
    let mut deep = validated
        .clone()
        .filter(|(_, validated)| validated.deep.is_some());
    let (newest, deep) = (validated.clone().next(), deep.next());
    let Some((noted, _)) = newest else {
        return Err(Unsound::Missing);
    };
    for (_, validated) in newest.iter().chain(&deep) {
        if !validated.errors.is_empty() {
            return Err(Unsound::Errors(validated.errors.clone()));
        }
    }
    Ok(Sound {
        newest: noted,
        deep: deep.map(|(noted, _)| noted),
    })
}

/// The backup that an event speaks of: one that was taken, or one that the database was put back from, whose journal was
/// written before the backup was noted.
fn backup(event: &Event) -> Option<&Backup> {
    match event {
        Event::BackupTaken(backup) => Some(backup),
        Event::BackupRestored(restored) => Some(&restored.backup),
        _ => None,
    }
}

/// Where each unit was completed, for those whose rows stand. A run that found nothing to write proves nothing of a unit
/// whose rows of another run were taken back: it found them there, or looked as of another instant.
///
/// # Errors
/// The database's; a journal that does not fold.
pub async fn completed(database: &Database) -> Result<BTreeMap<String, Entry>> {
    let connection = database.connection();
    let mut completed = BTreeMap::new();
    let mut taken_back = BTreeSet::new();
    for run in journal::runs(connection).await? {
        let (state, _) = runs::load(connection, &run).await?;
        let partitions = projection::load(connection, &run).await?;
        for (unit, state) in &state.units {
            let mut of_unit = partitions.iter().filter(|row| row.unit == *unit);
            let has_written = of_unit.any(|row| row.written > 0);
            match state.status {
                UnitStatus::Undone if has_written => {
                    completed.remove(unit);
                    taken_back.insert(unit.clone());
                    continue;
                }
                UnitStatus::Completed if has_written || !taken_back.contains(unit) => {}
                _ => continue,
            }
            if has_written {
                taken_back.remove(unit);
            }
            let filter = Filter {
                run: Some(run.clone()),
                unit: Some(unit.clone()),
                kind: Some("UnitCompleted".into()),
                ..Filter::default()
            };
            if let Some(entry) = journal::select(connection, &filter, 1, true).await?.pop() {
                completed.insert(unit.clone(), entry);
            }
        }
    }
    Ok(completed)
}

/// Where rows were written or taken back last, as far as validations go; none where they never were. A run that is not
/// finished may write at any moment; one that found nothing to write changed nothing.
pub async fn last_change(database: &Database) -> Result<Option<i64>> {
    let connection = database.connection();
    let mut last = last_undo(database).await?;
    let filter = Filter {
        kind: Some("UnitCompleted".into()),
        ..Filter::default()
    };
    for entry in journal::select(connection, &filter, COMPLETED, true).await? {
        if let Event::UnitCompleted(completed) = journal::event(&entry)?
            && completed.written > 0
        {
            last = last.max(Some(entry.position));
        }
    }
    if let Some((run, _)) = runs::unfinished(connection).await? {
        let started = journal::at(connection, &run, RUN_STREAM, 1).await?;
        last = last.max(started.map(|entry| entry.position));
    }
    Ok(last)
}

/// Where rows were taken back last; none where they never were.
async fn last_undo(database: &Database) -> Result<Option<i64>> {
    let filter = Filter {
        kind: Some("BatchUndone".into()),
        ..Filter::default()
    };
    let undone = journal::select(database.connection(), &filter, 1, true).await?;
    Ok(undone.last().map(|entry| entry.position))
}
