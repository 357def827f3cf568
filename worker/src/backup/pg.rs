//! `pg_dump` and `pg_restore`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::properties::Properties;
use super::tables::{self, Rows};
use super::tools::{self, Surroundings, Tool};
use super::{Contents, Create, Format, Step, Watch, child, digest, said, server};
use crate::backend::{Access, Address, Database};
use crate::core::event::BackupMethod;
use crate::error::{Doing, Error, Result};
use crate::shutdown::Shutdown;

/// Tables at a time, where nobody said.
const JOBS: u32 = 4;

/// How long the dump waits for a table that somebody has locked: those who come after it wait as long.
const LOCK_WAIT: &str = "--lock-wait-timeout=60s";

/// How often somebody is told how far it is.
const TELL: Duration = Duration::from_millis(500);

/// How often the size of a database is asked for.
const SIZE: Duration = Duration::from_secs(1);

/// What `pg_dump` writes into a backup's folder.
const DUMP: &str = "dump";

/// A dump, prepared: nothing is written yet.
pub(super) struct Dump {
    dump: Tool,
    restore: Tool,
    format: Format,
    jobs: u32,
}

impl Dump {
    pub(super) async fn prepare(database: &Database, order: &Create<'_>) -> Result<Self> {
        let format = order.format.unwrap_or(Format::Directory);
        let jobs = match (format, order.jobs) {
            (Format::Custom, Some(2..)) => {
                return Err(Error::Usage(
                    "--format custom is one file, which several jobs cannot write: leave --jobs out, or take --format \
                     directory"
                        .into(),
                ));
            }
            (Format::Custom, _) => 1,
            (Format::Directory, jobs) => jobs.unwrap_or(JOBS),
        };
        let (release, _) = server::release(database).await?;
        Ok(Self {
            dump: tools::find("pg_dump", release, order.surroundings)?,
            restore: tools::find("pg_restore", release, order.surroundings)?,
            format,
            jobs,
        })
    }

    /// Dumps at one snapshot, at which the rows are counted, too; then reads the dump's list back.
    pub(super) async fn take(
        &self,
        database: &Database,
        order: &Create<'_>,
        folder: &Path,
        shutdown: &Shutdown,
        step: &mut Watch<'_>,
    ) -> Result<Option<Contents>> {
        let name = order.address.name()?;
        let doing = "beginning the backup's snapshot";
        let snapshot = database.connection().begin_snapshot().await.doing(doing)?;
        let exported = "SELECT pg_export_snapshot() AS \"snapshot\"";
        let rows = crate::backend::all(&snapshot, exported, [])
            .await
            .doing(doing)?;
        let exported: String = match rows.first() {
            Some(row) => row.try_get("", "snapshot").doing(doing)?,
            None => return Err(Error::Unexpected(format!("{doing}: no answer"))),
        };
        let tables = tables::list(&snapshot).await?;
        let properties = Properties::read(&snapshot, &name).await?;
        let (command, _passfile) = self.command(order, &name, folder, &exported)?;
        let (counted, of) = (Arc::new(AtomicUsize::new(0)), tables.len());
        let counting = {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let told = |tables| counted.store(tables, Ordering::Relaxed);
                let rows = tables::count(&snapshot, &tables, told).await;
                // The transaction goes along: while it is open, the snapshot stands.
                (snapshot, rows)
            })
        };
        let doing = format!("dumping the database {name}");
        let mut told = Instant::now();
        let ended = child::run(command, &doing, shutdown, || {
            if told.elapsed() >= TELL {
                told = Instant::now();
                step(Step::Written(size(folder)));
            }
        })
        .await?;
        let Some(ended) = ended else {
            counting.abort();
            return Ok(None);
        };
        if !ended.status.success() {
            counting.abort();
            let printed = String::from_utf8_lossy(&ended.printed).into_owned();
            return Err(said::failure(&doing, &ended.words(), &printed));
        }
        while !counting.is_finished() {
            if shutdown.is_requested() {
                counting.abort();
                return Ok(None);
            }
            let tables = counted.load(Ordering::Relaxed);
            step(Step::Counted { tables, of });
            shutdown.sleep(Duration::from_millis(50)).await;
        }
        let rows = match counting.await {
            Ok((snapshot, rows)) => {
                // It has only read.
                let _ = snapshot.rollback().await;
                rows?
            }
            Err(_) => return Err(Error::Unexpected("counting the rows: it panicked".into())),
        };
        let Some(listed) = listed(&self.restore, folder, &rows, shutdown).await? else {
            return Ok(None);
        };
        if !listed.is_empty() {
            return Err(Error::Failed(format!("{doing}: {}", listed.join("; "))));
        }
        Ok(Some(Contents {
            method: match self.format {
                Format::Directory => BackupMethod::Directory,
                Format::Custom => BackupMethod::Custom,
            },
            rows,
            database: Some(properties),
        }))
    }

    fn command(
        &self,
        order: &Create<'_>,
        name: &str,
        folder: &Path,
        snapshot: &str,
    ) -> Result<(std::process::Command, Option<child::Passfile>)> {
        let (mut command, passfile) =
            child::of_postgres(&self.dump, order.address, order.surroundings)?;
        match self.format {
            Format::Directory => {
                command.args(["--format=directory", &format!("--jobs={}", self.jobs)])
            }
            Format::Custom => command.arg("--format=custom"),
        };
        command
            .arg(format!("--file={}", folder.join(DUMP).display()))
            .args([LOCK_WAIT, &format!("--snapshot={snapshot}")])
            .arg(child::dbname(name));
        Ok((command, passfile))
    }
}

