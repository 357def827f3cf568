//! The walk over all sections of all sources: a page is read, computed, compared, and counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Options;
use crate::backend::Database;
use crate::core::event::{Cursor, Event, Found, ValidationAdvanced};
use crate::core::state::RunState;
use crate::engine::Plan;
use crate::error::Result;
use crate::proof::{Judged, Prover, Verdict};
use crate::retry::Retry;
use crate::runbook;
use crate::shutdown::Shutdown;
use crate::source::Source;
use crate::unit::{Page, Range};
use crate::validate::PAGE;

/// How often progress is journaled.
const EVERY: Duration = Duration::from_secs(5);

/// What is walked over.
pub(super) struct Proving<'a> {
    pub(super) database: &'a Database,
    pub(super) plan: &'a Plan,
    pub(super) run: &'a str,
    pub(super) state: &'a RunState,
    pub(super) source: &'a Source,
    pub(super) options: Options,
}

/// How far a walk is.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) at: Place,
    /// By unit.
    pub(super) found: BTreeMap<String, Found>,
    notes: Option<Notes>,
}

/// Where a walk stands: behind this row of this section; without a unit, at the beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) unit: Option<String>,
    section: usize,
    cursor: Option<Cursor>,
    /// Whether the section is done.
    last: bool,
}

/// Where progress is journaled.
#[derive(Debug)]
struct Notes {
    database: Database,
    worker: String,
    stream: String,
    noted: Instant,
}

impl Walk {
    /// One that has not begun.
    pub(super) fn start() -> Self {
        Self {
            at: Place::default(),
            found: BTreeMap::new(),
            notes: None,
        }
    }

    /// One that has come so far.
    pub(super) fn at(advanced: ValidationAdvanced) -> Self {
        Self {
            at: Place {
                unit: Some(advanced.unit),
                section: usize::try_from(advanced.section).unwrap_or(0),
                cursor: advanced.cursor,
                last: advanced.last,
            },
            found: advanced.found,
            notes: None,
        }
    }

    /// Journals its progress in this stream from here on.
    pub(super) fn note_in(&mut self, database: &Database, worker: &str, stream: &str) {
        self.notes = Some(Notes {
            database: database.clone(),
            worker: worker.to_owned(),
            stream: stream.to_owned(),
            noted: Instant::now(),
        });
    }

    /// Goes on to the end of these units; `reached` is told how many rows of ours are looked at. False: somebody asked
    /// to stop, and how far it is is journaled.
    ///
    /// # Errors
    /// The database's, after bounded retries.
    pub(super) async fn go_on(
        &mut self,
        proving: &Proving<'_>,
        units: &[usize],
        shutdown: &Shutdown,
        mut reached: impl FnMut(i64),
    ) -> Result<bool> {
        reached(self.looked_at());
        // Those before the one that it stands in are done.
        let begun = self.at.unit.as_ref().and_then(|begun| {
            let name = |unit: &usize| proving.plan[*unit].definition().name == *begun;
            units.iter().position(name)
        });
        for unit in units.iter().skip(begun.unwrap_or(0)) {
            let definition = proving.plan[*unit].definition();
            let mut prover = None;
            for section in 0..definition.sections.len() {
                let is_begun = self.at.unit.as_deref() == Some(&definition.name);
                if is_begun && (section, !self.at.last) < (self.at.section, true) {
                    continue;
                }
                if !(is_begun && section == self.at.section) {
                    self.at = Place {
                        unit: Some(definition.name.clone()),
                        section,
                        ..Place::default()
                    };
                }
                let prover = match &mut prover {
                    Some(prover) => prover,
                    none => none.insert(self.prover(proving, *unit, shutdown).await?),
                };
                while !self.at.last {
                    if shutdown.is_requested() {
                        self.note().await?;
                        return Ok(false);
                    }
                    let began = Instant::now();
                    let rows = self.page(proving, *unit, prover, shutdown).await?;
                    reached(self.looked_at());
                    self.note_in_time().await?;
                    if let Some(pace) = proving.options.pace {
                        let due = Duration::from_secs(1) * rows / pace.max(1);
                        shutdown.sleep(due.saturating_sub(began.elapsed())).await;
                    }
                }
            }
        }
        Ok(true)
    }

