//! What each role may not do, the database refuses. That each may do its work is shown in `servers`.

use anyhow::{Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process;
use tests::roles::Role;
use tests::scenario::Scenario;
use tests::server::{Server, on};

/// `insufficient_privilege`
const FORBIDDEN: &str = "42501";

const JOURNALS: [&str; 2] = ["backstitch_journal", "backstitch_journal_rows"];

async fn completed() -> Result<Scenario> {
    let profile = Profile::small(Backend::Postgres, 402);
    let scenario = Scenario::load(&profile).await?;
    scenario.run()?.expect(0).await?;
    Ok(scenario)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forbidden_acts_are_refused() -> Result<()> {
    on(Server::Managed, async {
        let scenario = completed().await?;
        let before = scenario.state().await?;
        for role in [
            Role::Worker,
            Role::Undo,
            Role::Repair,
            Role::Operator,
            Role::Viewer,
        ] {
            let session = scenario.database.another_as(role).await?;
            for act in forbidden(role) {
                let code = session.refusal(&act).await?;
                ensure!(
                    code.as_deref() == Some(FORBIDDEN),
                    "{} may: {act} ({code:?})",
                    role.name()
                );
            }
        }
        scenario.expect_state(&before).await
    })
    .await
}

/// For each table everything that the role is not meant to do to it.
fn forbidden(role: Role) -> Vec<String> {
    let mut acts: Vec<String> = [
        "CREATE TABLE mine (a INT)",
        "ALTER TABLE \"Campaign\" ADD COLUMN mine INT",
        "DROP TABLE \"IntelligenceEvent\"",
        "DROP TRIGGER backstitch_append_only ON backstitch_journal",
        "ALTER TABLE backstitch_journal DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "UPDATE \"Campaign\" SET name = name",
        "DELETE FROM \"Campaign\"",
        "TRUNCATE \"Campaign\" CASCADE",
        "INSERT INTO \"Campaign\" (id) VALUES ('mine')",
        "UPDATE \"Deal\" SET acv = acv",
        "UPDATE \"IntelligenceEvent\" SET severity = severity",
        "UPDATE \"KPIHistory\" SET \"metricValue\" = 0",
        "TRUNCATE \"KPIHistory\"",
        "DELETE FROM backstitch_partition",
        "INSERT INTO backstitch_migrations VALUES ('mine', 0)",
        "SELECT name FROM \"Campaign\"",
    ]
    .map(str::to_owned)
    .to_vec();
    for table in JOURNALS {
        acts.push(format!("UPDATE {table} SET seq = seq"));
        acts.push(format!("DELETE FROM {table}"));
        acts.push(format!("TRUNCATE {table}"));
    }
    let more: &[&str] = match role {
        Role::Worker => &[
            "DELETE FROM \"IntelligenceEvent\"",
            "DELETE FROM \"KPIHistory\"",
            "UPDATE \"IntelligenceEvent\" SET id = id",
        ],
        Role::Undo => &[
            "INSERT INTO \"KPIHistory\" (id) VALUES ('mine')",
            "INSERT INTO backstitch_journal_rows (run) VALUES ('mine')",
            "SELECT id FROM \"Deal\"",
            "SELECT metadata FROM \"Campaign\"",
        ],
        Role::Repair => {
            // It rewrites values, and nothing else of a row.
            acts.retain(|act| !act.contains("severity =") && !act.contains("\"metricValue\" ="));
            &[
                "UPDATE \"IntelligenceEvent\" SET id = id",
                "UPDATE \"AgentFeedback\" SET id = id",
                "INSERT INTO \"Deal\" (id) VALUES ('mine')",
            ]
        }
        Role::Operator => &[
            "INSERT INTO \"IntelligenceEvent\" (id) VALUES ('mine')",
            "SELECT id FROM \"IntelligenceEvent\"",
            "SELECT id FROM \"Deal\"",
            "INSERT INTO backstitch_journal_rows (run) VALUES ('mine')",
            "INSERT INTO backstitch_partition (run) VALUES ('mine')",
            "UPDATE backstitch_partition SET seq = seq",
        ],
        Role::Owner | Role::Viewer => &[
            "DELETE FROM \"IntelligenceEvent\"",
            "INSERT INTO \"IntelligenceEvent\" (id) VALUES ('mine')",
            "INSERT INTO backstitch_journal (run) VALUES ('mine')",
            "INSERT INTO backstitch_partition (run) VALUES ('mine')",
            "UPDATE backstitch_partition SET seq = seq",
            "UPDATE \"Campaign\" SET prompt = prompt",
            "SELECT id FROM \"IntelligenceEvent\" FOR UPDATE",
        ],
    };
    acts.extend(more.iter().map(|act| (*act).to_owned()));
    acts
}

/// A command in the wrong role ends with one clear error, and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_in_the_wrong_role() -> Result<()> {
    on(Server::Managed, async {
        let scenario = completed().await?;
        let before = scenario.state().await?;
        let events = decided(&scenario.database).await?;
        let rollback: &[&str] = &["rollback", "--yes", "--reason", "a test"];
        let down: &[&str] = &["schema", "down", "--yes", "--discard-journal"];
        for (role, program, arguments) in [
            (Role::Viewer, "worker", &["run"][..]),
            (Role::Viewer, "cli", rollback),
            (Role::Worker, "cli", rollback),
            (Role::Undo, "worker", &["run"]),
            (Role::Operator, "worker", &["run"]),
            (Role::Operator, "cli", rollback),
            (Role::Viewer, "cli", down),
        ] {
            let url = role.url(&scenario.database.url);
            let outcome = process::program(program, &url)?
                .args(arguments)
                .run()
                .await?;
            let code = outcome.code();
            ensure!(matches!(code, Some(2 | 4)), "as {}: {outcome}", role.name());
            outcome.expect_clear_error()?;
        }
        scenario.expect_state(&before).await?;
        // The worker's role may begin to take a run back, and get no further.
        let mut grown = decided(&scenario.database).await?;
        grown.retain(|event| !events.contains(event));
        ensure!(
            matches!(&grown[..], [only] if only.ends_with("UndoStarted")),
            "{grown:?} were appended"
        );
        Ok(())
    })
    .await
}

/// The journal's events but for those of the pace, which come and go with what else the machine has to do.
async fn decided(database: &Database) -> Result<Vec<String>> {
    database
        .texts(
            "SELECT stream || ' ' || seq || ' ' || kind FROM backstitch_journal \
             WHERE kind NOT IN ('HoldStarted', 'HoldEnded', 'PaceChanged')",
        )
        .await
}

/// The SQL may be executed again, and takes back what somebody has granted meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roles_can_be_made_again() -> Result<()> {
    on(Server::Managed, async {
        let database = Database::create(Backend::Postgres).await?;
        database.create_source_schema(&[]).await?;
        tests::roles::establish(&database).await?;
        let more = "GRANT UPDATE ON backstitch_journal TO backstitch_worker";
        database.execute(more).await?;
        tests::roles::establish(&database).await?;
        let worker = database.another_as(Role::Worker).await?;
        let refused = worker
            .refusal("UPDATE backstitch_journal SET seq = seq")
            .await?;
        ensure!(
            refused.as_deref() == Some(FORBIDDEN),
            "the right is still there"
        );
        Ok(())
    })
    .await
}