/// What a dump that reads back is missing, of what it should hold; none: somebody asked to stop.
///
/// # Errors
/// [`Error::Usage`]: `pg_restore` cannot be started.
pub(super) async fn listed(
    tool: &Tool,
    folder: &Path,
    rows: &Rows,
    shutdown: &Shutdown,
) -> Result<Option<Vec<String>>> {
    let mut command = std::process::Command::new(&tool.path);
    command.env_remove("DATABASE_URL").env("LC_ALL", "C");
    command.arg("--list").arg(folder.join(DUMP));
    let list = match child::output(command, "reading the dump's list", shutdown).await {
        Ok(Some(list)) => list,
        Ok(None) => return Ok(None),
        Err(error @ Error::Usage(_)) => return Err(error),
        Err(error) => return Ok(Some(vec![error.to_string()])),
    };
    let held = held(&list);
    let missing = rows.keys().filter(|table| {
        let names = tables::unquoted(table);
        !names.is_some_and(|(schema, name)| held.contains(&plain(&format!("{schema} {name}"))))
    });
    Ok(Some(
        missing
            .map(|table| format!("the dump does not list the rows of {table}"))
            .collect(),
    ))
}

/// What may be the schema and name of a table whose rows a list names: lines of `1; 0 2 TABLE DATA schema name owner`, of
/// which each part may have spaces.
fn held(list: &str) -> HashSet<String> {
    let mut held = HashSet::new();
    for line in list.lines().filter(|line| !line.starts_with(';')) {
        let Some((_, names)) = line.split_once(" TABLE DATA ") else {
            continue;
        };
        for (end, _) in names.match_indices(' ') {
            held.insert(names[..end].to_owned());
        }
    }
    held
}

/// As a list spells a name.
fn plain(name: &str) -> String {
    name.replace(['\n', '\r'], " ")
}

/// A dump that is to be restored.
pub(super) struct Source<'a> {
    pub(super) address: &'a Address,
    pub(super) surroundings: &'a Surroundings,
    /// The backup's folder.
    pub(super) folder: &'a Path,
    pub(super) rows: &'a Rows,
    pub(super) jobs: Option<u32>,
}

