//! Which rows two runs wrote, by what their batches kept of them. All keys of a run may be more than memory holds, so they
//! are gone through in shares, each small enough: a share is read whenever its turn comes.

use std::collections::HashMap;

use serde::Serialize;

use crate::backend::Database;
use crate::error::{Doing, Result};
use crate::standing::batches_from;

/// Keys of a run that are held at once, about; in tests so few that there are several shares.
const HELD: i64 = if cfg!(feature = "fault") {
    1_000
} else {
    400_000
};

/// Batches that are read at once.
const TOGETHER: u64 = 8;

/// Rows that two runs wrote into a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// By each run alone.
    pub alone: [i64; 2],
    /// By both, to the same values.
    pub same: i64,
    /// By both, to others; none where the table had other columns, so that nobody can tell.
    pub other: Option<i64>,
    /// By both, where nobody can tell.
    pub unknown: i64,
    /// The keys of some that are others.
    pub examples: Vec<Differing>,
}

/// The key of a row that is another.
pub type Differing = String;

/// A run's keys, each as 16 bytes of its BLAKE3, with the digest of what the run wrote last under it.
type Keys = HashMap<u128, u64>;

/// Compares what the streams of two runs wrote, `counts` rows each; digests tell where they cover the same columns.
pub(super) async fn compare(
    database: &Database,
    sides: [(&str, &[String]); 2],
    counts: [i64; 2],
    is_comparable: bool,
    limit: usize,
) -> Result<Rows> {
    let most = counts[0].max(counts[1]);
    let shares = u128::from((most / HELD).unsigned_abs()) + 1;
    let mut rows = Rows {
        other: is_comparable.then_some(0),
        ..Rows::default()
    };
    for share in 0..shares {
        let mut ones = Keys::new();
        let note = |key: u128, _: &str, digest: u64| {
            ones.insert(key, digest);
        };
        each(database, sides[0], (share, shares), note).await?;
        let mut theirs = Keys::new();
        let mut names: HashMap<u128, String> = HashMap::new();
        let room = limit.saturating_sub(rows.examples.len());
        let note = |key: u128, name: &str, digest: u64| {
            theirs.insert(key, digest);
            let differs = ones.get(&key).is_some_and(|one| *one != digest);
            if !differs {
                names.remove(&key);
            } else if names.len() < room {
                names.insert(key, name.to_owned());
            }
        };
        each(database, sides[1], (share, shares), note).await?;
        for (key, digest) in &theirs {
            match (ones.remove(key), &mut rows.other) {
                (None, _) => rows.alone[1] += 1,
                (Some(_), None) => rows.unknown += 1,
                (Some(one), Some(_)) if one == *digest => rows.same += 1,
                (Some(_), Some(other)) => *other += 1,
            }
        }
        rows.alone[0] += i64::try_from(ones.len()).unwrap_or(i64::MAX);
        if is_comparable {
            let mut names: Vec<_> = names.into_values().collect();
            names.sort_unstable();
            rows.examples.extend(names);
        }
    }
    Ok(rows)
}

/// Hands on the rows of a share, as a run's streams wrote them, in their order.
async fn each(
    database: &Database,
    (run, streams): (&str, &[String]),
    (share, shares): (u128, u128),
    mut row: impl FnMut(u128, &str, u64) + Send,
) -> Result<()> {
    let doing = "reading provenance";
    for stream in streams {
        let mut seq = 0;
        loop {
            let read = database.begin_read().await.doing(doing)?;
            let batches = batches_from(&read, (run, stream, seq), TOGETHER).await?;
            read.rollback().await.doing(doing)?;
            let Some(last) = batches.last() else {
                break;
            };
            seq = last.seq + 1;
            for batch in &batches {
                for written in &batch.rows {
                    let key = short(&written.key);
                    if key % shares == share {
                        row(key, &written.key, written.digest);
                    }
                }
            }
        }
    }
    Ok(())
}

fn short(key: &str) -> u128 {
    let hash = blake3::hash(key.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}
