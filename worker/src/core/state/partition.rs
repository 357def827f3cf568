//! A partition: what its stream folds into.

use super::Illegal;
use crate::core::event::{BatchCommitted, Cursor, Event, PartitionPlanned};

/// What a partition's stream folds into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// The range, as planned.
    pub planned: PartitionPlanned,
    /// Whether the range is exhausted.
    pub done: bool,
    /// The last source row that is accounted for.
    pub cursor: Option<Cursor>,
    /// Bad rows set aside since the last batch: their batch is still to come.
    pub pending_bad: i64,
    /// Batches committed.
    pub batches: i64,
    /// Source rows read.
    pub read: i64,
    /// Rows written.
    pub written: i64,
    /// Rows that needed nothing.
    pub skipped: i64,
    /// Bad rows set aside.
    pub quarantined: i64,
    /// The seq of the batch that was undone last.
    pub undone_to: Option<i64>,
    /// Rows that an undo removed or put back.
    pub removed: i64,
    /// Rows that an undo left alone.
    pub kept: i64,
    /// Rows that an undo did not find any more.
    pub gone: i64,
}

impl PartitionState {
    /// The state of a partition that was just planned.
    #[must_use]
    pub fn new(planned: PartitionPlanned) -> Self {
        Self {
            planned,
            done: false,
            cursor: None,
            pending_bad: 0,
            batches: 0,
            read: 0,
            written: 0,
            skipped: 0,
            quarantined: 0,
            undone_to: None,
            removed: 0,
            kept: 0,
            gone: 0,
        }
    }

    /// The next state.
    ///
    /// # Errors
    /// The event is illegal here; the state is unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        if let Some(unit) = event.unit()
            && unit != self.planned.unit
        {
            return Err(self.illegal(event, "it names another unit"));
        }
        match event {
            Event::RowQuarantined { .. } => {
                self.accepts_batches(event)?;
                self.pending_bad += 1;
                Ok(())
            }
            Event::BatchCommitted(batch) => self.batch(event, batch),
            Event::BatchUndone(undone) => {
                if self.undone_to.is_some_and(|newest| undone.batch >= newest) {
                    return Err(self.illegal(event, "batches are undone from newest to oldest"));
                }
                let kept = i64::try_from(undone.kept.len()).unwrap_or(i64::MAX);
                if undone.restored < 0 {
                    return Err(self.illegal(event, "no batch puts back fewer rows than none"));
                }
                let counts = [undone.removed, kept, undone.gone];
                let before = [self.removed, self.kept, self.gone];
                if sum(counts.into_iter().chain(before)).is_none_or(|rows| rows > self.written) {
                    return Err(self.illegal(event, "it takes back more rows than were written"));
                }
                self.undone_to = Some(undone.batch);
                self.removed += undone.removed;
                self.kept += kept;
                self.gone += undone.gone;
                Ok(())
            }
            _ => Err(self.illegal(event, "it belongs to another stream")),
        }
    }

    fn batch(&mut self, event: &Event, batch: &BatchCommitted) -> Result<(), Illegal> {
        self.accepts_batches(event)?;
        if batch.from != self.cursor {
            return Err(self.illegal(event, "it does not begin where the batch before ended"));
        }
        // Not equal: a row that is computed from many source rows is written, and is none of those read.
        let parts = [batch.written, batch.refreshed, batch.quarantined].into_iter();
        let accounted = sum(parts.chain(batch.skipped.values().copied()));
        if batch.read < 0 || accounted.is_none_or(|accounted| batch.read > accounted) {
            return Err(self.illegal(event, "it does not account for every row read"));
        }
        if batch.quarantined != self.pending_bad {
            return Err(self.illegal(event, "it counts other bad rows than were set aside"));
        }
        if batch.provenance.is_some() != (batch.rows() > 0) {
            return Err(self.illegal(event, "provenance and rows written do not go together"));
        }
        // What all totals come to, so none of them overflows.
        let totals = [self.written, self.skipped, self.quarantined];
        if sum(totals.into_iter().chain(accounted)).is_none() {
            return Err(self.illegal(event, "its partition cannot have so many rows"));
        }
        self.pending_bad = 0;
        self.cursor.clone_from(&batch.to);
        self.done = batch.last;
        self.batches += 1;
        self.read += batch.read;
        self.written += batch.written;
        self.skipped += batch.skips();
        self.quarantined += batch.quarantined;
        Ok(())
    }

    fn accepts_batches(&self, event: &Event) -> Result<(), Illegal> {
        if self.done {
            return Err(self.illegal(event, "its range is exhausted"));
        }
        if self.undone_to.is_some() {
            return Err(self.illegal(event, "it is being undone"));
        }
        Ok(())
    }

    fn illegal(&self, event: &Event, why: &str) -> Illegal {
        let state = match (self.undone_to, self.done) {
            (Some(_), _) => "undoing",
            (None, true) => "done",
            (None, false) => "open",
        };
        Illegal {
            state: format!("{state} ({})", self.planned.stream()),
            event: event.kind(),
            why: why.into(),
        }
    }
}

/// The sum of numbers of rows; none where it does not fit or one is negative, as in a journal that somebody changed.
fn sum(counts: impl Iterator<Item = i64>) -> Option<i64> {
    let mut counts = counts;
    counts.try_fold(0_i64, |sum, count| match count {
        0.. => sum.checked_add(count),
        _ => None,
    })
}
