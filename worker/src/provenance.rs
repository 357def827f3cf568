//! Provenance: which rows a batch wrote. Packed here, unpacked by undo and validation.

use std::collections::BTreeMap;

use entity::backstitch_journal_rows as rows;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use crate::core::plan::Write;
use crate::error::{Doing, Error, Result};

/// A row that a batch wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its key in the destination.
    pub key: String,
    /// The digest of what the database made of it.
    pub digest: u64,
    /// For updates: the values before, in the order of the destination's columns, as text.
    pub before: Option<Vec<Option<String>>>,
}

impl Written {
    /// Whether its batch brought it up to date: of a unit that inserts, one that an earlier batch of the run had written.
    #[must_use]
    pub fn is_refreshed(&self, write: &Write) -> bool {
        *write == Write::Insert && self.before.is_some()
    }
}

/// A batch's rows, packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    rows: i32,
    keys: Vec<u8>,
    digests: Vec<u8>,
    before: Option<Vec<u8>>,
}

impl Packed {
    /// Packs a batch's rows.
    ///
    /// # Errors
    /// A batch of over 2³¹ rows, or a key of over 4 GiB: neither can be.
    pub fn pack(written: &[Written]) -> Result<Self> {
        let too_large = |_| Error::Damaged("a batch is too large to be packed".into());
        let mut keys = Vec::new();
        let mut digests = Vec::with_capacity(written.len() * 8);
        let mut before = Vec::new();
        for row in written {
            let length = u32::try_from(row.key.len()).map_err(too_large)?;
            keys.extend_from_slice(&length.to_le_bytes());
            keys.extend_from_slice(row.key.as_bytes());
            digests.extend_from_slice(&row.digest.to_le_bytes());
            before.push(row.before.as_ref());
        }
        // One for each row, also for those that were inserted beside others that were brought up to date.
        let is_told = before.iter().any(Option::is_some);
        let before = is_told.then(|| serde_json::json!(before).to_string());
        Ok(Self {
            rows: i32::try_from(written.len()).map_err(too_large)?,
            keys,
            digests,
            before: before.map(String::into_bytes),
        })
    }

