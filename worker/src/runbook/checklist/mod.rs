//! The checklist: the items of a migration's plan on paper, each ticked by the event that proves it, or by a person.

mod proof;

use serde::Serialize;

use self::proof::Facts;
use super::Runbook;
use crate::backend::Database;
use crate::core::event::Event;
use crate::error::{Error, Result};
use crate::journal::Entry;

pub use self::proof::{Sound, Unsound, completed, last_change, sound_validation};

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
        signatures: signatures(&book, paper, facts.undone),
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

/// The newest signature of each role; one is worth nothing any more once rows were taken back after it.
fn signatures(book: &Runbook, paper: &Paper, undone: Option<i64>) -> Vec<Signature> {
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
        let newest = newest.filter(|(noted, _)| Some(noted.entry.position) > undone);
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
