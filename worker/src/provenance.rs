//! Provenance: which rows a batch wrote. Packed here, unpacked by undo and validation; and which batches wrote a row.

use std::collections::BTreeMap;

use entity::backstitch_journal_rows as rows;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, Select,
};

use crate::backend::{self, Dialect};
use crate::core::plan::Write;
use crate::error::{Doing, Error, Result};

/// The longest key that is kept as an end of its batch: PostgreSQL's indexes hold about 2,700 bytes a row, for both ends,
/// what they share and the table's name.
const MAX_END_BYTES: usize = 600;

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
    ends: Ends,
}

/// What all of a batch's keys begin with, and the first and the last of them in the order of their bytes: where to look
/// for a key. Not part of what is hashed, as it follows from the keys. None where a batch has none, or one that no
/// index could hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends(Option<[String; 3]>);

impl Ends {
    /// The ends of a batch's rows.
    #[must_use]
    pub fn of(written: &[Written]) -> Self {
        let mut keys = written.iter().map(|row| row.key.as_str());
        let Some(first) = keys.next() else {
            return Self(None);
        };
        let (mut least, mut greatest) = (first, first);
        for key in keys {
            if key < least {
                least = key;
            } else if key > greatest {
                greatest = key;
            }
        }
        let fits = least.len().max(greatest.len()) <= MAX_END_BYTES;
        Self(fits.then(|| [shared(least, greatest), least, greatest].map(str::to_owned)))
    }

    /// Whether a look-up that goes by what stands finds each of these rows: it stands for them, or for nothing, and the
    /// batch is then searched whatever is looked for.
    #[must_use]
    pub fn leads_to(&self, written: &[Written]) -> bool {
        self.0.is_none() || *self == Self::of(written)
    }
}

/// What two keys begin with, both alike; so does every key between them.
fn shared<'a>(least: &'a str, greatest: &str) -> &'a str {
    let mut alike = least.chars().zip(greatest.chars());
    let bytes = alike
        .by_ref()
        .take_while(|(one, other)| one == other)
        .map(|(one, _)| one.len_utf8())
        .sum();
    &least[..bytes]
}

