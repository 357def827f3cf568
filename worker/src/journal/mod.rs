//! The journal: append and load. The only SQL that touches its table.

mod query;
mod size;
mod sums;

use std::collections::BTreeMap;

use entity::backstitch_journal as table;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QueryResult,
    QuerySelect,
};

use crate::backend::{self, Dialect};
use crate::chain::{Head, Link};
use crate::core::event::{Event, FORMAT};
use crate::error::{Doing, Error, Result};

pub use self::query::{Filter, count, has_skipped, of_kinds, select, undo_of};
pub use self::size::disk;
pub use self::sums::{Slot, Span, Work, set_aside, set_aside_alone, skips, slots, spans, work};

/// The longest key of a bad row; PostgreSQL's indexes hold about 2,700 bytes a row.
const MAX_KEY_BYTES: usize = 1_000;

/// A stored event.
pub type Entry = table::Model;

/// Where and by whom events are appended.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// The run.
    pub run: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// Who appends.
    pub worker: &'a str,
}

/// The database's clock, milliseconds since 1970.
///
/// # Errors
/// The database's.
pub async fn now(connection: &impl ConnectionTrait) -> Result<i64> {
    let sql = format!("SELECT {} AS \"now\"", Dialect::of(connection).now());
    let row = connection
        .query_one_raw(backend::statement(connection, &sql, []))
        .await;
    row.and_then(|row| match row {
        Some(row) => row.try_get("", "now"),
        None => Err(sea_orm::DbErr::RecordNotFound("the clock".into())),
    })
    .doing("reading the database's clock")
}

/// Events that are ready to be inserted, chained to what is there.
#[derive(Debug)]
pub struct Chained {
    entries: Vec<table::ActiveModel>,
    /// The stream's head once they are.
    pub head: Head,
}

/// Chains events to a stream's head. That each is legal is the caller's to check first, against the state that it
/// folds them into.
///
/// # Errors
/// None in practice: every event is plain data.
pub fn chain(stream: Stream<'_>, head: &Head, at: i64, events: &[Event]) -> Result<Chained> {
    let mut head = head.clone();
    let mut entries = Vec::with_capacity(events.len());
    for event in events {
        let payload = event.payload().map_err(|error| {
            Error::Damaged(format!("an event cannot be written as JSON: {error}"))
        })?;
        let seq = head.seq + 1;
        let link = Link {
            run: stream.run,
            stream: stream.stream,
            seq,
            kind: event.kind(),
            version: FORMAT,
            payload: &payload,
            worker: stream.worker,
            at,
            prev: &head.hash,
        };
        let hash = link.hash();
        let prev = std::mem::replace(&mut head.hash, hash.clone());
        head.seq = seq;
        entries.push(table::ActiveModel {
            position: NotSet,
            run: Set(stream.run.into()),
            stream: Set(stream.stream.into()),
            seq: Set(seq),
            kind: Set(event.kind().into()),
            version: Set(FORMAT),
            unit: Set(event.unit().map(Into::into)),
            key: Set(event.key().map(Into::into)),
            payload: Set(payload),
            worker: Set(stream.worker.into()),
            at: Set(at),
            prev: Set(prev),
            hash: Set(hash),
        });
    }
    Ok(Chained { entries, head })
}

/// Inserts chained events, as the transaction's last statement: a COMMIT of a transaction that failed before answers
/// ROLLBACK without an error.
///
/// # Errors
/// A unique violation where another worker appended first; the database's.
pub async fn append(connection: &impl ConnectionTrait, chained: Chained) -> Result<Head> {
    // Bound values have a limit (SQLite: 32,766), and a batch may be bad from its first row to its last.
    for chunk in chained.entries.chunks(1_000) {
        table::Entity::insert_many(chunk.to_vec())
            .exec_without_returning(connection)
            .await
            .doing("appending to the journal")?;
    }
    Ok(chained.head)
}

