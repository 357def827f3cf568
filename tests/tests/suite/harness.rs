//! The harness tests itself: what the other suites rely on must hold before they can mean anything.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::moment::Moment;
use tests::oracle::UNITS;
use tests::scenario::Scenario;

use crate::seeds::seeds;

on_both!(
    sources_can_be_loaded_and_read_back,
    generated_sources_reach_every_rule
);

async fn sources_can_be_loaded_and_read_back(backend: Backend) -> Result<()> {
    for seed in seeds(4) {
        let scenario = Scenario::load(&Profile::odd(backend, seed)).await?;
        for table in &scenario.source.tables {
            if !scenario.source.without.contains(&table.name) {
                let count = scenario.database.count(table.name).await?;
                ensure!(
                    count == i64::try_from(table.rows.len())?,
                    "{} holds {count} rows",
                    table.name
                );
            }
        }
    }
    Ok(())
}

/// A rule that no generated source ever reaches would be a rule without a test.
async fn generated_sources_reach_every_rule(backend: Backend) -> Result<()> {
    let (mut rows, mut bad) = (BTreeMap::new(), BTreeMap::new());
    for seed in seeds(8) {
        let scenario = Scenario::load(&Profile::odd(backend, seed)).await?;
        let expected = scenario
            .expected()
            .await
            .with_context(|| format!("seed {seed}"))?;
        for (table, found) in expected.rows {
            *rows.entry(table).or_insert(0) += found.len();
        }
        for (unit, found) in expected.bad {
            *bad.entry(unit).or_insert(0) += found.certain.len();
        }
    }
    ensure!(
        rows.len() == 5 && rows.values().all(|count| *count > 50),
        "few rows are expected: {rows:?}"
    );
    ensure!(
        UNITS
            .iter()
            .all(|unit| bad.get(unit).is_some_and(|count| *count > 3)),
        "few are bad: {bad:?}"
    );
    Ok(())
}

/// The oracle rounds as PostgreSQL does, which is what the contract refers to.
#[tokio::test]
async fn rounding_is_postgresqls() -> Result<()> {
    let database = Database::create(Backend::Postgres).await?;
    for text in [
        "2025-11-04T10:37:12.345Z",
        "2025-11-04T10:37:12.3455Z",
        "2025-11-04T10:37:12.345499Z",
        "2025-11-04T10:37:12.3454999Z",
        "2025-11-04T10:37:12.9995Z",
        "2025-12-31T23:59:59.9999999+00:00",
        "1999-12-31T23:59:59.9995Z",
        "1999-12-31T23:59:59.9985Z",
        "1969-12-31T23:59:59.0005Z",
        "2000-01-01T00:00:00.0005Z",
        "2016-12-31T23:59:60Z",
        "2017-01-01T05:44:60+05:45",
        "0001-06-01T00:00:00.0005Z",
        "9999-12-31T23:59:59.999Z",
        "2024-02-29T12:00:00.123456789012-08:00",
    ] {
        let ours = Moment::parse_rfc3339(text)
            .with_context(|| text.to_owned())?
            .stored();
        let sql = format!(
            "SELECT to_char(('{text}'::timestamptz AT TIME ZONE 'UTC')::timestamp(3), 'YYYY-MM-DD HH24:MI:SS.MS')"
        );
        let theirs: String = database.value(&sql).await?;
        ensure!(ours == theirs, "{text} is {ours} here and {theirs} there");
    }
    Ok(())
}
