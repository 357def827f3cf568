//! The database's own statistics, of what happened between two looks. PostgreSQL counts from its last reset; a reset or a
//! restart in between is a gap.

use sea_orm::{DbErr, QueryResult};

use super::statements::{self, Statements};
use super::target::Quantity;
use super::{Measured, Trouble};
use crate::backend::{Database, Dialect};
use crate::error::{Doing, Error};

/// What the database is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The share of blocks that were found in the buffers.
    HitRatio,
    /// How long a statement took on average, by the extension `pg_stat_statements`.
    MeanQueryTime,
    /// The share of transactions that were rolled back.
    RollbackRatio,
    /// Deadlocks.
    Deadlocks,
    /// What was written into temporary files, in bytes.
    TempBytes,
    /// Sessions of the database now.
    Connections,
}

impl Statistic {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::HitRatio,
        Self::MeanQueryTime,
        Self::RollbackRatio,
        Self::Deadlocks,
        Self::TempBytes,
        Self::Connections,
    ];

    /// As the file names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::HitRatio => "hit-ratio",
            Self::MeanQueryTime => "mean-query-time",
            Self::RollbackRatio => "rollback-ratio",
            Self::Deadlocks => "deadlocks",
            Self::TempBytes => "temp-bytes",
            Self::Connections => "connections",
        }
    }

    /// What it measures.
    #[must_use]
    pub fn quantity(self) -> Quantity {
        match self {
            Self::HitRatio | Self::RollbackRatio => Quantity::Share,
            Self::MeanQueryTime => Quantity::Time,
            Self::TempBytes => Quantity::Size,
            Self::Deadlocks | Self::Connections => Quantity::Count,
        }
    }
}

/// What PostgreSQL has counted up to one look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Since when it counts: changes with a reset and with a restart.
    pub since: String,
    /// Blocks found in the buffers.
    pub hit: i64,
    /// Blocks that had to be read.
    pub read: i64,
    /// Transactions that were committed.
    pub committed: i64,
    /// Transactions that were rolled back.
    pub rolled_back: i64,
    /// Deadlocks.
    pub deadlocks: i64,
    /// Bytes of temporary files.
    pub temp_bytes: i64,
    /// Sessions now.
    pub connections: i64,
    /// What the statements took, where that was asked for.
    pub statements: Option<Result<Statements, Trouble>>,
}

const COUNTERS: &str = r#"SELECT concat(stats_reset, ' ', pg_postmaster_start_time()) AS "since", blks_hit AS "hit",
        blks_read AS "read", xact_commit AS "committed", xact_rollback AS "rolled_back", deadlocks AS "deadlocks",
        temp_bytes AS "temp_bytes", CAST(numbackends AS BIGINT) AS "connections"
    FROM pg_stat_database WHERE datname = current_database()"#;

/// Looks at the counters; at those of the statements only where they are asked for.
///
/// # Errors
/// The database does not answer; it is SQLite, which counts nothing.
pub async fn look(database: &Database, statements: bool) -> Result<Counters, Trouble> {
    if database.dialect() == Dialect::Sqlite {
        return Err(Trouble::Configuration(
            "SQLite keeps no statistics: name a PostgreSQL database, or take the targets with source = \"database\" out"
                .into(),
        ));
    }
    let row = database.one(COUNTERS, []).await;
    let found = row.and_then(|row| row.as_ref().map(counters).transpose());
    let found = found.doing("reading the database's statistics");
    let mut counters = found
        .map_err(|error| trouble(&error))?
        .ok_or_else(|| Trouble::Gap("the database keeps no statistics of itself".into()))?;
    if statements {
        counters.statements = Some(statements::look(database).await);
    }
    Ok(counters)
}

/// What an error of the database means for a sample.
pub(super) fn trouble(error: &Error) -> Trouble {
    let why = error.to_string();
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    match error.exit_code() {
        crate::error::exit::TRANSIENT => Trouble::Unreachable(why),
        crate::error::exit::USAGE => Trouble::Configuration(why),
        _ => Trouble::Gap(why),
    }
}

