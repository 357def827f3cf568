//! The events of the partitions' streams.

use worker::core::event::{BatchCommitted, BatchUndone, Event, Kept};

use super::driver::Driver;

impl Driver<'_> {
    /// The next rows, or none where the range is exhausted: the engine learns that by a short page.
    pub(super) fn batch(&mut self, place: usize) {
        let left = self.book.partitions[place].end - self.book.partitions[place].at;
        let read = (1 + self.draw(6)).min(left);
        let last = read == left && (left == 0 || self.draw(2) == 0);
        let bad = self.draw(read + 1);
        let written = self.draw(read - bad + 1);
        let skipped = read - bad - written;
        // Of those written, some may be computed from many source rows, and are none of those read.
        let computed = self.draw(written + 1);
        let partition = &mut self.book.partitions[place];
        let (from, to) = (partition.at, partition.at + read);
        let cursor = |at: i64| (at > 0).then(|| vec![at.to_string()]);
        partition.at = to;
        partition.is_done = last;
        partition.seq += bad + 1;
        if written > 0 {
            partition.batches.push((partition.seq, written));
        }
        let (stream, unit) = (
            partition.stream.clone(),
            self.book.units[partition.unit].name.clone(),
        );
        for row in 0..bad {
            let event = Event::RowQuarantined {
                unit: unit.clone(),
                key: (from + row + 1).to_string(),
                reason: "bad".into(),
            };
            self.say(&stream, event);
        }
        let reasons = [("there", skipped / 2), ("twice", skipped - skipped / 2)];
        let event = Event::BatchCommitted(BatchCommitted {
            unit,
            from: cursor(from),
            to: cursor(to),
            last,
            read: read - computed,
            written,
            refreshed: 0,
            skipped: reasons.map(|(why, rows)| (why.to_owned(), rows)).into(),
            quarantined: bad,
            provenance: (written > 0).then(|| "digest".into()),
            millis: None,
        });
        self.say(&stream, event);
    }

    /// The newest batch of a partition, with whatever has become of its rows.
    pub(super) fn undo_batch(&mut self, place: usize) {
        let partition = &mut self.book.partitions[place];
        let Some((batch, written)) = partition.batches.pop() else {
            return;
        };
        let (stream, unit) = (
            partition.stream.clone(),
            self.book.units[partition.unit].name.clone(),
        );
        let removed = self.draw(written + 1);
        let gone = self.draw(written - removed + 1);
        let kept = (0..written - removed - gone).map(|row| Kept {
            key: row.to_string(),
            why: "edited".into(),
        });
        let event = Event::BatchUndone(BatchUndone {
            unit,
            batch,
            removed,
            kept: kept.collect(),
            gone,
            restored: 0,
        });
        self.say(&stream, event);
    }
}
