//! Which rows of a run a scope means, read from its provenance, the newest batches first.

use std::collections::{BTreeMap, HashSet};

use crate::backend::Database;
use crate::core::event::{Event, Scope, Told};
use crate::core::plan::{Definition, UnitPin};
use crate::core::state::{RunState, UnitStatus};
use crate::engine::Plan;
use crate::error::{Doing, Error, Result};
use crate::provenance::Written;
use crate::standing::{Batch, newest_told};
use crate::{journal, projection, write};

/// Events in a page of what workers tell.
const PAGE: u64 = 1_000;

/// The part of a run that a scope means.
#[derive(Debug)]
pub(crate) struct Chosen {
    database: Database,
    run: String,
    scope: Scope,
    /// The version of the program that each worker was.
    releases: BTreeMap<String, String>,
    /// The expression for a row's tenant, by the units that know it.
    tenants: BTreeMap<String, String>,
}

/// A partition that may hold rows of the scope.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Its name.
    pub(crate) name: String,
    /// Rows that it has written.
    pub(crate) written: i64,
}

impl Chosen {
    /// The part of a run that a scope means.
    ///
    /// # Errors
    /// The database's. [`Error::Usage`]: the run has no such unit, batch, worker or version; a unit that was named knows no
    /// tenants.
    pub(crate) async fn of(
        database: &Database,
        plan: &Plan,
        (run, state): (&str, &RunState),
        scope: &Scope,
    ) -> Result<Self> {
        let releases = releases(database, run).await?;
        let tenants = plan.iter().filter_map(|unit| {
            let name = unit.definition().name.clone();
            Some((name, unit.tenant()?.to_owned()))
        });
        let chosen = Self {
            database: database.clone(),
            run: run.to_owned(),
            scope: scope.clone(),
            releases,
            tenants: tenants.collect(),
        };
        chosen.check(state).await?;
        Ok(chosen)
    }

    /// Refuses what would silently mean nothing.
    async fn check(&self, state: &RunState) -> Result<()> {
        let Self { run, scope, .. } = self;
        let unknown = |what: &str, name: &str, known: Vec<&str>| {
            Err(Error::Usage(format!(
                "run {run} has no {what} {name}; it has {}",
                match known.is_empty() {
                    true => "none".to_owned(),
                    false => known.join(", "),
                }
            )))
        };
        let pins = &state.started.units;
        for unit in &scope.units {
            if !state.units.contains_key(unit) {
                let known = pins.iter().map(|pin| pin.name.as_str()).collect();
                return unknown("unit", unit, known);
            }
        }
        for worker in &scope.workers {
            if !self.releases.contains_key(worker) {
                let known = self.releases.keys().map(String::as_str).collect();
                return unknown("worker", worker, known);
            }
        }
        if let Some(release) = &scope.written_by
            && !self.releases.values().any(|known| known == release)
        {
            let known: HashSet<_> = self.releases.values().map(String::as_str).collect();
            let mut known: Vec<_> = known.into_iter().collect();
            known.sort_unstable();
            return unknown("worker of version", release, known);
        }
        for batch in &scope.batches {
            let place = batch.rsplit_once('/');
            let place = place.and_then(|(stream, seq)| Some((stream, seq.parse::<i64>().ok()?)));
            let Some((stream, seq)) = place else {
                return Err(Error::Usage(format!(
                    "{batch} names no batch: write its stream and its seq, as in agent_feedback/1.0.0/12 (`cli journal show \
                     --kind BatchCommitted` lists them)"
                )));
            };
            let entry = journal::at(self.database.connection(), run, stream, seq).await?;
            if entry.is_none_or(|entry| entry.kind != "BatchCommitted") {
                return Err(Error::Usage(format!(
                    "run {run} has no batch {seq} in stream {stream:?}: `cli journal show --run {run} --kind BatchCommitted` \
                     lists them"
                )));
            }
        }
        if scope.tenant.is_some() {
            let knows = |unit: &&String| !self.tenants.contains_key(*unit);
            if let Some(unit) = scope.units.iter().find(knows) {
                return Err(Error::Usage(format!(
                    "unit {unit} does not tell whose its rows are: leave --tenant out for it, or name keys or batches"
                )));
            }
        }
        Ok(())
    }