/// All that a key begins with, from nothing to itself.
fn beginnings(key: &str) -> Vec<&str> {
    let ends = key.char_indices().map(|(end, _)| end).chain([key.len()]);
    ends.filter(|end| *end <= MAX_END_BYTES)
        .map(|end| &key[..end])
        .collect()
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
            ends: Ends::of(written),
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
    let [shared, least, greatest] = packed.ends.0.map(|ends| ends.map(Some)).unwrap_or_default();
    let row = rows::ActiveModel {
        run: Set(run.into()),
        stream: Set(stream.into()),
        seq: Set(seq),
        table_name: Set(table.into()),
        rows: Set(packed.rows),
        keys: Set(packed.keys),
        digests: Set(packed.digests),
        before: Set(packed.before),
        shared: Set(shared),
        least: Set(least),
        greatest: Set(greatest),
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
        .into_tuple::<Stored>()
        .all(connection)
        .await
        .doing("looking for the newest batches")?;
    Ok(found.into_iter().map(|row| (row.0, packed(row))).collect())
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
        .into_tuple::<Stored>()
        .all(connection)
        .await
        .doing("reading the provenance of batches")?;
    let with_table = |mut row: Stored| {
        let table = std::mem::take(&mut row.1);
        (row.0, (table, packed(row)))
    };
    Ok(found.into_iter().map(with_table).collect())
}

/// The ends of the keys of up to `limit` batches of a stream, that of `seq` and the next, by their seq.
///
/// # Errors
/// The database's; a schema to which they were not added yet.
pub async fn ends_from(
    connection: &impl ConnectionTrait,
    (run, stream, seq): (&str, &str, i64),
    limit: u64,
) -> Result<BTreeMap<i64, Ends>> {
    type Found = (i64, Option<String>, Option<String>, Option<String>);
    let found: Vec<Found> = rows::Entity::find()
        .select_only()
        .columns([
            rows::Column::Seq,
            rows::Column::Shared,
            rows::Column::Least,
            rows::Column::Greatest,
        ])
        .filter(rows::Column::Run.eq(run))
        .filter(rows::Column::Stream.eq(stream))
        .filter(rows::Column::Seq.gte(seq))
        .order_by_asc(rows::Column::Seq)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
        .doing("reading where the keys of batches end")?;
    let ends = |(seq, shared, least, greatest): Found| {
        let ends = [shared, least, greatest];
        // One alone would lead astray as much as all that are wrong.
        let is_there = ends.iter().any(Option::is_some);
        (
            seq,
            Ends(is_there.then(|| ends.map(Option::unwrap_or_default))),
        )
    };
    Ok(found.into_iter().map(ends).collect())
}

/// The name of the table in which provenance is kept, and of the column without which no key can be looked up by an index.
pub(crate) const LOOKED_UP: (&str, &str) = ("backstitch_journal_rows", "shared");

/// Where a batch is: its run, stream and seq.
pub type Place = (String, String, i64);

/// The batches that wrote the row of a key into a table, in no order: by the index where they have ends, by searching their
/// packed keys where they have none. One that only seems to hold the key may be among them.
///
/// # Errors
/// The database's; a schema to which the ends were not added yet.
pub async fn holding(
    connection: &impl ConnectionTrait,
    table: &str,
    key: &str,
) -> Result<Vec<Place>> {
    let doing = "looking for the batches that wrote a row";
    let Ok(length) = u32::try_from(key.len()) else {
        return Ok(Vec::new());
    };
    // As it is packed.
    let needle = [&length.to_le_bytes()[..], key.as_bytes()].concat();
    let dialect = Dialect::of(connection);
    let (places, holds) = (
        "SELECT \"run\", \"stream\", \"seq\" FROM \"backstitch_journal_rows\" WHERE \"table_name\" = $1",
        dialect.hold("\"keys\"", "$2"),
    );
    let indexed = format!(
        "{places} AND {} AND {} <= $3 AND {} >= $3 AND {holds}",
        dialect.is_any(&dialect.by_bytes("\"shared\""), "$4"),
        dialect.by_bytes("\"least\""),
        dialect.by_bytes("\"greatest\""),
    );
    let others = format!("{places} AND \"shared\" IS NULL AND {holds}");
    let mut found = backend::all(
        connection,
        &indexed,
        [
            table.into(),
            needle.clone().into(),
            key.into(),
            dialect.texts(&beginnings(key)),
        ],
    )
    .await
    .doing(doing)?;
    let searched = backend::all(connection, &others, [table.into(), needle.into()]).await;
    found.extend(searched.doing(doing)?);
    let place = |row: &QueryResult| {
        Ok((
            row.try_get("", "run")?,
            row.try_get("", "stream")?,
            row.try_get("", "seq")?,
        ))
    };
    let places: std::result::Result<_, DbErr> = found.iter().map(place).collect();
    places.doing(doing)
}

/// What is stored of a batch: its seq, the table, how many rows, keys, digests, and values before. The ends are left out,
/// so that a journal is read before they are added to it.
type Stored = (i64, String, i32, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

fn packed((_, _, rows, keys, digests, before): Stored) -> Packed {
    Packed {
        rows,
        keys,
        digests,
        before,
        ends: Ends::default(),
    }
}

fn of_stream(run: &str, stream: &str) -> Select<rows::Entity> {
    rows::Entity::find()
        .select_only()
        .columns([
            rows::Column::Seq,
            rows::Column::TableName,
            rows::Column::Rows,
            rows::Column::Keys,
            rows::Column::Digests,
            rows::Column::Before,
        ])
        .filter(rows::Column::Run.eq(run))
        .filter(rows::Column::Stream.eq(stream))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Ends, MAX_END_BYTES, Packed, Written, beginnings};
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
            let packed = Packed { rows, keys, digests, before, ends: Ends::default() };
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

        /// Every row lies between the ends of its batch, and both are rows of it; a longer key has none.
        #[test]
        fn ends_are_the_first_and_the_last_key(rows in written(), long in any::<bool>()) {
            let mut rows = rows;
            if long && let Some(row) = rows.first_mut() {
                row.key = "x".repeat(MAX_END_BYTES + 1);
            }
            let mut bytes: Vec<_> = rows.iter().map(|row| row.key.clone().into_bytes()).collect();
            bytes.sort();
            let wanted = bytes.first().cloned().zip(bytes.last().cloned());
            let wanted = wanted.filter(|(least, greatest)| least.len().max(greatest.len()) <= MAX_END_BYTES);
            let ends = Ends::of(&rows);
            prop_assert!(ends.leads_to(&rows) && Ends::default().leads_to(&rows));
            let Some([shared, least, greatest]) = ends.0 else {
                prop_assert!(wanted.is_none());
                return Ok(());
            };
            // Whoever looks for a key of it comes by what they share, which is as long as it can be.
            for row in &rows {
                prop_assert!(beginnings(&row.key).contains(&shared.as_str()));
            }
            let next = |key: &str| key[shared.len()..].chars().next();
            prop_assert!(least == greatest || next(&least) != next(&greatest));
            prop_assert_eq!(Some((least.into_bytes(), greatest.into_bytes())), wanted);
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
