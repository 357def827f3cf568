//! The command line: what every command takes, and connecting with it.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser};
use worker::backend::{Access, Address, Database};
use worker::error::Error;
use worker::program::Voice;
use worker::{control, credentials, schema};

use crate::commands::Command;

/// Connections at a time; a command works through its questions one after the other.
const CONNECTIONS: u32 = 4;

/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(2);

/// The database where nobody named one.
const DEFAULT_URL: &str = "sqlite://backstitch.db";

/// Show, check, validate and take back what `worker run` did.
#[derive(Debug, Parser)]
#[command(name = "cli", version, after_help = worker::error::EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The database: postgres://user@host/database or sqlite://file [env: DATABASE_URL] [default:
    /// sqlite://backstitch.db]. A password belongs in --database-url-file, PGPASSWORD or ~/.pgpass.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        value_parser = NonEmptyStringValueParser::new()
    )]
    database_url: Option<String>,

    /// A file that holds the database's URL, password included, as its only line; give it the mode 600.
    #[arg(long, global = true, value_name = "PATH")]
    database_url_file: Option<PathBuf>,

    /// Print the result as JSON; times are milliseconds since 1970, UTC.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) voice: Voice,

    /// What was connected to, so that it can be closed.
    #[arg(skip)]
    opened: OnceLock<Database>,
}

impl Global {
    /// Connects to a database that must be there, to change something in it.
    pub(crate) async fn connect(&self) -> Result<Database, Error> {
        self.open(
            self.named()?.as_deref().unwrap_or(DEFAULT_URL),
            Access::Write,
        )
        .await
    }

    /// Connects to a database that must be there, and changes nothing in it.
    pub(crate) async fn look(&self) -> Result<Database, Error> {
        self.open(
            self.named()?.as_deref().unwrap_or(DEFAULT_URL),
            Access::Read,
        )
        .await
    }

    /// The database's address, for what needs more than a connection.
    pub(crate) fn address(&self) -> Result<Address, Error> {
        Address::parse(self.named()?.as_deref().unwrap_or(DEFAULT_URL))
    }

    /// Connects, and makes the default database where nobody named one.
    pub(crate) async fn connect_or_create(&self) -> Result<Database, Error> {
        match self.named()? {
            Some(_) => self.connect().await,
            None => {
                self.open(&format!("{DEFAULT_URL}?mode=rwc"), Access::Write)
                    .await
            }
        }
    }

    /// The database that was named. The variable is not the parser's to read: it would show the option in every usage
    /// line as if it were required.
    fn named(&self) -> Result<Option<String>, Error> {
        credentials::url(
            self.database_url.as_deref(),
            std::env::var("DATABASE_URL").ok().as_deref(),
            self.database_url_file.as_deref(),
        )
    }

    async fn open(&self, url: &str, access: Access) -> Result<Database, Error> {
        self.open_with(url, access, CONNECTIONS).await
    }

    /// The same with up to so many connections at a time, which are made as they are needed.
    async fn open_with(
        &self,
        url: &str,
        access: Access,
        connections: u32,
    ) -> Result<Database, Error> {
        let database = Database::connect(url, connections, access).await?;
        Ok(self.opened.get_or_init(|| database).clone())
    }

    /// Closes what was opened, so that an SQLite database is one file again: whoever copies it would miss the rest.
    pub(crate) async fn close(&self) {
        if let Some(database) = self.opened.get() {
            // What cannot be closed is closed by the end of the process; the answer is printed already.
            let closing = database.close();
            let _ = tokio::time::timeout(CLOSING, closing).await;
        }
    }

    /// Connects to a database that has a journal, and changes nothing in it.
    pub(crate) async fn journal(&self) -> Result<Database, Error> {
        let database = self.look().await?;
        schema::check_applied(&database).await?;
        Ok(database)
    }

    /// Connects to a database that has the journal's own tables, whatever of the rest of the schema is applied, and changes
    /// nothing in it.
    pub(crate) async fn journal_alone(&self) -> Result<Database, Error> {
        let database = self.look().await?;
        match schema::has_journal(&database).await? {
            true => Ok(database),
            // It says what is pending, and what to do.
            false => schema::check_applied(&database).await.map(|()| database),
        }
    }

    /// Connects to a database that has a journal, to write to it.
    pub(crate) async fn writable_journal(&self) -> Result<Database, Error> {
        let database = self.connect().await?;
        schema::check_applied(&database).await?;
        Ok(database)
    }

    /// The same for a command whose workers may be set to more.
    pub(crate) async fn journal_of_workers(&self) -> Result<Database, Error> {
        let named = self.named()?;
        let url = named.as_deref().unwrap_or(DEFAULT_URL);
        let database = self
            .open_with(url, Access::Write, control::CONNECTIONS)
            .await?;
        schema::check_applied(&database).await?;
        Ok(database)
    }

    /// Whether the database was named, so that a command to run next must name it too.
    pub(crate) fn names_database(&self) -> bool {
        matches!(self.named(), Ok(Some(_)))
    }
}

/// Names a run.
#[derive(Debug, Args)]
pub(crate) struct RunArg {
    /// The run: its id, or the beginning of it if no other run's id begins so; for the journal's commands also runbook.
    #[arg(long, value_name = "RUN", value_parser = NonEmptyStringValueParser::new())]
    run: Option<String>,
}

impl RunArg {
    /// What was named.
    pub(crate) fn named(&self) -> Option<&str> {
        self.run.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// What a command's help may begin with.
    const VERBS: [&str; 33] = [
        "Apply", "Approve", "Cancel", "Check", "Compare", "Export", "Issue", "List", "Look",
        "Make", "Measure", "Pause", "Print", "Prove", "Put", "Read", "Resume", "Rewrite", "Run",
        "Say", "Set", "Show", "Sign", "Steer", "Take", "Tell", "Try", "Validate", "Verify",
        "Vouch", "Wait", "Watch", "Write",
    ];

    /// Every command's help begins with a verb; an example, whether it changes data and whether it is safe to repeat follow,
    /// each in a paragraph of its own.
    #[test]
    fn every_command_is_documented() {
        let mut commands: Vec<_> = Cli::command().get_subcommands().cloned().collect();
        let mut checked = 0;
        while let Some(command) = commands.pop() {
            let name = command.get_name().to_owned();
            let help = command
                .get_long_about()
                .or(command.get_about())
                .map(ToString::to_string)
                .unwrap_or_default();
            let verb = help.split([' ', ',']).next().unwrap_or_default();
            assert!(VERBS.contains(&verb), "{name}: {verb} is no verb of ours");
            commands.extend(command.get_subcommands().cloned());
            // What only holds commands does nothing itself.
            if command.is_subcommand_required_set() {
                continue;
            }
            let mut paragraphs = help.split("\n\n").skip(1);
            let mut next = || paragraphs.next().unwrap_or_default();
            let example = next();
            assert!(
                example.starts_with("Example: `cli ") && example.contains(&name),
                "{name}: an example comes first\n{help}"
            );
            for form in ["Changes data: ", "Safe to repeat: "] {
                let answer = next().strip_prefix(form);
                let answer = answer.and_then(|it| it.strip_prefix("yes").or(it.strip_prefix("no")));
                assert!(
                    answer.is_some_and(|rest| rest.starts_with(['.', ',', ';'])),
                    "{name}: `{form}yes` or `no` is missing in\n{help}"
                );
            }
            assert!(command.get_after_help().is_some(), "{name}");
            checked += 1;
        }
        assert!(checked >= 42, "{checked}");
    }
}
