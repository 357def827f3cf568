//! What was written, computed from its source again: what is to be thought of each row that differs. Reads only, a page
//! at a time, in short transactions.

mod acquit;
mod owners;
mod part;
mod verdict;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::backend::Database;
use crate::core::event::RunStarted;
use crate::core::plan::{Definition, Write};
use crate::engine::Plan;
use crate::error::{Doing, Result};
use crate::journal;
use crate::source::Source;
use crate::unit::{Item, Row, Unit};
use crate::write::{self, Differs, Lock};

use self::owners::{Owner, Stream};
pub(crate) use self::owners::{Owners, standing_rows};
pub(crate) use self::part::reports;
pub(crate) use self::verdict::{DELETED, Judged, Verdict};

/// Proves the rows of one unit, as a run wrote them.
pub(crate) struct Prover {
    database: Database,
    plan: Plan,
    place: usize,
    run: String,
    started: RunStarted,
    /// The instant that the run stands for, milliseconds since 1970.
    as_of: i64,
    /// The partitions of all runs that wrote for the unit, with their batches.
    owners: Owners,
    types: HashMap<String, String>,
    may_alter: bool,
}

impl Prover {
    /// A prover of a plan's unit, for a run that wrote it and stands for an instant now.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn new(
        database: &Database,
        plan: &Plan,
        place: usize,
        run: &str,
        started: &RunStarted,
        as_of: i64,
    ) -> Result<Self> {
        let Definition {
            name, destination, ..
        } = plan[place].definition();
        Ok(Self {
            database: database.clone(),
            plan: plan.clone(),
            place,
            run: run.to_owned(),
            started: started.clone(),
            as_of,
            owners: Owners::load(database, name, destination).await?,
            types: database.types(&destination.table).await?,
            may_alter: database.may_alter(&destination.table).await?,
        })
    }

    fn unit(&self) -> &dyn Unit {
        self.plan[self.place].as_ref()
    }

    /// Judges what a page of a section gives. The first report of a row counts, as it does where rows are written.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn judge(
        &self,
        source: &Source,
        section: usize,
        items: Vec<Item>,
    ) -> Result<Vec<Judged>> {
        let mut judged = Vec::with_capacity(items.len());
        let (mut rows, mut bad) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for item in items {
            match item {
                Item::Row(row) if seen.insert(row.key.clone()) => rows.push(row),
                Item::Row(_) => judged.push(Judged::Skip(REPEATED)),
                Item::Skip(reason) => judged.push(Judged::Skip(reason)),
                Item::Bad { key, reason } => bad.push((journal::short_key(&key), reason)),
            }
        }
        let (owners, mut verdicts) = self.weigh(section, &rows).await?;
        self.acquit(source, &rows, &mut verdicts, &owners).await?;
        let known = self.set_aside(&rows, &verdicts, &bad).await?;
        for (row, verdict) in rows.iter().zip(&mut verdicts) {
            if *verdict == Verdict::Missing && known.contains(&journal::short_key(&row.source)) {
                *verdict = Verdict::SetAside;
            }
        }
        let rows = rows.into_iter().zip(verdicts);
        judged.extend(rows.map(|(row, verdict)| Judged::Row(row, verdict)));
        judged.extend(
            bad.into_iter()
                .map(|(key, reason)| match known.contains(&key) {
                    true => Judged::SetAside { key, reason },
                    false => Judged::Bad(key),
                }),
        );
        Ok(judged)
    }

    /// What is to be thought of rows of a section by what stands alone; and of those that this very run wrote last, the
    /// digest of what it wrote.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn standing(
        &self,
        section: usize,
        rows: &[Row],
    ) -> Result<Vec<(Verdict, Option<u64>)>> {
        let (owners, verdicts) = self.weigh(section, rows).await?;
        let ours = |row: &Row| {
            let owner = owners.get(row.key.as_str())?;
            (self.owners.stream(owner.batch).run == self.run).then_some(owner.digest)
        };
        Ok(verdicts.into_iter().zip(rows.iter().map(ours)).collect())
    }

    /// Who wrote each row last, and what is to be thought of it by what stands.
    async fn weigh<'a>(
        &self,
        section: usize,
        rows: &'a [Row],
    ) -> Result<(HashMap<&'a str, Owner>, Vec<Verdict>)> {
        let keys = rows.iter().map(|row| row.key.as_str());
        let owners = self.owners.of(keys).await?;
        let found = self.compare(rows, &owners).await?;
        let verdict = |row: &Row| {
            let owner = owners.get(row.key.as_str());
            self.verdict(section, found.get(&row.key), owner)
        };
        let verdicts = rows.iter().map(verdict).collect();
        Ok((owners, verdicts))
    }

    /// The rows that differ from what stands, and of those that stand with an owner whether they stand as it wrote
    /// them; at one instant.
    async fn compare(
        &self,
        rows: &[Row],
        owners: &HashMap<&str, Owner>,
    ) -> Result<HashMap<String, Standing>> {
        let destination = &self.unit().definition().destination;
        let mut found = HashMap::new();
        // Where the database refuses a value, the row that holds it is found by halving.
        let mut halves = vec![rows];
        while let Some(half) = halves.pop() {
            if half.is_empty() {
                continue;
            }
            let doing = "comparing rows with what stands";
            let read = self.database.begin_read().await.doing(doing)?;
            let differing = match write::differing(&read, destination, &self.types, half).await {
                Ok(differing) => differing,
                Err(error) if error.refuses_row().is_some() && half.len() > 1 => {
                    read.rollback().await.doing(doing)?;
                    let (first, second) = half.split_at(half.len() / 2);
                    halves.extend([first, second]);
                    continue;
                }
                // No such row can stand.
                Err(error) if error.refuses_row().is_some() => {
                    read.rollback().await.doing(doing)?;
                    let connection = self.database.connection();
                    let keys = [half[0].key.as_str()];
                    let stands = write::present(connection, destination, &keys).await?;
                    let differs = Differs {
                        stands: !stands.is_empty(),
                        columns: Vec::new(),
                    };
                    found.insert(
                        half[0].key.clone(),
                        Standing {
                            differs,
                            values: None,
                        },
                    );
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut by_stream: BTreeMap<usize, Vec<(&str, u64)>> = BTreeMap::new();
            for (key, differs) in &differing {
                if let (true, Some(owner)) = (differs.stands, owners.get(key.as_str())) {
                    let stream = self.owners.place(owner.batch);
                    let keys = by_stream.entry(stream).or_default();
                    keys.push((key, owner.digest));
                }
            }
            let mut ours: Vec<&str> = Vec::new();
            for wrote in by_stream.values() {
                let keys: Vec<_> = wrote.iter().map(|(key, _)| *key).collect();
                let owner = &owners[keys[0]];
                let pin = &self.owners.stream(owner.batch).pin;
                let (into, image) = (&pin.destination, &pin.image);
                let digests = write::digests(&read, into, image, &keys, Lock::None).await?;
                let as_written = wrote
                    .iter()
                    .filter(|(key, digest)| digests.get(*key) == Some(digest));
                ours.extend(as_written.map(|(key, _)| *key));
            }
            let columns: Vec<_> = destination
                .values()
                .iter()
                .map(|c| c.name.clone())
                .collect();
            let values = match ours.is_empty() {
                true => HashMap::new(),
                false => write::digests(&read, destination, &columns, &ours, Lock::None).await?,
            };
            read.rollback().await.doing(doing)?;
            for (key, differs) in differing {
                let values = values.get(&key).copied();
                found.insert(key, Standing { differs, values });
            }
        }
        Ok(found)
    }

    /// What is to be thought of a row, given how it differs, if it does, and who wrote it last, if anybody did.
    fn verdict(
        &self,
        section: usize,
        standing: Option<&Standing>,
        owner: Option<&Owner>,
    ) -> Verdict {
        // What was put back is the application's again, but for a row that we had brought up to date.
        let is_due = standing.is_some_and(|standing| !standing.differs.stands);
        let is_given_up = is_due && self.unit().definition().destination.write != Write::Insert;
        let is_ours = |owner: &&Owner| match self.owners.how(owner) {
            Write::Remove => false,
            Write::Restore => !is_given_up,
            Write::Insert | Write::Update { .. } => true,
        };
        let Some(owner) = owner.filter(is_ours) else {
            return match standing {
                None => Verdict::Nothing("the application's own"),
                Some(standing) if standing.differs.stands => Verdict::Foreign,
                Some(_) => Verdict::Missing,
            };
        };
        let wrote = self.owners.stream(owner.batch);
        if usize::try_from(wrote.planned.section) != Ok(section) {
            return Verdict::Nothing(REPEATED);
        }
        match standing {
            None => Verdict::Right,
            Some(standing) if !standing.differs.stands => Verdict::Changed(DELETED),
            Some(standing) => {
                let columns = standing.differs.columns.clone();
                match standing.values {
                    None => Verdict::Changed("edited since"),
                    Some(_) if !self.is_comparable(wrote) => Verdict::Elsewhere,
                    Some(_) if self.may_alter => Verdict::Altered(columns),
                    Some(values) => Verdict::Wrong { columns, values },
                }
            }
        }
    }

    /// Whether a partition looked through the run's own window, or wrote in a pass of the run's own as of an earlier
    /// instant, which is looked at for itself.
    fn is_comparable(&self, wrote: &Stream) -> bool {
        let started = &self.started;
        (wrote.begun, wrote.window_days) == (started.as_of, started.window_days)
            && (wrote.as_of == self.as_of || wrote.run == self.run)
    }

    /// Which of the missing and the bad rows the run has set aside.
    async fn set_aside(
        &self,
        rows: &[Row],
        verdicts: &[Verdict],
        bad: &[(String, String)],
    ) -> Result<HashSet<String>> {
        let missing = rows.iter().zip(verdicts);
        let missing = missing.filter(|(_, verdict)| **verdict == Verdict::Missing);
        let missing = missing.map(|(row, _)| journal::short_key(&row.source));
        let keys: Vec<String> = missing
            .chain(bad.iter().map(|(key, _)| key.clone()))
            .collect();
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let name = &self.unit().definition().name;
        let connection = self.database.connection();
        let known = journal::quarantined(connection, &self.run, name, &keys).await?;
        Ok(known.into_iter().collect())
    }
}

/// Why a row counts for nothing: the thing that it tells of is told elsewhere.
const REPEATED: &str = "reported twice";

/// A row that differs from what its source gives.
#[derive(Debug)]
struct Standing {
    differs: Differs,
    /// Where it stands as its owner wrote it: the digest of what the unit's columns hold.
    values: Option<u64>,
}