    /// BLAKE3 over the packed bytes: the batch's event holds it, and so covers them by its hash.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.rows.to_le_bytes());
        for part in [&self.keys, &self.digests] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        if let Some(before) = &self.before {
            hasher.update(before);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The rows again.
    ///
    /// # Errors
    /// [`Error::Damaged`]: the bytes are not what was packed.
    pub fn unpack(&self) -> Result<Vec<Written>> {
        let damaged = || Error::Damaged("the provenance of a batch cannot be read".into());
        let count = usize::try_from(self.rows).map_err(|_| damaged())?;
        let mut befores: Option<std::vec::IntoIter<Option<Vec<Option<String>>>>> =
            match &self.before {
                Some(bytes) => {
                    let befores: Vec<_> = serde_json::from_slice(bytes).map_err(|_| damaged())?;
                    Some(befores.into_iter())
                }
                None => None,
            };
        let mut written = Vec::with_capacity(count.min(self.digests.len() / 8));
        let mut keys = self.keys.as_slice();
        for digest in self.digests.chunks(8) {
            let (length, rest) = keys.split_first_chunk::<4>().ok_or_else(damaged)?;
            let length = u32::from_le_bytes(*length) as usize;
            let (key, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
            keys = rest;
            written.push(Written {
                key: String::from_utf8(key.to_vec()).map_err(|_| damaged())?,
                digest: u64::from_le_bytes(digest.try_into().map_err(|_| damaged())?),
                before: match &mut befores {
                    Some(befores) => befores.next().ok_or_else(damaged)?,
                    None => None,
                },
            });
        }
        if written.len() != count || !keys.is_empty() {
            return Err(damaged());
        }
        Ok(written)
    }
}

/// Stores a batch's provenance; its event, appended in the same transaction, holds the digest.
///
/// # Errors
/// The database's.
pub async fn store(
    connection: &impl ConnectionTrait,
    (run, stream, seq): (&str, &str, i64),
    table: &str,
    packed: Packed,
) -> Result<()> {
    let row = rows::ActiveModel {
        run: Set(run.into()),
        stream: Set(stream.into()),
        seq: Set(seq),
        table_name: Set(table.into()),
        rows: Set(packed.rows),
        keys: Set(packed.keys),
        digests: Set(packed.digests),
        before: Set(packed.before),
    };
    rows::Entity::insert(row)
        .exec_without_returning(connection)
        .await
        .doing("storing a batch's provenance")?;
    Ok(())
}

/// Loads the provenance of up to `limit` of a stream's newest batches below a seq, each with its seq, the newest first.
///
/// # Errors
/// The database's.
pub async fn newest(
    connection: &impl ConnectionTrait,
    (run, stream): (&str, &str),
    below: i64,
    limit: u64,
) -> Result<Vec<(i64, Packed)>> {
    let found = of_stream(run, stream)
        .filter(rows::Column::Seq.lt(below))
        .order_by_desc(rows::Column::Seq)
        .limit(limit)
        .all(connection)
        .await
        .doing("looking for the newest batches")?;
    Ok(found.into_iter().map(|row| (row.seq, row.into())).collect())
}

/// Loads the provenance of up to `limit` batches of a stream, that of `seq` and the next, by their seq, each with the
/// table that it names.
///
/// # Errors
/// The database's.
pub async fn load_from(
    connection: &impl ConnectionTrait,
    (run, stream, seq): (&str, &str, i64),
    limit: u64,
) -> Result<BTreeMap<i64, (String, Packed)>> {
    let found = of_stream(run, stream)
        .filter(rows::Column::Seq.gte(seq))
        .order_by_asc(rows::Column::Seq)
        .limit(limit)
        .all(connection)
        .await
        .doing("reading the provenance of batches")?;
    let with_table = |mut row: rows::Model| {
        let table = std::mem::take(&mut row.table_name);
        (row.seq, (table, row.into()))
    };
    Ok(found.into_iter().map(with_table).collect())
}

fn of_stream(run: &str, stream: &str) -> Select<rows::Entity> {
    rows::Entity::find()
        .filter(rows::Column::Run.eq(run))
        .filter(rows::Column::Stream.eq(stream))
}

impl From<rows::Model> for Packed {
    fn from(row: rows::Model) -> Self {
        Self {
            rows: row.rows,
            keys: row.keys,
            digests: row.digests,
            before: row.before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Packed, Written};
    use crate::fuzz::{bounded, nearly};

    /// The parts of what was packed, as texts: of short keys, so that their lengths are.
    fn parts() -> [Vec<String>; 3] {
        let row = |key: &str, digest, before: &[Option<&str>]| Written {
            key: key.into(),
            digest,
            before: (!before.is_empty())
                .then(|| before.iter().map(|value| value.map(Into::into)).collect()),
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("small numbers are text");
        let mut parts = [const { Vec::new() }; 3];
        for rows in [
            vec![row("a", 1, &[]), row("", 2, &[]), row("é", 3, &[])],
            vec![
                row("a", 1, &[Some("x"), None]),
                row("b", 2, &[None, Some("")]),
                row("c", 3, &[]),
            ],
        ] {
            let packed = Packed::pack(&rows).expect("small batches pack");
            parts[0].push(text(packed.keys));
            parts[1].push(text(packed.digests));
            parts[2].push(text(packed.before.unwrap_or_default()));
        }
        parts
    }

    fn written() -> impl Strategy<Value = Vec<Written>> {
        let before = prop::collection::vec(prop::option::of(any::<String>()), 1..3);
        prop_oneof![
            prop::collection::vec((any::<String>(), any::<u64>(), Just(None)), 0..20),
            prop::collection::vec(
                (any::<String>(), any::<u64>(), before.clone().prop_map(Some)),
                0..20
            ),
            // What was inserted beside what was brought up to date.
            prop::collection::vec(
                (any::<String>(), any::<u64>(), prop::option::of(before)),
                0..20
            ),
        ]
        .prop_map(|rows| {
            let row = |(key, digest, before)| Written {
                key,
                digest,
                before,
            };
            rows.into_iter().map(row).collect()
        })
    }

    proptest! {
        /// Whatever stands in the table: no panic, memory in proportion, and what is unpacked is what packs to it.
        #[test]
        fn no_provenance_panics(
            rows in prop_oneof![0..5_i32, any::<i32>()],
            keys in nearly(parts()[0].clone()),
            digests in nearly(parts()[1].clone()),
            before in prop::option::of(nearly(parts()[2].clone())),
        ) {
            let size = keys.len() + digests.len() + before.as_ref().map_or(0, Vec::len);
            let packed = Packed { rows, keys, digests, before };
            if let Ok(written) = bounded(size, 64, || packed.unpack()) {
                let again = Packed::pack(&written).expect("small batches pack");
                prop_assert_eq!((again.rows, &again.keys, &again.digests), (rows, &packed.keys, &packed.digests));
            }
        }

        #[test]
        fn what_is_packed_comes_back(rows in written()) {
            let packed = Packed::pack(&rows).expect("small batches pack");
            prop_assert_eq!(packed.unpack().expect("what was packed unpacks"), rows);
        }

        /// A changed byte changes the digest; unpacking it may fail but never panics.
        #[test]
        fn a_flipped_byte_is_seen(rows in written(), place in any::<prop::sample::Index>()) {
            let packed = Packed::pack(&rows).expect("small batches pack");
            let mut changed = packed.clone();
            if !changed.keys.is_empty() {
                let place = place.index(changed.keys.len());
                changed.keys[place] ^= 1;
                prop_assert_ne!(changed.digest(), packed.digest());
                let _ = changed.unpack();
            }
            let mut changed = packed.clone();
            changed.rows += 1;
            prop_assert_ne!(changed.digest(), packed.digest());
            prop_assert!(changed.unpack().is_err());
        }
    }
}