/// A stream's last event.
///
/// # Errors
/// The database's.
pub async fn head(connection: &impl ConnectionTrait, run: &str, stream: &str) -> Result<Head> {
    let last: Option<(i64, String)> = table::Entity::find()
        .select_only()
        .columns([table::Column::Seq, table::Column::Hash])
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
        .order_by_desc(table::Column::Seq)
        .into_tuple()
        .one(connection)
        .await
        .doing("reading the head of a stream")?;
    Ok(match last {
        Some((seq, hash)) => Head { seq, hash },
        None => Head::empty(),
    })
}

/// A stream's last event, whole.
///
/// # Errors
/// The database's.
pub async fn last(
    connection: &impl ConnectionTrait,
    run: &str,
    stream: &str,
) -> Result<Option<Entry>> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
        .order_by_desc(table::Column::Seq)
        .one(connection)
        .await
        .doing("reading the end of a stream")
}

/// Up to `limit` events of one stream after `seq`, in their order.
///
/// # Errors
/// The database's.
pub async fn stream_after(
    connection: &impl ConnectionTrait,
    run: &str,
    stream: &str,
    seq: i64,
    limit: u64,
) -> Result<Vec<Entry>> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
        .filter(table::Column::Seq.gt(seq))
        .order_by_asc(table::Column::Seq)
        .limit(limit)
        .all(connection)
        .await
        .doing("reading the journal")
}

/// The events of a stream at these places, as far as they are there.
///
/// # Errors
/// The database's.
pub async fn among(
    connection: &impl ConnectionTrait,
    (run, stream): (&str, &str),
    seqs: impl IntoIterator<Item = i64>,
) -> Result<Vec<Entry>> {
    table::Entity::find()
        .filter(table::Column::Run.eq(run))
        .filter(table::Column::Stream.eq(stream))
        .filter(table::Column::Seq.is_in(seqs))
        .all(connection)
        .await
        .doing("reading the journal")
}

/// The event that a stored entry holds.
///
/// # Errors
/// [`Error::Refused`]: a newer format. [`Error::Damaged`]: it cannot be read.
pub fn event(entry: &Entry) -> Result<Event> {
    if entry.version > FORMAT {
        return Err(newer(entry.version));
    }
    Event::parse(&entry.kind, &entry.payload).map_err(|error| {
        Error::Damaged(format!(
            "event {} of stream {} of run {} cannot be read: {error}",
            entry.seq, entry.stream, entry.run
        ))
    })
}

/// The hash that a stored event should have.
#[must_use]
pub fn hash(entry: &Entry) -> String {
    let link = Link {
        run: &entry.run,
        stream: &entry.stream,
        seq: entry.seq,
        kind: &entry.kind,
        version: entry.version,
        payload: &entry.payload,
        worker: &entry.worker,
        at: entry.at,
        prev: &entry.prev,
    };
    link.hash()
}

/// The ids of all runs, oldest first.
///
/// # Errors
/// The database's.
pub async fn runs(connection: &impl ConnectionTrait) -> Result<Vec<String>> {
    of_kind(connection, "RunStarted").await
}

/// The newest run, by id; none where there is none. Only the newest can be open.
///
/// # Errors
/// The database's.
pub async fn newest_run(connection: &impl ConnectionTrait) -> Result<Option<String>> {
    table::Entity::find()
        .select_only()
        .column(table::Column::Run)
        .filter(table::Column::Kind.eq("RunStarted"))
        .order_by_desc(table::Column::Position)
        .into_tuple()
        .one(connection)
        .await
        .doing("looking for the newest run")
}

/// Runs of which a rollback has begun and is not finished.
///
/// # Errors
/// The database's.
pub async fn undoing(connection: &impl ConnectionTrait) -> Result<Vec<String>> {
    let mut undoing = of_kind(connection, "UndoStarted").await?;
    for finished in of_kind(connection, "UndoCompleted").await? {
        if let Some(place) = undoing.iter().position(|run| *run == finished) {
            undoing.swap_remove(place);
        }
    }
    Ok(undoing)
}

async fn of_kind(connection: &impl ConnectionTrait, kind: &str) -> Result<Vec<String>> {
    table::Entity::find()
        .select_only()
        .column(table::Column::Run)
        .filter(table::Column::Kind.eq(kind))
        .order_by_asc(table::Column::Position)
        .into_tuple()
        .all(connection)
        .await
        .doing("listing the runs")
}

