//! What a run and a statement spend their time on, as the server sees it: looked at often, so not timed against each other.

use std::time::Duration;

use anyhow::Result;

use super::super::Bench;
use super::super::ground::Template;
use super::super::results::{Sample, Section};
use super::super::sql::instead;
use super::super::statistics::number;
use super::super::timed::Work;
use super::super::watch::Watch;
use super::throughput::{STATEMENT, WORKER};
use crate::database::Database;

/// What a session does that waits for nothing.
const RUNNING: &str = "on a processor";

pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    for contender in [STATEMENT, WORKER] {
        let database = bench.ground.fresh(Template::Events(bench.size)).await?;
        let maintenance = bench.ground.maintenance();
        let work = match contender {
            STATEMENT => Work::statement(&instead::events(instead::HASHED, "TRUE")),
            // Alone, it would go at this speed by itself; but the looks are somebody else's work to it.
            _ => Work::program(
                bench
                    .backfill(&database, "intelligence_event")?
                    .args(["--pace", "off"]),
            ),
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
        let means = looks.means();
        let named = bound(&sample, section.facts.cores, &means);
        section
            .notes
            .push(format!("{contender} is bound by {named}"));
        let means = means.iter().take(7);
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

/// What stands in the way of more: the processors where hardly any of their time is left, one of them where a single
/// session is always on it, else what the sessions wait for most, be it the program.
fn bound(sample: &Sample, cores: usize, means: &[(String, f64)]) -> String {
    let of = |seconds: f64| seconds / sample.seconds;
    let (program, sessions) = (of(sample.program_cpu), of(sample.session_cpu));
    let others = of(sample.other_cpu);
    let busy = program + sessions + of(sample.server_cpu) + others;
    let all = number(i64::try_from(cores).unwrap_or(1));
    if busy > 0.9 * all {
        let whose = if sessions > program {
            "the server's sessions"
        } else {
            "the program"
        };
        return format!(
            "the processors: {busy:.2} of {cores} are in use, by {whose} above all ({others:.2} by others)"
        );
    }
    if sessions > 0.9 {
        return "one processor, which its session never leaves".into();
    }
    let waits = means.iter().find(|(name, _)| name != RUNNING);
    waits.map_or_else(
        || "nothing that was seen".into(),
        |(name, mean)| format!("{name}: {mean:.2} sessions on average"),
    )
}

/// How many sessions do what.
fn sessions(database: &str) -> String {
    format!(
        "SELECT CASE WHEN state = 'idle in transaction' THEN 'idle in transaction (waits for the program)'
                     ELSE COALESCE(wait_event_type || ':' || wait_event, '{RUNNING}') END, COUNT(*)::double precision
         FROM pg_stat_activity WHERE datname = '{database}' AND backend_type <> 'autovacuum worker' AND state <> 'idle' GROUP BY 1"
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

#[cfg(test)]
mod tests {
    use super::super::super::results::Sample;
    use super::bound;

    fn used(program: f64, sessions: f64, others: f64) -> Sample {
        Sample {
            contender: "c".into(),
            round: 1,
            rows: 1,
            seconds: 10.0,
            batches: None,
            program_cpu: program,
            session_cpu: sessions,
            server_cpu: 0.0,
            other_cpu: others,
            wal: 0.0,
            peak: None,
        }
    }

    #[test]
    fn what_bounds_it_is_named() {
        let waits = [
            ("on a processor".to_owned(), 0.4),
            ("IO:WALSync".to_owned(), 0.3),
        ];
        let all = bound(&used(4.0, 15.0, 0.0), 2, &waits);
        assert!(all.starts_with("the processors: 1.90 of 2"), "{all}");
        assert!(all.contains("the server's sessions"), "{all}");
        let one = bound(&used(0.0, 9.8, 0.1), 2, &waits);
        assert!(one.starts_with("one processor"), "{one}");
        let waiting = bound(&used(1.0, 4.0, 0.0), 2, &waits);
        assert_eq!(waiting, "IO:WALSync: 0.30 sessions on average");
    }
}
