//! Set writes: a batch's rows in as few statements as the database allows, never one a row. Each gives back the rows
//! that were actually written and the digest of what the database made of them.

mod compare;
mod set;
mod shown;
mod standing;
mod taken;
mod withdraw;

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use self::set::{Set, aliased, chunks};
use crate::backend::{self, Dialect, Transaction, quote};
use crate::bare;
use crate::core::plan::{ColumnType, Destination, Write};
use crate::error::{Doing, Result};
use crate::provenance::Written;
use crate::unit::Row;

pub use self::compare::{Differs, differing};
pub use self::shown::shown;
pub use self::standing::{Lock, digests, of_tenant, present, remove, restore};
pub use self::taken::taken;
pub use self::withdraw::{put_back, remove_whole, whole};

/// What becomes of an insert's row that the destination holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// The statement fails.
    Fails,
    /// It stays as it is. PostgreSQL looks for each row for that, and logs each once more, before it writes it.
    Stays,
}

/// Writes rows; `image` are the destination's columns that a digest covers. A row of an insert that says what stands is
/// put in its place, where that still does.
///
/// # Errors
/// The database's.
pub async fn write(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    image: &[String],
    rows: &[Row],
    present: Present,
) -> Result<Vec<Written>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let doing = || format!("writing to {}", destination.table);
    match &destination.write {
        Write::Insert if rows.iter().any(|row| row.expects.is_some()) => {
            let stands = |row: &Row| row.expects.is_some();
            let (stale, new): (Vec<_>, Vec<_>) = rows.iter().cloned().partition(stands);
            let written = insert(connection, destination, image, &new, present).await;
            let refreshed = update(connection, destination, "TRUE", image, &stale).await;
            written.and_then(|mut written| {
                written.extend(refreshed?);
                Ok(written)
            })
        }
        Write::Insert => insert(connection, destination, image, rows, present).await,
        Write::Update { guard } => update(connection, destination, guard, image, rows).await,
        Write::Remove | Write::Restore => {
            Err(DbErr::Custom("it takes back, and writes nothing".into()))
        }
    }
    .doing(doing())
}

/// Writes rows of which the database refuses some: finds those by halving, each half behind a savepoint, and gives
/// them with the database's code.
///
/// # Errors
/// The database's, where it refuses for another reason than what is in a row.
pub async fn write_isolating(
    transaction: &Transaction,
    destination: &Destination,
    image: &[String],
    rows: &[Row],
) -> Result<(Vec<Written>, Vec<(Row, String)>)> {
    let doing = || format!("writing to {}", destination.table);
    if let Some(sql) = Dialect::of(transaction).check_at_once() {
        let sql = backend::statement(transaction, sql, []);
        transaction.execute_raw(sql).await.doing(doing())?;
    }
    let mut written = Vec::new();
    let mut refused = Vec::new();
    let mut halves = vec![rows];
    while let Some(half) = halves.pop() {
        let savepoint = transaction.execute_unprepared("SAVEPOINT \"half\"");
        savepoint.await.doing(doing())?;
        match write(transaction, destination, image, half, Present::Stays).await {
            Ok(rows) => {
                let kept = transaction.execute_unprepared("RELEASE SAVEPOINT \"half\"");
                kept.await.doing(doing())?;
                written.extend(rows);
            }
            Err(error) => {
                let undone = "ROLLBACK TO SAVEPOINT \"half\"; RELEASE SAVEPOINT \"half\"";
                let undone = transaction.execute_unprepared(undone);
                undone.await.doing(doing())?;
                let Some(code) = error.refuses_row() else {
                    return Err(error);
                };
                match half {
                    [row] => refused.push((row.clone(), code)),
                    rows => {
                        // The first half is popped first, so the rows keep their order.
                        let (first, second) = rows.split_at(rows.len() / 2);
                        halves.push(second);
                        halves.push(first);
                    }
                }
            }
        }
    }
    Ok((written, refused))
}

