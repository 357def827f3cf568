//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use worker::backend::Dialect;
use worker::engine::{self, Rows};
use worker::error::Error;
use worker::pace::Limits;
use worker::program::Voice;
use worker::program::shipped::Shell;
use worker::schema::Indexes;
use worker::{credentials, live, time};

/// The database where nobody named one.
const DEFAULT_URL: &str = "sqlite://backstitch.db?mode=rwc";

/// How often sources may be looked at while a run is followed: from, to.
const FOLLOW_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));

/// Runs data migrations that can be killed at any moment, and taken back.
#[derive(Debug, Parser)]
#[command(version, after_help = worker::error::EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) voice: Voice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the plan: go on with the open run, or start one.
    ///
    /// Example: `worker run --database-url postgres://app@db.example.com/app --migrate`
    ///
    /// Changes data: yes, it writes the rows of the plan's units, each batch with its entry in the journal.
    ///
    /// Safe to repeat: yes, a crash costs nothing, and the same command goes on where the journal ends.
    #[command(after_help = worker::error::EXIT_CODES)]
    Run(Box<RunArgs>),

    /// Print the completions of a shell.
    ///
    /// Example: `worker completions bash > worker.bash`
    ///
    /// Changes data: no.
    ///
    /// Safe to repeat: yes.
    #[command(after_help = worker::error::EXIT_CODES)]
    Completions {
        /// The shell.
        shell: Shell,
    },

    /// Print the manual page, or write those of all commands into a folder.
    ///
    /// Example: `worker man --to man1`
    ///
    /// Changes data: no, it writes files.
    ///
    /// Safe to repeat: yes, pages of before are replaced.
    #[command(after_help = worker::error::EXIT_CODES)]
    Man {
        /// The folder, such as /usr/local/share/man/man1; it is made where it is not there.
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The database: postgres://user@host/database or sqlite://file [env: DATABASE_URL] [default:
    /// sqlite://backstitch.db?mode=rwc]. A password belongs in --database-url-file, PGPASSWORD or ~/.pgpass.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    database_url: Option<String>,

    /// A file that holds the database's URL, password included, as its only line; give it the mode 600.
    #[arg(long, value_name = "PATH")]
    database_url_file: Option<PathBuf>,

    /// Make a source database of made-up data first, then migrate, run and validate it.
    #[arg(long)]
    pub(crate) demo: bool,

    /// Apply a pending schema first.
    #[arg(long)]
    pub(crate) migrate: bool,

    /// When the secondary indexes of destinations that --migrate makes are built: after, over the rows that were written,
    /// CONCURRENTLY and beside those who write; or before, with the table. SQLite: always before, because a build would
    /// lock the whole database [default: after].
    #[arg(long, value_name = "WHEN")]
    indexes: Option<When>,

    /// The instant that the run stands for, never after the database's clock: 2025-11-04T00:00:00Z, or 2025-11-04 for
    /// its 00:00 UTC [default: the database's clock when the run starts].
    #[arg(long, value_name = "TIME", value_parser = time::named)]
    pub(crate) as_of: Option<DateTime<Utc>>,

    /// How many days before --as-of the sources are taken from [default: 90].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) window_days: Option<u32>,

    /// Work on this unit alone; may be repeated. The run stays open until all its units are complete.
    #[arg(long = "unit", value_name = "UNIT")]
    pub(crate) units: Vec<String>,

    /// A log file with agent executions (NDJSON, or .gz of it); may be repeated, earlier ones win.
    #[arg(long = "agent-logs", value_name = "PATH")]
    pub(crate) agent_logs: Vec<PathBuf>,

    /// Partitions worked on at once [default: 2 on PostgreSQL, 1 on SQLite].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: Option<u16>,

    /// Source rows a batch: bounds within which it comes to --batch-target, or a number for as many each time.
    #[arg(long, value_name = "MIN..MAX", default_value_t)]
    pub(crate) batch_rows: Rows,

    /// How long a batch should take, 10ms to 1s.
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = engine::target)]
    pub(crate) batch_target: Duration,

    /// Partitions that each unit's source is cut into at most; each holds at least a batch.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) partitions: u32,

    /// The share of bad rows that a unit tolerates, never under 10 rows: 0.1% or 0.001 [default: 0.1%].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) max_bad: Option<f64>,

    #[command(flatten)]
    pub(crate) limits: Limits,

    /// Keep the run open once all is written, and go on writing what the application writes, until told to stop. Run
    /// without it to complete the run: that is the cut-over.
    #[arg(long)]
    pub(crate) follow: bool,

    /// With --follow: how often the sources are looked at again, at most; a look never takes more than a tenth of the time.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = every, requires = "follow")]
    pub(crate) follow_every: Duration,

    /// Go on with a run that began in another database: this one is a restored or copied one.
    #[arg(long)]
    pub(crate) adopt_database: bool,

    /// Refuse a plan that nobody approved with `cli plan approve`, also where the run is there already.
    #[arg(long)]
    pub(crate) require_approval: bool,

    /// Show the run as a live page here, with its metrics at /metrics and the probes /livez and /readyz; port 0 takes one that
    /// is free. Others than this machine see it only with --status-token-file.
    #[arg(long, value_name = "ADDRESS:PORT")]
    status_addr: Option<SocketAddr>,

    /// A file with the token that whoever looks must bring, as its only line: as a bearer token, or, in a browser, as the
    /// password of any user. Give it the mode 600.
    #[arg(long, value_name = "PATH", requires = "status_addr")]
    status_token_file: Option<PathBuf>,

    /// A name, beside the address, by which the page may be called; may be repeated.
    #[arg(long, value_name = "NAME", requires = "status_addr")]
    status_host: Vec<String>,

    /// Print the result as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// When indexes are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// Once the rows are written.
    After,
    /// With the table.
    Before,
}

