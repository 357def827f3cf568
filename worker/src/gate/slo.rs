//! The file of targets, `slo.toml`: what it may hold, and where in it something is wrong.

mod file;
mod server;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::database::Statistic;
use super::probe::Probe;
use super::target::{Limit, Unit};
use crate::error::{Error, Result};

/// What `cli gate init` writes.
pub const DEFAULT: &str = include_str!("default.toml");

/// Where the file is looked for.
pub const FILE: &str = "slo.toml";

/// A file beyond this is something else.
const MAX_BYTES: u64 = 1 << 20;

/// The targets, and how long and how often they are watched.
#[derive(Clone, Debug)]
pub struct Slo {
    /// BLAKE3 of the file, in hexadecimal.
    pub digest: String,
    /// The folder that paths in it are relative to.
    pub folder: PathBuf,
    /// How often they are sampled.
    pub every: Duration,
    /// How long each environment is watched.
    pub environments: BTreeMap<String, Duration>,
    /// The Prometheus server, where there is one.
    pub prometheus: Option<Server>,
    /// The targets, in the file's order; at least one.
    pub targets: Vec<Target>,
}

/// A Prometheus server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its address, to which `/api/v1/query` is added.
    pub url: Url,
    /// How old the newest sample of what a query reads may be; none: twice the time between two looks.
    pub max_age: Option<Duration>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What it asks for.
    pub credential: Option<Credential>,
    /// A file of certificates in PEM to trust in place of the public authorities.
    pub ca: Option<PathBuf>,
}

/// What a server asks for, and where it is kept: never in the file of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token.
    Token(Secret),
    /// A name and a password.
    Password(String, Secret),
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A file's only line.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}

/// A target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name, unique in the file.
    pub name: String,
    /// Where its value comes from.
    pub source: Source,
    /// What it should be.
    pub limit: Limit,
    /// The share of samples that may miss it, 0 to 1.
    pub allow_missed: f64,
    /// How many samples may be without a value.
    pub allow_gaps: u64,
}

/// Where a target's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A Prometheus server.
    Prometheus {
        /// The query, which gives one number.
        query: String,
        /// The unit of what it gives; none: the base unit.
        unit: Option<Unit>,
    },
    /// Requests of our own.
    Probe(Probe),
    /// The database's own statistics.
    Database(Statistic),
}