async fn insert(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    image: &[String],
    rows: &[Row],
    present: Present,
) -> Result<Vec<Written>, DbErr> {
    let dialect = Dialect::of(connection);
    let table = quote(&destination.table);
    let key = quote(&destination.key);
    let conflict = match present {
        Present::Fails => String::new(),
        Present::Stays => format!(" ON CONFLICT ({key}) DO NOTHING"),
    };
    let names: Vec<_> = destination
        .columns
        .iter()
        .map(|column| quote(&column.name))
        .collect();
    let mut written = Vec::with_capacity(rows.len());
    for chunk in chunks(dialect, rows, destination.columns.len()) {
        let set = Set::new(dialect, &destination.columns, chunk)?;
        let insert = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {} WHERE TRUE{conflict}",
            names.join(", "),
            set.columns.join(", "),
            set.from,
        );
        if bare::is_asked_for() {
            written.extend(bare_write(connection, &insert, set, chunk).await?);
            continue;
        }
        let sql = format!(
            "{insert} RETURNING {key} AS \"key\", {} AS \"image\"",
            dialect.image(&destination.table, image),
        );
        for row in backend::all(connection, &sql, set.values).await? {
            written.push(Written {
                key: row.try_get("", "key")?,
                digest: dialect.digest(&row, "image")?,
                before: None,
            });
        }
    }
    Ok(written)
}

/// Writes a chunk of which nothing is kept.
async fn bare_write(
    connection: &impl ConnectionTrait,
    sql: &str,
    set: Set,
    chunk: &[Row],
) -> Result<impl Iterator<Item = Written>, DbErr> {
    let statement = backend::statement(connection, sql, set.values);
    connection.execute_raw(statement).await?;
    Ok(chunk.iter().map(|row| Written {
        key: row.key.clone(),
        digest: 0,
        before: None,
    }))
}

/// Locks the rows that may be overwritten, keeps their values, and overwrites them.
async fn update(
    connection: &impl ConnectionTrait,
    destination: &Destination,
    guard: &str,
    image: &[String],
    rows: &[Row],
) -> Result<Vec<Written>, DbErr> {
    let dialect = Dialect::of(connection);
    let table = quote(&destination.table);
    let key = quote(&destination.key);
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
    let expected: HashMap<&str, u64> = rows
        .iter()
        .filter_map(|row| Some((row.key.as_str(), row.expects?)))
        .collect();
    let sql = format!(
        "SELECT {key} AS \"key\", {} AS \"image\", {} FROM {table} WHERE {} AND ({guard}) ORDER BY {key}{}",
        dialect.image(&destination.table, image),
        as_texts(dialect, destination, "before"),
        dialect.is_any(&key, "$1"),
        dialect.for_no_key_update(),
    );
    let mut before = HashMap::new();
    let kept = match bare::is_asked_for() {
        true => Vec::new(),
        false => backend::all(connection, &sql, [dialect.texts(&keys)]).await?,
    };
    for row in kept {
        let key: String = row.try_get("", "key")?;
        let expected = expected.get(key.as_str());
        // Somebody may have edited it since it was looked at; from here on nobody can.
        if expected.is_none() || expected == Some(&dialect.digest(&row, "image")?) {
            before.insert(key, values(&row, "before", destination.values().len())?);
        }
    }
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| before.contains_key(&row.key) || bare::is_asked_for())
        .cloned()
        .collect();
    let mut written = Vec::with_capacity(rows.len());
    for chunk in chunks(dialect, &rows, destination.columns.len()) {
        let set = Set::new(dialect, &destination.columns, chunk)?;
        let assignments: Vec<_> = destination
            .values()
            .iter()
            .enumerate()
            .map(|(index, column)| format!("{} = \"new\".\"c{}\"", quote(&column.name), index + 1))
            .collect();
        let update = format!(
            "UPDATE {table} SET {} FROM (SELECT {} FROM {}) AS \"new\" WHERE {table}.{key} = \"new\".\"c0\"",
            assignments.join(", "),
            aliased(&set.columns),
            set.from,
        );
        if bare::is_asked_for() {
            let sql = format!("{update} AND ({guard})");
            written.extend(bare_write(connection, &sql, set, chunk).await?);
            continue;
        }
        let sql = format!(
            "{update} RETURNING {table}.{key} AS \"key\", {} AS \"image\"",
            dialect.image(&destination.table, image),
        );
        for row in backend::all(connection, &sql, set.values).await? {
            let key: String = row.try_get("", "key")?;
            written.push(Written {
                before: before.remove(&key),
                digest: dialect.digest(&row, "image")?,
                key,
            });
        }
    }
    Ok(written)
}

