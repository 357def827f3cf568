//! Who wrote a row last: the newest batch of a run that stands, by the keys that the journal has. Of each batch only the
//! ends of its keys are held, and as many unpacked ones as memory allows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::Database;
use crate::core::event::{BatchCommitted, PartitionPlanned};
use crate::core::plan::{Destination, UnitPin, Write};
use crate::core::state::RunStatus;
use crate::error::{Doing, Error, Result};
use crate::standing::{self, batches_from};
use crate::{journal, projection, repair, runs};

/// How many bytes unpacked batches may take.
const MEMORY: usize = 32 << 20;

/// What a key takes beside its text.
const ENTRY: usize = 64;

/// Batches that are read at once.
const TOGETHER: u64 = 8;

/// The batches that wrote into a unit's destination, of all runs that stand.
#[derive(Debug)]
pub(crate) struct Owners {
    database: Database,
    streams: Vec<Stream>,
    /// Oldest first.
    batches: Vec<Batch>,
    unpacked: Mutex<Unpacked>,
}

/// A partition of a unit, and what it belongs to.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The run.
    pub(crate) run: String,
    /// The instant that its pass is as of, milliseconds since 1970.
    pub(crate) as_of: i64,
    /// The instant that the window begins before.
    pub(crate) begun: i64,
    /// How many days before it the sources are taken from.
    pub(crate) window_days: u32,
    /// The unit as the run pinned it.
    pub(crate) pin: UnitPin,
    /// The partition.
    pub(crate) planned: PartitionPlanned,
}

#[derive(Debug)]
struct Batch {
    /// Its place among the streams.
    stream: usize,
    seq: i64,
    /// The first and the last of its keys by their bytes: in no other order do they come.
    ends: (String, String),
}

/// Who wrote a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The batch's place among all.
    pub(crate) batch: usize,
    /// The row's digest, as the batch wrote it.
    pub(crate) digest: u64,
}

/// Batches as maps from key to digest; those that were not used for longest make room.
#[derive(Debug, Default)]
struct Unpacked {
    batches: HashMap<usize, (u64, Arc<HashMap<String, u64>>)>,
    bytes: usize,
    uses: u64,
}

