//! A loaded source, the command that migrates it, and what must come of it.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::database::Database;
use crate::dump::{self, Dump};
use crate::generate::{self, Profile};
use crate::oracle::{self, Expected, Question, Sources};
use crate::process::{self, Invocation};
use crate::roles::{self, Role};
use crate::scratch;
use crate::server::Server;
use crate::source::{Kind, Source, Value, read};

/// A database with a source in it, and the log files beside it.
#[derive(Debug)]
pub struct Scenario {
    /// What the source is like.
    pub profile: Profile,
    /// The source as data.
    pub source: Source,
    /// Where it is.
    pub database: Database,
    /// The log files that are given to the worker.
    pub logs: Vec<PathBuf>,
}

impl Scenario {
    /// Makes a database and fills it.
    pub async fn load(profile: &Profile) -> Result<Self> {
        Self::load_into(Database::create(profile.backend).await?, profile).await
    }

    /// The same with the destinations' schema, which nothing has been written to.
    pub async fn load_with_schema(profile: &Profile) -> Result<Self> {
        let scenario = Self::load(profile).await?;
        scenario.cli(&["schema", "up"])?.expect(0).await?;
        Ok(scenario)
    }

    /// Fills a database that is there already.
    pub async fn load_into(database: Database, profile: &Profile) -> Result<Self> {
        let source = generate::source(profile);
        source.load(&database).await?;
        if Server::current() == Server::Managed {
            roles::establish(&database).await?;
        }
        let logs = source.write_logs(&scratch::folder("logs")?)?;
        Ok(Self {
            profile: profile.clone(),
            source,
            database,
            logs,
        })
    }

    /// Takes a database as it is, without filling it.
    #[must_use]
    pub fn around(database: Database, profile: &Profile) -> Self {
        Self {
            profile: profile.clone(),
            source: Source::default(),
            database,
            logs: Vec::new(),
        }
    }

    /// The command that migrates it, from an empty schema to the end, whatever the number of bad rows.
    pub fn run(&self) -> Result<Invocation> {
        Ok(self.run_without_migrating()?.args(["--migrate"]))
    }

    /// The same without the permission to apply a pending schema.
    pub fn run_without_migrating(&self) -> Result<Invocation> {
        let mut invocation = process::worker(&self.database)?.args([
            "run",
            "--as-of",
            &self.profile.as_of.rfc3339(),
            "--window-days",
            &self.profile.window_days.to_string(),
            "--max-bad",
            "100%",
        ]);
        for log in &self.logs {
            invocation = invocation.args(["--agent-logs".as_ref(), log.as_os_str()]);
        }
        Ok(invocation)
    }

    /// A command of the cli on its database.
    pub fn cli(&self, arguments: &[&str]) -> Result<Invocation> {
        let url = self.database.url_as(Role::of(arguments));
        Ok(process::program("cli", &url)?.args(arguments))
    }

    /// What a run over the sources as they are now must write.
    pub async fn expected(&self) -> Result<Expected> {
        oracle::expect(&Sources::load(&self.database).await?, &self.question())
    }

    /// What fixes the outcome besides the source.
    #[must_use]
    pub fn question(&self) -> Question {
        Question {
            as_of: self.profile.as_of,
            begun: self.profile.as_of,
            window_days: self.profile.window_days,
            logs: self.logs.clone(),
        }
    }

    /// Everything that a run reads or writes, as it is now.
    pub async fn state(&self) -> Result<Dump> {
        dump::all(&self.database).await
    }

    /// The campaigns without their prompts, the only column of a source that a run may change.
    pub async fn campaigns(&self) -> Result<Vec<Vec<Value>>> {
        let columns = [
            ("id", Kind::Text),
            ("tenantId", Kind::Text),
            ("name", Kind::Text),
            ("status", Kind::Text),
            ("metadata", Kind::Json),
            ("createdAt", Kind::Moment),
            ("updatedAt", Kind::Moment),
        ];
        read(&self.database, "Campaign", &columns).await
    }

    /// Fails unless the journal proves itself.
    pub async fn verify_journal(&self) -> Result<()> {
        self.cli(&["journal", "verify"])?.expect(0).await?;
        Ok(())
    }

    /// Fails unless its state is this one.
    pub async fn expect_state(&self, expected: &Dump) -> Result<()> {
        let differences = expected.differences(&self.state().await?);
        ensure!(
            differences.is_empty(),
            "the end states differ:\n{}",
            differences.join("\n")
        );
        Ok(())
    }
}
