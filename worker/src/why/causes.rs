//! What may keep a run, and what to do about each.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::backend::health::Blocked;
use crate::control::PAUSED;
use crate::core::event::{Setting, Word};

/// Something that keeps a run, or kept it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What.
    #[serde(flatten)]
    pub cause: Cause,
    /// Since when it does, or how much of the time it took: milliseconds.
    pub millis: i64,
    /// What to do; empty where nothing is.
    pub remedy: String,
}

/// What keeps a run, or kept it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// Somebody cancelled it.
    Cancelled {
        /// Who, and what they had to say.
        #[serde(flatten)]
        word: Word,
    },
    /// Somebody paused it.
    Paused {
        /// Who, and what they had to say.
        #[serde(flatten)]
        word: Word,
    },
    /// A unit met too many bad rows.
    TooManyBad {
        /// The unit.
        unit: String,
        /// Source rows read.
        read: i64,
        /// Bad ones.
        bad: i64,
        /// How many were allowed.
        allowed: i64,
    },
    /// No process works on it: the last one ended.
    NobodyWorks {
        /// The last one.
        worker: String,
        /// Why it ended, in its own words; none: it was killed, or crashed.
        reason: Option<String>,
    },
    /// A process that did not end in order has appended nothing for a while.
    Silent {
        /// The process.
        worker: String,
    },
    /// A process holds.
    Holding {
        /// The process.
        worker: String,
        /// What for.
        signal: String,
        /// What was measured.
        value: String,
        /// What it may be at most; empty where somebody's word makes it hold.
        limit: String,
    },
    /// A session of ours waits for a lock.
    WaitsForLock(Blocked),
    /// A rollback is not finished.
    RollbackHalfway {
        /// The units.
        units: Vec<String>,
        /// Why, in the operator's words.
        reason: String,
        /// Whether somebody works on it.
        is_worked_on: bool,
    },
    /// A unit waits for others.
    WaitsForUnits {
        /// The unit.
        unit: String,
        /// The others.
        on: Vec<String>,
    },
    /// A process works slower than it could.
    Slowed {
        /// The process.
        worker: String,
        /// How it works.
        to: String,
        /// Why.
        reason: String,
    },
    /// Somebody set something.
    Set {
        /// Who.
        by: String,
        /// What they had to say.
        note: Option<String>,
        /// The value of each; none: as the command line says.
        settings: BTreeMap<Setting, Option<String>>,
    },
    /// It is followed, and waits for its next look.
    Following {
        /// As of which instant all is written, milliseconds since 1970.
        as_of: i64,
    },
    /// It is at work.
    Working {
        /// Source rows a second, lately.
        rows_per_second: f64,
        /// The run's median.
        median: f64,
    },
    /// Nothing is left to do.
    Over,
    /// Processes held: so often, for this.
    Held {
        /// What for.
        signal: String,
        /// How often.
        times: usize,
        /// The last value.
        value: String,
        /// Whose word it was, where it was one.
        by: Vec<String>,
    },
    /// Nobody worked.
    Nobody {
        /// How often.
        times: usize,
        /// How often a process had been killed, or crashed, before.
        crashes: usize,
    },
    /// Batches were made smaller.
    Resized {
        /// The unit.
        unit: String,
        /// How often.
        times: usize,
        /// Rows a batch before the first time.
        from: u32,
        /// Rows a batch at the least.
        least: u32,
        /// How often for which reason, the most frequent first; figures are left out.
        reasons: Vec<(String, usize)>,
    },
    /// An index was built.
    IndexBuilt {
        /// The index.
        index: String,
    },
}

impl Cause {
    /// With what to do about it.
    pub(super) fn found(self, millis: i64) -> Finding {
        let remedy = self.remedy();
        Finding {
            cause: self,
            millis,
            remedy,
        }
    }

    /// How bad it is, the worst first: what nobody but a person ends comes before what ends by itself.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Cancelled { .. } => 0,
            Self::NobodyWorks { .. } | Self::RollbackHalfway { .. } => 1,
            Self::TooManyBad { .. } => 2,
            Self::Paused { .. } => 3,
            Self::Silent { .. } => 4,
            Self::Holding { .. } | Self::WaitsForLock(_) => 5,
            Self::Slowed { .. } => 6,
            Self::Set { .. } => 7,
            Self::WaitsForUnits { .. } => 8,
            _ => 9,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Cancelled { .. } => {
                "cli run resume lets it go on, then worker run; cli rollback takes it back".into()
            }
            Self::Paused { .. } => "cli run resume --by NAME".into(),
            Self::TooManyBad { unit, .. } => format!(
                "look at cli quarantine list --unit {unit}; mend the source, or run worker run --max-bad SHARE"
            ),
            Self::NobodyWorks { .. } => "run worker run again: it goes on at the next row".into(),
            Self::Silent { .. } => {
                "look whether the process is there; where it is not, run worker run again".into()
            }
            // What is over needs nothing.
            Self::Held { signal, .. } if signal == PAUSED => String::new(),
            Self::Holding { signal, .. } | Self::Held { signal, .. } => of_signal(signal).into(),
            Self::WaitsForLock(_) => {
                "a batch gives way after 300 ms and is tried again; end the other session's transaction where it is \
                 forgotten"
                    .into()
            }
            Self::RollbackHalfway {
                is_worked_on: false,
                ..
            } => "run cli rollback again: it goes on where it was".into(),
            Self::WaitsForUnits { on, .. } => {
                format!("nothing: it begins once {} is complete", on.join(", "))
            }
            Self::Slowed { .. } => {
                "nothing, if the application is to come first; cli run set pace=off --by NAME otherwise".into()
            }
            Self::Set { settings, .. } => {
                let default = |setting: &Setting| format!("{}=default", setting.name());
                let words: Vec<_> = settings.keys().copied().map(|setting| default(&setting)).collect();
                format!("cli run set {} --by NAME takes it back", words.join(" "))
            }
            Self::Nobody { crashes: 0, .. } => "let a supervisor start worker run again".into(),
            Self::Nobody { .. } => {
                "look into the system's log for what killed it (memory?); let a supervisor start worker run again"
                    .into()
            }
            Self::Resized { reasons, .. } => match reasons.first() {
                Some((reason, _)) if reason.contains("timeout") => {
                    "look who holds locks on the destination: cli preflight names long transactions".into()
                }
                _ => "nothing: batches keep to their target time; --batch-target allows longer ones".into(),
            },
            Self::IndexBuilt { .. }
            | Self::RollbackHalfway { .. }
            | Self::Following { .. }
            | Self::Working { .. }
            | Self::Over => String::new(),
        }
    }
}

/// What to do about a hold.
fn of_signal(signal: &str) -> &'static str {
    match signal {
        PAUSED => "cli run resume --by NAME",
        "outside the hours of --window" => "nothing: it goes on within its hours",
        "the disk is nearly full" => "make room on the database's disk",
        "archiving the log fails" | "log waits to be archived" => {
            "look into the server's log: archive_command fails or is slow"
        }
        "a replication slot is about to lose its log" => {
            "bring its subscriber back, or drop the slot"
        }
        "sessions wait for a lock of ours"
        | "sessions wait for locks"
        | "too many statements at once"
        | "answers are slow" => {
            "nothing, if the application is to come first: it goes on once the server is at ease"
        }
        _ if signal.starts_with("--hold-when") => "nothing: it goes on once the query says no",
        _ if signal.starts_with("replica ") => {
            "look at the replica; one that is late on purpose is left out with --ignore-replica"
        }
        _ => "see README, Beside a live application",
    }
}
