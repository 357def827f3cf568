//! What else goes on in the database: transactions that hold vacuum back and locks, vacuum itself, the numbers of
//! transactions.

use std::time::Duration;

use super::rights::tables;
use super::{Finding, Look};
use crate::backend::health::{Freeze, Prepared, Transaction};
use crate::backend::{Database, Dialect};
use crate::engine::Plan;
use crate::error::Result;
use crate::report::number;

/// Numbers of transactions after which the server refuses to give out more, less what it keeps for a superuser.
const WRAPAROUND: i64 = 2_100_000_000;

pub(super) async fn look(database: &Database, plan: &Plan, look: &Look) -> Result<Vec<Finding>> {
    if database.dialect() == Dialect::Sqlite {
        return Ok(Vec::new());
    }
    let tables = tables(plan);
    let (open, unseen) = database.transactions(&tables).await?;
    let mut findings = vec![transactions(&open, unseen, look.transaction_age)];
    findings.push(prepared(&database.prepared().await?));
    if let Some(freeze) = database.freeze().await? {
        findings.push(autovacuum(&freeze, &database.unvacuumed(&tables).await?));
        findings.push(wraparound(&freeze));
    }
    Ok(findings)
}

fn transactions(open: &[Transaction], unseen: i64, most: Duration) -> Finding {
    const ID: &str = "long-transactions";
    let old: Vec<_> = open
        .iter()
        .filter(|transaction| transaction.seconds > most.as_secs_f64())
        .collect();
    let most = humantime::format_duration(most);
    if let Some(oldest) = old.first() {
        let lock = match old.iter().any(|transaction| transaction.has_lock) {
            true => ", with locks on tables of the plan, which a schema change waits for",
            false => "",
        };
        return Finding::warning(
            ID,
            format!(
                "{} open for over {most}{lock}; the oldest is {} of process {} ({}, role {}, {})",
                match old.len() {
                    1 => "1 transaction is".to_owned(),
                    count => format!("{count} transactions are"),
                },
                humantime::format_duration(Duration::from_secs_f64(
                    oldest.seconds.max(0.0).floor()
                )),
                oldest.process,
                if oldest.program.is_empty() {
                    "no name"
                } else {
                    &oldest.program
                },
                oldest.role,
                oldest.state
            ),
            "wait for them, or end them: SELECT pg_terminate_backend(<process>). While one is open, vacuum cleans \
             nothing up behind it",
        );
    }
    match unseen {
        0 => Finding::ok(ID, format!("{} open, none for over {most}", open.len())),
        unseen => Finding::warning(
            ID,
            format!("the role may not see what {unseen} sessions do"),
            "GRANT pg_read_all_stats to it, or look as a role that may",
        ),
    }
}

fn prepared(prepared: &[Prepared]) -> Finding {
    const ID: &str = "prepared-transactions";
    match prepared.first() {
        None => Finding::ok(ID, "none waits for its second phase"),
        Some(oldest) => Finding::warning(
            ID,
            format!(
                "{} for its second phase, the oldest for {}",
                match prepared.len() {
                    1 => "1 transaction waits".to_owned(),
                    count => format!("{count} transactions wait"),
                },
                humantime::format_duration(Duration::from_secs_f64(
                    oldest.seconds.max(0.0).floor()
                ))
            ),
            "a forgotten one keeps its locks for ever: COMMIT PREPARED or ROLLBACK PREPARED it (pg_prepared_xacts has \
             its name)",
        ),
    }
}

fn autovacuum(freeze: &Freeze, unvacuumed: &[String]) -> Finding {
    const ID: &str = "autovacuum";
    match (freeze.is_on, unvacuumed) {
        (false, _) => Finding::warning(
            ID,
            "autovacuum or track_counts is off",
            "switch them on, or run VACUUM ANALYZE on the destinations after the run",
        ),
        (true, []) => Finding::ok(ID, "on, for all tables of the plan"),
        (true, tables) => Finding::warning(
            ID,
            format!("it leaves {} alone", tables.join(", ")),
            "ALTER TABLE … RESET (autovacuum_enabled), or run VACUUM ANALYZE on it after the run",
        ),
    }
}

fn wraparound(freeze: &Freeze) -> Finding {
    const ID: &str = "wraparound";
    let used = freeze.transactions.max(freeze.multixacts);
    let found = format!(
        "database {} is the furthest behind: {} transactions and {} multixacts are not frozen, {} are left",
        freeze.database,
        number(freeze.transactions),
        number(freeze.multixacts),
        number((WRAPAROUND - used).max(0))
    );
    let is_late =
        freeze.transactions > freeze.max_transactions || freeze.multixacts > freeze.max_multixacts;
    match (used > WRAPAROUND / 2, is_late) {
        (true, _) => Finding::stop(
            ID,
            found,
            "VACUUM (FREEZE) that database first: close to the end, the server refuses to write",
        ),
        (false, true) => Finding::warning(
            ID,
            found,
            "a vacuum against wraparound is due and will compete with the run: let it finish first",
        ),
        (false, false) => Finding::ok(ID, found),
    }
}

#[cfg(test)]
mod tests {
    use super::{Freeze, wraparound};
    use crate::preflight::Verdict;

    #[test]
    fn the_end_of_the_numbers_is_seen_from_afar() {
        let freeze = |transactions, multixacts| Freeze {
            database: "app".into(),
            transactions,
            multixacts,
            max_transactions: 200_000_000,
            max_multixacts: 400_000_000,
            is_on: true,
        };
        for (freeze, verdict) in [
            (freeze(200_000_000, 400_000_000), Verdict::Ok),
            (freeze(200_000_001, 0), Verdict::Warning),
            (freeze(0, 400_000_001), Verdict::Warning),
            (freeze(1_100_000_000, 0), Verdict::Stop),
            (freeze(0, 2_147_000_000), Verdict::Stop),
        ] {
            assert_eq!(wraparound(&freeze).verdict, verdict, "{freeze:?}");
        }
    }
}
