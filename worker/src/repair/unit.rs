//! A unit's repair: its own source, read as it reads it, and of its rows those alone that are wrong, or missing, or were
//! set aside.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::{AGAIN, MISSING, REPLAYED, REWRITTEN};
use crate::backend::Database;
use crate::core::event::{Cursor, Input};
use crate::core::plan::{Definition, Destination, Write};
use crate::core::state::RunState;
use crate::engine::Plan;
use crate::error::Result;
use crate::journal;
use crate::proof::{Judged, Owners, Prover, Verdict};
use crate::source::Source;
use crate::unit::{Item, Page, Parts, Range, Row, SourceTable, Unit};

/// What all repairs of a unit share.
pub(super) struct Shared {
    database: Database,
    plan: Plan,
    place: usize,
    run: String,
    state: RunState,
    /// The source as the repaired run saw it.
    source: Source,
    /// Made when it is first needed.
    prover: OnceCell<Prover>,
}

/// Why a repair leaves a row alone that a replay would write.
const IN_QUARANTINE: &str = "in quarantine";

/// A repair of a unit.
pub(super) struct Repairing {
    shared: Arc<Shared>,
    definition: Definition,
    what: What,
}

/// What is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Rows that nobody wrote.
    Missing,
    /// Rows that stand as we wrote them and are not what their source gives.
    Wrong,
    /// Rows that were set aside.
    SetAside,
}

impl Shared {
    /// For a unit of a plan, as a run wrote it.
    pub(super) fn new(
        database: &Database,
        plan: &Plan,
        place: usize,
        (run, state): (&str, &RunState),
        source: Source,
    ) -> Self {
        Self {
            database: database.clone(),
            plan: plan.clone(),
            place,
            run: run.to_owned(),
            state: state.clone(),
            source,
            prover: OnceCell::new(),
        }
    }

    /// The source as the repaired run saw it.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The run that is open now, which takes rows back, and who wrote each row last.
    pub(super) async fn taken(&self) -> Result<(String, Owners)> {
        let Definition {
            name, destination, ..
        } = self.unit().definition();
        let run = journal::newest_run(self.database.connection()).await?;
        let owners = Owners::load(&self.database, name, destination).await?;
        Ok((run.unwrap_or_default(), owners))
    }

    pub(super) fn unit(&self) -> &dyn Unit {
        self.plan[self.place].as_ref()
    }

    async fn prover(&self) -> Result<&Prover> {
        let make = || {
            Prover::new(
                &self.database,
                &self.plan,
                self.place,
                &self.run,
                &self.state.started,
                self.state.as_of,
            )
        };
        self.prover.get_or_try_init(make).await
    }

    /// A definition derived from the unit's; `repaired` are the names of all units that are repaired.
    pub(super) fn definition(
        &self,
        suffix: &str,
        summary: &str,
        repaired: &[String],
        write: Write,
    ) -> Definition {
        let unit = self.unit().definition();
        let all: &[&str] = match suffix {
            REPLAYED => &[REPLAYED],
            AGAIN => &[AGAIN],
            _ => &[MISSING, REWRITTEN],
        };
        let repairs = |name: &String| {
            let name = name.clone();
            all.iter().map(move |suffix| format!("{name}{suffix}"))
        };
        Definition {
            name: format!("{}{suffix}", unit.name),
            summary: format!("{summary} {}", unit.name),
            depends_on: unit
                .depends_on
                .iter()
                .filter(|name| repaired.contains(name))
                .flat_map(repairs)
                .collect(),
            destination: Destination {
                write,
                ..unit.destination.clone()
            },
            ..unit.clone()
        }
    }
}

impl Repairing {
    /// Writes what is missing, as the unit itself would.
    pub(super) fn missing(shared: &Arc<Shared>, repaired: &[String]) -> Self {
        let write = shared.unit().definition().destination.write.clone();
        Self {
            shared: shared.clone(),
            definition: shared.definition(MISSING, "writes what is missing of", repaired, write),
            what: What::Missing,
        }
    }

    /// Rewrites what is wrong; each row only as long as its values are those that were looked at.
    pub(super) fn rewritten(shared: &Arc<Shared>, repaired: &[String]) -> Self {
        let write = Write::Update {
            guard: "TRUE".into(),
        };
        Self {
            shared: shared.clone(),
            definition: shared.definition(REWRITTEN, "rewrites what is wrong of", repaired, write),
            what: What::Wrong,
        }
    }

    /// Writes what was set aside and is bad no more, as the unit itself would; what is still bad is set aside again.
    pub(super) fn replayed(shared: &Arc<Shared>, repaired: &[String]) -> Self {
        let write = shared.unit().definition().destination.write.clone();
        let summary = "writes what was set aside of";
        Self {
            shared: shared.clone(),
            definition: shared.definition(REPLAYED, summary, repaired, write),
            what: What::SetAside,
        }
    }
}

#[async_trait]
impl Unit for Repairing {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn tables(&self) -> Vec<SourceTable> {
        self.shared.unit().tables()
    }

    fn inputs(&self) -> &[Input] {
        match self.what {
            What::Missing | What::SetAside => self.shared.unit().inputs(),
            // The run pins each file once.
            What::Wrong => &[],
        }
    }

    async fn split(&self, _source: &Source, section: usize, parts: Parts) -> Result<Vec<Range>> {
        let Shared { source, .. } = &*self.shared;
        self.shared.unit().split(source, section, parts).await
    }

    async fn read(
        &self,
        _source: &Source,
        section: usize,
        range: &Range,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page> {
        let Shared { source, .. } = &*self.shared;
        let unit = self.shared.unit();
        let mut page = unit.read(source, section, range, after, limit).await?;
        let prover = self.shared.prover().await?;
        let judged = prover.judge(source, section, page.items).await?;
        page.items = judged.into_iter().map(|judged| self.item(judged)).collect();
        Ok(page)
    }
}

impl Repairing {
    /// What becomes of a row.
    fn item(&self, judged: Judged) -> Item {
        let (row, verdict) = match judged {
            Judged::Row(row, verdict) => (row, verdict),
            Judged::Skip(reason) => return Item::Skip(reason),
            Judged::SetAside { key, reason } => {
                return match self.what {
                    What::SetAside => Item::Bad { key, reason },
                    What::Missing | What::Wrong => Item::Skip(IN_QUARANTINE),
                };
            }
            Judged::Bad(_) => return Item::Skip("bad, and not repaired"),
        };
        match (verdict, self.what) {
            (Verdict::SetAside, What::SetAside) | (Verdict::Missing, What::Missing) => {
                Item::Row(row)
            }
            (_, What::SetAside) => Item::Skip("not in quarantine"),
            (Verdict::Wrong { values, .. }, What::Wrong) => Item::Row(Row {
                expects: Some(values),
                ..row
            }),
            (Verdict::Right, _) => Item::Skip("as it should be"),
            (Verdict::Missing, _) => Item::Skip("missing"),
            (Verdict::Wrong { .. }, _) => Item::Skip("wrong"),
            (Verdict::SetAside, _) => Item::Skip(IN_QUARANTINE),
            (Verdict::Changed(_), _) => Item::Skip("changed by the application since"),
            (Verdict::Foreign, _) => Item::Skip("the application's own"),
            (Verdict::Elsewhere, _) => Item::Skip("written as of another instant"),
            (Verdict::Altered(_), _) => Item::Skip("perhaps a trigger's doing"),
            (Verdict::Nothing(why), _) => Item::Skip(why),
        }
    }
}
