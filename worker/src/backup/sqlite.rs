//! SQLite's copies. `VACUUM INTO` reads in one transaction and writes another file, while others go on reading and writing:
//! the copy is of one instant, holds no free pages, and is a database of its own, without a log beside it.

use std::path::Path;
use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::tables::{self, Rows};
use super::{Contents, Step, Watch};
use crate::backend::{self, Access, Address, Database};
use crate::core::event::BackupMethod;
use crate::error::{Doing, Error, Result};
use crate::shutdown::Shutdown;

/// The copy's name in a backup's folder.
pub(super) const COPY: &str = "database.sqlite";

/// How often the copy is looked at while it is written.
const LOOK: Duration = Duration::from_millis(50);

/// The library's release.
///
/// # Errors
/// The database's.
pub(super) async fn release(database: &Database) -> Result<String> {
    let doing = "reading SQLite's release";
    let row = database
        .one("SELECT sqlite_version() AS \"version\"", [])
        .await
        .doing(doing)?;
    let version = row
        .map(|row| row.try_get::<String>("", "version"))
        .transpose();
    Ok(format!(
        "SQLite {}",
        version.doing(doing)?.unwrap_or_default()
    ))
}

/// Copies a database into a folder and checks the copy; none: somebody asked to stop.
///
/// # Errors
/// [`Error::Failed`]: the copy is broken. The database's.
pub(super) async fn copy(
    database: &Database,
    folder: &Path,
    shutdown: &Shutdown,
    step: &mut Watch<'_>,
) -> Result<Option<Contents>> {
    let path = folder.join(COPY);
    let Some(text) = path.to_str().map(str::to_owned) else {
        return Err(Error::Usage(format!(
            "SQLite writes to no path that is not UTF-8, as {}",
            path.display()
        )));
    };
    let copying = {
        let database = database.clone();
        tokio::spawn(async move {
            let connection = database.connection();
            let statement = backend::statement(connection, "VACUUM INTO $1", [text.into()]);
            connection.execute_raw(statement).await
        })
    };
    while !copying.is_finished() {
        if shutdown.is_requested() {
            copying.abort();
            return Ok(None);
        }
        let written = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        step(Step::Written(written));
        shutdown.sleep(LOOK).await;
    }
    match copying.await {
        Ok(copied) => copied.doing("copying the database")?,
        Err(_) => {
            return Err(Error::Unexpected(
                "copying the database: it panicked".into(),
            ));
        }
    };
    let (rows, problems) = read(&path, step).await?;
    if !problems.is_empty() {
        let problems = problems.join("; ");
        return Err(Error::Failed(format!(
            "the copy is not sound, and so is not the database: {problems}; see `PRAGMA integrity_check`"
        )));
    }
    Ok(Some(Contents {
        method: BackupMethod::Sqlite,
        rows,
        database: None,
    }))
}

/// The rows of a copy's tables, and what SQLite finds wrong with it.
///
/// # Errors
/// The database's.
pub(super) async fn read(path: &Path, step: &mut Watch<'_>) -> Result<(Rows, Vec<String>)> {
    let url = Address::of_file(path);
    let copy = Database::connect(url.url(), 1, Access::Read).await?;
    let read = check(&copy, step).await;
    copy.close().await;
    read
}

async fn check(copy: &Database, step: &mut Watch<'_>) -> Result<(Rows, Vec<String>)> {
    let doing = "checking the copy";
    let answers = copy
        .all("PRAGMA integrity_check(5)", [])
        .await
        .doing(doing)?;
    let mut problems = Vec::new();
    for row in &answers {
        let answer: String = row.try_get_by_index(0).doing(doing)?;
        if answer != "ok" {
            problems.push(answer);
        }
    }
    if !problems.is_empty() {
        return Ok((Rows::new(), problems));
    }
    let tables = tables::list(copy.connection()).await?;
    let of = tables.len();
    let counted = |tables| step(Step::Counted { tables, of });
    let rows = tables::count(copy.connection(), &tables, counted).await?;
    Ok((rows, problems))
}
