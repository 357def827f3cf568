//! The checklist: the items of a migration's plan on paper, each ticked by the event that proves it, or by a person.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Noted, Runbook};
use crate::backend::{Database, Dialect};
use crate::core::event::{BackupMethod, Event};
use crate::core::replay::RUN_STREAM;
use crate::core::state::UnitStatus;
use crate::error::{Error, Result};
use crate::journal::{self, Entry, Filter};
use crate::{runs, schema};

/// Units' completions that are looked at for the last one that wrote; a run has a few.
const COMPLETED: u64 = 1_000;

/// What a migration's plan on paper asks for, beside the plan's units.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    /// Its items, in order, by list.
    pub items: &'static [Item],
    /// The roles that sign it off.
    pub roles: &'static [&'static str],
}

/// An item of the checklist.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// What it is called on the command line.
    pub id: &'static str,
    /// The list that it belongs to: `Pre-migration (day 0)`.
    pub list: &'static str,
    /// What is to be done.
    pub text: &'static str,
    /// What proves that it is.
    pub proof: Proof,
    /// The command that does it.
    pub command: &'static str,
}

/// What proves an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A person's name, time and note.
    Person,
    /// A backup, by whatever method.
    Backup,
    /// A backup that can be read without the provider.
    Dump,
    /// A backup that was restored into a scratch database and counted.
    RestoreRehearsed,
    /// The SQL of the schema change, as this release has it, was reviewed.
    SqlReviewed,
    /// The schema is applied.
    SchemaApplied,
    /// The live schema was found as expected since it was applied last.
    SchemaVerified,
    /// These units are complete.
    Units(&'static [&'static str]),
    /// The newest validation since rows were changed last has no errors.
    Validated,
    /// The same, and rows were computed from their sources again.
    ValidatedDeeply,
    /// A smoke test passed there.
    Smoke(&'static str),
    /// The newest gate there is open, and was watched as long as it should be.
    Gate(&'static str),
}

/// The checklist, as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct Checklist {
    /// Its items, in order.
    pub items: Vec<Standing>,
    /// Who signed it off, by role; in the paper's order.
    pub signatures: Vec<Signature>,
}

/// An item, as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// What it is called on the command line.
    pub id: &'static str,
    /// The list that it belongs to.
    pub list: &'static str,
    /// What is to be done.
    pub text: &'static str,
    /// The command that does it.
    pub command: &'static str,
    /// Whether the journal can prove it, or a person's word counts.
    pub is_provable: bool,
    /// What ticks it; none: it is open.
    pub done: Option<Done>,
}

/// What ticks an item.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum Done {
    /// An event of the journal.
    Proven {
        /// Its kind.
        event: String,
        /// The run that it is of; `runbook`: of none.
        run: String,
        /// Its stream.
        stream: String,
        /// Its place there.
        seq: i64,
        /// When it was appended, milliseconds since 1970.
        at: i64,
    },
    /// A person.
    Vouched {
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
        /// When, milliseconds since 1970.
        at: i64,
    },
}

/// A role, and who signed for it.
#[derive(Clone, Debug, Serialize)]
pub struct Signature {
    /// The role.
    pub role: &'static str,
    /// The newest signature; none: nobody signed.
    pub signed: Option<Signed>,
}

/// A signature.
#[derive(Clone, Debug, Serialize)]
pub struct Signed {
    /// Who.
    pub by: String,
    /// What they had to say.
    pub note: Option<String>,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// The digest of the heads of the journal that they signed.
    pub head: String,
}

impl Paper {
    /// The item of a name.
    ///
    /// # Errors
    /// [`Error::Usage`], naming those that there are.
    pub fn item(&self, id: &str) -> Result<&'static Item> {
        let mut items = self.items.iter();
        items.find(|item| item.id == id).ok_or_else(|| {
            let ids: Vec<_> = self.items.iter().map(|item| item.id).collect();
            Error::Usage(format!(
                "the checklist has no item {id:?}; its items are {}",
                ids.join(", ")
            ))
        })
    }

    /// The role of a name, in any case, with spaces or dashes.
    ///
    /// # Errors
    /// [`Error::Usage`], naming those that there are.
    pub fn role(&self, named: &str) -> Result<&'static str> {
        let plain = |name: &str| name.trim().to_lowercase().replace(['-', '_'], " ");
        let mut roles = self.roles.iter();
        let found = roles.find(|role| plain(role) == plain(named)).copied();
        found.ok_or_else(|| {
            Error::Usage(format!(
                "nobody signs off as {named:?}; the roles are {}",
                self.roles.join(", ")
            ))
        })
    }
}

impl Checklist {
    /// How many items are done.
    #[must_use]
    pub fn done(&self) -> usize {
        self.items.iter().filter(|item| item.done.is_some()).count()
    }

    /// What ticks the item that asks for a validation; none where that is open, or nothing asks for one.
    #[must_use]
    pub fn validated(&self, paper: &Paper) -> Option<&Done> {
        let mut items = paper.items.iter();
        let item = items.find(|item| item.proof == Proof::Validated)?;
        let mut standing = self.items.iter();
        standing
            .find(|standing| standing.id == item.id)?
            .done
            .as_ref()
    }

    /// Whether every item is done and every role has signed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.done() == self.items.len() && self.signatures.iter().all(|role| role.signed.is_some())
    }
}

