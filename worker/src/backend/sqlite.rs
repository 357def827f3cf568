//! SQLite's side of the seam.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{Connection as _, Row, TypeInfo, ValueRef};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database as Connector, DatabaseConnection, DbErr, QueryResult,
};

use super::{Access, Connection, PATIENCE, statement};
use crate::error::{Error, Result};

pub(super) const NOW: &str = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)";

pub(super) const COLUMNS: &str = r#"SELECT "name" FROM pragma_table_info($1) ORDER BY "cid""#;

/// A trigger, whenever it fires: its text alone tells, and looking once more does no harm.
pub(super) const FOLLOWED: &str = r#"SELECT 1 AS "one" FROM sqlite_master
    WHERE "type" = 'trigger' AND "tbl_name" = $1 COLLATE NOCASE LIMIT 1"#;

pub(super) const REFERENCES: &str = r#"SELECT m."name" || ' ' || f."id" AS "constraint",
        '"' || replace(m."name", '"', '""') || '"' AS "child", f."from" AS "child_column", f."to" AS "parent_column"
    FROM sqlite_master m JOIN pragma_foreign_key_list(m."name") f
    WHERE m."type" = 'table' AND f."table" = $1 COLLATE NOCASE ORDER BY m."name", f."id", f."seq" "#;

/// How long a statement waits for another process that writes. Short, so that a signal is heard in between; whoever
/// waits tries again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How many rows a query may be ahead of whoever takes them: each time that one waits for the other costs as much as
/// many rows.
const ROWS_AHEAD: usize = 1_024;

/// WAL lets the next batch be read while this one is written; FULL keeps a commit through a power cut; the busy
/// timeout bounds the wait for another process.
pub(super) async fn connect(
    url: &str,
    connections: u32,
    access: Access,
) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        .sqlx_logging(false);
    // An error such as a full disk makes SQLite end a transaction by itself. sqlx, whose ROLLBACK then fails, believes
    // that it goes on, and nothing that is done on that connection from then on is ever committed.
    options.map_sqlx_sqlite_before_acquire(|connection, _| {
        let is_sound = !connection.is_in_transaction();
        Box::pin(async move { Ok(is_sound) })
    });
    // Setting the mode writes to the file, which somebody who only looks may not.
    let is_read_only =
        access == Access::Read || url.contains("mode=ro") || url.contains("immutable=");
    options.map_sqlx_sqlite_opts(move |options| {
        let options = match is_read_only {
            true => options.read_only(true).create_if_missing(false),
            false => options.journal_mode(SqliteJournalMode::Wal),
        };
        options
            .synchronous(SqliteSynchronous::Full)
            .row_buffer_size(ROWS_AHEAD)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
    });
    Connector::connect(options).await
}

/// Refuses what is no file, or would not last.
///
/// # Errors
/// [`Error::Usage`], naming what is there instead.
pub(super) fn check_file(url: &str, access: Access) -> Result<()> {
    let (file, parameters) = url.split_once('?').unwrap_or((url, ""));
    let file = file.trim_start_matches("sqlite:").trim_start_matches("//");
    let has = |parameter: &str| parameters.split('&').any(|other| other == parameter);
    if file.is_empty() || file == ":memory:" || has("mode=memory") {
        return Err(Error::Usage(
            "the database URL names no file, so nothing would last: write it like sqlite://backstitch.db".into(),
        ));
    }
    // What cannot be read is said when it is opened.
    let Ok(options) = url.parse::<SqliteConnectOptions>() else {
        return Ok(());
    };
    let path = options.get_filename();
    if path.is_dir() {
        return Err(Error::Usage(format!(
            "{} is a folder: name the database file in it",
            path.display()
        )));
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        return Err(Error::Usage(format!(
            "there is no folder {} to hold the database {}: check the path",
            folder.display(),
            path.display()
        )));
    }
    if access == Access::Read && !path.exists() {
        let place = if folder.is_none() { " here" } else { "" };
        return Err(Error::Usage(format!(
            "there is no {}{place}; name the database with --database-url or DATABASE_URL",
            path.display()
        )));
    }
    Ok(())
}