    /// The units of which rows may be meant, in the plan's order.
    pub(crate) fn pins<'a>(&self, state: &'a RunState) -> Vec<&'a UnitPin> {
        let is_meant = |pin: &&UnitPin| {
            let status = state.units.get(&pin.name).map(|unit| unit.status);
            let Scope { units, tenant, .. } = &self.scope;
            (units.is_empty() || units.contains(&pin.name))
                && (tenant.is_none() || self.tenants.contains_key(&pin.name))
                && !matches!(
                    status,
                    None | Some(UnitStatus::Pending | UnitStatus::Undone)
                )
        };
        state.started.units.iter().filter(is_meant).collect()
    }

    /// Units that were not named and do not tell whose their rows are: a tenant's rows of theirs are not found.
    pub(crate) fn without_tenant(&self, plan: &Plan) -> Vec<String> {
        let names = plan.iter().map(|unit| {
            let Definition { name, .. } = unit.definition();
            name.clone()
        });
        match (&self.scope.tenant, self.scope.units.is_empty()) {
            (Some(_), true) => names
                .filter(|name| !self.tenants.contains_key(name))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A unit's partitions that may hold rows of the scope, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn streams(&self, unit: &str) -> Result<Vec<Stream>> {
        let rows = projection::load(self.database.connection(), &self.run).await?;
        let named = &self.scope.batches;
        let is_named = |stream: &str| {
            let mut streams = named.iter().filter_map(|batch| batch.rsplit_once('/'));
            named.is_empty() || streams.any(|(named, _)| named == stream)
        };
        let rows = rows.into_iter().rev();
        Ok(rows
            .filter(|row| row.unit == unit && row.batches > 0 && is_named(&row.stream))
            .map(|row| Stream {
                written: row.written,
                name: row.stream,
            })
            .collect())
    }

    /// The newest batch of a partition below a seq that may hold rows of the scope, with these rows alone.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn next(
        &self,
        pin: &UnitPin,
        stream: &str,
        mut below: i64,
    ) -> Result<Option<(i64, Vec<Written>)>> {
        let doing = "reading provenance";
        loop {
            let read = self.database.begin_read().await.doing(doing)?;
            let batch = newest_told(&read, (&self.run, stream), below).await?;
            let Some(batch) = batch else {
                read.rollback().await.doing(doing)?;
                return Ok(None);
            };
            if !self.holds(&pin.name, stream, &batch) {
                read.rollback().await.doing(doing)?;
                below = batch.seq;
                continue;
            }
            let Batch { seq, mut rows, .. } = batch;
            rows.retain(|row| self.scope.holds_key(&row.key));
            if let (Some(tenant), Some(told)) = (&self.scope.tenant, self.tenants.get(&pin.name)) {
                let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
                let theirs =
                    write::of_tenant(&read, &pin.destination, (told, tenant), &keys).await?;
                rows.retain(|row| theirs.contains(&row.key));
            }
            read.rollback().await.doing(doing)?;
            return Ok(Some((seq, rows)));
        }
    }

    fn holds(&self, unit: &str, stream: &str, batch: &Batch) -> bool {
        self.scope.holds_batch(Told {
            unit,
            stream,
            seq: batch.seq,
            worker: &batch.worker,
            release: self.releases.get(&batch.worker).map(String::as_str),
            at: batch.at,
        })
    }
}

/// The version of the program that each worker of a run was.
async fn releases(database: &Database, run: &str) -> Result<BTreeMap<String, String>> {
    let mut releases = BTreeMap::new();
    let mut filter = journal::Filter {
        run: Some(run.to_owned()),
        kind: Some("WorkerStarted".into()),
        ..journal::Filter::default()
    };
    loop {
        let entries = journal::select(database.connection(), &filter, PAGE, false).await?;
        let Some(last) = entries.last() else {
            return Ok(releases);
        };
        filter.after = Some(last.position);
        for entry in &entries {
            if let Event::WorkerStarted { release, .. } = journal::event(entry)? {
                releases.insert(entry.worker.clone(), release);
            }
        }
    }
}