impl Slo {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Usage`]: it cannot be read, or something is wrong in it, with line and column.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        let wrong = |why: String| Error::Usage(format!("{shown}: {why}"));
        let metadata = std::fs::metadata(path).map_err(|error| {
            wrong(format!(
                "the file of targets cannot be read: {error}; `cli gate init` writes one to begin with"
            ))
        })?;
        if metadata.len() > MAX_BYTES {
            return Err(wrong("it is too large for a file of targets".into()));
        }
        let bytes = std::fs::read(path)
            .map_err(|error| wrong(format!("the file of targets cannot be read: {error}")))?;
        let text = str::from_utf8(&bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let (line, column) = place(&before, before.len());
            Error::Usage(format!("{shown}:{line}:{column}: it is not UTF-8"))
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut slo = Self::parse(text).map_err(|Wrong { line, column, why }| {
            Error::Usage(format!("{shown}:{line}:{column}: {why}"))
        })?;
        slo.folder = folder;
        Ok(slo)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Something is wrong in it.
    pub fn parse(text: &str) -> std::result::Result<Self, Wrong> {
        file::read(text).map_err(|(at, why)| {
            let (line, column) = place(text, at);
            Wrong { line, column, why }
        })
    }

    /// How long an environment is watched.
    ///
    /// # Errors
    /// [`Error::Usage`]: the file says nothing of it.
    pub fn required(&self, environment: &str) -> Result<Duration> {
        self.environments
            .get(environment)
            .copied()
            .ok_or_else(|| {
                let known: Vec<_> = self.environments.keys().map(String::as_str).collect();
                Error::Usage(format!(
                    "the file of targets has no [environment.{environment}]: add it with for = \"2h\", or name one that it \
                     has ({})",
                    known.join(", ")
                ))
            })
    }
}

/// What is wrong in a file, and where; both count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// What is wrong, one line.
    pub why: String,
}

/// The line and the column of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_holds_the_plans_targets() {
        let slo = Slo::parse(DEFAULT).expect("sound");
        assert_eq!(slo.every, Duration::from_secs(30));
        assert_eq!(slo.environments["staging"], Duration::from_secs(2 * 3600));
        assert_eq!(
            slo.environments["production"],
            Duration::from_secs(24 * 3600)
        );
        let limits: Vec<_> = slo
            .targets
            .iter()
            .map(|target| format!("{} {}", target.name, target.limit))
            .collect();
        for expected in [
            "error-rate < 0.1 %",
            "dashboard-load < 1.5 s",
            "api-p95 < 500 ms",
            "cache-hit-rate > 85 %",
        ] {
            assert!(limits.iter().any(|limit| limit == expected), "{limits:?}");
        }
        let asks = |statistic| {
            slo.targets
                .iter()
                .any(|target| target.source == Source::Database(statistic))
        };
        assert!(asks(Statistic::MeanQueryTime) && asks(Statistic::HitRatio));
    }

    /// Every key that a file may hold is explained in the default.
    #[test]
    fn the_default_names_every_key() {
        for key in file::KEYS {
            let is_there = DEFAULT.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ']);
                line.starts_with(&format!("{key} ="))
            });
            assert!(is_there, "{key}");
        }
    }

    const HEAD: &str =
        "[environment.staging]\nfor = \"2h\"\n[prometheus]\nurl = \"http://localhost:9090\"\n";

    fn wrong(text: &str) -> String {
        let Wrong { line, column, why } = Slo::parse(text).expect_err(text);
        assert!(!why.contains('\n'), "{why}");
        format!("{line}:{column}: {why}")
    }

    fn target(lines: &str) -> String {
        format!("{HEAD}[[target]]\n{lines}")
    }

    const QUERY: &str = "name = \"a\"\nsource = \"prometheus\"\nquery = \"up\"\n";

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, expected) in [
            ("every = \"30s\n".to_owned(), "1:"),
            (target("name = \"a\"\nsource = \"graphite\"\nbelow = \"1 s\""), "7:10: there is no source"),
            (target("name = \"a\"\nbelow = \"1 s\""), "5:1: missing field `source`"),
            (target(&format!("{QUERY}below = \"500\"")), "9:9: \"500\" has no unit"),
            (target(&format!("{QUERY}below = 500")), "9:9: "),
            (target(&format!("{QUERY}below = \"1 s\"\nabowe = \"2 s\"")), "10:1: unknown field `abowe`"),
            (target(&format!("{QUERY}below = \"1 s\"\nabove = \"0 s\"")), "10:9: the target has below as well"),
            (target(QUERY), "6:8: the target has neither below nor above"),
            (target(&format!("{QUERY}below = \"1 s\"\nurl = \"http://x/\"")), "10:7: url is nothing to the source prometheus"),
            (target(&format!("{QUERY}below = \"1 s\"\n[[target]]\n{QUERY}below = \"1 s\"")), "11:8: there is a target \"a\" already"),
            (target("name = \"a\"\nsource = \"prometheus\"\nquery = \"vector(1)\"\nbelow = \"1 s\""), "8:9: the query reads no series"),
            (target("name = \"a\"\nsource = \"prometheus\"\nbelow = \"1 s\""), "7:10: a target of the source prometheus needs query"),
            (target("name = \"a\"\nsource = \"probe\"\nurl = \"http://u:p@x/\"\nbelow = \"1 s\"\nstatistic = \"p95\""), "8:7: the URL holds a user or a password"),
            (target("name = \"a\"\nsource = \"probe\"\nurl = \"ftp://x/\"\nbelow = \"1 s\"\nstatistic = \"p95\""), "8:7: "),
            (target("name = \"a\"\nsource = \"probe\"\nurl = \"http://x/\"\nbelow = \"1 s\"\nstatistic = \"error-rate\""), "9:9: error-rate is measured as a share"),
            (target("name = \"a\"\nsource = \"database\"\nstatistic = \"p95\"\nbelow = \"1 s\""), "8:13: there is no statistic \"p95\""),
            (target(&format!("{QUERY}below = \"1 s\"\nallow_missed = \"1 s\"")), "10:16: "),
            (format!("every = \"soon\"\n{HEAD}"), "1:9: "),
            (format!("every = \"0s\"\n{HEAD}"), "1:9: "),
            (HEAD.to_owned(), "1:1: there is no target"),
            (format!("[[target]]\n{QUERY}below = \"1 s\""), "1:1: "),
            (format!("[environment.staging]\nfor = \"2h\"\n[[target]]\n{QUERY}below = \"1 s\""), "5:10: "),
            ("[environment.staging]\nfor = \"2h\"\n[prometheus]\nurl = \"http://x\"\ntoken = \"hush\"".to_owned(), "5:1: unknown field `token`"),
            ("[environment.staging]\nfor = \"2h\"\n[prometheus]\nurl = \"http://x\"\nuser = \"me\"".to_owned(), "5:8: "),
        ] {
            let found = wrong(&text);
            assert!(found.starts_with(expected), "{text}\n{expected}\n{found}");
            assert!(!found.contains("hush") && !found.contains("u:p"), "{found}");
        }
    }

    #[test]
    fn a_targets_own_allowance_counts() {
        let text = format!(
            "allow_missed = \"5 %\"\nallow_gaps = 2\n{}allow_gaps = 7\n",
            target(&format!("{QUERY}below = \"1 s\"\n"))
        );
        let slo = Slo::parse(&text).expect("sound");
        assert!((slo.targets[0].allow_missed - 0.05).abs() < 1e-12);
        assert_eq!(slo.targets[0].allow_gaps, 7);
    }
}