/// A database in memory is nobody else's; a file is told from its copies by device and inode, which a rename keeps.
pub(super) async fn identity(connection: &Connection) -> Result<String, DbErr> {
    let file = "SELECT \"file\" FROM pragma_database_list WHERE \"name\" = 'main'";
    let row = connection
        .query_one_raw(statement(connection, file, []))
        .await?
        .ok_or(DbErr::RecordNotFound("the main database".into()))?;
    let file: String = row.try_get("", "file")?;
    match std::fs::metadata(&file) {
        Ok(metadata) => Ok(format!("sqlite file {}:{}", metadata.dev(), metadata.ino())),
        Err(_) => Ok("sqlite memory".into()),
    }
}

/// Text that begins with a date, or Prisma's integers (milliseconds since 1970) of the years 0 to 9999; NULL for
/// everything else that a column may hold, such as 'now', which SQLite would take for an instant.
///
/// SQLite keeps milliseconds, rounding half of one up. A text that says more is rounded as PostgreSQL's `timestamp(3)`
/// does, first to microseconds, then away from the year 2000: two reports of one execution are told by their instant.
pub(super) fn millis(column: &str) -> String {
    const MILLIS_2000: i64 = 946_684_800_000;
    let plain =
        |text: &str| format!("CAST(round((julianday({text}) - 2440587.5) * 86400000) AS INTEGER)");
    let fraction = format!("substr({column}, instr({column}, '.') + 1)");
    let zone = format!("ltrim({fraction}, '0123456789')");
    let digits = format!("substr({fraction}, 1, length({fraction}) - length({zone}))");
    let second = plain(&format!(
        "substr({column}, 1, instr({column}, '.') - 1) || {zone}"
    ));
    format!(
        "CASE typeof({column}) \
            WHEN 'integer' THEN CASE WHEN {column} BETWEEN -62167219200000 AND 253402300799999 THEN {column} END \
            WHEN 'text' THEN CASE WHEN {column} NOT LIKE '____-__-__%' THEN NULL \
                WHEN {column} NOT GLOB '*.[0-9][0-9][0-9][0-9]*' THEN {plain} \
                ELSE (SELECT {MILLIS_2000} + CASE WHEN m.\"micros\" >= 0 THEN (m.\"micros\" + 500) / 1000 \
                        ELSE -((500 - m.\"micros\") / 1000) END \
                    FROM (SELECT ({second} - {MILLIS_2000}) * 1000 \
                        + CAST(round(CAST('0.' || {digits} AS REAL) * 1000000) AS INTEGER) AS \"micros\") m) END END",
        plain = plain(column),
    )
}

/// Whether a value is bytes: a column of text may hold them, and sorts them behind all texts.
pub(super) fn is_blob(row: &QueryResult, column: &str) -> bool {
    row.try_as_sqlite_row()
        .and_then(|row| row.try_get_raw(column).ok())
        .is_some_and(|value| value.type_info().name() == "BLOB")
}

/// A JSON document in which a key that stands twice has its last value alone, as in JSONB. Only one that may have such
/// a key, perhaps spelled with escapes, is written anew.
pub(super) fn last_of_each_key(document: &str, key: &str) -> String {
    format!(
        "CASE WHEN {document} GLOB '*\"{key}\"*\"{key}\"*' OR instr({document}, '\\u00') > 0 \
            THEN json_patch('{{}}', {document}) ELSE {document} END"
    )
}

pub(super) fn image(columns: &[String]) -> String {
    let quoted: Vec<_> = columns
        .iter()
        .map(|column| format!("quote({column})"))
        .collect();
    quoted.join(" || ',' || ")
}

