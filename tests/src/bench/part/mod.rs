//! The parts of the benchmark, each of which answers one question.

mod gentle;
mod indexes;
mod overhead;
mod profile;
mod restart;
mod scale;
mod sqlite;
mod throughput;
mod undo;
mod units;

use anyhow::Result;
use clap::ValueEnum;

use super::Bench;
use super::results::Section;

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Events: the worker beside one statement.
    Throughput,
    /// Secondary indexes after the backfill or before.
    Indexes,
    /// The other four units beside their statements.
    Units,
    /// Events on SQLite.
    Sqlite,
    /// What journal and provenance cost.
    Overhead,
    /// Undo, verification and validation.
    Undo,
    /// Rate and memory as the source grows.
    Scale,
    /// From a start to the first new batch.
    Restart,
    /// What a foreground notices.
    Gentle,
    /// What bounds a run, and a statement.
    Profile,
}

impl Part {
    /// All of them, in the order in which they are run.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Indexes => "indexes",
            Self::Units => "units",
            Self::Sqlite => "sqlite",
            Self::Overhead => "overhead",
            Self::Undo => "undo",
            Self::Scale => "scale",
            Self::Restart => "restart",
            Self::Gentle => "gentle",
            Self::Profile => "profile",
        }
    }

    /// What it is about.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Throughput => "Throughput of events on PostgreSQL",
            Self::Indexes => "Secondary indexes after the backfill",
            Self::Units => "The other four units",
            Self::Sqlite => "Events on SQLite",
            Self::Overhead => "Journal and provenance",
            Self::Undo => "Undo and verification",
            Self::Scale => "Scale and memory",
            Self::Restart => "Restart",
            Self::Gentle => "What the foreground notices",
            Self::Profile => "What bounds it",
        }
    }

    /// Measures it.
    pub(super) async fn measure(self, bench: &Bench, section: &mut Section) -> Result<()> {
        match self {
            Self::Throughput => throughput::measure(bench, section).await,
            Self::Indexes => indexes::measure(bench, section).await,
            Self::Units => units::measure(bench, section).await,
            Self::Sqlite => sqlite::measure(bench, section).await,
            Self::Overhead => overhead::measure(bench, section).await,
            Self::Undo => undo::measure(bench, section).await,
            Self::Scale => scale::measure(bench, section).await,
            Self::Restart => restart::measure(bench, section).await,
            Self::Gentle => gentle::measure(bench, section).await,
            Self::Profile => profile::measure(bench, section).await,
        }
    }
}
