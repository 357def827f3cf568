//! Rows that the journal says were written, and not undone: there, and as they were written.

use std::collections::HashMap;

use super::Checked;
use crate::backend::Database;
use crate::core::plan::UnitPin;
use crate::error::{Doing, Result};
use crate::proof::Owners;
use crate::write::{self, Lock};
use crate::{journal, projection, runs, standing};

/// What is counted that somebody else did since.
pub(super) const SINCE: [&str; 2] = [
    "journaled rows missing from their destination",
    "journaled rows changed in their destination",
];

/// Checks all runs.
pub(super) async fn journaled(database: &Database) -> Result<[Checked; 3]> {
    let mut found = Found {
        database,
        missing: Checked::error(SINCE[0], "deleted since"),
        changed: Checked::error(SINCE[1], "edited since"),
        owners: HashMap::new(),
    };
    let mut untold = Checked::error(
        "journaled rows without provenance",
        "the journal was changed: see `cli journal verify`",
    );
    for run in journal::runs(database.connection()).await? {
        let (state, _) = runs::load(database.connection(), &run).await?;
        for row in projection::load(database.connection(), &run).await? {
            if state.is_undone(&row.unit) {
                continue;
            }
            let mut pins = state.started.units.iter();
            let Some(pin) = pins.find(|pin| pin.name == row.unit) else {
                continue;
            };
            let origin = state.started.origin(&row.unit);
            let spoken_of = found.compare(&run, &row, pin, origin).await?;
            let standing = row.written - row.removed - row.kept - row.gone;
            // A worker that goes on meanwhile adds rows, and takes none away.
            if spoken_of < standing {
                untold.add(format!("run {run} partition {}", row.stream));
                untold.count += standing - spoken_of - 1;
            }
        }
    }
    Ok([found.missing, found.changed, untold])
}

/// What was found so far.
struct Found<'a> {
    database: &'a Database,
    missing: Checked,
    changed: Checked,
    /// Of the units of which rows differ, who wrote each row last.
    owners: HashMap<String, Owners>,
}

impl Found<'_> {
    /// Compares what one partition wrote; gives how many rows the journal speaks of.
    async fn compare(
        &mut self,
        run: &str,
        row: &projection::Row,
        pin: &UnitPin,
        origin: &str,
    ) -> Result<i64> {
        let mut spoken_of = 0;
        let mut below = row.undone_to;
        loop {
            let doing = "reading provenance";
            let transaction = self.database.begin_read().await.doing(doing)?;
            let place = (run, row.stream.as_str());
            let batches = standing::newest_batches(&transaction, place, pin, below).await?;
            let Some((oldest, written)) = batches else {
                transaction.rollback().await.doing(doing)?;
                return Ok(spoken_of);
            };
            let keys: Vec<_> = written.iter().map(|row| row.key.as_str()).collect();
            let standing = write::digests(
                &transaction,
                &pin.destination,
                &pin.image,
                &keys,
                Lock::None,
            )
            .await?;
            transaction.rollback().await.doing(doing)?;
            // One that was brought up to date is told of where it was written, too.
            let how = &pin.destination.write;
            let inserted = written.iter().filter(|row| !row.is_refreshed(how));
            spoken_of += i64::try_from(inserted.count()).unwrap_or(i64::MAX);
            // What was taken back stands no more, or is the application's again.
            let differing = written
                .iter()
                .filter(|_| !how.takes_back())
                .filter(|row| standing.get(&row.key) != Some(&row.digest));
            let differing = differing.map(|row| row.key.as_str()).collect();
            for key in self.written_last(place, pin, origin, differing).await? {
                let named = format!("{} {key}", pin.destination.table);
                match standing.contains_key(key) {
                    false => self.missing.add(named),
                    true => self.changed.add(named),
                }
            }
            below = Some(oldest);
        }
    }

    /// Those of these keys that no later batch wrote again, such as a repair's: that one is compared for itself.
    async fn written_last<'a>(
        &mut self,
        place: (&str, &str),
        pin: &UnitPin,
        origin: &str,
        mut keys: Vec<&'a str>,
    ) -> Result<Vec<&'a str>> {
        if keys.is_empty() {
            return Ok(keys);
        }
        let owners = match self.owners.entry(origin.to_owned()) {
            std::collections::hash_map::Entry::Occupied(owners) => owners.into_mut(),
            std::collections::hash_map::Entry::Vacant(none) => {
                none.insert(Owners::load(self.database, origin, &pin.destination).await?)
            }
        };
        let last = owners.of(keys.iter().copied()).await?;
        keys.retain(|key| {
            last.get(key).is_none_or(|owner| {
                let stream = owners.stream(owner.batch);
                (stream.run.as_str(), stream.planned.stream().as_str()) == place
            })
        });
        Ok(keys)
    }
}
