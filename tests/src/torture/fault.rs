//! The faults, and how many of them are wanted.

use std::fmt::{self, Display, Formatter};

/// What can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    /// SIGKILL to a program.
    Kill,
    /// The server is stopped as a crash would, and started again.
    ServerCrash,
    /// SIGKILL to one of the server's processes, after which it starts all of them anew.
    BackendKill,
    /// Connections are closed to both sides.
    Cut,
    /// SIGSTOP to a program, and SIGCONT after a while.
    Stop,
    /// The same, and its connections end while it is stopped.
    StopAndCut,
    /// SIGTERM to a program.
    Terminate,
    /// Nothing passes on a connection for a while.
    Stall,
    /// One side of a connection is gone, and the other does not learn of it for a while.
    HalfOpen,
    /// Everything passes late for a while.
    Slow,
}

/// How many faults are wanted, or have struck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Programs killed with SIGKILL.
    pub kills: u64,
    /// Crashes of the server, of either kind.
    pub server_crashes: u64,
    /// Cuts of connections.
    pub cuts: u64,
}

impl Fault {
    /// What it counts as.
    #[must_use]
    pub(super) fn counts(self) -> Wanted {
        let mut one = Wanted::default();
        match self {
            Self::Kill => one.kills = 1,
            Self::ServerCrash | Self::BackendKill => one.server_crashes = 1,
            Self::Cut => one.cuts = 1,
            Self::Stop
            | Self::StopAndCut
            | Self::Terminate
            | Self::Stall
            | Self::HalfOpen
            | Self::Slow => {}
        }
        one
    }
}

impl Wanted {
    /// What is left when these have struck.
    #[must_use]
    pub fn without(self, struck: Self) -> Self {
        Self {
            kills: self.kills.saturating_sub(struck.kills),
            server_crashes: self.server_crashes.saturating_sub(struck.server_crashes),
            cuts: self.cuts.saturating_sub(struck.cuts),
        }
    }

    /// The sum of each.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            kills: self.kills + more.kills,
            server_crashes: self.server_crashes + more.server_crashes,
            cuts: self.cuts + more.cuts,
        }
    }

    /// The smaller of each.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        Self {
            kills: self.kills.min(most.kills),
            server_crashes: self.server_crashes.min(most.server_crashes),
            cuts: self.cuts.min(most.cuts),
        }
    }

    /// A part of each, one of so many.
    #[must_use]
    pub fn split(self, parts: u64) -> Self {
        let part = |count: u64| count.div_ceil(parts.max(1));
        Self {
            kills: part(self.kills),
            server_crashes: part(self.server_crashes),
            cuts: part(self.cuts),
        }
    }

    /// Whether none is wanted.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl Display for Fault {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Kill => "SIGKILL to a program",
            Self::ServerCrash => "server stopped at once (pg_ctl stop -m immediate)",
            Self::BackendKill => "SIGKILL to one backend of the server",
            Self::Cut => "connections cut",
            Self::Stop => "SIGSTOP, then SIGCONT",
            Self::StopAndCut => "SIGSTOP, sessions ended meanwhile, then SIGCONT",
            Self::Terminate => "SIGTERM",
            Self::Stall => "connection stalled",
            Self::HalfOpen => "connection half open",
            Self::Slow => "everything slowed down",
        })
    }
}