impl RunArgs {
    /// Where the run is shown, and to whom; none: nowhere.
    pub(crate) fn live(&self) -> Option<live::Options> {
        self.status_addr.map(|address| live::Options {
            address,
            token_file: self.status_token_file.clone(),
            names: self.status_host.clone(),
        })
    }

    /// When indexes are built.
    ///
    /// # Errors
    /// [`Error::Usage`]: nothing would come of what was chosen.
    pub(crate) fn indexes(&self, dialect: Dialect) -> Result<Indexes, Error> {
        if self.indexes.is_some() && !self.migrate && !self.demo {
            return Err(Error::Usage(
                "--indexes says how --migrate makes the tables: give both, or leave it out; a run builds what was left \
                 out before in any case"
                    .into(),
            ));
        }
        match (self.indexes, dialect) {
            (Some(When::After), Dialect::Sqlite) => Err(Error::Usage(
                "--indexes after is for PostgreSQL: on SQLite a build would lock the whole database; leave it out".into(),
            )),
            (Some(When::Before), _) | (None, Dialect::Sqlite) => Ok(Indexes::Before),
            (Some(When::After) | None, Dialect::Postgres) => Ok(Indexes::After),
        }
    }

    /// The database that was named, or the default one. The variable is not the parser's to read: it would show the
    /// option in every usage line as if it were required.
    ///
    /// # Errors
    /// [`Error::Usage`]: the variable names none.
    pub(crate) fn database_url(&self) -> Result<String, Error> {
        let named = credentials::url(
            self.database_url.as_deref(),
            std::env::var("DATABASE_URL").ok().as_deref(),
            self.database_url_file.as_deref(),
        )?;
        Ok(named.unwrap_or_else(|| DEFAULT_URL.to_owned()))
    }
}

fn every(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(every) if (FOLLOW_EVERY.0..=FOLLOW_EVERY.1).contains(&every) => Ok(every),
        _ => Err("it must be a duration from a second to a day, such as 30s or 5m".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&(number / scale)) => Ok(number / scale),
        _ => Err("it must be a share such as 0.1% or 0.001, from 0 to 100%".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use std::time::Duration;

    use super::{every, share};
    use worker::time::named;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    /// Every command's help begins with a verb; an example, whether it changes data and whether it is safe to repeat follow,
    /// each in a paragraph of its own.
    #[test]
    fn every_command_is_documented() {
        for command in super::Cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command.get_long_about().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let forms = [
                &["Run ", "Print "][..],
                &["Example: `worker "],
                &[
                    "Changes data: yes,",
                    "Changes data: no.",
                    "Changes data: no,",
                ],
                &["Safe to repeat: yes.", "Safe to repeat: yes,"],
            ];
            let mut paragraphs = help.split("\n\n");
            for form in forms {
                let paragraph = paragraphs.next().unwrap_or_default();
                assert!(
                    form.iter().any(|form| paragraph.starts_with(form)),
                    "{name}: one of {form:?} is missing in\n{help}"
                );
            }
            assert!(command.get_after_help().is_some(), "{name}");
        }
    }

    #[test]
    fn a_share_is_a_percentage_or_a_number() {
        for (text, is) in [
            ("0.1%", Some(0.001)),
            ("0.001", Some(0.001)),
            ("100%", Some(1.0)),
            ("1", Some(1.0)),
            ("0", Some(0.0)),
            (" 5 %", Some(0.05)),
            ("", None),
            ("%", None),
            ("5", None),
            ("101%", None),
            ("-1%", None),
            ("NaN", None),
            ("inf%", None),
            ("5%%", None),
        ] {
            assert_eq!(share(text).ok(), is, "{text}");
        }
    }

    #[test]
    fn looks_are_a_second_to_a_day_apart() {
        for (text, seconds) in [
            ("1s", Some(1)),
            ("5m", Some(300)),
            ("1day", Some(86_400)),
            ("999ms", None),
            ("25h", None),
            ("10", None),
            ("", None),
        ] {
            let parsed = every(text).ok();
            assert_eq!(parsed, seconds.map(Duration::from_secs), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_share_panics(text in "\\PC{0,20}|[-+]?[0-9]{0,400}[.]?[0-9]{0,20}([eE][-+]?[0-9]{0,9})? ?%?") {
            if let Ok(share) = share(&text) {
                prop_assert!((0.0..=1.0).contains(&share), "{text}: {share}");
            }
        }

        #[test]
        fn no_instant_panics(
            text in "\\PC{0,40}|[-+]?[0-9]{1,6}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{0,30})?(Z|[-+][0-9]{2}:[0-9]{2})",
        ) {
            if let Ok(instant) = named(&text) {
                let millis = instant.timestamp_millis();
                prop_assert!((0..253_402_300_800_000).contains(&millis), "{text}: {millis}");
            }
        }
    }
}
