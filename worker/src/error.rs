//! What can go wrong, and the exit code that says so. Both programs map errors to codes here and nowhere else.

use sea_orm::DbErr;

use crate::backend;
use crate::core::state::Illegal;

/// The exit codes, as `--help` and the README document them.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Something that nobody foresaw.
    pub const UNEXPECTED: u8 = 1;
    /// The command line or the configuration is wrong.
    pub const USAGE: u8 = 2;
    /// A validation or a verification failed.
    pub const FAILED: u8 = 3;
    /// Refused: unconfirmed, schema pending, wrong database, plan changed, run cancelled.
    pub const REFUSED: u8 = 4;
    /// Transient: try again.
    pub const TRANSIENT: u8 = 5;
    /// Interrupted by SIGINT; progress is saved.
    pub const INTERRUPTED: u8 = 130;
    /// Terminated by SIGTERM; progress is saved.
    pub const TERMINATED: u8 = 143;
}

/// The exit codes as the end of `--help` shows them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    unexpected error
  2    wrong usage or configuration
  3    validation or verification failed, or too many bad rows
  4    refused: unconfirmed, schema pending, wrong database, plan changed, run cancelled
  5    transient: try again
  130  interrupted (SIGINT), progress saved; 143 terminated (SIGTERM), progress saved";

/// An error of the library. Its text says what failed, why, and what to do next; it never holds a password or a
/// row's values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// A validation or a verification failed.
    #[error("{0}")]
    Failed(String),
    /// Going on would be wrong without somebody's word.
    #[error("{0}")]
    Refused(String),
    /// Trying again may help.
    #[error("{0}")]
    Transient(String),
    /// The journal and the state disagree.
    #[error("{0}; the journal does not fold: run `cli journal verify` to see where it was changed")]
    Illegal(#[from] Illegal),
    /// The journal is not what it was when it was written.
    #[error("the journal is damaged: {0}; run `cli journal verify` to see where")]
    Damaged(String),
    /// The database answered with an error.
    #[error("{doing}: {}{}", backend::describe(source), hint(source))]
    Database {
        /// What was being done.
        doing: String,
        /// The answer.
        source: DbErr,
    },
    /// A unit panicked; its batch was rolled back.
    #[error("{0}")]
    Panicked(String),
    /// Something beside the database failed: the operating system, a program that was started.
    #[error("{0}")]
    Unexpected(String),
}

/// The library's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Failed(_) | Self::Damaged(_) | Self::Illegal(_) => exit::FAILED,
            Self::Refused(_) => exit::REFUSED,
            Self::Transient(_) => exit::TRANSIENT,
            Self::Database { source, .. } if backend::is_transient(source) => exit::TRANSIENT,
            Self::Database { source, .. } if backend::hint(source).is_some() => exit::USAGE,
            Self::Database { .. } | Self::Panicked(_) | Self::Unexpected(_) => exit::UNEXPECTED,
        }
    }

    /// What the journal may keep of it for good: a database's message can quote a row, and a panic anything.
    #[must_use]
    pub fn without_values(&self) -> String {
        match self {
            Self::Database { doing, source } => match backend::code(source) {
                Some(code) => format!("{doing}: the database answered with {code}"),
                None => format!("{doing}: the connection failed"),
            },
            Self::Panicked(_) => "a unit panicked".into(),
            Self::Usage(_)
            | Self::Failed(_)
            | Self::Refused(_)
            | Self::Transient(_)
            | Self::Unexpected(_)
            | Self::Illegal(_)
            | Self::Damaged(_) => self.to_string(),
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.exit_code() == exit::TRANSIENT
    }

    /// The code under which the database refused a row for what is in it.
    #[must_use]
    pub fn refuses_row(&self) -> Option<String> {
        match self {
            Self::Database { source, .. } => backend::refuses_row(source),
            _ => None,
        }
    }

    /// Whether a unique constraint refused a row: the table holds one like it.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database { source, .. } if backend::is_unique_violation(source))
    }

    /// Whether a statement took longer than it may: fewer rows may help.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Database { source, .. } if backend::is_timeout(source))
    }
}

/// What to do about a database's error, behind its description.
fn hint(error: &DbErr) -> String {
    backend::hint(error).map_or(String::new(), |hint| format!("; {hint}"))
}

/// Says what was being done when the database erred.
pub trait Doing<T> {
    /// Turns a database error into ours.
    ///
    /// # Errors
    /// The same, with `doing` ahead of it.
    fn doing(self, doing: impl Into<String>) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, DbErr> {
    fn doing(self, doing: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Database {
            doing: doing.into(),
            source,
        })
    }
}
