//! Why a command stopped early, the line that says so, and the exit code.

use std::fmt;

use worker::error::{Error, exit};

use crate::render::text;

/// A command's result: what it shows is printed already.
pub(crate) type Result<T = ()> = std::result::Result<T, Stop>;

/// Why a command stopped early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The library refused or failed.
    Failed(Error),
    /// The operating system refused something beside the database.
    System(&'static str, std::io::Error),
    /// A signal asked to stop, with its exit code; what was done is kept.
    Asked(u8),
    /// A signal asked to stop what is done wholly or not at all, with its exit code; nothing is left of it.
    Abandoned(u8),
    /// A signal ended a command that never ends by itself.
    Ended(u8),
}

impl Stop {
    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(error) => error.exit_code(),
            Self::System(..) => exit::UNEXPECTED,
            Self::Asked(code) | Self::Abandoned(code) | Self::Ended(code) => *code,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A database's message may have several lines; an error is one.
            Self::Failed(error) => write!(formatter, "error: {}", text::line(&error.to_string())),
            Self::System(doing, error) => write!(formatter, "error: {doing}: {error}"),
            Self::Asked(_) => {
                formatter.write_str("interrupted: progress saved; run the same command to go on")
            }
            Self::Abandoned(_) => formatter.write_str(
                "interrupted: nothing is left of what was begun; run the same command to begin again",
            ),
            Self::Ended(_) => Ok(()),
        }
    }
}

/// Why the result could not be written to where it belongs.
pub(crate) fn unwritten(error: std::io::Error) -> Stop {
    Stop::System("cannot write the result", error)
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let stop = Stop::from(Error::Refused("no:\nfirst\n second".into()));
        assert_eq!(stop.to_string(), "error: no: first second");
        assert_eq!(stop.exit_code(), 4);
    }

    #[test]
    fn an_interrupted_command_says_what_to_do() {
        let stop = Stop::Asked(143);
        assert!(stop.to_string().contains("run the same command to go on"));
        assert_eq!(stop.exit_code(), 143);
    }
}
