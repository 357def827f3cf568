//! The conformance suite on other servers than the plain one: behind a transaction pooler; and with unusual defaults, as
//! roles with few rights. The tests are the same; they have fewer seeds to go through.

use anyhow::{Result, ensure};
use tests::database::{Backend, Database};
use tests::server::{Server, on};

/// A test's future.
type Test = std::pin::Pin<Box<dyn Future<Output = Result<()>>>>;

/// Makes a test on a server out of each function.
macro_rules! run_on {
    ($server:ident: $($suite:ident :: $name:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() -> anyhow::Result<()> {
            // Boxed: one type for all tests is compiled once.
            let test = Box::pin(crate::$suite::$name(tests::database::Backend::Postgres));
            let test: super::Test = test;
            tests::server::on(tests::server::Server::$server, test).await
        }
    )+};
}

/// What every server has to stand: odd sources, late rows, bad rows, an interruption, a rollback amid the application's
/// rows and edits, the reports. Behind it what this one is most likely to get wrong.
macro_rules! conformance {
    ($server:ident: $($suite:ident :: $name:ident),* $(,)?) => {
        run_on!($server:
            budget::a_unit_stops_beyond_its_budget,
            late::rows_below_the_cursor,
            oracle::odd_sources,
            oracle::one_campaign_only,
            regressions::a_cursor_that_was_moved,
            reports::reports_after_a_run,
            rollback::amid_the_applications_rows,
            rollback::an_unfinished_run,
            rollback::edited_rows_are_kept_and_deleted_rows_stay_away,
            signals::interrupted,
            $($suite::$name,)*
        );
    };
}

mod pooled {
    conformance!(Pooled:
        concurrent::three_workers_at_once,
        concurrent::two_that_migrate_at_once,
        deep::every_difference_is_told_apart,
        kill::killed_rollbacks,
        kill::killed_runs,
        oracle::a_name_too_long_for_an_index,
        oracle::an_empty_database,
        refusals::a_pending_schema,
        refusals::the_schema_goes_up_and_down,
        regressions::an_older_run_below_a_newer_one,
        regressions::rows_behind_a_composite_foreign_key,
        reports::reports_before_any_run,
        rollback::one_unit_only,
        runbook::a_certificate,
        validate::every_kind_of_trouble_is_found,
    );
}

/// What makes its own schema, and so has no roles.
mod unusual {
    run_on!(Unusual:
        oracle::a_name_too_long_for_an_index,
        refusals::the_schema_goes_up_and_down,
    );
}

mod managed {
    conformance!(Managed:
        kill::killed_runs,
        regressions::an_older_run_below_a_newer_one,
        rollback::one_unit_only,
        runbook::a_certificate,
        validate::every_kind_of_trouble_is_found,
    );
}

/// What the suite proves behind a pooler means something only where the pooler does hand the sessions around.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pooler_shares_its_sessions() -> Result<()> {
    let database = on(Server::Pooled, Database::create(Backend::Postgres)).await?;
    database.execute("CREATE TABLE seen (session INT)").await?;
    let (one, other) = (
        database.as_the_programs().await?,
        database.as_the_programs().await?,
    );
    let look = "INSERT INTO seen SELECT pg_backend_pid() FROM pg_sleep(0.05)";
    for _ in 0..5 {
        let (this, that) = tokio::join!(one.execute(look), other.execute(look));
        this?;
        that?;
    }
    let sessions = database.value::<i64>("SELECT COUNT(DISTINCT session) FROM seen");
    ensure!(sessions.await? > 1, "there was one session for all");
    Ok(())
}

/// And with unusual defaults only where they are.
#[tokio::test]
async fn the_managed_server_is_unusual() -> Result<()> {
    let database = on(Server::Managed, Database::create(Backend::Postgres)).await?;
    let session = database.another().await?;
    for (setting, value) in [
        ("default_transaction_isolation", "serializable"),
        ("bytea_output", "escape"),
        ("IntervalStyle", "sql_standard"),
    ] {
        let found: String = session.value(&format!("SHOW {setting}")).await?;
        ensure!(found == value, "{setting} is {found}");
    }
    let comes_first: bool = session.value("SELECT 'a' < 'B'").await?;
    ensure!(comes_first, "text is ordered by its bytes");
    Ok(())
}
