//! Seeded sources full of the values that break migrations.
//!
//! Every generator is a list of harmless oddities and a list of harmful ones. A harmless oddity must arrive, a harmful
//! one must be set aside; which is which is the oracle's business, the lists are separate only so that the share of
//! bad rows can be chosen. Values about whose treatment the contract is silent are not made.

mod campaigns;
mod feedback;
mod logs;
mod publishing;
mod sales;
mod tasks;
mod texts;
mod times;

use crate::database::Backend;
use crate::moment::{DAY, Moment};
use crate::random::Random;
use crate::source::{OPTIONAL, Source};

/// What a source is to be like.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What determines everything else.
    pub seed: u64,
    /// Which database it is for; SQLite holds values that PostgreSQL refuses.
    pub backend: Backend,
    /// The instant that the run will stand for.
    pub as_of: Moment,
    /// The window's length.
    pub window_days: i64,
    /// How many campaigns.
    pub campaigns: usize,
    /// The most tasks in one campaign's metadata.
    pub tasks: usize,
    /// How many `AgentTask` rows.
    pub agent_tasks: usize,
    /// How many deals.
    pub deals: usize,
    /// How many snapshots.
    pub snapshots: usize,
    /// How many feedback entries.
    pub feedback: usize,
    /// How many lines in each log file.
    pub log_lines: usize,
    /// The share of rows that are made bad.
    pub bad: f64,
    /// Whether there are values over 1 MiB.
    pub large: bool,
    /// Optional tables that are left out.
    pub without: Vec<&'static str>,
}

/// Instants at which windows, quarters and years begin, end and overlap.
const AS_OF: [&str; 8] = [
    "2025-11-04T10:37:12.345Z",
    "2025-01-10T00:00:00.000Z",
    "2024-02-29T23:59:59.999Z",
    "2025-04-01T00:00:00.001Z",
    "2025-12-31T12:00:00.000Z",
    "2023-03-15T06:30:00.500Z",
    "2025-07-01T18:00:00.000Z",
    "2024-12-31T23:59:59.000Z",
];

impl Profile {
    /// A small source in which every fourth row is odd in some way, for the comparison with the oracle.
    #[must_use]
    pub fn odd(backend: Backend, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let as_of = Moment::parse_rfc3339(random.pick(&AS_OF)).expect("an instant of the list");
        let window_days = random.pick(&[90, 90, 90, 30, 7, 1, 120]);
        let mut without = Vec::new();
        if random.chance(0.3) {
            without = OPTIONAL
                .into_iter()
                .filter(|_| random.chance(0.5))
                .collect();
        }
        let large = random.chance(0.2);
        Self {
            seed,
            backend,
            as_of,
            window_days,
            campaigns: random.index(80) + 50,
            tasks: 6,
            agent_tasks: 90,
            deals: 70,
            snapshots: 120,
            feedback: 40,
            log_lines: 70,
            bad: 0.08,
            large,
            without,
        }
    }

    /// A smaller one with every table and no large text, for tests that are about something else than the source.
    #[must_use]
    pub fn small(backend: Backend, seed: u64) -> Self {
        Self {
            campaigns: 20,
            large: false,
            without: Vec::new(),
            ..Self::odd(backend, seed)
        }
    }

    /// A source of a few thousand rows, few of them bad, for runs that are to be interrupted.
    #[must_use]
    pub fn busy(backend: Backend, seed: u64) -> Self {
        Self {
            campaigns: 260,
            tasks: 16,
            agent_tasks: 400,
            deals: 120,
            snapshots: 150,
            feedback: 200,
            log_lines: 250,
            bad: 0.01,
            window_days: 90,
            ..Self::small(backend, seed)
        }
    }

    /// The first instant of the window.
    #[must_use]
    pub fn since(&self) -> Moment {
        Moment(self.as_of.0 - self.window_days * DAY)
    }
}

/// Makes the source.
#[must_use]
pub fn source(profile: &Profile) -> Source {
    let mut tenants = vec!["acme", "Acme", "tenant-β", "default"];
    if profile.backend == Backend::Sqlite && profile.bad > 0.05 {
        tenants.push("cut \0 here");
    }
    let mut maker = Maker {
        random: Random::new(profile.seed ^ 0x5EED),
        profile: profile.clone(),
        tenants: tenants.into_iter().map(str::to_owned).collect(),
        campaigns: Vec::new(),
        executions: Vec::new(),
        next_id: 0,
    };
    let campaigns = maker.make_campaigns();
    let [assets, jobs] = maker.make_publishing();
    let agent_tasks = maker.make_agent_tasks();
    let [deals, snapshots] = maker.make_sales();
    let feedback = maker.make_feedback();
    let logs = maker.make_logs();
    Source {
        tables: vec![
            campaigns,
            assets,
            jobs,
            agent_tasks,
            deals,
            snapshots,
            feedback,
        ],
        logs,
        without: profile.without.clone(),
    }
}

/// What has been made so far, so that rows can refer to each other.
struct Maker {
    random: Random,
    profile: Profile,
    tenants: Vec<String>,
    campaigns: Vec<String>,
    executions: Vec<tasks::Execution>,
    next_id: u32,
}

impl Maker {
    /// Whether the next row is to be a bad one.
    fn is_bad(&mut self) -> bool {
        let share = self.profile.bad;
        self.random.chance(share)
    }

    /// Whether a text may hold NUL: PostgreSQL takes none, neither in text nor in `jsonb`.
    fn takes_nul(&self) -> bool {
        self.profile.backend == Backend::Sqlite
    }
}

#[cfg(test)]
mod tests {
    use super::{Profile, source};
    use crate::database::Backend;

    #[test]
    fn a_seed_makes_the_same_source_again() {
        let profile = Profile::odd(Backend::Sqlite, 3);
        assert_eq!(source(&profile), source(&profile));
    }

    #[test]
    fn ids_are_unique() {
        for seed in 0..5 {
            for table in source(&Profile::odd(Backend::Postgres, seed)).tables {
                let mut ids: Vec<String> = table
                    .rows
                    .iter()
                    .map(|row| format!("{:?}", row[0]))
                    .collect();
                let all = ids.len();
                ids.sort();
                ids.dedup();
                assert_eq!(ids.len(), all, "{} with seed {seed}", table.name);
            }
        }
    }
}