/// The columns that an update overwrites, as texts that are called `<prefix>0`, `<prefix>1`, …
fn as_texts(dialect: Dialect, destination: &Destination, prefix: &str) -> String {
    let table = quote(&destination.table);
    let columns = destination.values().iter().enumerate();
    let texts: Vec<_> = columns
        .map(|(index, column)| {
            let name = format!("{table}.{}", quote(&column.name));
            let text = match column.kind {
                ColumnType::Double => dialect.double_as_text(&name),
                _ => dialect.as_text(&name),
            };
            format!("{text} AS \"{prefix}{index}\"")
        })
        .collect();
    texts.join(", ")
}

/// The text columns `<prefix>0`, `<prefix>1`, … of a row.
fn values(row: &QueryResult, prefix: &str, count: usize) -> Result<Vec<Option<String>>, DbErr> {
    (0..count)
        .map(|index| row.try_get("", &format!("{prefix}{index}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait as _;

    use super::{Differs, Lock, Present, differing, digests, restore, write};
    use crate::backend::{Access, Database};
    use crate::core::plan::{Column, ColumnType, Destination, Write};
    use crate::unit::{Cell, Row};

    fn row(key: &str, value: f64, expects: Option<u64>) -> Row {
        Row {
            source: key.into(),
            key: key.into(),
            values: vec![Cell::Double(value), Cell::from("t")],
            expects,
        }
    }

    /// A row is overwritten only where its values are those that were looked at; what differs is told by column; and a
    /// double comes back to the bit.
    #[tokio::test]
    async fn a_row_that_was_edited_meanwhile_is_left_alone() {
        let name = format!("backstitch-expects-{}.db", std::process::id());
        let path = std::env::temp_dir().join(name);
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let database = Database::connect(&url, 1, Access::Write)
            .await
            .expect("a new file");
        let connection = database.connection();
        let columns = [
            ("id", ColumnType::Text),
            ("v", ColumnType::Double),
            ("t", ColumnType::Text),
        ];
        let destination = Destination {
            table: "d".into(),
            key: "id".into(),
            columns: columns
                .map(|(name, kind)| Column {
                    name: name.into(),
                    kind,
                })
                .into(),
            write: Write::Update {
                guard: "TRUE".into(),
            },
        };
        let sum = 0.1 + 0.2;
        let setup = format!(
            "CREATE TABLE d (id TEXT PRIMARY KEY, v DOUBLE PRECISION, t TEXT); \
             INSERT INTO d VALUES ('a', {sum:?}, 't'), ('b', 1, 't')"
        );
        connection
            .execute_unprepared(&setup)
            .await
            .expect("a table");
        let image = ["v".to_owned(), "t".to_owned()];
        let looked_at = digests(connection, &destination, &image, &["a", "b"], Lock::None);
        let looked_at = looked_at.await.expect("digests");
        let types = std::collections::HashMap::new();
        let rows = [row("a", sum, None), row("b", 2.0, None)];
        let found = differing(connection, &destination, &types, &rows)
            .await
            .expect("rows");
        // The guard holds, so nobody has set their values yet.
        let differs = |columns: &[&str]| Differs {
            stands: false,
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(found.get("b"), Some(&differs(&["v"])));
        assert_eq!(found.get("a"), Some(&differs(&[])));

        let edit = "UPDATE d SET t = 'edited' WHERE id = 'b'";
        connection.execute_unprepared(edit).await.expect("an edit");
        let rows = ["a", "b"].map(|key| row(key, 7.0, looked_at.get(key).copied()));
        let written = write(connection, &destination, &image, &rows, Present::Stays)
            .await
            .expect("a write");
        let keys: Vec<_> = written.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["a"]);
        let back = restore(connection, &destination, &[&written[0]])
            .await
            .expect("a restore");
        assert_eq!(back.len(), 1);
        let after = digests(connection, &destination, &image, &["a"], Lock::None);
        assert_eq!(after.await.expect("digests").get("a"), looked_at.get("a"));
        database.close().await;
        std::fs::remove_file(&path).expect("the file is there");
    }
}
