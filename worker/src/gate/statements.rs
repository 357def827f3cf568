//! How long statements took, as the extension `pg_stat_statements` counts it, statement by statement: it forgets those that
//! are rare, so that sums alone would shrink.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult};

use super::database::trouble;
use super::{Measured, Trouble};
use crate::backend::{Database, quote};
use crate::error::Doing;

/// What the extension has counted up to one look, by role and statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statements {
    /// Since when it counts, where it says so.
    since: String,
    /// Calls, and what they took, in milliseconds.
    totals: BTreeMap<(i64, i64), (i64, f64)>,
}

/// Where the extension is, and whether the role sees the statements of others.
const EXTENSION: &str = r#"SELECT CAST(n.nspname AS TEXT) AS "schema",
        pg_has_role('pg_read_all_stats', 'USAGE') AS "allowed",
        to_regclass(quote_ident(n.nspname) || '.pg_stat_statements_info') IS NOT NULL AS "dated"
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'"#;

/// Looks.
///
/// # Errors
/// The extension is not there, not loaded, or hides the statements of others from the role.
pub(super) async fn look(database: &Database) -> Result<Statements, Trouble> {
    let doing = "looking for pg_stat_statements";
    let row = database.one(EXTENSION, []).await.doing(doing);
    let Some(row) = row.map_err(|error| trouble(&error))? else {
        return Err(Trouble::Configuration(
            "this database has no extension pg_stat_statements: load it (shared_preload_libraries), then CREATE \
             EXTENSION pg_stat_statements; or take the target out"
                .into(),
        ));
    };
    let read = || {
        let schema: String = row.try_get("", "schema")?;
        let allowed: bool = row.try_get("", "allowed")?;
        let dated: bool = row.try_get("", "dated")?;
        Ok((schema, allowed, dated))
    };
    let (schema, allowed, dated) = read().doing(doing).map_err(|error| trouble(&error))?;
    if !allowed {
        return Err(Trouble::Configuration(
            "the role may not see the statements of others: GRANT pg_read_all_stats to it, or take the target out".into(),
        ));
    }
    let schema = quote(&schema);
    let since = match dated {
        true => format!("(SELECT CAST(stats_reset AS TEXT) FROM {schema}.pg_stat_statements_info)"),
        false => "''".to_owned(),
    };
    let sql = format!(
        "SELECT CAST(userid AS BIGINT) AS \"role\", queryid AS \"statement\", CAST(sum(calls) AS BIGINT) AS \"calls\", \
         sum(total_exec_time) AS \"millis\", {since} AS \"since\" FROM {schema}.pg_stat_statements \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid IS NOT NULL \
         GROUP BY 1, 2"
    );
    let rows = database.all(&sql, []).await;
    rows.and_then(|rows| statements(&rows))
        .doing("reading pg_stat_statements")
        .map_err(|error| match trouble(&error) {
            Trouble::Gap(why) if why.contains("shared_preload_libraries") => Trouble::Configuration(
                "the extension pg_stat_statements is created and not loaded: add it to shared_preload_libraries and \
                 start the server again; or take the target out"
                    .into(),
            ),
            other => other,
        })
}

fn statements(rows: &[QueryResult]) -> Result<Statements, DbErr> {
    let mut found = Statements::default();
    for row in rows {
        let key = (row.try_get("", "role")?, row.try_get("", "statement")?);
        let total = (row.try_get("", "calls")?, row.try_get("", "millis")?);
        found.totals.insert(key, total);
        found.since = row.try_get::<Option<_>>("", "since")?.unwrap_or_default();
    }
    Ok(found)
}

impl Statements {
    /// How long a call took on average since an earlier look, in seconds.
    ///
    /// # Errors
    /// There was none, or the counters were reset.
    pub(super) fn mean_since(&self, before: &Self) -> Measured {
        let has_both = !self.since.is_empty() && !before.since.is_empty();
        if has_both && self.since != before.since {
            return Err(Trouble::Gap("pg_stat_statements was reset".into()));
        }
        let (mut calls, mut millis) = (0, 0.0);
        for (key, total) in &self.totals {
            // A statement that was forgotten and came again counts anew.
            let known = before.totals.get(key).filter(|known| known.0 <= total.0);
            let (known_calls, known_millis) = known.copied().unwrap_or_default();
            calls += total.0 - known_calls;
            millis += total.1 - known_millis;
        }
        if calls == 0 {
            return Err(Trouble::Gap(
                "no statement was executed since the sample before".into(),
            ));
        }
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let calls = calls as f64;
        Ok(millis / calls / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(since: &str, totals: &[(i64, i64, f64)]) -> Statements {
        let totals = totals
            .iter()
            .map(|(statement, calls, millis)| ((1, *statement), (*calls, *millis)));
        Statements {
            since: since.into(),
            totals: totals.collect(),
        }
    }

    #[test]
    fn the_mean_is_of_the_calls_in_between() {
        // The second was forgotten and came again, the third is new, the fourth is forgotten.
        let before = statements("a", &[(1, 10, 100.0), (2, 50, 9.0), (4, 7, 7.0)]);
        let after = statements("a", &[(1, 12, 120.0), (2, 1, 30.0), (3, 1, 50.0)]);
        let mean = after.mean_since(&before).expect("a mean");
        assert!((mean - 0.025).abs() < 1e-12, "{mean}");
        assert!(before.mean_since(&before).is_err());
    }

    #[test]
    fn a_reset_is_a_gap() {
        let before = statements("a", &[(1, 10, 100.0)]);
        let after = statements("b", &[(1, 12, 120.0)]);
        let gap = after.mean_since(&before).expect_err("a gap");
        assert!(gap.why().contains("reset"), "{gap:?}");
    }
}