/// The first 8 bytes of BLAKE3 over the row's picture.
pub(super) fn digest(image: &str) -> u64 {
    let hash = blake3::hash(image.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Another connection holds the lock, the disk is full (13).
/// <https://www.sqlite.org/rescode.html>
pub(super) fn is_transient(code: &str) -> bool {
    // A foreign key's parent (787) that was deleted between read and write: the next read knows.
    is_locked(code) || code == "787" || primary(code) == Some(13)
}

/// Another connection holds the lock.
pub(super) fn is_locked(code: &str) -> bool {
    primary(code).is_some_and(|code| matches!(code, 5 | 6))
}

/// Too large (18), a NOT NULL (1299), a foreign key (787) or a CHECK (275) constraint, a value of the wrong type (20,
/// 3091).
pub(super) fn refuses_row(code: &str) -> bool {
    matches!(code, "18" | "1299" | "787" | "275" | "20" | "3091")
}

/// What a trigger raises (1811) may quote values of rows.
pub(super) fn quotes_values(code: &str) -> bool {
    code == "1811"
}

pub(super) fn hint(code: &str) -> Option<&'static str> {
    match (code, primary(code)?) {
        // A hot journal: its transaction must be taken back before anybody can read.
        ("776", _) => Some(
            "a transaction was cut off in the middle, and only a program that may write can take it back: open the \
             file once with its application",
        ),
        (_, 8) => Some(
            "the file or its folder is read-only: mend the rights; to look at a file that no other program has open \
             meanwhile, ?mode=ro&immutable=1 does as well (with another writer it shows wrong answers)",
        ),
        (_, 14) => Some(
            "check the path and the rights to its folder; add ?mode=rwc to make a new file where there is none; to \
             look at a file in a read-only folder that no other program has open meanwhile: ?mode=ro&immutable=1",
        ),
        (_, 26) => Some("the file is not an SQLite database: check the path"),
        _ => None,
    }
}

/// The primary result code of an extended one; none for PostgreSQL's codes, which have five characters.
fn primary(code: &str) -> Option<u32> {
    let code = (code.len() < 5).then_some(code)?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

    use super::{Access, Connection, connect};
    use crate::backend::Durability;

    /// A connection to a file of its own, and the file.
    async fn file(name: &str) -> (DatabaseConnection, PathBuf) {
        let name = format!("backstitch-{name}-{}.db", std::process::id());
        let path = std::env::temp_dir().join(name);
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let connection = connect(&url, 1, Access::Write).await.expect("a new file");
        (connection, path)
    }

    async fn number(connection: &impl ConnectionTrait, sql: &str) -> i64 {
        let sql = Statement::from_string(DbBackend::Sqlite, sql);
        let row = connection.query_one_raw(sql).await.expect("an answer");
        row.expect("a row").try_get_by_index(0).expect("a number")
    }

    /// A full disk ends a transaction, and what is committed after it, once there is room, is there for others.
    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_is_over() {
        let (connection, path) = file("ended").await;
        let setup = "CREATE TABLE t (v BLOB); PRAGMA max_page_count = 16";
        connection.execute_unprepared(setup).await.expect("a table");
        let connection = Connection::from(connection);
        let insert = "INSERT INTO t VALUES (zeroblob(1000))";
        let begin = || connection.begin(Durability::Relaxed);
        let begun = begin().await.expect("a transaction");
        let full = loop {
            if let Err(error) = begun.execute_unprepared(insert).await {
                break error;
            }
        };
        assert!(crate::backend::is_transient(&full), "{full}");
        // It is over already.
        assert!(begun.rollback().await.is_err());
        // One more that is taken back: were it within one that is believed to go on, it would leave that open.
        let begun = begin().await.expect("another transaction");
        begun.execute_unprepared(insert).await.expect("room");
        begun.rollback().await.expect("taken back");
        for _ in 0..3 {
            let begun = begin().await.expect("another transaction");
            begun.execute_unprepared(insert).await.expect("room");
            begun.commit().await.expect("a commit");
        }
        let (other, _) = file("ended").await;
        other.execute_unprepared(insert).await.expect("no lock");
        assert_eq!(number(&other, "SELECT COUNT(*) FROM t").await, 4);
        connection.close().await.expect("it was open");
        other.close().await.expect("it was open");
        std::fs::remove_file(&path).expect("the file is there");
    }

    /// What others act on survives a power cut: 2 is FULL.
    #[tokio::test]
    async fn a_commit_waits_for_the_disk() {
        let (connection, path) = file("full").await;
        let full = number(&connection, "PRAGMA synchronous").await;
        connection.close().await.expect("it was open");
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(full, 2);
    }
}
