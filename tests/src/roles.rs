//! The programs as the roles of `cli schema roles`: who does what, and a database made ready for them.

use anyhow::{Context, Result};
use tokio::sync::Mutex;

use crate::cluster::{PASSWORD, USER};
use crate::database::Database;
use crate::process;

/// Whose work a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Changes the schema.
    Owner,
    /// Runs the plan.
    Worker,
    /// Takes a run back.
    Undo,
    /// Repairs a run, and takes such a repair back.
    Repair,
    /// Steers a run.
    Operator,
    /// Looks.
    Viewer,
}

/// Whom the tables of the application belong to.
const APPLICATION: &str = "backstitch_test_application";

/// Roles belong to the whole server, and two that change one of them at once fail.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

impl Role {
    /// The role that a command of the cli needs.
    #[must_use]
    pub fn of(arguments: &[&str]) -> Self {
        match arguments {
            ["schema", "up" | "down", ..] => Self::Owner,
            ["rollback", ..] => Self::Undo,
            ["checklist", "tick" | "reopen", ..] | ["signoff" | "certificate", ..] => Self::Worker,
            ["repair" | "redo", ..] => Self::Repair,
            ["run", ..] => Self::Operator,
            ["validate", options @ ..] if !options.is_empty() => Self::Worker,
            _ => Self::Viewer,
        }
    }

    /// Its name in the server.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "backstitch_owner",
            Self::Worker => "backstitch_worker",
            Self::Undo => "backstitch_undo",
            Self::Repair => "backstitch_repair",
            Self::Operator => "backstitch_operator",
            Self::Viewer => "backstitch_viewer",
        }
    }

    /// The superuser's address, as this role's.
    #[must_use]
    pub fn url(self, superuser: &str) -> String {
        superuser.replacen(&format!("//{USER}:"), &format!("//{}:", self.name()), 1)
    }
}

/// Gives the source to the application, makes the roles with their rights, and applies the schema as its owner.
pub async fn establish(database: &Database) -> Result<()> {
    let one = ONE_AT_A_TIME.lock().await;
    let make = format!(
        "DO $$ BEGIN CREATE ROLE {APPLICATION}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    );
    database.execute(&make).await?;
    let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'";
    for table in database.texts(tables).await? {
        let give = format!("ALTER TABLE {table} OWNER TO {APPLICATION}");
        database.execute(&give).await?;
    }
    grant(database).await?;
    for role in [
        Role::Owner,
        Role::Worker,
        Role::Undo,
        Role::Repair,
        Role::Operator,
        Role::Viewer,
    ] {
        let sql = format!("ALTER ROLE {} PASSWORD '{PASSWORD}'", role.name());
        database.execute(&sql).await?;
    }
    let owner = Role::Owner.url(&database.url);
    let up = process::program("cli", &owner)?.args(["schema", "up"]);
    up.expect(0).await?;
    grant(database).await?;
    drop(one);
    Ok(())
}

/// Executes what `cli schema roles --print` prints, as the administrator.
async fn grant(database: &Database) -> Result<()> {
    // It connects to nothing, so it needs no address.
    let print = process::program("cli", "")?.without_url();
    let printed = print.args(["schema", "roles", "--print"]).expect(0).await?;
    let granted = database.execute(&printed.stdout).await;
    granted.context("make the roles")?;
    Ok(())
}
