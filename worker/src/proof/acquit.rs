//! Rows that only look wrong: what the batch that wrote one read of its source tells, read once more.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::owners::{Owner, Stream};
use super::{Prover, REPEATED, Verdict, part};
use crate::error::Result;
use crate::source::Source;
use crate::unit::Row;

impl Prover {
    /// Takes those off the wrong rows of which another report in the same section was written, or that are right as of
    /// the instant of the pass that wrote them: the batch's own part of the source tells, read once more.
    pub(super) async fn acquit(
        &self,
        source: &Source,
        rows: &[Row],
        verdicts: &mut [Verdict],
        owners: &HashMap<&str, Owner>,
    ) -> Result<()> {
        let mut suspects: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, (row, verdict)) in rows.iter().zip(verdicts.iter()).enumerate() {
            if let (Verdict::Wrong { .. } | Verdict::Altered(_), Some(owner)) =
                (verdict, owners.get(row.key.as_str()))
            {
                suspects.entry(owner.batch).or_default().push(place);
            }
        }
        for (batch, places) in suspects {
            let keys = places.iter().map(|place| rows[*place].key.as_str());
            let reports = self.reports(source, batch, keys.collect()).await?;
            let others: Vec<Row> = places
                .iter()
                .filter_map(|place| {
                    let row = &rows[*place];
                    let report = reports.get(&row.key)?;
                    (report.values != row.values).then(|| report.clone())
                })
                .collect();
            let differing = self.compare(&others, owners).await?;
            let right: HashSet<&str> = others
                .iter()
                .map(|row| row.key.as_str())
                .filter(|key| !differing.contains_key(*key))
                .collect();
            for place in places {
                let row = &rows[place];
                if right.contains(row.key.as_str()) {
                    let report = reports.get(&row.key);
                    verdicts[place] = match report.is_some_and(|report| report.source == row.source)
                    {
                        true => Verdict::Right,
                        false => Verdict::Nothing(REPEATED),
                    };
                }
            }
        }
        Ok(())
    }

    /// The first report of each of these keys in the part of the source that a batch covers.
    async fn reports(
        &self,
        source: &Source,
        batch: usize,
        keys: HashSet<&str>,
    ) -> Result<HashMap<String, Row>> {
        let Stream { planned, as_of, .. } = self.owners.stream(batch);
        let event = self.owners.event(batch).await?;
        part::reports(self.unit(), &source.at(*as_of), planned, &event, &keys).await
    }
}