impl Done {
    fn proven(entry: &Entry) -> Self {
        Self::Proven {
            event: entry.kind.clone(),
            run: entry.run.clone(),
            stream: entry.stream.clone(),
            seq: entry.seq,
            at: entry.at,
        }
    }
}

/// The checklist, as it stands.
///
/// # Errors
/// The database's; a journal that does not fold.
pub async fn load(database: &Database, paper: &Paper) -> Result<Checklist> {
    let book = super::load(database).await?;
    let facts = Facts::load(database, &book).await?;
    let items = paper.items.iter().map(|item| Standing {
        id: item.id,
        list: item.list,
        text: item.text,
        command: item.command,
        is_provable: item.proof != Proof::Person,
        done: facts.proof(item.proof).or_else(|| vouched(&book, item.id)),
    });
    Ok(Checklist {
        items: items.collect(),
        signatures: signatures(&book, paper),
    })
}

/// Who vouches for an item; none where nobody does, or took it back.
fn vouched(book: &Runbook, id: &str) -> Option<Done> {
    let newest = book.newest(|event| match event {
        Event::ItemTicked { item, by, note } if item == id => Some(Some((by, note))),
        Event::ItemReopened { item, .. } if item == id => Some(None),
        _ => None,
    });
    let (noted, ticked) = newest?;
    let (by, note) = ticked?;
    Some(Done::Vouched {
        by: by.clone(),
        note: note.clone(),
        at: noted.entry.at,
    })
}

/// The newest signature of each role.
fn signatures(book: &Runbook, paper: &Paper) -> Vec<Signature> {
    let signed = |wanted: &str| {
        let newest = book.newest(|event| match event {
            Event::SignedOff {
                role,
                by,
                note,
                head,
            } if role == wanted => Some((by, note, head)),
            _ => None,
        });
        newest.map(|(noted, (by, note, head))| Signed {
            by: by.clone(),
            note: note.clone(),
            at: noted.entry.at,
            head: head.clone(),
        })
    };
    let roles = paper.roles.iter();
    roles
        .map(|role| Signature {
            role,
            signed: signed(role),
        })
        .collect()
}

/// What proofs are looked for in.
struct Facts<'a> {
    book: &'a Runbook,
    dialect: Dialect,
    /// Where each unit was completed, for those whose rows stand.
    units: BTreeMap<String, Entry>,
    /// Where rows were written or taken back last.
    changed: Option<i64>,
    is_applied: bool,
}

impl<'a> Facts<'a> {
    async fn load(database: &Database, book: &'a Runbook) -> Result<Self> {
        let mut facts = Self {
            book,
            dialect: database.dialect(),
            units: BTreeMap::new(),
            changed: None,
            is_applied: schema::status(database)
                .await?
                .iter()
                .all(|change| change.is_applied),
        };
        if facts.is_applied {
            facts.units = completed(database).await?;
            facts.changed = last_change(database).await?;
        }
        Ok(facts)
    }

    fn proof(&self, proof: Proof) -> Option<Done> {
        match proof {
            Proof::Person => None,
            Proof::Backup => self.event(|event| match event {
                Event::BackupTaken(_) => Some(true),
                _ => None,
            }),
            Proof::Dump => self
                .book
                .newest(|event| match event {
                    Event::BackupTaken(backup) => {
                        let is_file = !matches!(backup.method, BackupMethod::Command { .. });
                        is_file.then_some(())
                    }
                    _ => None,
                })
                .map(|(noted, ())| Done::proven(&noted.entry)),
            Proof::RestoreRehearsed => self.event(|event| match event {
                Event::BackupVerified(verified) if verified.full => {
                    Some(verified.problems.is_empty())
                }
                _ => None,
            }),
            Proof::SqlReviewed => self.event(|event| match event {
                Event::SqlReviewed { digest, .. } => Some(*digest == schema::digest(self.dialect)),
                _ => None,
            }),
            Proof::SchemaApplied => self
                .event(|event| matches!(event, Event::SchemaApplied { .. }).then_some(true))
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

    /// The newest validation, where it has no errors and no row was written or taken back after it.
    fn validated(&self, deeply: bool) -> Option<Done> {
        let of = |event: &'a Event| match event {
            Event::Validated(validated) => {
                let counts = !deeply || validated.deep.is_some() || !validated.errors.is_empty();
                counts.then_some(validated)
            }
            _ => None,
        };
        let (Noted { entry, .. }, validated) = self.book.newest(of)?;
        let is_sound = validated.errors.is_empty() && validated.run.is_some();
        let is_current = self.changed.is_none_or(|changed| changed < entry.position);
        (is_sound && is_current).then(|| Done::proven(entry))
    }
}

/// Where each unit was completed, for those whose rows stand.
///
/// # Errors
/// The database's; a journal that does not fold.
pub async fn completed(database: &Database) -> Result<BTreeMap<String, Entry>> {
    let connection = database.connection();
    let mut completed = BTreeMap::new();
    for run in journal::runs(connection).await? {
        let (state, _) = runs::load(connection, &run).await?;
        for (unit, state) in &state.units {
            if state.status != UnitStatus::Completed {
                continue;
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
async fn last_change(database: &Database) -> Result<Option<i64>> {
    let connection = database.connection();
    let mut filter = Filter {
        kind: Some("BatchUndone".into()),
        ..Filter::default()
    };
    let undone = journal::select(connection, &filter, 1, true).await?;
    let mut last = undone.last().map(|entry| entry.position);
    filter.kind = Some("UnitCompleted".into());
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
