//! What a run and a statement spend their time on, as the server sees it: looked at often, so not timed against each other.

use std::time::Duration;

use anyhow::Result;

use super::super::Bench;
use super::super::ground::Template;
use super::super::results::Section;
use super::super::sql::instead;
use super::super::timed::Work;
use super::super::watch::Watch;
use super::throughput::{STATEMENT, WORKER};
use crate::database::Database;

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    for contender in [STATEMENT, WORKER] {
        let database = bench.ground.fresh(Template::Events(bench.size)).await?;
        let maintenance = bench.ground.maintenance();
        let work = match contender {
            STATEMENT => Work::statement(&instead::events(instead::HASHED, "TRUE")),
            _ => Work::program(bench.backfill(&database, "intelligence_event")?),
        };
        maintenance
            .query("SELECT pg_stat_statements_reset()")
            .await?;
        maintenance
            .query("SELECT pg_stat_reset_shared('wal')")
            .await?;
        let every = Duration::from_millis(40);
        let watch = Watch::begin(maintenance, sessions(database.name()), every).await?;
        let sample = bench
            .time(&database, contender, 1, work, "IntelligenceEvent")
            .await?;
        let looks = watch.end().await?;
        section.notes.push(format!(
            "{contender}: CPU a second of {:.2} (program) + {:.2} (sessions) + {:.2} (server) + {:.2} (others)",
            sample.program_cpu / sample.seconds,
            sample.session_cpu / sample.seconds,
            sample.server_cpu / sample.seconds,
            sample.other_cpu / sample.seconds,
        ));
        let means = looks.means().into_iter().take(7);
        let means: Vec<_> = means
            .map(|(name, mean)| format!("{name} {mean:.2}"))
            .collect();
        section.notes.push(format!(
            "{contender}: its sessions on average: {}",
            means.join(", ")
        ));
        section.notes.extend(wal(maintenance, contender).await?);
        section
            .notes
            .extend(statements(maintenance, &database, contender).await?);
        section.samples.push(sample);
        bench.ground.drop(database).await?;
    }
    Ok(())
}

/// How many sessions do what.
fn sessions(database: &str) -> String {
    format!(
        "SELECT CASE WHEN state IN ('idle', 'idle in transaction') THEN state || ' (waits for the program)'
                     ELSE COALESCE(wait_event_type || ':' || wait_event, 'on a processor') END, COUNT(*)::double precision
         FROM pg_stat_activity WHERE datname = '{database}' AND backend_type <> 'autovacuum worker' GROUP BY 1"
    )
}

async fn wal(maintenance: &Database, contender: &str) -> Result<Vec<String>> {
    let sql = "SELECT wal_records || ' records, ' || wal_fpi || ' whole pages, ' || pg_size_pretty(wal_bytes) || ', buffers full ' \
                 || wal_buffers_full || ', ' || wal_write || ' writes, ' || wal_sync || ' syncs' FROM pg_stat_wal";
    let told = maintenance.texts(sql).await?;
    Ok(told
        .into_iter()
        .map(|told| format!("{contender}: WAL: {told}"))
        .collect())
}

async fn statements(
    maintenance: &Database,
    database: &Database,
    contender: &str,
) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT round(s.total_exec_time)::bigint || ' ms in ' || s.calls || ' calls, ' || s.rows || ' rows: '
           || left(regexp_replace(s.query, '\\s+', ' ', 'g'), 110)
         FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
         WHERE d.datname = '{}' ORDER BY s.total_exec_time DESC LIMIT 8",
        database.name()
    );
    let told = maintenance.texts(&sql).await?;
    Ok(told
        .into_iter()
        .map(|told| format!("{contender}: {told}"))
        .collect())
}