impl Owners {
    /// The owners of a unit's rows: those that the unit wrote, and those that repairs of it wrote since.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn load(
        database: &Database,
        unit: &str,
        destination: &Destination,
    ) -> Result<Self> {
        let mut owners = Self {
            database: database.clone(),
            streams: Vec::new(),
            batches: Vec::new(),
            unpacked: Mutex::default(),
        };
        let mut begun: HashMap<String, i64> = HashMap::new();
        for run in journal::runs(database.connection()).await? {
            let (state, _) = runs::load(database.connection(), &run).await?;
            // A repair looks through the window of the run that it repairs.
            let repaired = state.started.repairs.as_ref();
            let repaired = repaired.and_then(|repairs| begun.get(&repairs.run));
            let window = repaired.copied().unwrap_or(state.started.as_of);
            begun.insert(run.clone(), window);
            if state.status == RunStatus::RolledBack {
                continue;
            }
            let is_of = |pin: &&UnitPin| {
                let into = &pin.destination;
                state.started.origin(&pin.name) == unit
                    && !state.is_undone(&pin.name)
                    && (&into.table, &into.key) == (&destination.table, &destination.key)
            };
            let mut rows = projection::load(database.connection(), &run).await?;
            // One that wrote nothing may have brought rows up to date.
            rows.retain(|row| row.batches > 0);
            rows.sort_by_key(|row| (row.pass, row.section, row.part));
            for pin in state.started.units.iter().filter(is_of) {
                for row in rows.iter().filter(|row| row.unit == pin.name) {
                    owners.streams.push(Stream {
                        run: run.clone(),
                        as_of: state.instant(&pin.name, row.pass),
                        begun: window,
                        window_days: state.started.window_days,
                        pin: pin.clone(),
                        planned: projection::state(row)?.planned,
                    });
                    owners.read(owners.streams.len() - 1).await?;
                }
            }
        }
        Ok(owners)
    }

    /// Reads the ends of a stream's batches.
    async fn read(&mut self, stream: usize) -> Result<()> {
        let mut seq = 0;
        loop {
            let batches = self.batches_of(stream, seq, TOGETHER).await?;
            let Some((last, _, _)) = batches.last() else {
                return Ok(());
            };
            seq = last + 1;
            for (seq, _, written) in batches {
                let keys = || written.keys();
                if let (Some(first), Some(last)) = (keys().min(), keys().max()) {
                    self.batches.push(Batch {
                        stream,
                        seq,
                        ends: (first.clone(), last.clone()),
                    });
                    let place = self.batches.len() - 1;
                    self.unpacked().keep(place, Arc::new(written));
                }
            }
        }
    }

    async fn batches_of(
        &self,
        stream: usize,
        seq: i64,
        limit: u64,
    ) -> Result<Vec<(i64, BatchCommitted, HashMap<String, u64>)>> {
        let stream = &self.streams[stream];
        let name = stream.planned.stream();
        let read = self
            .database
            .begin_read()
            .await
            .doing("reading provenance")?;
        let batches = batches_from(&read, (&stream.run, &name, seq), limit).await?;
        read.rollback().await.doing("reading provenance")?;
        let digests = |batch: standing::Batch| {
            let digests = batch.rows.into_iter().map(|row| (row.key, row.digest));
            (batch.seq, batch.event, digests.collect())
        };
        Ok(batches.into_iter().map(digests).collect())
    }

    /// Who wrote each of these keys last; a key that nobody wrote has none.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn of<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Result<HashMap<&'a str, Owner>> {
        let mut left: Vec<&str> = keys.into_iter().collect();
        left.sort_unstable();
        let mut owners = HashMap::with_capacity(left.len());
        for (place, batch) in self.batches.iter().enumerate().rev() {
            let (first, last) = &batch.ends;
            let from = left.partition_point(|key| *key < first.as_str());
            let to = left.partition_point(|key| *key <= last.as_str());
            let mut within = left[from..to].iter();
            if within.all(|key| owners.contains_key(key)) {
                continue;
            }
            let digests = self.unpack(place).await?;
            for key in &left[from..to] {
                if let Some(digest) = digests.get(*key) {
                    owners.entry(*key).or_insert(Owner {
                        batch: place,
                        digest: *digest,
                    });
                }
            }
        }
        Ok(owners)
    }

    /// Of these keys, those that a run has taken back and nobody wrote since: the digest of what stands, where the values
    /// before do.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn taken_back(
        &self,
        run: &str,
        keys: impl IntoIterator<Item = &str>,
    ) -> Result<HashMap<String, Option<u64>>> {
        let last = self.of(keys).await?;
        let back = last.into_iter().filter_map(|(key, owner)| {
            let (stream, how) = (self.stream(owner.batch), self.how(&owner));
            let stands = (*how == Write::Restore).then_some(owner.digest);
            (stream.run == run && how.takes_back()).then(|| (key.to_owned(), stands))
        });
        Ok(back.collect())
    }

    /// Of these keys, those of rows that another run made anew last: they are not this one's any more, whatever they hold.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn made_anew(
        &self,
        run: &str,
        keys: impl IntoIterator<Item = &str>,
    ) -> Result<HashSet<String>> {
        let last = self.of(keys).await?;
        let others = last.into_iter().filter(|(_, owner)| {
            self.stream(owner.batch).run != run && *self.how(owner) == Write::Insert
        });
        Ok(others.map(|(key, _)| key.to_owned()).collect())
    }

    /// How a row's owner wrote it.
    pub(crate) fn how(&self, owner: &Owner) -> &Write {
        &self.stream(owner.batch).pin.destination.write
    }

    /// The place of a batch's stream among all.
    pub(crate) fn place(&self, batch: usize) -> usize {
        self.batches[batch].stream
    }

    /// The stream of a batch.
    pub(crate) fn stream(&self, batch: usize) -> &Stream {
        &self.streams[self.batches[batch].stream]
    }

    /// A batch's event.
    ///
    /// # Errors
    /// The database's; provenance that was changed.
    pub(crate) async fn event(&self, batch: usize) -> Result<BatchCommitted> {
        let Batch { stream, seq, .. } = self.batches[batch];
        let mut found = self.batches_of(stream, seq, 1).await?.into_iter();
        match found.next() {
            Some((found, event, _)) if found == seq => Ok(event),
            _ => Err(self.gone(batch)),
        }
    }

    async fn unpack(&self, batch: usize) -> Result<Arc<HashMap<String, u64>>> {
        if let Some(digests) = self.unpacked().get(batch) {
            return Ok(digests);
        }
        let Batch { stream, seq, .. } = self.batches[batch];
        let mut found = self.batches_of(stream, seq, 1).await?.into_iter();
        match found.next() {
            Some((found, _, digests)) if found == seq => {
                let digests = Arc::new(digests);
                self.unpacked().keep(batch, digests.clone());
                Ok(digests)
            }
            _ => Err(self.gone(batch)),
        }
    }

    fn gone(&self, batch: usize) -> Error {
        let stream = self.stream(batch);
        Error::Damaged(format!(
            "the provenance of batch {} in {} of run {} is gone",
            self.batches[batch].seq,
            stream.planned.stream(),
            stream.run
        ))
    }

    fn unpacked(&self) -> std::sync::MutexGuard<'_, Unpacked> {
        self.unpacked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unpacked {
    fn get(&mut self, batch: usize) -> Option<Arc<HashMap<String, u64>>> {
        self.uses += 1;
        let (used, digests) = self.batches.get_mut(&batch)?;
        *used = self.uses;
        Some(digests.clone())
    }

    fn keep(&mut self, batch: usize, digests: Arc<HashMap<String, u64>>) {
        self.uses += 1;
        self.bytes += size(&digests);
        self.batches.insert(batch, (self.uses, digests));
        while self.bytes > MEMORY && self.batches.len() > 1 {
            let oldest = self.batches.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(batch, _)| *batch) else {
                return;
            };
            if let Some((_, digests)) = self.batches.remove(&oldest) {
                self.bytes -= size(&digests);
            }
        }
    }
}

fn size(digests: &HashMap<String, u64>) -> usize {
    digests.keys().map(|key| key.len() + ENTRY).sum()
}

/// Rows that the journal says stand, written by these units or by repairs that inserted what they had not written.
///
/// # Errors
/// The database's; a journal that does not fold.
pub(crate) async fn standing_rows(
    database: &Database,
    units: &[&str],
) -> Result<BTreeMap<String, i64>> {
    let mut standing = BTreeMap::new();
    for run in journal::runs(database.connection()).await? {
        let (state, _) = runs::load(database.connection(), &run).await?;
        for row in projection::load(database.connection(), &run).await? {
            let origin = state.started.origin(&row.unit);
            if !units.contains(&origin) || state.is_undone(&row.unit) {
                continue;
            }
            let own = row.unit.strip_prefix(origin).unwrap_or_default();
            let left = row.written - row.removed - row.kept - row.gone;
            *standing.entry(origin.to_owned()).or_default() += match own {
                repair::REWRITTEN | repair::REVERTED => 0,
                repair::REMOVED | repair::RESTORED => -left,
                _ => left,
            };
        }
    }
    Ok(standing)
}