    async fn prover(
        &self,
        proving: &Proving<'_>,
        unit: usize,
        shutdown: &Shutdown,
    ) -> Result<Prover> {
        let mut retry = Retry::default();
        loop {
            let Proving {
                database,
                plan,
                run,
                state,
                ..
            } = proving;
            let (started, as_of) = (&state.started, state.as_of);
            match Prover::new(database, plan, unit, run, started, as_of).await {
                Ok(prover) => return Ok(prover),
                Err(error) => retry.pause(error, shutdown).await?,
            }
        }
    }

    /// Reads, judges and counts a page; gives how many rows it had.
    async fn page(
        &mut self,
        proving: &Proving<'_>,
        unit: usize,
        prover: &Prover,
        shutdown: &Shutdown,
    ) -> Result<u32> {
        let mut retry = Retry::default();
        let whole = Range {
            lower: None,
            upper: None,
            estimate: 0,
        };
        let limit = proving
            .options
            .pace
            .map_or(PAGE, |pace| pace.clamp(1, PAGE));
        let (source, section) = (proving.source, self.at.section);
        loop {
            let cursor = self.at.cursor.as_ref();
            let read = proving.plan[unit].read(source, section, &whole, cursor, limit);
            let judged = match read.await {
                Ok(Page {
                    items, to, last, ..
                }) => {
                    let judged = prover.judge(source, section, items).await;
                    judged.map(|judged| (judged, to, last))
                }
                Err(error) => Err(error),
            };
            match judged {
                Ok((judged, to, last)) => {
                    let rows = u32::try_from(judged.len()).unwrap_or(u32::MAX);
                    self.count(proving, unit, judged);
                    (self.at.cursor, self.at.last) = (to, last);
                    return Ok(rows);
                }
                Err(error) => retry.pause(error, shutdown).await?,
            }
        }
    }

    fn count(&mut self, proving: &Proving<'_>, unit: usize, judged: Vec<Judged>) {
        let definition = proving.plan[unit].definition();
        let most = proving.options.examples;
        let found = self.found.entry(definition.name.clone()).or_default();
        let add = |keys: &mut Vec<String>, key: String| {
            if keys.len() < most {
                keys.push(key);
            }
        };
        for judged in judged {
            let (key, verdict) = match judged {
                Judged::Row(row, verdict) => (row.key, verdict),
                Judged::Skip(_) | Judged::SetAside { .. } => continue,
                Judged::Bad(key) => {
                    found.bad += 1;
                    add(&mut found.bad_keys, key);
                    continue;
                }
            };
            match verdict {
                Verdict::Right => found.verified += 1,
                Verdict::Wrong { columns, .. } => {
                    found.wrong += 1;
                    add(&mut found.wrong_keys, with(&key, &columns.join(", ")));
                }
                Verdict::Missing => {
                    found.missing += 1;
                    add(&mut found.missing_keys, key);
                }
                Verdict::Altered(columns) => {
                    found.altered += 1;
                    add(&mut found.altered_keys, with(&key, &columns.join(", ")));
                }
                Verdict::Changed(why) => {
                    found.changed += 1;
                    add(&mut found.changed_keys, with(&key, why));
                }
                Verdict::Foreign => {
                    found.foreign += 1;
                    add(&mut found.foreign_keys, key);
                }
                Verdict::Elsewhere => found.elsewhere += 1,
                Verdict::SetAside | Verdict::Nothing(_) => {}
            }
        }
    }

    /// Rows of ours that are looked at.
    fn looked_at(&self) -> i64 {
        let of = |found: &Found| {
            found.verified + found.wrong + found.changed + found.elsewhere + found.altered
        };
        self.found.values().map(of).sum()
    }

    /// Journals how far it is at a section's end, and every few seconds.
    async fn note_in_time(&mut self) -> Result<()> {
        let notes = self.notes.as_ref();
        match notes.is_some_and(|notes| self.at.last || notes.noted.elapsed() >= EVERY) {
            true => self.note().await,
            false => Ok(()),
        }
    }

    async fn note(&mut self) -> Result<()> {
        let (Some(notes), Some(unit)) = (&mut self.notes, &self.at.unit) else {
            return Ok(());
        };
        let advanced = Event::ValidationAdvanced(ValidationAdvanced {
            unit: unit.clone(),
            section: i32::try_from(self.at.section).unwrap_or(i32::MAX),
            cursor: self.at.cursor.clone(),
            last: self.at.last,
            found: self.found.clone(),
        });
        runbook::note_in(&notes.database, &notes.worker, &notes.stream, &[advanced]).await?;
        notes.noted = Instant::now();
        Ok(())
    }
}

/// A key with what there is to say of it.
fn with(key: &str, words: &str) -> String {
    format!("{key} ({words})")
}