impl Source<'_> {
    /// Restores the dump into an empty database, and counts its rows; gives how they differ from what the backup says. None:
    /// somebody asked to stop.
    ///
    /// # Errors
    /// As [`said::failure`]; the database's.
    pub(super) async fn restore(
        &self,
        server: &Database,
        name: &str,
        shutdown: &Shutdown,
        step: &mut Watch<'_>,
    ) -> Result<Option<Vec<String>>> {
        let (release, _) = server::release(server).await?;
        let tool = tools::find("pg_restore", release, self.surroundings)?;
        let (mut command, _passfile) = child::of_postgres(&tool, self.address, self.surroundings)?;
        command
            .arg("--exit-on-error")
            .arg(format!("--jobs={}", self.jobs.unwrap_or(JOBS)))
            .arg(child::dbname(name))
            .arg(self.folder.join(DUMP));
        let doing = format!("restoring into the database {name}");
        let size = Arc::new(AtomicU64::new(0));
        let asking = tokio::spawn(ask(server.clone(), name.to_owned(), Arc::clone(&size)));
        let mut told = Instant::now();
        let ended = child::run(command, &doing, shutdown, || {
            if told.elapsed() >= TELL {
                told = Instant::now();
                step(Step::Restored(size.load(Ordering::Relaxed)));
            }
        })
        .await;
        asking.abort();
        let Some(ended) = ended? else {
            return Ok(None);
        };
        if !ended.status.success() {
            let printed = String::from_utf8_lossy(&ended.printed).into_owned();
            return Err(said::failure(&doing, &ended.words(), &printed));
        }
        let restored = Database::connect(self.address.beside(name)?.url(), 2, Access::Read).await?;
        let counted = self.differences(&restored, shutdown, step).await;
        restored.close().await;
        counted
    }

    async fn differences(
        &self,
        restored: &Database,
        shutdown: &Shutdown,
        step: &mut Watch<'_>,
    ) -> Result<Option<Vec<String>>> {
        let doing = "counting what was restored";
        let snapshot = restored.connection().begin_snapshot().await.doing(doing)?;
        let tables = tables::list(&snapshot).await?;
        let mut rows = Rows::new();
        for (number, table) in tables.iter().enumerate() {
            if shutdown.is_requested() {
                return Ok(None);
            }
            rows.extend(tables::count(&snapshot, std::slice::from_ref(table), |_| {}).await?);
            step(Step::Counted {
                tables: number + 1,
                of: tables.len(),
            });
        }
        snapshot.rollback().await.doing(doing)?;
        Ok(Some(tables::differences(self.rows, &rows)))
    }
}

/// Asks for a database's size now and then, until it is stopped.
async fn ask(server: Database, name: String, size: Arc<AtomicU64>) {
    let sql = "SELECT pg_database_size(oid) AS \"bytes\" FROM pg_database WHERE datname = $1";
    loop {
        // For progress alone: an error will be met elsewhere.
        if let Ok(Some(row)) = server.one(sql, [name.as_str().into()]).await
            && let Ok(bytes) = row.try_get::<i64>("", "bytes")
        {
            size.store(bytes.unsigned_abs(), Ordering::Relaxed);
        }
        tokio::time::sleep(SIZE).await;
    }
}

/// Bytes in a folder; for progress alone.
fn size(folder: &Path) -> u64 {
    let folder: PathBuf = folder.to_owned();
    digest::list(&folder).map_or(0, |files| files.values().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_whatever_the_names() {
        let list = "; Archive\n;\n215; 1259 16385 TABLE public t owner\n\
            3456; 0 16385 TABLE DATA public Campaign the owner\n3457; 0 1 TABLE DATA a b c d owner\n";
        let held = held(list);
        for name in ["public Campaign", "a b c d"] {
            assert!(held.contains(name), "{name}");
        }
        assert!(!held.contains("public t"));
    }
}
