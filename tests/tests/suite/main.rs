//! The suites. Each runs on SQLite and on a private PostgreSQL server, and sees the programs from outside only.
//!
//! `BACKSTITCH_SEED=n` repeats one seed of the seeded suites, `BACKSTITCH_SEEDS=n` tries that many.

/// Makes one test for each backend out of an async function that takes one.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use tests::database::Backend;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() -> anyhow::Result<()> {
                super::$name(Backend::Sqlite).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() -> anyhow::Result<()> {
                super::$name(Backend::Postgres).await
            }
        }
    )+};
}

mod answers;
mod asking;
mod backup;
mod bad_input;
mod budget;
mod compat;
mod concurrent;
mod constraints;
mod crash_points;
mod cuts;
mod deep;
mod examples;
mod follow;
mod forgery;
mod gate;
mod harness;
mod identifiers;
mod indexes;
mod interference;
mod kill;
mod late;
mod operator;
mod oracle;
mod pace;
mod packaging;
mod page;
mod part;
mod plan;
mod preflight;
mod refusals;
mod regressions;
mod rehearsal;
mod repair;
mod replay;
mod replica;
mod reports;
mod roles;
mod rollback;
mod runbook;
mod schema;
mod secrets;
mod seeds;
mod server_crash;
mod servers;
mod signals;
mod silence;
mod sizes;
mod smoke;
mod steering;
mod storage;
mod surroundings;
mod tamper;
mod terminal;
mod tidy;
mod tls;
mod torture;
mod traces;
mod triggers;
mod two_rollbacks;
mod validate;
mod values;
mod zero_downtime;
