//! How much there is to do.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A size of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub enum Size {
    /// 50,000 events.
    #[value(name = "S", alias = "s")]
    S,
    /// 1,000,000 events.
    #[value(name = "M", alias = "m")]
    M,
    /// 10,000,000 events.
    #[value(name = "L", alias = "l")]
    L,
}

/// Campaigns that the events come from, at every size.
pub(crate) const CAMPAIGNS: u32 = 5_000;

impl Size {
    /// Events of the campaigns' metadata.
    #[must_use]
    pub fn events(self) -> u32 {
        match self {
            Self::S => 50_000,
            Self::M => 1_000_000,
            Self::L => 10_000_000,
        }
    }

    /// Events on SQLite, whose databases are smaller.
    #[must_use]
    pub fn events_on_sqlite(self) -> u32 {
        match self {
            Self::S => 50_000,
            Self::M => 250_000,
            Self::L => 1_000_000,
        }
    }

    /// Campaigns of the source of the other four units, of which each has a prompt and one in four was published.
    #[must_use]
    pub fn prompts(self) -> u32 {
        match self {
            Self::S => 20_000,
            Self::M => 200_000,
            Self::L => 1_000_000,
        }
    }

    /// Bad rows that make a long journal, an event each.
    #[must_use]
    pub fn journal(self) -> u32 {
        match self {
            Self::S => 50_000,
            Self::M | Self::L => 1_000_000,
        }
    }

    /// This size and those below it.
    #[must_use]
    pub fn and_below(self) -> Vec<Self> {
        let all = [Self::S, Self::M, Self::L];
        all.into_iter().filter(|size| *size <= self).collect()
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::M => "M",
            Self::L => "L",
        }
    }
}