/// Every (run, stream) that has events.
///
/// # Errors
/// The database's.
pub async fn streams(connection: &impl ConnectionTrait) -> Result<Vec<(String, String)>> {
    table::Entity::find()
        .select_only()
        .columns([table::Column::Run, table::Column::Stream])
        .distinct()
        .order_by_asc(table::Column::Run)
        .order_by_asc(table::Column::Stream)
        .into_tuple()
        .all(connection)
        .await
        .doing("listing the journal's streams")
}

/// The last event of every (run, stream), at one instant.
///
/// # Errors
/// The database's.
pub async fn heads(connection: &impl ConnectionTrait) -> Result<BTreeMap<(String, String), Head>> {
    let sql = "SELECT j.\"run\", j.\"stream\", j.\"seq\", j.\"hash\" FROM \"backstitch_journal\" j \
               JOIN (SELECT \"run\", \"stream\", max(\"seq\") AS \"seq\" FROM \"backstitch_journal\" \
                   GROUP BY \"run\", \"stream\") e \
                   ON e.\"run\" = j.\"run\" AND e.\"stream\" = j.\"stream\" AND e.\"seq\" = j.\"seq\"";
    let doing = "reading the heads of the journal's streams";
    let rows = backend::all(connection, sql, []).await.doing(doing)?;
    let head = |row: &QueryResult| {
        let place = (row.try_get("", "run")?, row.try_get("", "stream")?);
        let (seq, hash) = (row.try_get("", "seq")?, row.try_get("", "hash")?);
        Ok((place, Head { seq, hash }))
    };
    let heads: Result<_, DbErr> = rows.iter().map(head).collect();
    heads.doing(doing)
}

/// Refuses a journal that a newer build has written to.
///
/// # Errors
/// [`Error::Refused`].
pub async fn check_format(connection: &impl ConnectionTrait) -> Result<()> {
    let newest: Option<Option<i32>> = table::Entity::find()
        .select_only()
        .column_as(Expr::col(table::Column::Version).max(), "newest")
        .into_tuple()
        .one(connection)
        .await
        .doing("reading the journal's format")?;
    match newest.flatten() {
        Some(version) if version > FORMAT => Err(newer(version)),
        _ => Ok(()),
    }
}

/// The stored event at a place, where it is there: how the outcome of a commit is found out.
///
/// # Errors
/// The database's.
pub async fn at(
    connection: &impl ConnectionTrait,
    run: &str,
    stream: &str,
    seq: i64,
) -> Result<Option<Entry>> {
    Ok(among(connection, (run, stream), [seq]).await?.pop())
}

/// A bad row's key as it is stored, so that an index can hold it: of a very long one the beginning, and a hash of the whole.
#[must_use]
pub fn short_key(key: &str) -> String {
    if key.len() <= MAX_KEY_BYTES {
        return key.to_owned();
    }
    let mut end = MAX_KEY_BYTES - 20;
    while !key.is_char_boundary(end) {
        end -= 1;
    }
    let hash = blake3::hash(key.as_bytes()).to_hex();
    format!("{}…{}", &key[..end], &hash[..16])
}

/// The keys of `keys` that the run has quarantined in this unit already.
///
/// # Errors
/// The database's.
pub async fn quarantined(
    connection: &impl ConnectionTrait,
    run: &str,
    unit: &str,
    keys: &[&str],
) -> Result<Vec<String>> {
    let dialect = Dialect::of(connection);
    let sql = format!(
        "SELECT DISTINCT \"key\" FROM \"backstitch_journal\" WHERE \"run\" = $1 AND \"unit\" = $2 AND {}",
        dialect.is_any("\"key\"", "$3")
    );
    let values = [run.into(), unit.into(), dialect.texts(keys)];
    let rows = backend::all(connection, &sql, values).await;
    rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "key")).collect())
        .doing("looking up quarantined keys")
}

/// Why a journal with events of a newer format is left to the release that wrote them.
pub(crate) fn newer(version: i32) -> Error {
    Error::Refused(format!(
        "the journal has events of format {version}, and this build writes format {FORMAT}: a newer release wrote \
         them, use that one"
    ))
}
