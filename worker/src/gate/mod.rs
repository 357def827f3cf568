//! The gate: targets in a file, measured again and again, and a verdict that is open only where each was met throughout.
//! What could not be measured is a gap, and a gap is not a pass.

pub mod database;
pub mod http;
pub mod probe;
pub mod prometheus;
pub mod selector;
pub mod slo;
pub mod sources;
pub mod target;
pub mod unit;
pub mod verdict;
pub mod watch;

mod statements;

pub use self::slo::Slo;
pub use self::sources::Sources;
pub use self::watch::{Order, Told, watch};

/// Why nothing was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Another look may find something.
    Gap(String),
    /// Nobody answers.
    Unreachable(String),
    /// It will not be otherwise until somebody changes the file, or the database's settings.
    Configuration(String),
}

impl Trouble {
    /// The reason, one line.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Gap(why) | Self::Unreachable(why) | Self::Configuration(why) => why,
        }
    }
}

/// What was measured, in base units: shares from 0 to 1, seconds, bytes, or a plain number.
pub type Measured = Result<f64, Trouble>;
