//! How fast what a command changes may be changed: the same options for every command that works in batches.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use worker::pace::{Limits, MaxLag, MaxLogRate, Speed, Window};

/// How fast, and what makes it hold.
#[derive(Debug, Args)]
pub(crate) struct PaceArgs {
    /// How fast: auto (slows down as soon as those who work beside it wait longer than usual, and holds where the server is
    /// in trouble), off (as fast as can be), or so many source rows a second, such as 2000/s.
    #[arg(long, value_name = "auto|off|ROWS/s", default_value_t)]
    pace: Speed,

    /// Hold while this query gives a value that is neither false, 0 nor NULL, or fails; asked every second, may be repeated.
    #[arg(long, value_name = "SELECT", value_parser = NonEmptyStringValueParser::new())]
    hold_when: Vec<String>,

    /// Go on only within these hours of the day, UTC, by the database's clock; may be repeated, may go over midnight.
    #[arg(long = "window", value_name = "HH:MM-HH:MM")]
    windows: Vec<Window>,

    /// Hold while a replica is further behind than this: a duration, or off. PostgreSQL only.
    #[arg(long, value_name = "DURATION", default_value_t)]
    max_replica_lag: MaxLag,

    /// Slow down so that the server writes no more log (WAL) than this, whoever makes it, such as 20MB/s; or off. PostgreSQL
    /// only.
    #[arg(long, value_name = "BYTES/s", default_value_t)]
    max_wal_rate: MaxLogRate,

    /// A replica or subscriber that may be late, by its application_name; may be repeated.
    #[arg(long = "ignore-replica", value_name = "NAME")]
    ignored_replicas: Vec<String>,
}

impl PaceArgs {
    /// The same for the library.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            speed: self.pace,
            max_lag: self.max_replica_lag,
            ignored: self.ignored_replicas.clone(),
            max_log_rate: self.max_wal_rate,
            hold_when: self.hold_when.clone(),
            windows: self.windows.clone(),
        }
    }
}
