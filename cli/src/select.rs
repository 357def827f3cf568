//! From what the operator names to what the library knows: runs by a prefix of their id, units, instants.

use std::time::Duration;

use worker::backend::Database;
use worker::core::event::KINDS;
use worker::core::replay::RUNBOOK;
use worker::engine;
use worker::error::Error;
use worker::{journal, runs, status, time, units};

use crate::render;

/// The run of which the id begins with `prefix`; without one the newest run, or none where there is none.
///
/// # Errors
/// [`Error::Usage`]: no run begins so, or several do.
pub(crate) async fn run(
    database: &Database,
    prefix: Option<&str>,
) -> Result<Option<String>, Error> {
    match prefix {
        None => journal::newest_run(database.connection()).await,
        Some(prefix) => {
            let runs = journal::runs(database.connection()).await?;
            one(&runs, prefix).map(Some)
        }
    }
}

/// The run that a rollback takes, and why it is not the newest one where it is not.
#[derive(Debug)]
pub(crate) struct Undoable {
    /// The run; none where nothing was run.
    pub(crate) run: Option<String>,
    /// Why this one, where somebody might expect the newest.
    pub(crate) why: Option<&'static str>,
}

/// The run that a rollback takes: the one that was named, else the one that is unfinished (a rollback under way, or a
/// run that is open), else the newest that still holds rows of these units, else the newest.
///
/// # Errors
/// [`Error::Usage`]: no run's id begins so, or several do.
pub(crate) async fn undoable(
    database: &Database,
    prefix: Option<&str>,
    units: &[String],
) -> Result<Undoable, Error> {
    let newest = run(database, prefix).await?;
    if prefix.is_some() {
        return Ok(Undoable {
            run: newest,
            why: None,
        });
    }
    let connection = database.connection();
    let (chosen, why) = match runs::unfinished(connection).await? {
        Some((run, _)) => (Some(run), "its rollback is under way"),
        None => (
            holding_rows(database, units).await?.pop(),
            "the newest that still holds such rows",
        ),
    };
    let is_newest = chosen.is_none() || chosen == newest;
    Ok(Undoable {
        run: chosen.or(newest),
        why: (!is_newest).then_some(why),
    })
}

/// The runs that still hold rows of these units (none named: of any), oldest first.
///
/// # Errors
/// The database's; a journal that does not fold.
pub(crate) async fn holding_rows(
    database: &Database,
    units: &[String],
) -> Result<Vec<String>, Error> {
    let mut holding = Vec::new();
    for run in journal::runs(database.connection()).await? {
        let standing = status::load(database.connection(), &run).await?;
        if render::rollback::holds_rows(&standing, units) {
            holding.push(run);
        }
    }
    Ok(holding)
}

/// The run that the operator named, for filters, or the runbook in a run's place: none named, none chosen.
///
/// # Errors
/// [`Error::Usage`]: no run begins so, or several do.
pub(crate) async fn named_run(
    database: &Database,
    prefix: Option<&str>,
) -> Result<Option<String>, Error> {
    match prefix {
        None => Ok(None),
        Some(RUNBOOK) => Ok(Some(RUNBOOK.into())),
        Some(_) => run(database, prefix).await,
    }
}

fn one(runs: &[String], prefix: &str) -> Result<String, Error> {
    let prefix = prefix.trim();
    let mut found = runs.iter().filter(|run| run.starts_with(prefix));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(run.clone()),
        (None, _) => Err(Error::Usage(format!(
            "no run's id begins with {prefix:?}; `cli runs` lists them"
        ))),
        (Some(first), Some(second)) => Err(Error::Usage(format!(
            "more than one run's id begins with {prefix:?} ({first}, {second}): name more of it"
        ))),
    }
}

/// Refuses a unit that neither the plan nor the journal knows.
///
/// # Errors
/// [`Error::Usage`], naming those that there are.
pub(crate) async fn check_unit(database: &Database, unit: Option<&str>) -> Result<(), Error> {
    let Some(unit) = unit else {
        return Ok(());
    };
    let plan = std::sync::Arc::new(units::phase5(Vec::new()));
    let known: Vec<_> = engine::definitions(&plan)
        .into_iter()
        .map(|unit| unit.name)
        .collect();
    if known.iter().any(|name| name == unit) {
        return Ok(());
    }
    let filter = journal::Filter {
        unit: Some(unit.to_owned()),
        ..journal::Filter::default()
    };
    let events = journal::select(database.connection(), &filter, 1, false).await?;
    if events.is_empty() {
        return Err(Error::Usage(format!(
            "there is no unit {unit:?}; the plan's units are {}",
            known.join(", ")
        )));
    }
    Ok(())
}

/// The kind that the operator named, as the journal spells it: one of ours in any case, or one that a newer release wrote.
///
/// # Errors
/// [`Error::Usage`], naming those that there are.
pub(crate) async fn kind(
    database: &Database,
    named: Option<String>,
) -> Result<Option<String>, Error> {
    let Some(named) = named else {
        return Ok(None);
    };
    let ours = KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(&named));
    if let Some(kind) = ours {
        return Ok(Some((*kind).to_owned()));
    }
    let filter = journal::Filter {
        kind: Some(named.clone()),
        ..journal::Filter::default()
    };
    match journal::count(database.connection(), &filter).await? {
        0 => Err(Error::Usage(format!(
            "there is no kind of event {named:?}; the kinds are {}",
            KINDS.join(", ")
        ))),
        _ => Ok(Some(named)),
    }
}

/// An instant, or so long before the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// Milliseconds since 1970.
    At(i64),
    /// So long ago.
    Ago(Duration),
}

impl Since {
    /// Reads `2025-11-04T00:00:00Z`, `2025-11-04` or `2h`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = time::named(text) {
            return Ok(Self::At(at.timestamp_millis()));
        }
        humantime::parse_duration(text).map(Self::Ago).map_err(|_| {
            "write an instant like 2025-11-04T00:00:00Z, a date like 2025-11-04 (its 00:00 UTC), or a duration like 2h or 30m".into()
        })
    }

    /// The instant, given the database's clock.
    pub(crate) fn instant(self, now: i64) -> i64 {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => {
                now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_one_run() {
        let runs = ["0195-a".to_owned(), "0195-b".to_owned(), "0196".to_owned()];
        assert_eq!(one(&runs, "0196").ok().as_deref(), Some("0196"));
        assert_eq!(one(&runs, "0195-b").ok().as_deref(), Some("0195-b"));
        for prefix in ["0195", "7", ""] {
            assert_eq!(
                one(&runs, prefix).map_err(|error| error.exit_code()),
                Err(2)
            );
        }
    }

    #[test]
    fn since_is_an_instant_or_a_duration() {
        let minute = Since::parse("1m").map(|since| since.instant(100_000));
        assert_eq!(minute, Ok(40_000));
        let instant = Since::parse("1970-01-01T00:00:01+00:00").map(|since| since.instant(0));
        assert_eq!(instant, Ok(1_000));
        assert!(Since::parse("yesterday").is_err());
    }
}
