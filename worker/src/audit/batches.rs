//! The provenance of batches: it is what their events say, and is found where a look-up by key goes by.

use super::Auditor;
use crate::core::event::BatchCommitted;
use crate::error::Result;
use crate::provenance::Written;
use crate::{provenance, standing};

/// Batches whose provenance is read at once: a batch's may take megabytes.
const READ_AHEAD: u64 = 8;

impl Auditor<'_> {
    /// Checks the provenance of a batch.
    pub(super) async fn provenance(
        &mut self,
        (stream, seq): (&str, i64),
        batch: &BatchCommitted,
    ) -> Result<std::result::Result<(), String>> {
        if !self.ahead.contains_key(&seq) {
            let place = (self.run, stream, seq);
            self.ahead = provenance::load_from(self.connection(), place, READ_AHEAD).await?;
            if self.has_ends {
                let ends = provenance::ends_from(self.connection(), place, READ_AHEAD);
                self.ends_ahead = ends.await?;
            }
        }
        let Some((table, packed)) = self.ahead.remove(&seq) else {
            return Ok(Err("its provenance is missing".into()));
        };
        if !standing::is_of(&packed, batch) {
            return Ok(Err("its provenance was changed".into()));
        }
        let ends = self.ends_ahead.remove(&seq).unwrap_or_default();
        let run = self.replay.run.as_ref();
        let destination = run.and_then(|run| run.started.destination(&batch.unit));
        if destination.is_none_or(|destination| destination.table != table) {
            return Ok(Err(format!(
                "its provenance names the table {table}, which its unit does not write into"
            )));
        }
        match packed.unpack() {
            Ok(rows) if rows.len() as u64 == batch.rows().unsigned_abs() => {
                let is_refreshed = |row: &&Written| {
                    destination.is_some_and(|destination| row.is_refreshed(&destination.write))
                };
                let refreshed = rows.iter().filter(is_refreshed).count();
                self.report.rows += rows.len() as u64;
                match refreshed as u64 == batch.refreshed.unsigned_abs() {
                    true if !ends.leads_to(&rows) => Ok(Err(
                        "the first or last key beside its provenance is none of its own: rows of it would not be found"
                            .into(),
                    )),
                    true => Ok(Ok(())),
                    false => Ok(Err(
                        "its provenance has another number of rows that were brought up to date"
                            .into(),
                    )),
                }
            }
            _ => Ok(Err("its provenance has another number of rows".into())),
        }
    }
}
