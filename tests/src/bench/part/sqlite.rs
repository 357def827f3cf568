//! Events on SQLite: the worker against one statement in the same file format, all indexes in place.

use anyhow::{Result, ensure};

use super::super::Bench;
use super::super::ground::{file, migrate};
use super::super::results::{Figure, Measure, Section, Target};
use super::super::sql::sqlite;
use super::super::statistics::ratios;
use super::super::timed::Work;
use crate::database::Database;
use crate::scratch;

const STATEMENT: &str = "INSERT … SELECT … json_each";
const WORKER: &str = "worker run on SQLite";

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let source = file().await?;
    source.execute(&sqlite::events(bench.size)).await?;
    migrate(&source).await?;
    source.execute("ANALYZE").await?;
    let source = source.copy().await?;
    let original = source.file.clone().unwrap_or_default();
    source.close().await?;
    for round in 1..=bench.rounds {
        for contender in [STATEMENT, WORKER] {
            let folder = scratch::folder("sqlite")?;
            let copy = folder.join("bench.db");
            std::fs::copy(&original, &copy)?;
            let database = Database::open_file(copy).await?;
            // As the worker opens it; each commit reaches the disk by default.
            database.execute("PRAGMA journal_mode = WAL").await?;
            let work = match contender {
                STATEMENT => Work::statement(&sqlite::instead()),
                _ => Work::program(bench.backfill(&database, "intelligence_event")?),
            };
            let table = "IntelligenceEvent";
            let sample = bench.time(&database, contender, round, work, table).await?;
            let wanted = i64::from(bench.size.events_on_sqlite());
            ensure!(sample.rows == wanted, "{} rows of {wanted}", sample.rows);
            section.samples.push(sample);
            database.close().await?;
            std::fs::remove_dir_all(folder)?;
        }
    }
    section.figures.push(Figure::new(
        "SQLite: rows/s over its own INSERT … SELECT … json_each",
        Measure::Ratio,
        ratios(
            &section.of(WORKER, |one| one.rate()),
            &section.of(STATEMENT, |one| one.rate()),
        ),
        Some(Target::AtLeast(0.9)),
    ));
    section.notes.push(format!(
        "{} events; both commit as the worker does: write-ahead log, each commit synchronous",
        bench.size.events_on_sqlite()
    ));
    Ok(())
}