fn counters(row: &QueryResult) -> Result<Counters, DbErr> {
    Ok(Counters {
        since: row.try_get("", "since")?,
        hit: row.try_get("", "hit")?,
        read: row.try_get("", "read")?,
        committed: row.try_get("", "committed")?,
        rolled_back: row.try_get("", "rolled_back")?,
        deadlocks: row.try_get("", "deadlocks")?,
        temp_bytes: row.try_get("", "temp_bytes")?,
        connections: row.try_get("", "connections")?,
        statements: None,
    })
}

/// What happened between two looks.
///
/// # Errors
/// Nothing did, or the counters began anew in between.
pub fn between(statistic: Statistic, before: Option<&Counters>, after: &Counters) -> Measured {
    if statistic == Statistic::Connections {
        return Ok(number(after.connections));
    }
    let gap = |why: &str| Err(Trouble::Gap(why.into()));
    if let (Statistic::MeanQueryTime, Some(Err(trouble))) = (statistic, &after.statements) {
        return Err(trouble.clone());
    }
    let Some(before) = before else {
        return gap("there was no look at the database's counters before, to compare with");
    };
    let grown = |of: fn(&Counters) -> i64| of(after) - of(before);
    let counted: [fn(&Counters) -> i64; 6] = [
        |of| of.hit,
        |of| of.read,
        |of| of.committed,
        |of| of.rolled_back,
        |of| of.deadlocks,
        |of| of.temp_bytes,
    ];
    let has_shrunk = counted.into_iter().any(|of| grown(of) < 0);
    if before.since != after.since || has_shrunk {
        return gap(
            "the database's counters began anew: they were reset, or the server was started again",
        );
    }
    let share = |part: i64, rest: i64, nothing: &str| match part + rest {
        0 => gap(nothing),
        whole => Ok(number(part) / number(whole)),
    };
    match statistic {
        Statistic::HitRatio => share(
            grown(|of| of.hit),
            grown(|of| of.read),
            "no block was read since the sample before",
        ),
        Statistic::RollbackRatio => share(
            grown(|of| of.rolled_back),
            grown(|of| of.committed),
            "no transaction ended since the sample before",
        ),
        Statistic::Deadlocks => Ok(number(grown(|of| of.deadlocks))),
        Statistic::TempBytes => Ok(number(grown(|of| of.temp_bytes))),
        Statistic::MeanQueryTime => match (&before.statements, &after.statements) {
            (Some(Ok(before)), Some(Ok(after))) => after.mean_since(before),
            _ => gap("there was no look at the statements before, to compare with"),
        },
        Statistic::Connections => Ok(number(after.connections)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares, and counts for people")]
fn number(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(hit: i64, read: i64) -> Counters {
        Counters {
            since: "a".into(),
            hit,
            read,
            ..Counters::default()
        }
    }

    #[test]
    fn what_happened_in_between_counts() {
        let (before, after) = (counters(100, 900), counters(190, 910));
        let ratio = between(Statistic::HitRatio, Some(&before), &after).expect("a ratio");
        assert!((ratio - 0.9).abs() < 1e-12, "{ratio}");
        let deadlocks = between(Statistic::Deadlocks, Some(&before), &after);
        assert_eq!(deadlocks, Ok(0.0));
    }

    #[test]
    fn a_reset_or_a_restart_is_a_gap() {
        let before = counters(100, 900);
        let restarted = Counters {
            since: "b".into(),
            ..counters(200, 1_000)
        };
        for after in [restarted, counters(20, 1_000)] {
            let gap = between(Statistic::HitRatio, Some(&before), &after).expect_err("a gap");
            assert!(gap.why().contains("began anew"), "{gap:?}");
        }
        for before in [None, Some(&before)] {
            let idle = between(Statistic::HitRatio, before, &counters(100, 900));
            assert!(idle.is_err(), "{idle:?}");
        }
    }
}
